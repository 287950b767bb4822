"""Cross-process locks by the operating system: they vanish with their holder, however it dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from updater.disk.permissions import hand_over
from updater.errors import UpdateInProgress

if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Take the lock of an open file; False if somebody else holds it."""
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far behind the holder's name
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Take the lock of an open file; False if somebody else holds it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


POLL = 0.05
"""Seconds between two looks at a lock somebody else holds."""
NAMING = 1.0
"""Seconds a new holder is given to write its name, which it can only do once it holds the lock."""
BUSY = "another updater is at work"
"""The message about the holder of a lock, unless a caller has a better one."""


@contextmanager
def locked(path: Path, what: str, timeout: float = 0.0, busy: str = BUSY) -> Iterator[None]:
    """Hold the lock file ``path``; ``what`` says of the holder what it does.

    Args:
        path: made if missing, never removed (removing it would let two holders in).
        what: told to whoever finds the lock taken.
        timeout: seconds to wait for another holder.
        busy: what is said if it does not end in time.

    Raises:
        UpdateInProgress: another process holds it; named if it wrote its name.
        OSError: the lock file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    hand_over(path)
    try:
        _wait(descriptor, timeout, busy)
        _name(descriptor, f"{what}, process {os.getpid()}")
        try:
            yield
        finally:
            _name(descriptor, "")  # the next holder must not be told of under this one's name
    finally:
        os.close(descriptor)


def _wait(descriptor: int, timeout: float, busy: str) -> None:
    deadline = time.monotonic() + timeout
    while not try_lock(descriptor):
        over = time.monotonic() - deadline
        if over >= 0 and ((holder := _holder(descriptor)) or over >= NAMING):
            raise UpdateInProgress(
                f"{busy} ({holder or 'another updater'})",
                hint="wait for it to end and try again",
            )
        time.sleep(POLL)


def _name(descriptor: int, holder: str) -> None:
    with suppress(OSError):  # a full disk must not keep recovery out
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, holder.encode())


def _holder(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 200).decode(errors="replace")
