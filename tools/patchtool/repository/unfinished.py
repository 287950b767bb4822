"""A note of the files that a command is about to write into a repository.

If it fails, or is killed, what it wrote goes away: at once, or by the next command. The note is a
file beside what is served; who reads or writes it holds the repository.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath

from patchtool.repository.leftovers import drop_empty
from updater.disk.durable import PART, Disk

NAME = ".unfinished"
TOPS = {"metadata", "targets"}


def note(disk: Disk, folder: Path, names: Iterable[str]) -> None:
    """Note files that are about to be written; of those that are there already, their parts.

    Args:
        disk: durable primitives.
        folder: of a repository.
        names: files below it.

    Raises:
        OSError: the disk.
    """
    new = [name + PART if (folder / name).exists() else name for name in names]
    lines = [*_read(folder), *new]
    part = folder / (NAME + PART)  # what was noted before must not be lost on a full disk
    disk.create(part, "".join(f"{line}\n" for line in lines).encode())
    disk.replace(part, folder / NAME)


def forget(disk: Disk, folder: Path) -> None:
    """Say that all that was noted is as it should be.

    Raises:
        OSError: the disk.
    """
    disk.unlink(folder / NAME)


def take_back(disk: Disk, folder: Path, wanted: Callable[[], Collection[str]]) -> None:
    """Remove what was noted and is not ``wanted``, the last first.

    Raises:
        OSError: the disk; run it again.
    """
    noted = _read(folder)
    kept = wanted() if noted else ()
    for name in reversed(noted):
        disk.unlink(folder / (name + PART))
        if name not in kept:
            disk.unlink(folder / name)
        if (folder / name).parent.is_dir():
            drop_empty(disk, folder, (folder / name).parent)
    disk.unlink(folder / (NAME + PART))
    forget(disk, folder)


def _read(folder: Path) -> list[str]:
    """Read the note."""
    place = folder / NAME
    if not place.exists():
        return []
    lines = place.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
    return [line for line in lines if _is_inside(line)]


def _is_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) > 1 and parts[0] in TOPS and ".." not in parts
