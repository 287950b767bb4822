"""Leftovers: files of a repository folder that nothing refers to any more, and since when.

They are deleted a month later, because somebody may still be fetching them: a client in the middle
of a download, a mirror that copies once a week. When a file was last referred to is not written on
it (its times say when it was copied), so a record is kept beside ``metadata`` and ``targets``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from updater.disk.durable import Disk
from updater.errors import FormatError
from updater.format.encoding.canonical import INTEGER_MAX, Record, decode, encode
from updater.format.encoding.limits import MIB

FORMAT = 1
RECORD = ".leftovers.json"
RECORD_BYTES = 64 * MIB
"""Names of about 400,000 files."""
PATIENCE = 30 * 86_400
"""Seconds a file is kept after it was first found unneeded."""


@dataclass(frozen=True)
class Cleared:
    """The outcome of clearing leftovers."""

    deleted: tuple[str, ...]
    freed_bytes: int
    waiting: tuple[str, ...]
    """Files that are deleted once they have waited long enough."""


def clear(disk: Disk, folder: Path, found: Iterable[str], now: int) -> Cleared:
    """Note what was ``found`` to be unneeded, and delete what has been for long enough.

    Args:
        disk: durable primitives.
        folder: of a repository.
        found: all files below it that nothing refers to now, by their paths.
        now: seconds since 1970.

    Raises:
        OSError: the disk; run it again.
    """
    before = _read(folder / RECORD)
    since = {name: min(before.get(name, now), now) for name in sorted(found)}
    if since != before:
        record = {"format": FORMAT, "since": since}
        disk.write(folder / RECORD, encode(record))
    due = tuple(name for name, time in since.items() if now - time >= PATIENCE)
    freed = sum((folder / name).stat().st_size for name in due)
    for name in due:
        disk.unlink(folder / name)
        drop_empty(disk, folder, (folder / name).parent)
    return Cleared(due, freed, tuple(name for name in since if name not in due))


def _read(path: Path) -> Mapping[str, int]:
    """The record; an empty one if it is not there or damaged: everything waits anew, then."""
    with suppress(FileNotFoundError, FormatError):
        document = Record(decode(path.read_bytes(), RECORD_BYTES))
        document.integer("format", FORMAT, low=FORMAT)
        since = document.value("since")
        document.end()
        if isinstance(since, dict):
            times = Record(since)
            return {name: times.integer(name, INTEGER_MAX) for name in since}
    return {}


def drop_empty(disk: Disk, top: Path, folder: Path) -> None:
    """Remove folders that hold nothing any more; not ``metadata`` and ``targets`` themselves."""
    while folder.parent != top and not any(folder.iterdir()):
        disk.rmdir(folder)
        folder = folder.parent
