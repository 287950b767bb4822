"""Going back to the version before, from what was kept of it; needs no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from updater.disk.content import content_of
from updater.disk.durable import present
from updater.errors import InstallError, MachineError, RequestError
from updater.launch.commit.bad_versions import mark_bad
from updater.launch.commit.file_swap_back import FileSwapBack
from updater.launch.commit.journal import Action, Journal, Phase, phase_of
from updater.launch.commit.journal import read as read_journal
from updater.launch.commit.recover import revert
from updater.launch.failure_report import Report
from updater.launch.state import State


def previous_version(state: State) -> str:
    """The version a rollback leads to; empty if none is kept.

    Raises:
        InstallError: what was kept cannot be read.
    """
    journal = _way_here(state)
    return journal.old if journal else ""


def _way_here(state: State) -> Journal | None:
    """The parked journal of the commit that led to what is installed; None without one.

    A commit whose clean-up was not finished has not parked its own yet: what is parked then led
    to the version before it.
    """
    if not present(state.parked) or phase_of(state) not in {None, Phase.STAGED}:
        return None
    journal = read_journal(state.parked)
    says = {state.manifest, state.release}
    steps = ((state.at(step.path), step.content) for step in journal.steps if step.own)
    led_here = any(path in says and content_of(path) == content for path, content in steps)
    return journal if led_here else None


def rollback(state: State, why: str) -> Journal:
    """Bring the version before back; the present one is bad from now on. The commit taken back.

    The caller holds the lock, and no application runs.

    Args:
        state: of the install.
        why: what was wrong with the new version, for the report.

    Raises:
        InstallError: nothing, or not all, was kept of the old version; nothing was changed.
        RollbackFailed: it was begun and could not be finished; `recover` goes on with it.
        OSError: it could not be begun.
    """
    journal = _way_here(state)
    if journal is None:
        raise RequestError(
            f"no previous version of {state.install} is kept",
            hint="there is one after an update, until the next update or rollback",
        )
    way = FileSwapBack(state, journal)
    try:
        way.refuse_obstacles()
    except InstallError as error:
        raise MachineError(
            f"{journal.new} cannot be taken back: {error}", hint=error.hint
        ) from error
    if damaged := way.damaged():
        raise MachineError(
            f"{journal.old} was not kept whole: {damaged[0]}", hint="run updater update or repair"
        )
    mark_bad(state, journal)
    with suppress(OSError):  # worth less than the rollback itself
        _report(state, journal, why)
    revert(state)
    return journal


def _report(state: State, journal: Journal, why: str) -> None:
    """Queue what went wrong; a rollback that is tried again says it once."""
    report = Report(
        identity=journal.identity,
        step="confirm",
        error=why,
        old=journal.old,
        new=journal.new,
        changed=tuple(sorted(_changed(state, journal))),
    )
    report.write(state)


def _changed(state: State, journal: Journal) -> Iterator[str]:
    """Files that the update has put in place, and somebody changed since."""
    for step in journal.steps:
        is_put = step.action is Action.PUT and not step.own
        if is_put and content_of(state.at(step.path)) != step.content:
            yield step.path
