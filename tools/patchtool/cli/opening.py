"""Open the repository and the keys that a command is asked to use."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from patchtool.diff.options import Options
from patchtool.folder.real_paths import lies_in
from patchtool.keys.signing_clock import check_clock
from patchtool.keys.signing_keys import Keys, refuse_published
from patchtool.repository.repository import Repository
from patchtool.repository.repository_folder import Author, RepositoryFolder
from patchtool.server.server_client import Server, check_server, token_of
from updater.cli.terminal import Bar
from updater.errors import InstallError
from updater.net.http import HttpTransport
from updater.progress import Progress, Silent


def folder_of(options: argparse.Namespace) -> RepositoryFolder:
    """The repository of a command that signs nothing."""
    return RepositoryFolder(options.repository, int(time.time()), author=_author(options))


def repository_of(options: argparse.Namespace) -> Repository:
    """The repository of a command that signs, if this machine's clock fits what was signed.

    Raises:
        InstallError: the keys are not to be used.
    """
    now = int(time.time())

    def check_time(signed: int) -> None:
        check_clock(int(time.time()), signed, options.clock)

    author = replace(_author(options), check_time=check_time)
    return Repository(options.repository, keys_of(options), now, author=author)


def _author(options: argparse.Namespace) -> Author:
    patience = getattr(options, "wait", 0.0)
    return Author(patience=patience, task=options.command, clock=lambda: int(time.time()))


def keys_of(options: argparse.Namespace) -> Keys:
    """The keys a command is told to use; not those that would be served with its repository."""
    refuse_published(options.keys)
    if lies_in(options.keys, options.repository):
        raise InstallError(
            f"{options.keys} lies inside the repository",
            hint="who serves the repository would serve the keys: name a folder elsewhere",
        )
    return keys_in(options.keys)


def keys_in(folder: Path) -> Keys:
    """The keys in a folder, with passwords from the environment or from whoever sits here."""
    ask = getpass.getpass if sys.stdin.isatty() else None
    return Keys(folder, os.environ, ask)


def build_options(options: argparse.Namespace) -> Options:
    """Return how to build patches, from the options of `add_effort`."""
    progress: Progress = Silent() if options.quiet else Bar()
    return Options(
        effort=options.effort, jobs=options.jobs, memory=options.memory, progress=progress
    )


def server_of(options: argparse.Namespace) -> Server:
    """The server a command is told to speak with."""
    url = check_server(options.to, insecure=options.insecure_http)
    return Server(url, token_of(os.environ, options.token_env), HttpTransport())
