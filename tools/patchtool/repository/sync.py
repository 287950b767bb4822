"""Sync: a repository is copied to where it is served, such as the mounted folder of a static host.

In an order in which clients can look at any moment: what they do not know of yet first, then the
timestamp, which lets them know. What is gone is deleted a month later, by the record of the copy
(see `patchtool.repository.leftovers`). Stopped anywhere, it goes on where it was.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

from patchtool.folder.real_paths import lies_in
from patchtool.folder.transfer import transferring
from patchtool.keys.signing_keys import Keys
from patchtool.repository.leftovers import clear
from patchtool.repository.repository import Repository
from patchtool.repository.stored_files import (
    CONTENT,
    held,
    missing,
    needed,
)
from updater.disk.durable import PART, machine_errors
from updater.errors import RequestError

ROOT = "metadata/1.root.json"
TIMESTAMP = "metadata/timestamp.json"
RESTORED = (
    "who wrote it? If this one was restored from a backup: patchtool refresh --at-least N, "
    "with N above what is there"
)


@dataclass(frozen=True)
class Synced:
    """What was done."""

    copied: int
    """Files."""
    bytes: int
    deleted: tuple[str, ...]
    waiting: tuple[str, ...]
    """Files that are deleted once nothing has referred to them for a month."""


def sync(repository: Repository, copy: Repository) -> Synced:
    """Make ``copy`` what ``repository`` is.

    Args:
        repository: its lock is taken for a moment; it is only read.
        copy: a folder that is empty, not there, or an older state of the same repository. What
            else lies in it is left alone.

    Raises:
        InstallError: the repository is not whole; the copy is newer, another repository's, or one
            lies in the other; the disk. Clients of the copy see the old state or the new one.
        FormatError: one of the two is damaged.
    """
    _refuse_nested(repository.folder, copy.folder)
    repository.require()
    waiting = transferring(repository.folder, repository.patience)
    with machine_errors(f"copying {repository.folder}"), waiting, repository.staging() as work:
        source = _Source.of(repository, work)
        _refuse_parts(source)
        is_new = not (copy.folder / TIMESTAMP).exists()
        if not is_new:
            _refuse_other(source, copy)
        with machine_errors(f"copying to {copy.folder}"):
            done = [_take(source, copy, name) for name in _in_order(source, copy, is_new)]
            _remove_parts(copy)
            gone = sorted({*held(copy)} - {*needed(source.seen)})
            cleared = clear(copy.disk, copy.folder, gone, int(copy.now.timestamp()))
    sizes = [size for size in done if size is not None]
    return Synced(len(sizes), sum(sizes), cleared.deleted, cleared.waiting)


@dataclass(frozen=True)
class _Source:
    """A repository as it was at one moment: others may write it while it is copied.

    Content has a digest in its name, and stays for a month when nothing refers to it any more.
    """

    folder: Path
    seen: Repository
    """Its metadata, in a folder of its own."""

    @classmethod
    def of(cls, repository: Repository, work: Path) -> _Source:
        """Take the metadata that clients see now into the empty folder ``work``."""
        seen = Repository(work, Keys(work, {}), int(repository.now.timestamp()))
        (work / "metadata").mkdir()
        with repository.held():
            for name in needed(repository):
                if not name.startswith(CONTENT) and (repository.folder / name).is_file():
                    shutil.copyfile(repository.folder / name, work / name)
        return cls(repository.folder, seen)

    def place(self, name: str) -> Path:
        """Where a file is to be copied from."""
        return (self.folder if name.startswith(CONTENT) else self.seen.folder) / name


def _remove_parts(copy: Repository) -> None:
    """Remove what a copy that was stopped has half written."""
    for name in held(copy):
        if name.endswith(PART):
            copy.disk.unlink(copy.folder / name)


def _in_order(source: _Source, copy: Repository, is_new: bool) -> list[str]:
    """What to copy, first things first.

    Clients take a new root by itself. One that ends the keys of what the copy shows so far comes
    behind the timestamp.
    """
    names = sorted(needed(source.seen))
    content = [name for name in names if name.startswith(CONTENT)]
    roots = {f"metadata/{root.signed.version}.root.json": root for root in source.seen.roots()}
    fresh = [name for name in roots if not (copy.folder / name).exists()]
    early = [*itertools.takewhile(lambda n: is_new or not copy.refused_by(roots[n]), fresh)]
    rest = [name for name in names if name not in {*content, *roots, TIMESTAMP}]
    return [*content, *rest, *early, TIMESTAMP, *fresh[len(early) :]]


def _take(source: _Source, copy: Repository, name: str) -> int | None:
    """Copy a file that is not there yet as it is; its bytes."""
    original, place = source.place(name), copy.folder / name
    if place.is_file() and _is_same(name, original, place):
        return None
    _make_folder(copy, place.parent)
    copy.disk.copy(original, place)
    copy.disk.sync_directory(place.parent)
    return original.stat().st_size


def _is_same(name: str, source: Path, place: Path) -> bool:
    """Whether two files are one: compared unless the name says what is in them."""
    if name.startswith(CONTENT):
        return place.stat().st_size == source.stat().st_size
    return place.read_bytes() == source.read_bytes()


def _make_folder(copy: Repository, folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(copy, folder.parent)
        copy.disk.mkdir(folder)
        copy.disk.sync_directory(folder.parent)


def _refuse_nested(folder: Path, copy: Path) -> None:
    if lies_in(folder, copy) or lies_in(copy, folder):
        raise RequestError(
            f"{copy} and {folder} lie in one another", hint="name a folder elsewhere"
        )


def _refuse_parts(source: _Source) -> None:
    lacking = missing(source.seen, source.folder)
    if lacking:
        raise RequestError(
            f"{source.folder} is not whole: {lacking[0]} is missing or has another length",
            hint="restore it from a backup; patchtool doctor lists all",
        )


def _refuse_other(source: _Source, copy: Repository) -> None:
    """Refuse to make a copy older than it is, or another repository's."""
    one, other = source.place(ROOT), copy.folder / ROOT
    with machine_errors(f"reading {other}"):
        if not other.exists() or one.read_bytes() != other.read_bytes():
            raise RequestError(
                f"{copy.folder} is another repository", hint="name the folder of this one's copy"
            )
    here, there = source.seen.versions(), copy.versions()
    newer = [role for role, version in there.items() if version > here.get(role, 0)]
    if newer:
        raise RequestError(
            f"{copy.folder} is newer: {newer[0]} {there[newer[0]]} there, "
            f"{here.get(newer[0], 0)} here",
            hint=RESTORED,
        )
    with machine_errors(f"reading {copy.folder}"):
        apart = [name for name in sorted(needed(copy)) if _is_apart(source, copy, name)]
    if apart and (apart != [TIMESTAMP] or here["timestamp"] == there["timestamp"]):
        raise RequestError(
            f"{copy.folder} went another way: it has another {apart[0]}", hint=RESTORED
        )


def _is_apart(source: _Source, copy: Repository, name: str) -> bool:
    """Whether both have a file that never changes, and it is not the same."""
    one, other = source.place(name), copy.folder / name
    is_shared = not name.startswith(CONTENT) and one.exists() and other.exists()
    return is_shared and one.read_bytes() != other.read_bytes()
