"""Changes: the way from one manifest to another, as people read it and as the client runs it.

Every source is a path of the *old* tree, never of a half-updated one; so the order of changes
does not matter, and names may be swapped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from updater.errors import FormatError
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import UNKNOWN, Digest
from updater.format.paths import shown
from updater.format.release_description import Release


class Kind(IntEnum):
    """The kind of a change; the number is its code in the patch header."""

    MOVE_DIRECTORY = 0
    """All old entries below ``source`` stand below ``path`` unless a change names them."""
    DELETE = 1
    """The old entry ``path`` is gone."""
    RENAME = 2
    """The old entry ``source`` stands at ``path``, edited too if it has a ``size``."""
    COPY = 3
    """The content of the old file ``source``, which other changes may keep, stands at ``path``."""
    MODIFY = 4
    """The file at ``path`` gets new content that is decoded with the help of its old."""
    REPLACE = 5
    """The file at ``path`` gets new content that owes nothing to its old."""
    MODE = 6
    """The file at ``path`` becomes executable, or no longer."""
    ADD = 7
    """A new file at ``path``."""
    ADD_DIRECTORY = 8
    """A new empty folder at ``path``."""
    SYMLINK = 9
    """A symlink at ``path``: new, or with another target."""


WITH_SOURCE = frozenset({Kind.MOVE_DIRECTORY, Kind.RENAME, Kind.COPY})
"""Kinds that name a source."""
WITH_CONTENT = frozenset({Kind.MODIFY, Kind.REPLACE, Kind.ADD})
"""Kinds whose content always comes from blocks; `RENAME`'s does if it has a size."""
OF_FILES = frozenset({Kind.COPY, Kind.MODE, *WITH_CONTENT})
"""Kinds that leave a file at ``path``."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``path`` is where the entry stands in the new tree (`DELETE`: in the old)."""

    kind: Kind
    path: str
    source: str = ""
    size: int | None = None
    """Bytes of the new content that blocks give; None: content is carried over whole."""
    executable: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry of the new tree, and where its content comes from."""

    entry: Entry
    """The entry of the new manifest; a file still to be decoded has the digest `UNKNOWN`."""
    source: str | None
    """Path of the old entry it was, or is a copy of; None for what is new."""
    change: int | None = None
    """Number of the change whose blocks give the content; None: carried over from ``source``."""


class Layout:
    """The new tree that a list of changes makes of an old one, slot by slot."""

    def __init__(self, old: Manifest, changes: tuple[Change, ...]) -> None:
        """Resolve ``changes`` against ``old``.

        Raises:
            FormatError: they do not fit: a path that is not there, or one taken twice.
        """
        self.changes = changes
        self.slots: dict[str, Slot] = {}
        self.olds: dict[int, str] = {}
        """Old file of change number k, for those that have one."""
        self._old = old.by_path
        self._left = dict(old.by_path)
        self._take_named()
        moves = directory_moves(changes)
        for path, entry in self._left.items():
            self._place(Slot(replace(entry, path=moved(path, moves)), path))
        for number, change in enumerate(changes):
            self._apply(number, change)

    def manifest(
        self, app: str, version: str, release: Release, digests: dict[str, Digest]
    ) -> Manifest:
        """The new manifest, once ``digests`` gives those of the decoded files by path."""
        entries = (_known(slot, digests) for slot in self.slots.values())
        return Manifest.of(app, version, entries, release)

    def _take_named(self) -> None:
        for number, change in enumerate(self.changes):
            if change.kind in {Kind.DELETE, Kind.RENAME}:
                path = change.source or change.path
                if path not in self._left:
                    raise _misfit(number, f"{shown(path)} is not in the old tree")
                del self._left[path]
                self.olds[number] = path
            elif change.kind == Kind.COPY:
                self.olds[number] = change.source

    def _apply(self, number: int, change: Change) -> None:
        if change.kind in {Kind.MOVE_DIRECTORY, Kind.DELETE}:
            return
        if change.kind in {Kind.RENAME, Kind.COPY}:
            self._place(self._carried(number, change), number)
        elif change.kind == Kind.ADD_DIRECTORY:
            self._place(Slot(Directory(change.path), None), number)
        elif change.kind == Kind.ADD:
            self._place(self._decoded(number, change, None), number)
        elif change.kind == Kind.SYMLINK:
            self._set_symlink(number, change)
        else:
            self._edit(number, change)

    def _carried(self, number: int, change: Change) -> Slot:
        entry = self._old.get(change.source)
        if entry is None:
            raise _misfit(number, f"{shown(change.source)} is not in the old tree")
        if isinstance(entry, File):
            if change.size is not None:
                return self._decoded(number, change, change.source)
            entry = replace(entry, executable=change.executable)
        elif change.executable or change.size is not None or change.kind == Kind.COPY:
            raise _misfit(number, f"{shown(change.source)} is not a file")
        return Slot(replace(entry, path=change.path), change.source)

    def _edit(self, number: int, change: Change) -> None:
        slot = self.slots.get(change.path)
        if slot is None or not isinstance(slot.entry, File) or slot.change is not None:
            raise _misfit(number, f"no old file comes to {shown(change.path)}")
        if change.kind == Kind.MODE:
            entry = replace(slot.entry, executable=change.executable)
            self.slots[change.path] = replace(slot, entry=entry)
            return
        assert slot.source is not None  # noqa: S101 - only decoded and new slots have none
        self.olds[number] = slot.source
        self.slots[change.path] = self._decoded(number, change, slot.source)

    def _set_symlink(self, number: int, change: Change) -> None:
        slot = self.slots.get(change.path)
        entry = Symlink(change.path, change.target)
        if slot is None:
            self._place(Slot(entry, None), number)
        elif isinstance(slot.entry, Symlink):
            self.slots[change.path] = Slot(entry, slot.source)
        else:
            raise _misfit(number, f"{shown(change.path)} is taken")

    def _decoded(self, number: int, change: Change, source: str | None) -> Slot:
        size = change.size or 0
        digest = UNKNOWN if size else Digest.of(b"")
        return Slot(File(change.path, size, digest, change.executable), source, number)

    def _place(self, slot: Slot, number: int | None = None) -> None:
        if slot.entry.path in self.slots:
            raise _misfit(number, f"{shown(slot.entry.path)} is taken")
        self.slots[slot.entry.path] = slot


def directory_moves(changes: Iterable[Change]) -> dict[str, str]:
    """Old folder -> new folder of every directory move."""
    return {c.source: c.path for c in changes if c.kind == Kind.MOVE_DIRECTORY}


def moved(path: str, moves: dict[str, str]) -> str:
    """The new path of an old one by the directory moves alone: the innermost one decides."""
    end = len(path) if moves else 0
    while (end := path.rfind("/", 0, end)) > 0:
        if (new := moves.get(path[:end])) is not None:
            return new + path[end:]
    return path


def _known(slot: Slot, digests: dict[str, Digest]) -> Entry:
    entry = slot.entry
    if isinstance(entry, File) and entry.digest == UNKNOWN:
        return replace(entry, digest=digests.get(entry.path, UNKNOWN))
    return entry


def _misfit(number: int | None, message: str) -> FormatError:
    context = "changes" if number is None else f"changes[{number}]"
    return FormatError(message, context=context, hint="the patch does not fit its own base")
