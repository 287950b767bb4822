"""Commands that exchange releases with a server."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchtool.cli.arguments import (
    add_clock,
    add_repository,
    add_root,
    add_token,
    add_wait,
    count,
    register,
)
from patchtool.cli.opening import folder_of, keys_of, server_of
from patchtool.keys.signing_clock import CheckTime, check_server_clock
from updater.cli.terminal import Bar, print_result
from updater.disk.durable import machine_errors
from updater.exit_codes import NOTHING_TO_DO
from updater.format.names import check_app
from updater.progress import Silent

if TYPE_CHECKING:
    from updater.local.session import Session


def add_commands(commands: Any) -> None:
    """Register ``push`` and ``fetch``."""
    command = register(commands, push, add_repository, add_wait, add_clock, add_token)
    command.add_argument("--to", metavar="URL", required=True, help="the server")
    command.add_argument("--app", action="append", default=[], help="apps to push; default: all")
    command.add_argument(
        "--keys", type=Path, help="folder with release.pem, to sign again if others were faster"
    )
    command = register(commands, fetch, add_wait, add_clock, add_root)
    command.add_argument("url", metavar="URL", help="where clients get their updates")
    command.add_argument("repository", metavar="REPO", type=Path, help="folder of the copy")
    command.add_argument(
        "--bundles",
        type=count,
        default=3,
        metavar="N",
        help="releases of each app to fetch whole, to make patches from; default: %(default)s",
    )


def push(options: argparse.Namespace) -> int:
    """Publish on the server what was signed here; exit code 10: nothing was.

    Example: patchtool push repo --to https://updates.example.com
    """
    from patchtool.server import push as pushing

    done = pushing.push(
        _session(options),
        server_of(options),
        folder_of(options),
        apps=[check_app(app) for app in options.app],
        keys=keys_of(options) if options.keys else None,
        check_time=_check_time(options),
    )
    if done is None:
        print_result(options, {"apps": {}, "state": "pushed before"}, "the server has all of it")
        return NOTHING_TO_DO
    lines = [f"{app}: release metadata {version} is public" for app, version in done.apps.items()]
    lines += [f"{app}: signed again, on top of what others published" for app in done.rebased]
    print_result(options, asdict(done), "\n".join([*lines, f"{done.bytes:,} bytes uploaded"]))
    return 0


def fetch(options: argparse.Namespace) -> int:
    """Make or renew a copy of a repository that a server writes, to add releases to.

    Example: patchtool fetch https://updates.example.com repo --root root.json
    """
    from patchtool.server import fetch as fetching
    from updater.net.address import Address

    with machine_errors(f"reading {options.root}"):
        root = options.root and options.root.read_bytes()
    address, session = Address.parse(options.url), _session(options)
    session.admit(address)
    done = fetching.fetch(
        session,
        address.url,
        options.repository,
        root=root,
        bundles=options.bundles,
        patience=options.wait,
        check_time=_check_time(options),
    )
    lines = [f"{app}: {', '.join(had) or 'no release'}" for app, had in done.releases.items()]
    words = f"{options.repository}: {done.metadata} files of metadata are new, {done.bytes:,} bytes"
    print_result(options, asdict(done), "\n".join([words, *lines]))
    return 0


def _check_time(options: argparse.Namespace) -> CheckTime:
    return lambda server: check_server_clock(int(time.time()), server, options.clock)


def _session(options: argparse.Namespace) -> Session:
    from updater.local.session import Session

    return Session(progress=Silent() if options.quiet else Bar())
