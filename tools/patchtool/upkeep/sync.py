"""Sync: a repository is copied to where it is served, such as the mounted folder of a static host.

In an order in which clients can look at any moment: what they do not know of yet first, then the
timestamp, which lets them know. What is gone is deleted a month later, by the record of the copy
(see `patchtool.repository.leftovers`). Stopped anywhere, it goes on where it was.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from patchtool.folder.real_paths import lies_in
from patchtool.folder.transfer_lock import transferring
from patchtool.repository.leftovers import clear
from patchtool.repository.repository_folder import RepositoryFolder
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.stored_files import CONTENT, missing, needed, stored
from updater.disk.durable import PART, machine_errors, make_folders
from updater.errors import RequestError
from updater.format.target_names import TIMESTAMP

ROOT = "1.root.json"
RESTORED = (
    "who wrote it? If this one was restored from a backup: patchtool refresh --at-least N, "
    "with N above what is there"
)


@dataclass(frozen=True)
class Synced:
    """The outcome of a sync."""

    copied: int
    """Files."""
    bytes: int
    deleted: tuple[str, ...]
    waiting: tuple[str, ...]
    """Files that are deleted once nothing has referred to them for a month."""


def sync(repository: RepositoryFolder, copy: RepositoryFolder) -> Synced:
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
    with (
        machine_errors(f"copying {repository.folder}"),
        transferring(repository.folder, repository.patience),
    ):
        with repository.held():
            source = Snapshot.read(repository.folder, "server")
        _refuse_parts(source)
        before = _before(source, copy.folder)
        with machine_errors(f"copying to {copy.folder}"):
            done = [_take(source, copy, name) for name in _in_order(source, before, copy.folder)]
            _remove_parts(copy)
            gone = sorted({*stored(copy.folder)} - {*needed(source)})
            cleared = clear(copy.disk, copy.folder, gone, copy.seconds)
    sizes = [size for size in done if size is not None]
    return Synced(len(sizes), sum(sizes), cleared.deleted, cleared.waiting)


def _before(source: Snapshot, copy: Path) -> Snapshot | None:
    """Read what clients of the copy see so far, if ``source`` may follow it; None: nothing."""
    if not (copy / TIMESTAMP).exists():
        return None
    before = Snapshot.read(copy)
    _refuse_other(source, before)
    return before


def _remove_parts(copy: RepositoryFolder) -> None:
    """Remove what a copy that was stopped has half written."""
    for name in stored(copy.folder):
        if name.endswith(PART):
            copy.disk.unlink(copy.folder / name)


def _in_order(source: Snapshot, before: Snapshot | None, copy: Path) -> list[str]:
    """Return the files to copy, in order.

    Clients take a new root by itself. One that ends the keys of what the copy shows so far comes
    behind the timestamp.
    """
    names = sorted(needed(source))
    content = [name for name in names if name.startswith(CONTENT)]
    roots = {f"metadata/{root.signed.version}.root.json": root for root in source.roots()}
    fresh = [name for name in roots if not (copy / name).exists()]
    early = [*itertools.takewhile(lambda n: not before or not before.refused_by(roots[n]), fresh)]
    rest = [name for name in names if name not in {*content, *roots, TIMESTAMP}]
    return [*content, *rest, *early, TIMESTAMP, *fresh[len(early) :]]


def _take(source: Snapshot, copy: RepositoryFolder, name: str) -> int | None:
    """Copy a file that is not there yet as it is; its bytes.

    Others may write the repository meanwhile. Metadata is that of the snapshot; content has a
    digest in its name, and stays for a month when nothing refers to it any more.
    """
    place = copy.folder / name
    if not name.startswith(CONTENT):
        data = source.file(place.name)
        if place.is_file() and place.read_bytes() == data:
            return None
        make_folders(copy.disk, place.parent)
        copy.disk.write(place, data)
        return len(data)
    size = (source.folder / name).stat().st_size
    if place.is_file() and place.stat().st_size == size:
        return None
    make_folders(copy.disk, place.parent)
    copy.disk.copy(source.folder / name, place)
    copy.disk.sync_directory(place.parent)
    return size


def _refuse_nested(folder: Path, copy: Path) -> None:
    if lies_in(folder, copy) or lies_in(copy, folder):
        raise RequestError(
            f"{copy} and {folder} lie in one another", hint="name a folder elsewhere"
        )


def _refuse_parts(source: Snapshot) -> None:
    lacking = missing(source)
    if lacking:
        raise RequestError(
            f"{source.folder} is not whole: {lacking[0]} is missing or has another length",
            hint="restore it from a backup; patchtool doctor lists all",
        )


def _refuse_other(source: Snapshot, copy: Snapshot) -> None:
    """Refuse to make a copy older than it is, or another repository's."""
    if ROOT not in copy.files or source.file(ROOT) != copy.file(ROOT):
        raise RequestError(
            f"{copy.folder} is another repository", hint="name the folder of this one's copy"
        )
    here, there = source.versions(), copy.versions()
    newer = [role for role, version in there.items() if version > here.get(role, 0)]
    if newer:
        raise RequestError(
            f"{copy.folder} is newer: {newer[0]} {there[newer[0]]} there, "
            f"{here.get(newer[0], 0)} here",
            hint=RESTORED,
        )
    apart = copy.differences(source)
    if apart and (apart != [TIMESTAMP] or here["timestamp"] == there["timestamp"]):
        raise RequestError(
            f"{copy.folder} went another way: it has another {apart[0]}", hint=RESTORED
        )
