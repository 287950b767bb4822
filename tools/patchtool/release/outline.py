"""Outlines: the size of a release, and its difference from the one before.

Pure: manifests in, words and numbers out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from updater.format.manifest import Entry, File, Manifest, Symlink
from updater.format.paths import shown

SHOWN = 3
"""Paths that are named of each kind of change."""


@dataclass(frozen=True)
class Outline:
    """The size of a release."""

    files: int
    bytes: int
    symlinks: int
    empty_folders: int

    @classmethod
    def of(cls, manifest: Manifest) -> Outline:
        """Count what is in a manifest."""
        files = sum(1 for _ in manifest.files())
        links = sum(isinstance(entry, Symlink) for entry in manifest.entries)
        others = len(manifest.entries) - files - links
        return cls(files, manifest.file_bytes, links, others)

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to install."""
        return not self.files and not self.symlinks

    def is_small_part(self, before: Outline) -> bool:
        """Return whether less than half is left of what there was."""
        return self.files * 2 < before.files or self.bytes * 2 < before.bytes

    @property
    def words(self) -> str:
        """For people."""
        links = f", {self.symlinks:,} symlinks" if self.symlinks else ""
        empty = f", {self.empty_folders:,} empty folders" if self.empty_folders else ""
        return f"{self.files:,} files, {self.bytes:,} bytes{links}{empty}"


@dataclass(frozen=True)
class Difference:
    """The difference of a release from the one before."""

    version: str
    """The one before."""
    before: Outline
    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    """As they are now."""

    @classmethod
    def of(cls, old: Manifest, new: Manifest) -> Difference:
        """The difference between two manifests."""
        gone = tuple(entry for path, entry in old.by_path.items() if path not in new.by_path)
        fresh = tuple(entry for path, entry in new.by_path.items() if path not in old.by_path)
        changed = tuple(e for p, e in new.by_path.items() if old.by_path.get(p, e) != e)
        return cls(old.version, Outline.of(old), fresh, gone, changed)

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        counts = {
            kind: {"entries": len(entries), "bytes": _bytes(entries)}
            for kind, entries in self._kinds().items()
        }
        return {"version": self.version, **counts}

    @property
    def lines(self) -> list[str]:
        """For people."""
        said = [
            f"{kind} since {self.version}: {len(entries):,} ({_bytes(entries):,} bytes): "
            f"{_named(entries)}"
            for kind, entries in self._kinds().items()
            if entries
        ]
        return said or [f"the same entries as {self.version}"]

    def _kinds(self) -> dict[str, tuple[Entry, ...]]:
        return {"added": self.added, "removed": self.removed, "changed": self.changed}


def _bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries if isinstance(entry, File))


def _named(entries: tuple[Entry, ...]) -> str:
    """The largest of some entries, by name."""
    largest = sorted(entries, key=lambda e: -e.size if isinstance(e, File) else 0)[:SHOWN]
    more = f" and {len(entries) - SHOWN:,} more" if len(entries) > SHOWN else ""
    return ", ".join(shown(entry.path) for entry in largest) + more
