"""Who runs: every application started by the launcher shares a lock, a commit has it alone.

The system drops the lock with the last process that has it, however that one dies.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from updater.errors import UpdateInProgress
from updater.launch.state import State

POLL = 0.05
"""Seconds between two looks at a lock that is taken."""
VARIABLE = "UPSWAP_RUN_LOCK"
"""Environment: the inherited lock, as the number of its open file."""

if sys.platform == "win32":
    import msvcrt

    SEATS = 1000
    """Bytes of the file: a running application has one of them, a commit all."""

    def _try_share(descriptor: int) -> bool:
        return any(_try_seat(descriptor, seat, 1) for seat in range(SEATS))

    def _try_alone(descriptor: int) -> bool:
        return _try_seat(descriptor, 0, SEATS)

    def _try_seat(descriptor: int, start: int, length: int) -> bool:
        os.lseek(descriptor, start, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, length)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_share(descriptor: int) -> bool:
        return _try(descriptor, fcntl.LOCK_SH)

    def _try_alone(descriptor: int) -> bool:
        return _try(descriptor, fcntl.LOCK_EX)

    def _try(descriptor: int, how: int) -> bool:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def alone(state: State, *, wait: bool = False) -> Iterator[bool]:
    """Whether no application runs; if so none can be started until the body ends.

    With ``wait`` it waits until none does.

    Raises:
        OSError: the lock file cannot be opened.
    """
    descriptor = _open(state, os.O_RDWR)
    try:
        while not (is_alone := _try_alone(descriptor)) and wait:
            time.sleep(POLL)
        yield is_alone
    finally:
        os.close(descriptor)


def share(state: State, timeout: float) -> int | None:
    """An open file that says "an application runs" as long as any process has it.

    None if this user can neither open nor make the lock file: an install that belongs to
    somebody else, on a disk that cannot be written.

    Raises:
        UpdateInProgress: a commit is at work and does not end within ``timeout`` seconds.
    """
    try:
        descriptor = _open(state, os.O_RDONLY)
    except OSError:
        return None
    deadline = time.monotonic() + timeout
    while not _try_share(descriptor):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            raise UpdateInProgress(
                f"{state.install} is being changed", hint="wait for it to end and try again"
            )
        time.sleep(POLL)
    os.set_inheritable(descriptor, True)
    return descriptor


def give_up(state: State, environment: dict[str, str]) -> None:
    """Say that this process runs no more, though it does: it is about to become the launcher."""
    number = environment.pop(VARIABLE, "")
    with suppress(ValueError, OSError):
        if os.path.samestat(os.fstat(int(number)), state.run_lock.stat()):
            os.set_inheritable(int(number), False)  # kept, should this process go on after all


def _open(state: State, how: int) -> int:
    flags = os.O_CREAT if not state.run_lock.exists() else 0
    return os.open(state.run_lock, how | flags | getattr(os, "O_CLOEXEC", 0), 0o644)
