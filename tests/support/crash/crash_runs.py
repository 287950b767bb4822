"""Runs that are interrupted at one point after the other: how they are made, counted and told."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from contextlib import suppress

from tests.support.crash.crash_disk import FaultyDisk, Killed
from updater.disk.durable import Disk
from updater.errors import InstallError


def tell(made: int, what: str, *, of: int | None = None) -> None:
    """Print how many runs a test made, and of how many there are if it takes a sample."""
    count = f"{made:,}" if of is None else f"{made:,} of {of:,}"
    sys.stdout.write(f"\n{count} crash runs: {what}\n")


def every(run: Callable[[int], bool]) -> int:
    """Call ``run`` with 1, 2, ... as long as it meets its fault; how many runs did."""
    return next(at for at in itertools.count(1) if not run(at)) - 1


def every_pair(run: Callable[[int, int], tuple[bool, bool]]) -> int:
    """Call ``run`` with the numbers of every two faults it meets; how many runs met both.

    It says which of them it met. The second fault is of what follows the first.
    """
    made, first = 0, True
    for at in itertools.count(1):
        for again in itertools.count(1):
            first, second = run(at, again)
            if not second:
                break
            made += 1
        if not first:
            break
    return made


def killed(disk: FaultyDisk, action: Callable[[Disk], object]) -> bool:
    """Run ``action`` on ``disk``; whether it was killed."""
    with suppress(Killed):
        action(disk)
        assert not disk.dead, "somebody swallowed a kill"
    return disk.dead


def failed(action: Callable[[], object]) -> InstallError | None:
    """The error ``action`` ends with."""
    try:
        action()
    except InstallError as error:
        return error
    return None
