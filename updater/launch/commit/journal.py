"""The journal: what a commit is about to do, written before it does it.

One JSON file. Its *name* says how far the commit has come, because a rename needs no disk space
and is one step. At most one of the names exists; only ``journal.mixed`` may stand beside another.
This is the one table of these states:

=================== ============================================ ==============================
name                the live tree                                `recover` does
=================== ============================================ ==============================
(none)              old or new, whole                            nothing
``journal.staged``  old, whole; the stage is complete            nothing: the next launch commits
``journal``         each step done or not; new files are durable go forward; on a fault, back
``journal.undo``    each step done, undone or not begun          go back
``journal.done``    new, whole; old files aside or parked        park them, end
``journal.revert``  each step of a commit taken back or not      take back, end
``journal.mixed``   anything between, nobody can tell what       refuse; `updater repair` ends it
``old/journal``     new, whole; `rollback` can take it back      nothing
=================== ============================================ ==============================
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from updater.disk.durable import present, sync_folders
from updater.errors import DamagedJournal, MachineError
from updater.launch.state import State

FORMAT = 4
"""The format of this file; a launcher that does not know it must not meet it."""


class Action(str, Enum):
    """The action of a step on one path of the install."""

    MKDIR = "mkdir"
    """Make a folder that is not there."""
    PUT = "put"
    """Move a staged file or symlink in; what stood there goes aside."""
    REMOVE = "remove"
    """Move a file or symlink aside."""
    SET_ASIDE = "set-aside"
    """Move a whole folder aside, because a file takes its name."""
    RMDIR = "rmdir"
    """At the end, remove a folder if nothing of the user's is in it."""


class Phase(Enum):
    """The progress of a commit; the value ends the journal's file name."""

    STAGED = ".staged"
    SWAPPING = ""
    UNDOING = ".undo"
    COMMITTED = ".done"
    REVERTING = ".revert"
    MIXED = ".mixed"
    """A damaged journal's, while a repair is tried. The commit of the repair stands before it."""


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
    """True if what is aside is the user's work, and stays after the commit."""
    size: int = -1
    """PUT: bytes of the new file; -1 for a symlink."""
    own: bool = False
    """PUT: true if it is a file of the State, which changes together with the tree."""
    disposable: bool = False
    """True if nobody needs it back: compiled Python that no release has."""
    stays: bool = False
    """PUT: true if a file that is edited after the commit stays, though it is taken back."""
    content: str = ""
    """PUT: the new content, as content.py writes it down."""
    was: str = ""
    """The content mark that the planner found at the path, and gives up for this step."""

    @property
    def parks(self) -> bool:
        """True if what it puts aside is kept for a rollback, in the State."""
        return self.action is not Action.SET_ASIDE and bool(self.aside) and not self.disposable


@dataclass(frozen=True)
class Journal:
    """One commit."""

    old: str
    """Version before; empty for a first install."""
    new: str
    """Version after."""
    steps: tuple[Step, ...]
    """In the order they are made."""
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Names this commit, in reports and against mistaking one for another."""

    @property
    def is_update(self) -> bool:
        """True if it leads to another version; a first install and a repair do not."""
        return self.old not in {"", self.new}

    @property
    def written_bytes(self) -> int:
        """Bytes of the new files of the release."""
        return sum(max(step.size, 0) for step in self.steps if not step.own)

    def write(self, state: State) -> None:
        """Begin: from here on recovery leads to the new tree or back, never between."""
        self._write(state, Phase.SWAPPING)

    def hold(self, state: State) -> None:
        """Leave the stage for later: nothing live is touched until `enter` says SWAPPING."""
        self._write(state, Phase.STAGED)

    def _write(self, state: State, phase: Phase) -> None:
        document = asdict(self) | {"journal": FORMAT}
        state.disk.write(named(state, phase), json.dumps(document).encode(), private=True)


def phase_of(state: State) -> Phase | None:
    """The phase of the commit that is under way, or None."""
    return next((phase for phase in Phase if present(named(state, phase))), None)


def enter(state: State, phase: Phase) -> None:
    """Say, durably, that the commit under way is now in ``phase``; does nothing if it is."""
    now = phase_of(state)
    if now is not None and now is not phase:
        state.disk.replace(named(state, now), named(state, phase))
        state.disk.sync_directory(state.folder)


def named(state: State, phase: Phase) -> Path:
    """The journal's name in ``phase``."""
    return state.journal.with_name(state.journal.name + phase.value)


def sync_steps(state: State, steps: Iterable[Step]) -> None:
    """Make the names that steps have changed durable."""
    sync_folders(state.disk, (state.at(step.path).parent for step in steps))


def read(path: Path) -> Journal:
    """The journal at ``path``.

    Raises:
        DamagedJournal: nobody can understand it; nothing is touched then.
        InstallError: another version wrote it, or it cannot be read now; nothing is touched.
    """
    try:
        return _parse(json.loads(path.read_bytes()), path)
    except OSError as error:
        raise MachineError(
            f"journal {path} cannot be read: {error}", hint="check the disk and the permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DamagedJournal(f"journal {path} is damaged: {error}", hint=_HINT) from error


_HINT = "nothing was touched; run updater repair"


def _parse(document: Any, path: Path) -> Journal:
    try:
        if document["journal"] != FORMAT:
            raise MachineError(
                f"journal {path} was written by another version of upswap",
                hint="run updater recover of the version that wrote it",
            )
        steps = _steps(document["steps"])
        return Journal(document["old"], document["new"], steps, document["identity"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedJournal(f"journal {path} is damaged: {error!r}", hint=_HINT) from error


def _steps(items: Any) -> tuple[Step, ...]:
    return tuple(Step(**{**step, "action": Action(step["action"])}) for step in items)
