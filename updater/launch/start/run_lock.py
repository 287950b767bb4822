"""The run lock: every application started by the launcher shares it, a commit has it alone.

The system drops the lock with the last process that has it, however that one dies.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from updater.disk.permissions import hand_over
from updater.errors import ApplicationRuns, InstallError, MachineError, UpdateInProgress
from updater.launch.state import State

POLL = 0.05
"""Seconds between two looks at a lock that is taken."""
LEAVING = 2.0
"""Seconds that helpers of an application, and the launcher that has watched it, have to end."""
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
    """Take the run lock; yield True if no application runs, and then none starts meanwhile.

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


def leave(state: State, environment: dict[str, str], pending: str) -> None:
    """Say that this process runs no more, though it does: the launcher is about to follow it.

    Args:
        state: of the install.
        environment: for the launcher; this process's lock is no matter of its.
        pending: the version that waits for the end of the application; empty: none does.

    Raises:
        ApplicationRuns: something waits, and others run; this process runs as before.
        InstallError: the lock file is a folder.
        OSError: it cannot be opened.
    """
    held = _inherited(state, environment.pop(VARIABLE, ""))
    if not pending:
        if held is not None:
            os.set_inheritable(held, False)  # kept, should this process go on after all
        return
    if held is not None:
        os.close(held)
    with alone(state, patience=LEAVING) as nobody_runs:
        if nobody_runs:
            return
    if held is not None:
        _hold_again(state, held)
    raise ApplicationRuns(
        f"{pending} cannot be put in place: other processes of the application run",
        hint="end them all and start it again, which brings it; or give restart() a wait",
    )


def _inherited(state: State, number: str) -> int | None:
    """The open lock of this process, if the environment is right about it."""
    with suppress(ValueError, OverflowError, OSError):
        if os.path.samestat(os.fstat(int(number)), state.run_lock.stat()):
            return int(number)
    return None


def _hold_again(state: State, number: int) -> None:
    descriptor = share(state, LEAVING)
    if descriptor is not None and descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)


def _open(state: State, how: int) -> int:
    if state.run_lock.is_dir():  # which POSIX would lock for an application, not for a commit
        raise MachineError(
            f"{state.run_lock} is a folder, where the lock of the running application belongs",
            hint=f"remove it: {state.run_lock}",
        )
    flags = os.O_CREAT if not state.run_lock.exists() else 0
    descriptor = os.open(state.run_lock, how | flags | getattr(os, "O_CLOEXEC", 0), 0o644)
    if flags:
        hand_over(state.run_lock)
    return descriptor
