"""The user's work, carried from a tree that goes to the one that stays.

A whole folder is exchanged in one step, but nobody holds still meanwhile: files are created and
saved in the tree that has just become the old one, and a process that runs in it goes on.

================================ =====================================================
found in the tree that goes      in the tree that stays
================================ =====================================================
as it was listed, or bytecode    not looked at
unknown                          moved to its path; if something is there the latest
                                 content has the name, the other is kept as ``NAME.old``
changed in time only             not looked at
changed, and alike in both       the latest content has the name; if both were changed the
trees                            other is kept as ``NAME.old``
changed, and not alike           kept as ``NAME.old`` beside the release's own
================================ =====================================================

Everything looks at the disk, so it can be repeated after an interruption, and whenever more may
have come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from updater.launch.content import content_of, is_bytecode
from updater.launch.disk import Disk, present, same
from updater.launch.listing import FOLDER, OTHER, Listing, Mark, list_tree, mark_of
from updater.launch.spare import free_name, taken_names

CACHE = "__pycache__"


@dataclass(frozen=True)
class Side:
    """One of the two trees: where it is, and how it was listed when it was whole."""

    folder: Path
    listing: Listing
    contents: Mapping[str, str] = field(default_factory=dict)
    """What the release has at a path, as far as it is known."""
    disposable: Collection[str] = ()
    """Paths of what may be deleted though no manifest names it."""

    def is_known(self, path: str) -> bool:
        """Whether the entry is ours to delete, if nobody changed it."""
        place = PurePosixPath(path)
        is_ours = path in self.listing or path in self.disposable
        is_compiled = is_bytecode(path) and place.parent.name == CACHE
        return is_ours or is_compiled or place.name == CACHE


class Carrier:
    """Carries from ``source`` to ``target``."""

    def __init__(
        self, disk: Disk, source: Side, target: Side, shared: frozenset[str], desk: Path
    ) -> None:
        """Make one.

        Args:
            disk: durable primitives.
            source: the tree that goes.
            target: the tree that stays.
            shared: files that are alike in both.
            desk: a name of our own on the same disk, for one file on its way.
        """
        self._disk = disk
        self._source = source
        self._target = target
        self._shared = shared
        self._desk = desk
        self._touched: set[Path] = set()

    def run(self) -> Listing:
        """Carry all there is; what is left in the source, which may be deleted as it is marked.

        Raises:
            OSError: something could not be carried; it is where it was. Call it again.
        """
        left: dict[str, Mark] = {}
        moved = ""
        for path, mark in list_tree(self._source.folder).items():
            if moved and path.startswith(moved):
                continue
            if self._is_left(path, mark):
                left[path] = mark
            elif self._move(path, mark):
                moved = f"{path}/"
        for folder in sorted(self._touched):
            self._disk.sync_directory(folder)
        return left

    def _is_left(self, path: str, mark: Mark) -> bool:
        """Whether the source keeps the entry; what its user did to it has a second name then."""
        known = self._source.listing.get(path)
        if known is None or known == mark:
            return self._source.is_known(path)
        if known.kind != mark.kind:
            return False
        self._copy(path, mark)
        return True

    def _move(self, path: str, mark: Mark) -> bool:
        """Move an unknown entry, with all that is in it; False for a folder that is there too."""
        source, place = self._source.folder / path, self._place(path)
        there = mark_of(place)
        if there is None:
            self._replace(source, place)
        elif mark.kind == there.kind == FOLDER:
            return False
        elif {FOLDER, OTHER} & {mark.kind, there.kind} or path in self._target.listing:
            self._replace(source, free_name(place))
        elif content_of(source) == content_of(place):
            self._disk.unlink(source)
        elif mark.changed < there.changed:
            self._replace(source, free_name(place))
        else:
            self._disk.keep(place, free_name(place))
            self._replace(source, place)
        return True

    def _copy(self, path: str, mark: Mark) -> None:
        """Give a file that its user changed a second name in the target."""
        source, place = self._source.folder / path, self._place(path)
        there = mark_of(place)
        is_alike = there is not None and there.kind == mark.kind
        if is_alike and same(source, place):
            return
        found = content_of(source)
        if found == self._source.contents.get(path) or (is_alike and found == content_of(place)):
            return
        if path in self._shared and (there is None or is_alike):
            self._settle(source, mark, place, there)
        else:
            self._rescue(source, place)

    def _settle(self, source: Path, mark: Mark, place: Path, there: Mark | None) -> None:
        """Two contents of a file that is alike in both releases: the latest has the name."""
        released = self._target.listing.get(str(place.relative_to(self._target.folder)))
        if there is not None and there != released and mark.changed < there.changed:
            self._rescue(source, place)
            return
        if there is not None and there != released:
            self._rescue(place, place)
        self._link(source, place)

    def _rescue(self, source: Path, place: Path) -> None:
        """Keep ``source`` as a spare name of ``place``, unless one has its content already."""
        found = content_of(source)
        if all(content_of(name) != found for name in taken_names(place)):
            self._link(source, free_name(place))

    def _link(self, source: Path, place: Path) -> None:
        """A second name, over what may be there, in one step."""
        self._disk.unlink(self._desk)
        self._disk.keep(source, self._desk)
        self._replace(self._desk, place)

    def _replace(self, source: Path, place: Path) -> None:
        self._disk.replace(source, place)
        self._touched.add(place.parent)

    def _place(self, path: str) -> Path:
        """Where ``path`` goes in the target: in real folders, which are made if need be."""
        place = self._target.folder
        *folders, name = PurePosixPath(path).parts
        for folder in folders:
            place = self._folder(place / folder)
        return place / name

    def _folder(self, place: Path) -> Path:
        if present(place) and not _is_folder(place):
            names = (name for name in taken_names(place) if _is_folder(name))
            place = next(names, None) or free_name(place)
        if not present(place):
            self._disk.mkdir(place)
        return place


def drop(disk: Disk, folder: Path, left: Listing) -> None:
    """Delete a tree entry by entry, as `Carrier.run` left it; what was changed since survives.

    Raises:
        OSError: the disk; call it again.
    """
    for path in sorted(left, reverse=True):
        place = folder / path
        if left[path].kind == FOLDER:
            disk.rmdir(place)
        elif mark_of(place) == left[path]:
            disk.unlink(place)
    disk.rmdir(folder)
    disk.sync_directory(folder.parent)


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()
