"""Real paths: the places of folders, whatever symlinks lead to them."""

from __future__ import annotations

import os
from pathlib import Path

from updater.disk.durable import machine_errors
from updater.format.target_names import TIMESTAMP


def real(path: Path) -> Path:
    """The absolute path without symlinks; of symlinks that go round in a circle, as it is."""
    return Path(os.path.realpath(path))


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether ``path`` is ``folder`` or lies in it."""
    return real(path).is_relative_to(real(folder))


def repository_around(folder: Path) -> Path | None:
    """The repository that a folder is or lies in.

    Raises:
        InstallError: this user may not look.
    """
    place = real(folder)
    with machine_errors(f"reading {folder}"):
        for parent in (place, *place.parents):
            if (parent / TIMESTAMP).exists():
                return parent
    return None
