"""Arguments that several commands have, and how their text is read."""

from __future__ import annotations

import argparse
import os
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from patchtool.diff.options import MEMORY_LEAST, Effort
from patchtool.keys.signing_clock import Date
from updater.cli.terminal import add_command
from updater.errors import FormatError
from updater.format.encoding.limits import GIB, MIB
from updater.format.head import RolloutStep
from updater.format.next_head import parse_percent, parse_ramp

UNITS = {"M": MIB, "G": GIB}
WAIT = 30.0
"""Seconds to wait for another command: none of ours holds a repository for so long."""
WAIT_LONG = 600.0


def register(
    commands: Any,
    action: Callable[[argparse.Namespace], int],
    *adders: Callable[[ArgumentParser], None],
    name: str = "",
) -> ArgumentParser:
    """Register a command; the docstring of ``action`` is its help text, with an example.

    Args:
        commands: the subparsers of the program or of a noun.
        action: what it does; it is named like the command.
        adders: add its arguments.
        name: of the command, if the function cannot have it.
    """
    text, _, example = (action.__doc__ or action.__name__).partition("\n\n    Example: ")
    words = " ".join(text.split()).removesuffix(".")
    name = name or action.__name__.replace("_", "-")
    command = add_command(
        commands, name, action, words[0].lower() + words[1:], " ".join(example.split())
    )
    for add in adders:
        add(command)
    return command


def add_repository(command: ArgumentParser, metavar: str = "REPO") -> None:
    """Add the repository folder."""
    command.add_argument(
        "repository", metavar=metavar, type=Path, help="folder that patchtool init has made"
    )


def add_app(command: ArgumentParser) -> None:
    """Add the app, which has to be named."""
    command.add_argument("--app", required=True, help="name of the app")


def add_version(command: ArgumentParser) -> None:
    """Add the version of a release."""
    command.add_argument("--version", required=True, help="version of the release")


def add_keys(command: ArgumentParser) -> None:
    """Add the options of a command that signs."""
    add_key_folder(command)
    add_clock(command)


def add_key_folder(command: ArgumentParser) -> None:
    """Add the folder of keys."""
    command.add_argument("--keys", required=True, type=Path, help="folder of *.pem files")


def add_clock(command: ArgumentParser) -> None:
    """Add the date that confirms a clock which is doubted."""
    command.add_argument(
        "--clock",
        type=date,
        metavar="DATE",
        help="today's date, such as 2027-01-31: sign though the last signature makes this "
        "machine's clock look wrong",
    )


def add_root(command: ArgumentParser) -> None:
    """Add the root that is trusted."""
    command.add_argument(
        "--root", type=Path, help="root.json of your installers; default: trust that of the URL"
    )


def add_token(command: ArgumentParser) -> None:
    """Add the options of a command that asks a server to act."""
    command.add_argument(
        "--token-env",
        metavar="NAME",
        default="UPSWAP_TOKEN",
        help="environment variable with the token for the server; default: %(default)s",
    )
    command.add_argument(
        "--insecure-http",
        action="store_true",
        help="send the token without encryption, for everybody on the way to read",
    )


def add_wait(command: ArgumentParser) -> None:
    """Add how long to wait for other commands."""
    command.add_argument(
        "--wait",
        type=seconds,
        default=WAIT,
        const=WAIT_LONG,
        nargs="?",
        metavar="SECONDS",
        help="how long to wait for another command that writes the repository; default: "
        f"{WAIT:g}; --wait without a number: {WAIT_LONG:g}",
    )


def add_effort(command: ArgumentParser) -> None:
    """Add the options of a command that builds patches."""
    command.add_argument(
        "--effort",
        choices=get_args(Effort),
        default="default",
        help="more effort takes longer and makes smaller patches; default: %(default)s",
    )
    command.add_argument(
        "--jobs",
        type=positive,
        default=os.cpu_count() or 1,
        help="parts built at the same time; default: one per processor",
    )
    command.add_argument(
        "--memory",
        type=memory,
        default=2 * GIB,
        metavar="SIZE",
        help="memory that the build may take, such as 1500M or 8G; default: 2G",
    )


def positive(text: str) -> int:
    """Read a number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def count(text: str) -> int:
    """Read a number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def memory(text: str) -> int:
    """Read a size such as 512M; in bytes."""
    number, unit = text[:-1], UNITS.get(text[-1:])
    if unit is None or not number.isdecimal() or int(number) * unit < MEMORY_LEAST:
        least = MEMORY_LEAST // MIB
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 2G, {least}M at least")
    return int(number) * unit


def percent(text: str) -> int:
    """Read a share of installs; in basis points."""
    with _usage():
        return parse_percent(text)


def ramp(text: str) -> tuple[RolloutStep, ...]:
    """Read the steps of a staged rollout, counted from now."""
    with _usage():
        return parse_ramp(text, int(time.time()))


def date(text: str) -> Date:
    """Read a date."""
    with _usage():
        return Date.parse(text)


@contextmanager
def _usage() -> Iterator[None]:
    """Report as wrong usage what the format refuses."""
    try:
        yield
    except FormatError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
