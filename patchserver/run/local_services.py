"""Open the services of a server from its own machine, for the commands that manage it.

Whoever may write the data folder may do all of this; the audit log keeps what was done.
"""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patchserver.accounts.audit import Actor
from patchserver.ops.server_settings import (
    ServerSettings,
    data_beside,
    settings_for,
    settings_from_environment,
)
from patchserver.run.self_check import require_repository
from patchserver.services import Services, open_services


def settings_of(options: argparse.Namespace) -> ServerSettings:
    """The settings that a command's options and the environment name; options come first.

    Raises:
        InstallError: a value that cannot be meant, or no repository is named.
    """
    environment = dict(os.environ)
    if options.repo is not None:
        environment["UPSWAP_REPO"] = str(options.repo)
    found = settings_from_environment(environment)
    return settings_for(
        found.repository,
        data=options.data or found.data,
        keys=options.keys or found.keys,
        database=options.database or ("" if options.data else found.database),
        proxies=found.proxies,
        accel=found.accel,
        bounds=found.bounds,
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the server keeps everything."""
    parser.add_argument("--repo", type=Path, help="the repository folder; default: $UPSWAP_REPO")
    parser.add_argument(
        "--data", type=Path, help="what the server keeps; default: $UPSWAP_DATA, or REPO.server"
    )
    parser.add_argument(
        "--keys", type=Path, help="folder with online.pem and no other; default: $UPSWAP_KEYS"
    )
    parser.add_argument(
        "--database", default="", help="URL; default: $UPSWAP_DATABASE, or SQLite in the data"
    )


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[Services]:
    """Open the services that a command's options name."""
    settings = settings_of(options)
    require_repository(settings.repository)  # before a data folder is made beside a slip of the pen
    if settings.data is None:
        data = data_beside(settings.repository)
        settings = settings_for(settings.repository, data, settings.keys, settings.database)
    services = open_services(settings)
    try:
        yield services
    finally:
        services.database.close()


@contextmanager
def changing(options: argparse.Namespace, action: str, subject: str) -> Iterator[Services]:
    """Open the services for a change, which the audit log keeps."""
    with (
        opened(options) as services,
        services.audit.change(actor(), action, "", subject, services.clock()),
    ):
        yield services


def actor() -> Actor:
    """The person at this machine, for the audit log."""
    return Actor(f"command of {getpass.getuser()}")
