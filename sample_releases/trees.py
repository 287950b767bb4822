"""The sample releases as release folders, with what git cannot hold."""

from __future__ import annotations

import shutil
from pathlib import Path

HERE = Path(__file__).parent
EMPTY_FOLDERS = {"1.0.0": [], "1.1.0": [], "2.0.0": ["templates"]}
"""Versions, and the folders in them that git would drop."""


def lay_out(version: str, place: Path) -> None:
    """Make the release folder of ``version`` at ``place``, its description beside it."""
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / version, place, symlinks=True, ignore=unwanted)
    for folder in EMPTY_FOLDERS[version]:
        (place / folder).mkdir()
    shutil.copy(HERE / f"{version}.toml", place.parent)
