"""The journal: what a commit is about to do, written before it does it.

One JSON file. How far the commit has come is its *name*, because a rename needs no disk space
and is one step; at most one of the names exists. What recovery does:

=================== ============================================ ====================
name                the live tree may be                         recovery
=================== ============================================ ====================
(none)              old or new, whole                            nothing
``journal``         anything between; all new files are durable  finish it, else undo
``journal.undo``    anything between                             undo
``journal.done``    new; old files may still lie aside           clean up
=================== ============================================ ====================
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from updater.errors import InstallError
from updater.launch.disk import Disk, present
from updater.launch.state import State

FORMAT = 1


class Action(str, Enum):
    """What a step does to one path of the install."""

    MKDIR = "mkdir"
    """Make a folder that is not there."""
    PUT = "put"
    """Move a staged file or symlink in; what stood there goes aside."""
    REMOVE = "remove"
    """Move a file or symlink aside."""
    SET_ASIDE = "set-aside"
    """Move a whole folder aside, because a file takes its name."""
    RMDIR = "rmdir"
    """When all is done, remove a folder if nothing of the user's is in it."""


class Phase(Enum):
    """How far a commit has come; the value ends the journal's file name."""

    SWAPPING = ""
    UNDOING = ".undo"
    COMMITTED = ".done"


@dataclass(frozen=True)
class Step:
    """One step; all paths are relative to the install."""

    action: Action
    path: str
    stage: int = -1
    """PUT: number of the staged file."""
    incoming: str = ""
    """PUT: the name it takes first (``PATH.new``)."""
    aside: str = ""
    """The name the old content keeps (``PATH.old``); empty: nothing was there."""
    keep: bool = False
    """Whether what is aside is the user's work, and stays after the commit."""
    size: int = -1
    """PUT: bytes of the new file; -1 for a symlink."""
    own: bool = False
    """PUT: whether it is a file of the State, which changes together with the tree."""


@dataclass(frozen=True)
class Journal:
    """One commit."""

    old: str
    """Version before; empty for a first install."""
    new: str
    """Version after."""
    steps: tuple[Step, ...]

    def write(self, disk: Disk, state: State) -> None:
        """Begin: from here on recovery leads to the new tree or back, never between."""
        document = asdict(self) | {"journal": FORMAT}
        disk.write(state.journal, json.dumps(document).encode())


def phase_of(state: State) -> Phase | None:
    """How far the commit has come that is under way, or None."""
    return next((phase for phase in Phase if present(named(state, phase))), None)


def enter(disk: Disk, state: State, phase: Phase) -> None:
    """Say, durably, that the commit under way is now in ``phase``; does nothing if it is."""
    now = phase_of(state)
    if now is not None and now is not phase:
        disk.replace(named(state, now), named(state, phase))
        disk.sync_directory(state.folder)


def named(state: State, phase: Phase) -> Path:
    """The journal's name in ``phase``."""
    return state.journal.with_name(state.journal.name + phase.value)


def read(path: Path) -> Journal:
    """The journal at ``path``.

    Raises:
        InstallError: it cannot be understood; nothing is touched then.
    """
    try:
        return _parse(json.loads(path.read_bytes()), path)
    except (OSError, ValueError, RecursionError) as error:
        raise InstallError(f"journal {path} cannot be read: {error}", hint=_HINT) from error


_HINT = "nothing was touched; install this application again over a copy of your files"


def _parse(document: Any, path: Path) -> Journal:
    try:
        if document["journal"] != FORMAT:
            raise InstallError(
                f"journal {path} was written by another version", hint="use the newer updater"
            )
        steps = (Step(**{**step, "action": Action(step["action"])}) for step in document["steps"])
        return Journal(document["old"], document["new"], tuple(steps))
    except (KeyError, TypeError, AttributeError) as error:
        raise InstallError(f"journal {path} is damaged: {error!r}", hint=_HINT) from error
