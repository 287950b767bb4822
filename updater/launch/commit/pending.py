"""The staged commit, which waits for the application to end: find it, announce it, make it."""

from __future__ import annotations

from contextlib import suppress

from updater.errors import InstallError
from updater.launch.commit.file_swap import discard_stage
from updater.launch.commit.journal import Journal, Phase, named, phase_of, read
from updater.launch.commit.recover import commit
from updater.launch.commit.replan import as_it_is
from updater.launch.state import State


def pending_version(state: State) -> str:
    """The version that waits for the next launch; empty if none does, or none that is whole."""
    journal = waiting(state)
    return journal.new if journal else ""


def waiting(state: State) -> Journal | None:
    """The commit that waits for the next launch; a damaged one is none: nothing was begun."""
    if phase_of(state) is Phase.STAGED:
        with suppress(InstallError):
            return read(named(state, Phase.STAGED))
    return None


def announced_version(state: State) -> str:
    """The version of which was said last that it is staged; empty: of none.

    Raises:
        OSError: the disk.
    """
    with suppress(FileNotFoundError):
        return state.announced.read_text(errors="replace")
    return ""


def announce(state: State, version: str) -> None:
    """Note that ``version`` is said to be staged.

    Raises:
        OSError: the disk.
    """
    state.disk.write(state.announced, version.encode())


def commit_pending(state: State) -> Journal | None:
    """Make the version that waits the live one; None if there is none, or none that fits.

    The application has run since it was staged: what it, or its user, did to managed files is
    found out, and kept. A stage that fits no more is dropped; the next update makes another.

    Args:
        state: of the install.

    Raises:
        InstallError, RollbackFailed: see `commit`.
        OSError: the disk; nothing was changed.
    """
    if phase_of(state) is not Phase.STAGED:
        return None
    planned = waiting(state)
    journal = as_it_is(state, planned) if planned else None
    if journal is None:
        discard_stage(state)
        return None
    journal.hold(state)
    commit(state, journal)
    with suppress(OSError):  # harmless: another version is another text
        state.disk.unlink(state.announced)
    return journal
