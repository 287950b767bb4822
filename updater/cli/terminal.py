"""What the three commands share: the progress bar, how errors are told, how results are."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from updater.disk.durable import told
from updater.errors import UpdaterError
from updater.exit_codes import INTERRUPTED, Concern, exit_code, worst

tqdm.monitor_interval = 0  # else it starts a thread, which not every machine gives


class Bar:
    """Draws progress on stderr, by bytes."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def start(self, task: str, total: int) -> None:
        """See `Progress`."""
        self._bar = tqdm(total=total, desc=task, unit="B", unit_scale=True, file=sys.stderr)

    def advance(self, done: int) -> None:
        """See `Progress`."""
        if self._bar is not None:
            self._bar.update(done)

    def finish(self) -> None:
        """See `Progress`."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def run(action: Callable[[], int]) -> int:
    """``action``'s exit code; errors of ours are told as such, with their hint."""
    try:
        with told("the command failed"):
            return action()
    except UpdaterError as error:
        tell_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED


def add_command(
    commands: Any,
    name: str,
    action: Callable[[argparse.Namespace], int],
    text: str,
    example: str = "",
) -> argparse.ArgumentParser:
    """Add a subcommand that runs ``action``, with the options every command has.

    Args:
        commands: the subparsers of a command.
        name: of the subcommand.
        action: what it does; gives the exit code.
        text: what it does, in words.
        example: a command line, shown by ``--help``.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=f"example: {example}" if example else None
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=action, command=parser.prog)
    return parser


def tell_error(error: UpdaterError) -> None:
    """Print an error and its hint to stderr."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def judge(concerns: Sequence[Concern], *, idle: bool = False) -> int:
    """Print what is wrong to stderr; the exit code that follows from the worst of it.

    Args:
        concerns: what the command found.
        idle: it had nothing to do.
    """
    for concern in concerns:
        tell_error(concern.error)
    return exit_code(worst(concerns), idle=idle)


def tell(options: argparse.Namespace, document: dict[str, Any], words: str) -> None:
    """Print a result: ``document`` with ``--json``, else ``words``."""
    print(json.dumps(document, sort_keys=True) if options.json else words)
