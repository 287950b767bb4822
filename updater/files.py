"""What a file on disk holds, and whether it is the one a manifest lists."""

from __future__ import annotations

import hashlib
from pathlib import Path

from updater.errors import PatchError
from updater.format.manifest import File
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
