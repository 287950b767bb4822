"""User files: managed files that the user changed, and how policies treat them.

A file is *edited* if its content is neither that of the installed release nor that of the one to
come. With policy ``replace`` ours takes its place and the user's is kept as ``NAME.old``; with
``keep`` the user's stays and ours is not delivered; with ``keep-if-changed`` the user's stays and
ours lies beside it as ``NAME.dist``. A file that is missing is delivered whatever its policy:
nothing of the user's is lost by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from updater.disk.content import content_of
from updater.disk.durable import present
from updater.format.manifest import Entry, File, Manifest, Symlink
from updater.format.paths import parents
from updater.format.policies import Policies
from updater.patch.file_digest import differs
from updater.stage.released_files import OwnFiles

DIST = ".dist"
"""Suffix of our file beside the user's."""


@dataclass(frozen=True)
class Kept:
    """The files that a commit leaves to the user."""

    left: frozenset[str] = frozenset()
    """Old files the new release has no more, and which stay."""
    offered: Mapping[str, int] = field(default_factory=dict)
    """Number of the staged file that shall lie beside the user's, by the path of the user's."""
    outdated: frozenset[str] = frozenset()
    """Paths of those beside which ours of the old release lies, untouched, and makes way."""


class UserFiles:
    """The user's work in an install that goes from ``old`` to ``new``; looks, changes nothing."""

    def __init__(
        self, install: Path, old: Manifest, new: Manifest, known: OwnFiles | None = None
    ) -> None:
        """``known``: what releases had here, which is no work of the user's; else `old` alone."""
        self._install = install
        self._known = known or OwnFiles(frozenset())
        self._old = old
        self._new = new
        self._policies = Policies(new.release)
        self._old_policies = Policies(old.release)

    def was_ours(self, path: str) -> bool:
        """True if the last commit put our file at ``path``, edited or not."""
        return self._old_policies.of(path) == "replace"

    def stays(self, entry: File | Symlink) -> bool:
        """True if the user's file stays where ``entry`` of the new release belongs.

        What is new was perhaps not made by us before: a file of the user's in its place is an
        edited one.
        """
        place = self._install / entry.path
        return (
            self._policies.of(entry.path) != "replace"
            and _is_plain(self._install, entry.path)
            and differs(entry, place)
            and self._is_edited(entry.path)
        )

    def is_offered(self, entry: File | Symlink) -> bool:
        """True if our file shall lie beside the user's: it is not the one released before."""
        old = self._old.by_path.get(entry.path)
        wanted = self._policies.of(entry.path) == "keep-if-changed"
        beside = self._install / (entry.path + DIST)
        return wanted and _content(old) != _content(entry) and differs(entry, beside)

    def kept(self, offered: Mapping[str, int]) -> Kept:
        """All that is left to the user; ``offered`` as in `Kept`."""
        return Kept(self._left(), offered, frozenset(p for p in offered if self._is_outdated(p)))

    def _left(self) -> frozenset[str]:
        """Edited files of the old release only: its own policies count, there are no others."""
        gone = self._old.by_path.keys() - self._new.by_path.keys()
        kept = (path for path in gone if not self.was_ours(path))
        return frozenset(p for p in kept if _is_plain(self._install, p) and self._is_edited(p))

    def _is_edited(self, path: str) -> bool:
        """True if what lies at ``path`` is not what a release has there."""
        old, place = self._old.by_path.get(path), self._install / path
        if isinstance(old, File | Symlink) and not differs(old, place):
            return False
        return not (self._known.marks and self._known.has(path, content_of(place)))

    def _is_outdated(self, path: str) -> bool:
        old, beside = self._old.by_path.get(path), path + DIST
        if not isinstance(old, File | Symlink) or beside in {
            *self._old.by_path,
            *self._new.by_path,
        }:
            return False
        return not differs(old, self._install / beside)


def _content(entry: Entry | None) -> object:
    """The part of an entry that a user can edit."""
    return entry.digest if isinstance(entry, File) else entry


def _is_plain(install: Path, path: str) -> bool:
    """True if a file or a symlink is at ``path``, and not behind a symlink."""
    place = install / path
    if any((install / folder).is_symlink() for folder in parents(path)):
        return False
    return present(place) and (place.is_symlink() or not place.is_dir())
