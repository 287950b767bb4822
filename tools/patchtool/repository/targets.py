"""Targets: the files a repository publishes, and where their content lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.metadata import TargetFile

from updater.disk.durable import Disk, move
from updater.format.target_names import file_name

Listed = TargetFile
"""A target as a role lists it."""


@dataclass(frozen=True)
class NewTarget:
    """A file to publish. Make it with :meth:`of` or :meth:`there`."""

    listed: Listed
    content: Path | bytes | None
    """A file is moved; None: it lies in its place already."""

    @classmethod
    def of(cls, name: str, content: Path | bytes, custom: dict[str, Any]) -> NewTarget:
        """Content, and what is said of it; a file is read as a whole, so let nobody wait for it.

        Raises:
            OSError: the disk.
        """
        if isinstance(content, bytes):
            listed = TargetFile.from_data(name, content, ["sha256"])
        else:
            listed = TargetFile.from_file(name, str(content), ["sha256"])
        listed.unrecognized_fields["custom"] = custom
        return cls(listed, content)

    @classmethod
    def there(cls, name: str, target: dict[str, Any]) -> NewTarget:
        """Make the target that another repository lists; its content is not needed here."""
        return cls(TargetFile.from_dict(dict(target), name), None)

    @property
    def name(self) -> str:
        """Its name."""
        return self.listed.path


def place_of(folder: Path, target: Listed) -> Path:
    """Return the place of a target's content in the repository ``folder``."""
    return folder / file_name(target.path, target.hashes["sha256"])


def store(disk: Disk, folder: Path, target: NewTarget) -> None:
    """Put the content of a target where clients look for it; no metadata names it yet.

    Raises:
        OSError: the disk; a part of it may be there under a name of its own.
    """
    place = place_of(folder, target.listed)
    if target.content is None:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(target.content, bytes):
        disk.write(place, target.content)
    else:
        disk.settle(target.content)
        move(disk, target.content, place)
        disk.sync_directory(place.parent)
