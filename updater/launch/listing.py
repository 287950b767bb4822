"""What stands in a folder, each entry with a mark that tells whether it was changed since.

A mark costs one look, not a read: size, time of change and inode. Whoever saves a file changes
one of them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FOLDER = "folder"
OTHER = "other"
"""A device, a FIFO, a socket: never opened."""
KINDS = {stat.S_IFDIR: FOLDER, stat.S_IFREG: "file", stat.S_IFLNK: "link"}


class Mark(NamedTuple):
    """One entry as it was seen. Folders are all alike: what is in them has marks of its own."""

    kind: str
    size: int = 0
    changed: int = 0
    """Nanoseconds since 1970."""
    inode: int = 0


class Root(NamedTuple):
    """Which folder it is, whatever its name is now."""

    device: int
    inode: int


Listing = Mapping[str, Mark]
"""Marks by path relative to the folder."""


def list_tree(folder: Path) -> dict[str, Mark]:
    """All that stands in ``folder``, sorted by path, so that a folder comes before its content.

    Raises:
        OSError: the disk, or no permission to read.
    """
    found: dict[str, Mark] = {}
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                mark = _mark(entry.stat(follow_symlinks=False))
                found[prefix + entry.name] = mark
                if mark.kind == FOLDER:
                    waiting.append(f"{prefix}{entry.name}/")
    return dict(sorted(found.items()))


def mark_of(path: Path) -> Mark | None:
    """The mark of what is at ``path``; None if nothing is.

    Raises:
        OSError: the disk.
    """
    try:
        return _mark(path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def root_of(folder: Path) -> Root | None:
    """Which folder is at ``folder``; None if none is.

    Raises:
        OSError: the disk.
    """
    try:
        info = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Root(info.st_dev, info.st_ino) if stat.S_ISDIR(info.st_mode) else None


def _mark(info: os.stat_result) -> Mark:
    kind = KINDS.get(stat.S_IFMT(info.st_mode), OTHER)
    if kind == FOLDER:
        return Mark(FOLDER)
    return Mark(kind, info.st_size, info.st_mtime_ns, info.st_ino)
