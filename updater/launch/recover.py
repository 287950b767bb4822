"""Commit, and recovery from any interruption of it: finish, or undo; both may be interrupted."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum

from updater.errors import InstallError, RollbackFailed
from updater.launch.disk import Disk, disk_error, told
from updater.launch.journal import Journal, Phase, enter, named, phase_of, read
from updater.launch.state import State
from updater.launch.swap import FileSwap, discard_stage


class Outcome(str, Enum):
    """What recovery found and did."""

    CLEAN = "clean"
    FINISHED = "finished"
    UNDONE = "undone"


def commit(disk: Disk, state: State, journal: Journal) -> None:
    """Make the staged tree the live one. The stage is complete and durable before the call.

    Raises:
        InstallError: a fault; the old tree is back, whole, and the stage is gone.
        RollbackFailed: a fault, and undoing it failed too: the journal stays, and `recover`
            goes on with it. The message says what lies where.
    """
    try:
        journal.write(disk, state)
        _make(disk, state, journal)
    except KeyboardInterrupt as error:
        _undo(disk, state, journal, error)
        raise
    except (OSError, InstallError) as error:
        _undo(disk, state, journal, error)
        raise _told(error) from error
    with suppress(OSError):  # the update is made; the next recovery removes what is left over
        _clean(disk, state, journal)


def recover(disk: Disk, state: State) -> Outcome:
    """Finish or undo what an interrupted commit left. Runs first in every command.

    Raises:
        RollbackFailed: the disk lets neither happen now; run it again.
        InstallError: the journal cannot be understood, or clean-up is not possible now.
    """
    phase = phase_of(state)
    if phase is None:
        return Outcome.CLEAN
    journal = read(named(state, phase))
    if phase is Phase.SWAPPING:
        try:
            _make(disk, state, journal)
        except (OSError, InstallError) as error:
            _undo(disk, state, journal, error)
            return Outcome.UNDONE
    if phase is Phase.UNDOING:
        _undo(disk, state, journal, None)
        return Outcome.UNDONE
    with told(f"cleaning up after the update to {journal.new}"):
        _clean(disk, state, journal)
    return Outcome.FINISHED


def _make(disk: Disk, state: State, journal: Journal) -> None:
    """The new tree in place; once it is said to be, there is no way back."""
    FileSwap(disk, state, journal).forward()
    enter(disk, state, Phase.COMMITTED)


def _undo(disk: Disk, state: State, journal: Journal, cause: BaseException | None) -> None:
    try:
        if phase_of(state) is not None:  # else nothing was begun
            enter(disk, state, Phase.UNDOING)
            FileSwap(disk, state, journal).backward()
            _end(disk, state, Phase.UNDOING)
    except OSError as error:
        why = f" after: {cause}" if cause else ""
        raise RollbackFailed(
            f"the update to {journal.new} could not be undone: {error}{why}; old files in "
            f"{state.install} have names ending in .old, new ones in .new",
            hint="free disk space, check permissions, then run updater recover",
        ) from error


def _clean(disk: Disk, state: State, journal: Journal) -> None:
    """From the new tree in place to nothing left over; needs no disk space."""
    FileSwap(disk, state, journal).clean()
    _end(disk, state, Phase.COMMITTED)


def _end(disk: Disk, state: State, phase: Phase) -> None:
    disk.unlink(named(state, phase))
    disk.sync_directory(state.folder)
    with suppress(OSError):  # nobody reads it any more, and the next update begins by this
        discard_stage(disk, state)


def _told(error: OSError | InstallError) -> InstallError:
    told = disk_error("the update was undone", error) if isinstance(error, OSError) else error
    told.rolled_back = True
    return told
