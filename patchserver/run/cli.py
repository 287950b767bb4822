"""The ``patchserver`` command: serve, check, and the commands that manage a server."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing

from patchserver.embedded.front import Front
from patchserver.embedded.listener import listen, serve
from patchserver.flask_app import create_app
from patchserver.ops.logs import log_to_stderr
from patchserver.run import channel_commands, token_commands, user_commands
from patchserver.run.jobs import begin
from patchserver.run.local_services import add_places, settings_of
from patchserver.run.self_check import check, require_repository
from updater.cli.terminal import print_concerns, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; wrong usage exits with 2."""
    options = _parser().parse_args(argv)
    return run(lambda: options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="patchserver", description="Serve updates over HTTP.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser(
        "serve",
        help="serve a repository, its API and its dashboard",
        epilog="example: patchserver serve --repo /srv/updates --data /var/lib/patchserver",
    )
    serving.set_defaults(run=_serve)
    add_places(serving)
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serving.add_argument(
        "--port", type=_port, default=8080, help="port to listen on, 0 = any free one (%(default)s)"
    )
    for noun in (user_commands, token_commands, channel_commands):
        noun.add_commands(commands)
    checking = commands.add_parser(
        "check",
        help="show what would keep a server from its work",
        epilog="example: patchserver check --repo /srv/updates",
    )
    checking.set_defaults(run=_check)
    add_places(checking)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"not a number from 0 to 65535: {text}")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    settings = settings_of(options)
    require_repository(settings.repository)
    log_to_stderr()
    app = create_app(settings)
    front = Front(app.extensions["repository"], app.wsgi_app, app.extensions["metrics"])
    with closing(listen(options.host, options.port)) as listener:
        ready = f"serving {settings.repository} at {_url(listener)}"
        end = begin(app.extensions.get("services"))
        ended = serve(front, listener, lambda: print(ready, file=sys.stderr, flush=True))
        end()
    if not ended:
        logging.shutdown()
        os._exit(0)  # threads of the server that wait for a client would be waited for
    return 0


def _check(options: argparse.Namespace) -> int:
    """Show what is wrong with a server's configuration."""
    findings = check(settings_of(options))
    if not findings:
        print("all is well")
    return print_concerns(findings)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
