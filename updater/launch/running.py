"""Who runs: every application started by the launcher shares a lock, a commit has it alone.

The system drops the lock with the last process that has it, however that one dies.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from updater.errors import InstallError, UpdateInProgress
from updater.launch.access import WINDOWS, hand_over
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
def alone(state: State, *, wait: bool = False, patience: float = 0.0) -> Iterator[bool]:
    """Whether no application runs; if so none can be started until the body ends.

    With ``wait`` it waits until none does, otherwise for up to ``patience`` seconds.

    Raises:
        InstallError: the lock file is a folder.
        OSError: it cannot be opened.
    """
    descriptor = _open(state, os.O_RDWR)
    deadline = time.monotonic() + patience
    try:
        while not (is_alone := _try_alone(descriptor)) and (wait or time.monotonic() < deadline):
            time.sleep(POLL)
        yield is_alone
    finally:
        os.close(descriptor)


def share(state: State, timeout: float) -> int | None:
    """An open file that says "an application runs" as long as any process has it.

    None if this user can neither open nor make the lock file: an install that belongs to
    somebody else, on a disk that cannot be written, or a folder in the way.

    Raises:
        UpdateInProgress: a commit is at work and does not end within ``timeout`` seconds.
    """
    try:
        descriptor = _open(state, os.O_RDONLY)
    except (OSError, InstallError):
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
    """Say that this process runs no more, though it does: the launcher is about to follow it."""
    number = environment.pop(VARIABLE, "")
    with suppress(ValueError, OSError):
        if os.path.samestat(os.fstat(int(number)), state.run_lock.stat()):
            _give_up(int(number))


def _give_up(descriptor: int) -> None:
    if WINDOWS:  # the launcher is another process, which finds this one at its end, or before it
        os.close(descriptor)
    else:
        os.set_inheritable(descriptor, False)  # kept, should this process go on after all


def _open(state: State, how: int) -> int:
    if state.run_lock.is_dir():  # which POSIX would lock for an application, not for a commit
        raise InstallError(
            f"{state.run_lock} is a folder, where the lock of the running application belongs",
            hint=f"remove it: {state.run_lock}",
        )
    flags = os.O_CREAT if not state.run_lock.exists() else 0
    descriptor = os.open(state.run_lock, how | flags | getattr(os, "O_CLOEXEC", 0), 0o644)
    if flags:
        hand_over(state.run_lock)
    return descriptor
