"""Released files: marks of what releases had in an install, and of its folders.

A folder may be exchanged behind the back of the State: restored from a backup, copied over. Then
its files are no work of the user's, though they are not those of the installed release, and their
times tell nothing. Both files are harmless to lose: more is kept and hashed then, nothing less.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from updater.disk.content import content_of, link_to
from updater.disk.json_file import encode
from updater.format.manifest import Entry, File, Manifest, Symlink
from updater.launch.state import State
from updater.patch.file_digest import commit_time

WIDTH = 12
"""Bytes kept of each SHA-256: nobody's own file has those of another by chance."""
MOST = 2 << 20
"""Bytes kept in all; the files of the oldest releases go first."""


@dataclass(frozen=True)
class OwnFiles:
    """Files and symlinks that releases had here, each at its path."""

    marks: frozenset[bytes]

    @classmethod
    def read(cls, state: State) -> OwnFiles:
        """Read the marks; none if the file was lost.

        Raises:
            OSError: the disk does not give it now.
        """
        with suppress(FileNotFoundError):
            return cls(frozenset(_pieces(state.known.read_bytes())))
        return cls(frozenset())

    def has(self, path: str, content: str) -> bool:
        """True if ``content``, as `content_of` gives it, was released at ``path`` once."""
        return _mark(path, content) in self.marks

    def is_of_a_release(self, state: State, path: str) -> bool:
        """True if the file at ``path`` was released there once; False if it cannot be read."""
        with suppress(OSError):
            return self.has(path, content_of(state.install / path))
        return False


def remember(state: State, *manifests: Manifest) -> None:
    """Write down the files and symlinks of releases, before they are installed.

    Raises:
        OSError: the disk; what was known still is.
    """
    known: list[bytes] = []
    with suppress(FileNotFoundError):
        known = _pieces(state.known.read_bytes())
    entries = (entry for manifest in manifests for entry in manifest.entries)
    now = [_mark(entry.path, content) for entry in entries if (content := _content(entry))]
    joined = b"".join(dict.fromkeys((*now, *known)))[:MOST]
    if set(_pieces(joined)) != set(known):
        state.disk.write(state.known, joined)


def note_folders(state: State, manifest: Manifest) -> None:
    """Write down which folders these are, now that all in them is known to be as released.

    Raises:
        OSError: the disk.
    """
    folders = {path: _identity(state.install / path) for path in ("", *manifest.directories)}
    state.disk.write(state.folders, encode(folders))


def sure_until(state: State, manifest: Manifest) -> int:
    """The time until which files are surely as released, see `commit_time`; 0 in another folder."""
    return commit_time(state.manifest) if _has_its_folders(state, manifest) else 0


def _has_its_folders(state: State, manifest: Manifest) -> bool:
    """True if no folder was exchanged since: a file that came with one has times of before."""
    try:
        noted = json.loads(state.folders.read_bytes())
        named = {path for path in ("", *manifest.directories) if path in noted}
        return "" in named and all(noted[path] == _identity(state.install / path) for path in named)
    except (OSError, ValueError, TypeError):
        return False


def _mark(path: str, content: str) -> bytes:
    return hashlib.sha256(f"{path}\0{content}".encode(errors="surrogateescape")).digest()[:WIDTH]


def _content(entry: Entry) -> str:
    """As `content_of` gives it; empty for a folder."""
    if isinstance(entry, File):
        return str(entry.digest)
    return link_to(entry.target) if isinstance(entry, Symlink) else ""


def _identity(folder: Path) -> int:
    return folder.lstat().st_ino


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + WIDTH] for at in range(0, len(data) - WIDTH + 1, WIDTH)]
