"""Digests of files on disk, compared with those of a manifest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from time import time_ns as now_ns

from updater.disk.durable import WINDOWS, is_executable, present
from updater.errors import PatchError
from updater.format.manifest import Directory, Entry, File, Symlink
from updater.format.names import Digest
from updater.format.paths import shown

CHUNK = 1 << 20
"""Bytes read at once."""


def check_file(file: File, place: Path) -> None:
    """Refuse a file on disk that is not ``file``.

    Raises:
        PatchError: it is missing, of another kind, or has other bytes.
    """
    try:
        regular = place.is_file() and not place.is_symlink()
        same = regular and place.stat().st_size == file.size and digest_of(place) == file.digest
    except OSError as error:
        raise PatchError(f"{shown(file.path)} cannot be read: {error.strerror}") from error
    if not same:
        raise PatchError(
            f"{shown(file.path)} is missing or not as released",
            hint="it was changed or damaged after it was installed",
        )


def digest_of(path: Path) -> Digest:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return Digest(digest.digest())


def differs(entry: Entry, place: Path) -> bool:
    """True if what is at ``place`` has another content than ``entry``; its mode is not asked.

    A folder has no content. What is missing, of another kind or cannot be read differs.
    """
    if isinstance(entry, Directory):
        return False
    if isinstance(entry, Symlink):
        return not place.is_symlink() or str(place.readlink()) != entry.target
    try:
        check_file(entry, place)
    except PatchError:
        return True
    return False


def is_edited(entry: Entry, place: Path) -> bool:
    """True if what is at ``place`` is somebody's work: it could be read, and is not ``entry``.

    What cannot be read now is no answer; a commit keeps it beside, and looks at it again.
    """
    if not isinstance(entry, File):
        return differs(entry, place)
    try:
        check_file(entry, place)
    except PatchError as error:
        return not isinstance(error.__cause__, OSError)
    return False


def untouched_since(committed: int, info: os.stat_result) -> bool:
    """True if nobody has written, renamed or changed the mode of a file since ``committed``.

    Args:
        committed: see `commit_time`.
        info: of the file, links not followed.
    """
    return max(info.st_mtime_ns, info.st_ctime_ns) < committed


def commit_time(manifest: Path) -> int:
    """Until when the installed files are known to be as released, in nanoseconds; 0: never.

    Args:
        manifest: of the State. It has the time at which all files were looked at: that of its
            staging, or of the end of a commit that followed at once (`Disk.stamp`). Renames, a
            rollback and copies keep it, whereas no file gets a time of change before its change.
            A time to come, from a clock that was ahead, says nothing.
    """
    try:
        time = manifest.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
    return time if time <= now_ns() else 0


def has_mode(entry: Entry, place: Path, known: Path) -> bool:
    """True if a file may be executed as ``entry`` says; true where there are no such modes.

    ``known`` is a file we made and that nobody executes: where it may be executed all the same,
    the file system does not keep modes (exFAT), and says nothing by them.
    """
    if WINDOWS or not isinstance(entry, File) or is_executable(place) == entry.executable:
        return True
    return present(known) and is_executable(known)
