"""Commands that set what a channel offers, and to how many installs."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from patchtool.cli.arguments import (
    add_app,
    add_clock,
    add_repository,
    add_token,
    add_version,
    add_wait,
    percent,
    ramp,
    register,
)
from patchtool.cli.opening import repository_of, server_of
from patchtool.repository.writer import writer_of
from updater.cli.terminal import print_result
from updater.errors import RequestError
from updater.exit_codes import NOTHING_TO_DO
from updater.format.head import EVERYONE, Head, RolloutStep
from updater.format.names import check_app

NOWHERE = "-"
"""Stands for a repository that is not at hand."""


def add_commands(commands: Any) -> None:
    """Register ``promote``, ``pause`` and ``resume``."""
    command = register(commands, promote, *_COMMON)
    share = command.add_mutually_exclusive_group()
    share.add_argument(
        "--rollout",
        type=percent,
        default=EVERYONE,
        metavar="PERCENT",
        help="share of installs that get it; default: 100",
    )
    share.add_argument(
        "--ramp",
        type=ramp,
        metavar="STEPS",
        help="percentages and their times, such as 10@now,50@+24h,100@2027-01-31T09:00Z; "
        "+ minutes (m), hours (h) or days (d)",
    )
    register(commands, pause, *_COMMON)
    register(commands, resume, *_COMMON)


def _add_offer(command: argparse.ArgumentParser) -> None:
    add_repository(command, "REPO|-")
    command.add_argument(
        "--channel", default="stable", help="channel that offers it; default: %(default)s"
    )
    who = command.add_mutually_exclusive_group(required=True)
    who.add_argument("--keys", type=Path, help="folder of *.pem files, if this tool signs")
    who.add_argument("--to", metavar="URL", help="the server, if it signs")


_COMMON = (_add_offer, add_app, add_version, add_wait, add_clock, add_token)


def promote(options: argparse.Namespace) -> int:
    """Let a channel offer a version.

    Example: patchtool promote repo --app notes --version 1.1 --keys keys
    --ramp 10@now,50@+24h,100@+72h
    """
    from patchtool.release import rollout

    now = int(time.time())
    asked, steps = _asked(options), options.ramp or (RolloutStep(now, options.rollout),)
    if options.to:
        _refuse_own(options)
        head = server_of(options).promote(*asked, steps)
    else:
        head = rollout.promote(repository_of(options), *asked, now=now, steps=steps)
    print_result(options, head.to_json(), _offered(head, options.version, now))
    return 0


def pause(options: argparse.Namespace) -> int:
    """Let a channel offer a version to nobody for now; exit code 10: it does so already.

    Example: patchtool pause repo --app notes --version 1.1 --keys keys
    """
    from patchtool.release import rollout

    if options.to:
        _refuse_own(options)
        head: Head | None = server_of(options).pause(*_asked(options))
    else:
        head = rollout.pause(repository_of(options), *_asked(options), now=int(time.time()))
    words = (
        "is offered to no install until it is resumed; a new install gets it only where nothing "
        "else is offered"
    )
    return _print_change(options, head, words, "is paused already")


def resume(options: argparse.Namespace) -> int:
    """Go on with a paused version where its ramp was; exit code 10: it is not paused.

    Example: patchtool resume repo --app notes --version 1.1 --keys keys
    """
    from patchtool.release import rollout

    now = int(time.time())
    if options.to:
        _refuse_own(options)
        head: Head | None = server_of(options).resume(*_asked(options))
    else:
        head = rollout.resume(repository_of(options), *_asked(options), now=now)
    words = _offered(head, options.version, now) if head else ""
    return _print_change(options, head, f"goes on: {words}", "is not paused")


def _refuse_own(options: argparse.Namespace) -> None:
    """Refuse to ask a server to change a repository that this tool writes."""
    if str(options.repository) != NOWHERE and writer_of(options.repository) != "server":
        raise RequestError(
            f"{options.repository} is written by this tool, not by a server",
            hint="leave out --to and name --keys; without a copy at hand, write - for REPO",
        )


def _asked(options: argparse.Namespace) -> tuple[str, str, str]:
    return check_app(options.app), options.channel, options.version


def _print_change(options: argparse.Namespace, head: Head | None, done: str, before: str) -> int:
    what = f"{options.app} {options.version} on {options.channel}"
    if head is None:
        print_result(options, {"version": options.version, "state": before}, f"{what} {before}")
        return NOTHING_TO_DO
    print_result(options, head.to_json(), f"{what} {done}")
    return 0


def _offered(head: Head, version: str, now: int) -> str:
    """The ramp of a version, in words."""
    steps = next(offer for offer in head.entries if offer.version == version).steps
    come = [step for step in steps if step.utc <= now][-1:]
    shares = [f"to {_percent(step)} of its installs" for step in come]
    shares += [
        f"to {_percent(step)} from {_minute(step.utc)} on" for step in steps if step.utc > now
    ]
    return f"{head.channel} offers {head.app} {version} {', '.join(shares)}"


def _percent(step: RolloutStep) -> str:
    return f"{step.basis_points * 100 / EVERYONE:g} %"


def _minute(utc: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(utc))
