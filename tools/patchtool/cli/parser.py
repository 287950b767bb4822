"""The ``patchtool`` command: for who releases, usually in CI."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence

from patchtool.cli import (
    app_commands,
    key_commands,
    patch_commands,
    release_commands,
    repository_commands,
    rollout_commands,
    server_commands,
)
from updater.cli.terminal import run
from updater.exit_codes import INTERRUPTED
from updater.version import __version__

NOUNS = (
    patch_commands,
    repository_commands,
    release_commands,
    rollout_commands,
    server_commands,
    app_commands,
    key_commands,
)
"""Each registers its commands beside what they do, and loads a library when one of them runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``; the exit code (see `updater.exit_codes`)."""
    if argv is None:  # a CI job that is cancelled is told so by SIGTERM: as clean as Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parser().parse_args(argv)
    code = run(lambda: options.run(options))
    if argv is None and code == INTERRUPTED:
        os._exit(code)  # a matcher still at work would be waited for, for minutes
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="patchtool", description="Build and publish updates.")
    parser.add_argument(
        "--version", action="version", version=f"upswap {__version__}", help="print the version"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for noun in NOUNS:
        noun.add_commands(commands)
    return parser
