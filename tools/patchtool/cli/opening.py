"""Open the repository and the keys that a command is asked to use."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchtool.diff.options import Options
from patchtool.folder.real_paths import lies_in
from patchtool.keys.signing_clock import check_clock
from updater.cli.terminal import Bar
from updater.errors import RequestError
from updater.progress import Progress, Silent

if TYPE_CHECKING:
    from patchtool.keys.signing_keys import Keys
    from patchtool.repository.repository import Repository
    from patchtool.repository.repository_folder import Author, RepositoryFolder
    from patchtool.server.server_client import Server


def folder_of(options: argparse.Namespace) -> RepositoryFolder:
    """The repository of a command that signs nothing."""
    from patchtool.repository.repository_folder import RepositoryFolder

    return RepositoryFolder(options.repository, int(time.time()), author=_author(options))


def repository_of(options: argparse.Namespace) -> Repository:
    """The repository of a command that signs, if this machine's clock fits what was signed.

    Raises:
        InstallError: the keys are not to be used.
    """
    from patchtool.repository.repository import Repository

    now = int(time.time())

    def check_time(signed: int) -> None:
        check_clock(int(time.time()), signed, options.clock)

    author = replace(_author(options), check_time=check_time)
    return Repository(options.repository, keys_of(options), now, author=author)


def _author(options: argparse.Namespace) -> Author:
    from patchtool.repository.repository_folder import Author

    patience = getattr(options, "wait", 0.0)
    return Author(patience=patience, task=options.command, clock=lambda: int(time.time()))


def keys_of(options: argparse.Namespace) -> Keys:
    """The keys that a command's options name, unless they would be served too."""
    from patchtool.keys.signing_keys import refuse_published

    refuse_published(options.keys)
    if lies_in(options.keys, options.repository):
        raise RequestError(
            f"{options.keys} lies inside the repository",
            hint="who serves the repository would serve the keys: name a folder elsewhere",
        )
    return keys_in(options.keys)


def keys_in(folder: Path) -> Keys:
    """The keys in a folder, with passwords from the environment or from whoever sits here."""
    from patchtool.keys.signing_keys import Keys

    ask = getpass.getpass if sys.stdin.isatty() else None
    return Keys(folder, os.environ, ask)


def build_options(options: argparse.Namespace) -> Options:
    """Return how to build patches, from the options of `add_effort`."""
    progress: Progress = Silent() if options.quiet else Bar()
    return Options(
        effort=options.effort, jobs=options.jobs, memory=options.memory, progress=progress
    )


def server_of(options: argparse.Namespace) -> Server:
    """The server that a command's options name."""
    from patchtool.server.server_client import Server, check_server, token_of
    from updater.net.http import HttpTransport

    url = check_server(options.to, insecure=options.insecure_http)
    return Server(url, token_of(os.environ, options.token_env), HttpTransport())
