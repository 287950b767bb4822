"""Commit, and recovery from any interruption of it; both may be interrupted anywhere.

What `recover` finds, and does: see the table in `updater.launch.commit.journal`.

A journal that is damaged stops all this, but for ``journal.done``: then the new tree is in place,
and only what it replaced is forgotten. `updater repair` makes one release of a mixed tree; it
gives the damaged journal the name ``journal.mixed``, which stands until the repair is made,
whatever the journal of the repair itself goes through.

How a step tells from the disk whether it was done stands with the step: `FileSwap`, `FileSwapBack`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from updater.disk.durable import disk_error, fault, machine_errors, present
from updater.disk.json_file import encode
from updater.errors import DamagedJournal, InstallError, MachineError, RollbackFailed
from updater.launch.commit.bad_versions import mark_bad
from updater.launch.commit.file_swap import FileSwap, discard_stage
from updater.launch.commit.file_swap_back import FileSwapBack
from updater.launch.commit.journal import Journal, Phase, enter, named, phase_of, read
from updater.launch.commit.obstacles import refuse_names
from updater.launch.commit.trash import clear, sweep
from updater.launch.state import State

STUCK_HINT = (
    "free disk space, check permissions, then run updater recover; "
    "if that does not help, updater repair makes one release of it"
)


class Outcome(str, Enum):
    """The result of a recovery."""

    CLEAN = "clean"
    """Nothing was interrupted."""
    FINISHED = "finished"
    """The new version is in place, whole."""
    UNDONE = "undone"
    """The old version is back, whole."""


def commit(state: State, journal: Journal) -> None:
    """Make the staged tree the live one. The stage is complete and durable before the call.

    Raises:
        InstallError: a fault, of whatever class; the old tree is back, whole, and the stage is
            gone. An interrupt (Ctrl-C, a signal's exit) is raised on, after the same.
        RollbackFailed: a fault, and undoing it failed too: the journal stays, and `recover`
            goes on with it. The message says what lies where.
    """
    try:
        if phase_of(state) is Phase.STAGED:
            enter(state, Phase.SWAPPING)
        else:
            journal.write(state)
        _make(state, journal)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # whatever it is: not half of it
        _undo(state, journal, error)
        if isinstance(error, InstallError):
            error.rolled_back = True
        elif isinstance(error, Exception):
            raise _undone_error(error) from error
        raise
    with suppress(Exception):  # the update is made; the next recovery removes what is left over
        _clean(state, journal)


def recover(state: State) -> Outcome:
    """Finish or undo what an interrupted commit left. Runs first in every command.

    Raises:
        RollbackFailed: the disk lets neither happen now; run it again.
        DamagedJournal: the tree may be mixed, and nobody can tell how far it came; a repair can.
        InstallError: the journal cannot be read now, or clean-up is not possible now.
    """
    phase = phase_of(state)
    if phase is None or phase is Phase.STAGED:
        sweep(state)
        return Outcome.CLEAN
    outcome = Outcome.CLEAN if phase is Phase.MIXED else _go_on(state, phase)
    if phase_of(state) is Phase.MIXED:  # if something was done, it was of a repair of this
        raise DamagedJournal(
            f"{state.install} may be mixed of two versions: an update of it could not be ended",
            hint="run updater repair",
        )
    return outcome


def _go_on(state: State, phase: Phase) -> Outcome:
    try:
        journal = read(named(state, phase))
    except DamagedJournal:
        if phase is not Phase.COMMITTED:
            raise
        return _forget(state)
    refuse_names(step.path for step in journal.steps)
    return _ACTIONS[phase](state, journal)


def begin_mixed(state: State) -> None:
    """Say, durably, that nobody can go on with the journal; and forget every way back.

    What was kept, and a trial, belong to versions nobody can tell any more. A repair follows.
    What the commit has left beside the files of the install goes when the repair is made.

    Raises:
        OSError: the disk; call it again.
    """
    phase = phase_of(state)
    if phase is not None and phase is not Phase.MIXED:
        with suppress(InstallError):  # it is damaged: what lies aside cannot be told
            FileSwap(state, read(named(state, phase))).give_up()
    enter(state, Phase.MIXED)
    clear(state, state.old)
    state.disk.unlink(state.trial)


def end_mixed(state: State) -> None:
    """Forget the damaged journal: a repair has made one release of the tree.

    Raises:
        OSError: the disk; call it again.
    """
    _end(state, Phase.MIXED)


def revert(state: State) -> None:
    """Take the last commit back, as ``old/journal`` has it.

    Raises:
        RollbackFailed: it could not be finished; `recover` goes on with it.
        OSError: it could not be begun; nothing was changed.
    """
    discard_stage(state)
    journal = read(state.parked)
    state.disk.replace(state.parked, named(state, Phase.REVERTING))
    _take_back(state, journal)


def _finish(state: State, journal: Journal) -> Outcome:
    try:
        _make(state, journal)
    except Exception as error:  # noqa: BLE001 - as in `commit`
        _undo(state, journal, error)
        return Outcome.UNDONE
    return _clean_up(state, journal)


def _go_back(state: State, journal: Journal) -> Outcome:
    _undo(state, journal, None)
    return Outcome.UNDONE


def _clean_up(state: State, journal: Journal) -> Outcome:
    with machine_errors(f"cleaning up after the update to {journal.new}"):
        _clean(state, journal)
    return Outcome.FINISHED


def _forget(state: State) -> Outcome:
    """The new tree is in place; what it replaced cannot be told any more, and stays aside."""
    with machine_errors(f"cleaning up after an update of {state.install}"):
        clear(state, state.old)
        state.disk.unlink(state.trial)  # it could not be taken back
        _end(state, Phase.COMMITTED)
    return Outcome.FINISHED


def _take_back(state: State, journal: Journal) -> Outcome:
    try:
        state.disk.sync_directory(state.folder)
        FileSwapBack(state, journal).run()
        state.disk.unlink(state.trial)
        state.disk.unlink(state.confirmed)
        with suppress(OSError):  # told to the application if it can be; the tree counts more
            state.disk.write(state.arrival, encode({"previous": journal.new}))
        _end(state, Phase.REVERTING)
    except Exception as error:
        raise RollbackFailed(
            f"the rollback to {journal.old} could not be finished: {error}; old files that are "
            f"not back yet lie in {state.old}",
            hint=STUCK_HINT,
        ) from error
    return Outcome.UNDONE


_ACTIONS: dict[Phase, Callable[[State, Journal], Outcome]] = {
    Phase.SWAPPING: _finish,
    Phase.UNDOING: _go_back,
    Phase.COMMITTED: _clean_up,
    Phase.REVERTING: _take_back,
}


def _make(state: State, journal: Journal) -> None:
    """The new tree in place; once it is said to be, there is no way back but a rollback."""
    FileSwap(state, journal).forward()
    enter(state, Phase.COMMITTED)


def _undo(state: State, journal: Journal, cause: BaseException | None) -> None:
    try:
        if phase_of(state) not in {None, Phase.STAGED, Phase.MIXED}:  # else nothing was begun
            enter(state, Phase.UNDOING)
            FileSwap(state, journal).backward()
            _end(state, Phase.UNDOING)
    except RollbackFailed:
        raise
    except Exception as error:
        why = f" after: {cause}" if cause else ""
        raise RollbackFailed(
            f"the update to {journal.new} could not be undone: {error}{why}; old files in "
            f"{state.install} have names ending in .old, new ones in .new",
            hint=STUCK_HINT,
        ) from error


def _clean(state: State, journal: Journal) -> None:
    """From the new tree in place to the old files parked; needs next to no disk space."""
    swap = FileSwap(state, journal)
    if journal.is_update:
        _park(state, journal, swap)
    else:
        swap.discard()
    _end(state, Phase.COMMITTED)


def _park(state: State, journal: Journal, swap: FileSwap) -> None:
    """The old files go where a rollback finds them, instead of those of the commit before."""
    if present(state.parked):
        clear(state, state.old)
    state.disk.mkdir(state.old, private=True)
    swap.park()
    with suppress(OSError, InstallError):  # a full disk: the rollback tries again, if there is one
        mark_bad(state, journal)
    state.disk.sync_directory(state.old)
    state.disk.replace(named(state, Phase.COMMITTED), state.parked)
    state.disk.sync_directory(state.old)


def _end(state: State, phase: Phase) -> None:
    state.disk.unlink(named(state, phase))
    state.disk.sync_directory(state.folder)
    with suppress(OSError):  # nobody reads it any more, and the next update begins by this
        if not present(state.parked):
            clear(state, state.old)
        discard_stage(state)
        sweep(state)


def _undone_error(error: Exception) -> MachineError:
    what = "the update was undone"
    undone = disk_error(what, error) if isinstance(error, OSError) else fault(what, error)
    undone.rolled_back = True
    return undone
