"""The ``patchserver`` command; the only module of the package that prints."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import Protocol

from waitress import create_server  # type: ignore[import-untyped]  # ships no type information

from patchserver.application import create_app
from patchserver.repository import Repository
from patchserver.settings import settings_for
from updater.console import tell_error
from updater.errors import InstallError, UpdaterError


class _Server(Protocol):
    def run(self) -> None: ...
    def close(self) -> None: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; wrong usage exits with 2."""
    arguments = _parser().parse_args(argv)
    try:
        _serve(arguments.repo, arguments.host, arguments.port)
    except UpdaterError as error:
        tell_error(error)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="patchserver", description="Serve updates over HTTP.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve a repository folder, read-only")
    serve.add_argument("--repo", type=Path, required=True, help="the repository folder")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument(
        "--port", type=_port, default=8080, help="port to listen on, 0 = any free one (%(default)s)"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"not a number from 0 to 65535: {text}")
    return int(text)


def _serve(repo: Path, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    _require_repository(repo)
    with closing(_listen(host, port)) as listener, suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)
        server = _server(repo, listener)
        print(f"serving {repo} at {_url(listener)}", file=sys.stderr, flush=True)
        with closing(server):
            server.run()


def _require_repository(repo: Path) -> None:
    try:
        Repository(repo).probe()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"{repo} is not a repository: metadata/timestamp.json: {reason}"
        hint = "name the folder that patchtool init made, and let this user read it"
        raise InstallError(message, hint=hint) from error


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host name at all
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot listen on {host} port {port}: {reason.lower()}"
        hint = "choose another --host or --port; --port 0 takes any free one"
        raise InstallError(message, hint=hint) from error


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # what waitress ends on, whichever the signal


def _server(repo: Path, listener: socket.socket) -> _Server:
    # It warns of every request that waits for a thread, which is what the queue is for.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server: _Server = create_server(
        create_app(settings_for(repo)),
        sockets=[listener],
        threads=8,  # they only find files; the event loop sends them, however slow the client
        connection_limit=400,  # two descriptors each: below the usual limit of 1024
        asyncore_use_poll=True,  # select() fails from descriptor 1024 on
        channel_timeout=60,  # seconds without a byte either way until a client is dropped
        max_request_header_size=32 * 1024,  # bytes
        max_request_body_size=64 * 1024,  # bytes; no request has a use for a body
        ident=None,
    )
    return server


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
