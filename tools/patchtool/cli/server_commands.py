"""What the commands do that speak with a server."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict

from patchtool.cli.release_commands import folder_of, keys_of
from patchtool.keys.signing_clock import CheckTime, check_server_clock
from patchtool.server.fetch import fetch
from patchtool.server.push import push
from patchtool.server.server_client import (
    Server,
    check_server,
    token_of,
)
from updater.cli.terminal import Bar, tell
from updater.disk.durable import told
from updater.exit_codes import NOTHING_TO_DO
from updater.format.names import check_app
from updater.local.session import Session
from updater.net.address import Address
from updater.net.http import HttpTransport
from updater.progress import Silent


def send(options: argparse.Namespace) -> int:
    """``patchtool push``."""
    done = push(
        _session(options),
        server_of(options),
        folder_of(options),
        apps=[check_app(app) for app in options.app],
        keys=keys_of(options) if options.keys else None,
        check_time=_check_time(options),
    )
    if done is None:
        tell(options, {"apps": {}, "state": "pushed before"}, "the server has all of it")
        return NOTHING_TO_DO
    lines = [f"{app}: release metadata {version} is public" for app, version in done.apps.items()]
    lines += [f"{app}: signed again, on top of what others published" for app in done.rebased]
    tell(options, asdict(done), "\n".join([*lines, f"{done.bytes:,} bytes uploaded"]))
    return 0


def take(options: argparse.Namespace) -> int:
    """``patchtool fetch``."""
    with told(f"reading {options.root}"):
        root = options.root and options.root.read_bytes()
    address, session = Address.parse(options.url), _session(options)
    session.admit(address)
    done = fetch(
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
    tell(options, asdict(done), "\n".join([words, *lines]))
    return 0


def server_of(options: argparse.Namespace) -> Server:
    """The server a command is told to speak with."""
    url = check_server(options.to, insecure=options.insecure_http)
    return Server(url, token_of(os.environ, options.token_env), HttpTransport())


def _check_time(options: argparse.Namespace) -> CheckTime:
    return lambda server: check_server_clock(int(time.time()), server, options.clock)


def _session(options: argparse.Namespace) -> Session:
    return Session(progress=Silent() if options.quiet else Bar())
