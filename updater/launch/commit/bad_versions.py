"""Bad versions: the note that comes back with the old settings in a rollback."""

from __future__ import annotations

from pathlib import Path

from updater.disk.json_file import encode, read
from updater.errors import MachineError
from updater.launch.commit.journal import Journal
from updater.launch.state import State

BAD_MOST = 1000
"""Versions remembered as bad: more than any app publishes while one install lives."""


def parked_settings(state: State, journal: Journal) -> Path:
    """The place of the settings that come back in a rollback, if the journal has put any."""
    own = (n for n, step in enumerate(journal.steps) if step.own)
    at = (n for n in own if state.at(journal.steps[n].path) == state.settings)
    return state.parked_file(next(at, -1))


def mark_bad(state: State, journal: Journal) -> None:
    """Have the settings that wait in ``old/`` name the new version as bad; twice is once.

    They come back only in a rollback, in one step with the tree. So they are marked as soon as
    they are parked: by the time a version fails, the disk may be too full to write anything.

    Raises:
        InstallError: those settings are damaged.
        OSError: the disk; they are as before.
    """
    place = parked_settings(state, journal)
    settings = read(place)
    bad = settings.get("bad") if settings else None
    if settings is None or not isinstance(bad, list):
        raise MachineError(f"{place} is damaged", hint="run updater update or repair")
    if journal.new not in bad:
        settings["bad"] = [*bad, journal.new][-BAD_MOST:]
        state.disk.write(place, encode(settings))
