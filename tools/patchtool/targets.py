"""Targets: the files a repository publishes, and where their content lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.metadata import TargetFile

from updater.launch.disk import Disk

Listed = TargetFile
"""A target as a role lists it."""


@dataclass(frozen=True)
class Target:
    """A file to publish: its name, its content, what is said of it."""

    name: str
    content: Path | bytes
    custom: dict[str, Any]


def place_of(folder: Path, target: Listed) -> Path:
    """Where the content of a target lies in the repository ``folder``."""
    inner, _, base = target.path.rpartition("/")
    return folder / "targets" / inner / f"{target.hashes['sha256']}.{base}"


def store(disk: Disk, folder: Path, target: Target) -> Listed:
    """Put the content of a target where clients look for it; nobody is told of it yet.

    Raises:
        OSError: the disk; a part of it may be there under a name of its own.
    """
    listed = _listed(target)
    place = place_of(folder, listed)
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(target.content, bytes):
        disk.write(place, target.content)
    else:
        disk.copy(target.content, place)
        disk.sync_directory(place.parent)
    return listed


def _listed(target: Target) -> Listed:
    if isinstance(target.content, bytes):
        listed = TargetFile.from_data(target.name, target.content, ["sha256"])
    else:
        listed = TargetFile.from_file(target.name, str(target.content), ["sha256"])
    listed.unrecognized_fields["custom"] = target.custom
    return listed
