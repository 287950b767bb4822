"""Sync: a repository is copied to where it is served, such as the mounted folder of a static host.

In an order in which clients can look at any moment: what they do not know of yet first, then the
timestamp, which lets them know. What is gone is deleted a month later, by the record of the copy
(see `patchtool.leftovers`). Stopped anywhere, it goes on where it was.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from patchtool.leftovers import clear
from patchtool.repository import Repository
from patchtool.stock import CONTENT, held, missing, needed
from updater.errors import InstallError
from updater.launch.disk import told

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
        repository: its lock is taken; it is only read.
        copy: a folder that is empty, not there, or an older state of the same repository. What
            else lies in it is left alone.

    Raises:
        InstallError: the repository is not whole; the copy is newer, another repository's, or one
            lies in the other; the disk. Clients of the copy see the old state or the new one.
        FormatError: one of the two is damaged.
    """
    with repository.held():
        _refuse_nested(repository.folder, copy.folder)
        _refuse_parts(repository)
        is_new = not (copy.folder / TIMESTAMP).exists()
        if not is_new:
            _refuse_other(repository, copy)
        with told(f"copying to {copy.folder}"):
            done = [_take(repository, copy, name) for name in _in_order(repository, copy, is_new)]
            gone = sorted({*held(copy)} - {*needed(repository)})
            cleared = clear(copy.disk, copy.folder, gone, int(copy.now.timestamp()))
    sizes = [size for size in done if size is not None]
    return Synced(len(sizes), sum(sizes), cleared.deleted, cleared.waiting)


def _in_order(repository: Repository, copy: Repository, is_new: bool) -> list[str]:
    """What to copy, first things first.

    Clients take a new root by itself. One that ends the keys of what the copy shows so far comes
    behind the timestamp.
    """
    names = sorted(needed(repository))
    content = [name for name in names if name.startswith(CONTENT)]
    roots = {f"metadata/{root.signed.version}.root.json": root for root in repository.roots()}
    fresh = [name for name in roots if not (copy.folder / name).exists()]
    early = [*itertools.takewhile(lambda n: is_new or not copy.refused_by(roots[n]), fresh)]
    rest = [name for name in names if name not in {*content, *roots, TIMESTAMP}]
    return [*content, *rest, *early, TIMESTAMP, *fresh[len(early) :]]


def _take(repository: Repository, copy: Repository, name: str) -> int | None:
    """Copy a file that is not there yet as it is; its bytes."""
    source, place = repository.folder / name, copy.folder / name
    if place.is_file() and _is_same(name, source, place):
        return None
    _make_folder(copy, place.parent)
    copy.disk.copy(source, place)
    copy.disk.sync_directory(place.parent)
    return source.stat().st_size


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
    one, other = folder.resolve(), copy.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise InstallError(
            f"{copy} and {folder} lie in one another", hint="name a folder elsewhere"
        )


def _refuse_parts(repository: Repository) -> None:
    lacking = missing(repository)
    if lacking:
        raise InstallError(
            f"{repository.folder} is not whole: {lacking[0]} is missing or has another length",
            hint="restore it from a backup; patchtool doctor lists all",
        )


def _refuse_other(repository: Repository, copy: Repository) -> None:
    """Refuse to make a copy older than it is, or another repository's."""
    one, other = (repo.folder / ROOT for repo in (repository, copy))
    with told(f"reading {other}"):
        if not other.exists() or one.read_bytes() != other.read_bytes():
            raise InstallError(
                f"{copy.folder} is another repository", hint="name the folder of this one's copy"
            )
    here, there = repository.versions(), copy.versions()
    newer = [role for role, version in there.items() if version > here.get(role, 0)]
    if newer:
        raise InstallError(
            f"{copy.folder} is newer: {newer[0]} {there[newer[0]]} there, "
            f"{here.get(newer[0], 0)} here",
            hint=RESTORED,
        )
    with told(f"reading {copy.folder}"):
        apart = [name for name in sorted(needed(copy)) if _is_apart(repository, copy, name)]
    if apart and (apart != [TIMESTAMP] or here["timestamp"] == there["timestamp"]):
        raise InstallError(
            f"{copy.folder} went another way: it has another {apart[0]}", hint=RESTORED
        )


def _is_apart(repository: Repository, copy: Repository, name: str) -> bool:
    """Whether both have a file that never changes, and it is not the same."""
    one, other = repository.folder / name, copy.folder / name
    is_shared = not name.startswith(CONTENT) and one.exists() and other.exists()
    return is_shared and one.read_bytes() != other.read_bytes()
