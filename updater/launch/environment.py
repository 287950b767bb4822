"""The environment a program is started with: nothing of who starts it leads it astray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from updater.launch.running import VARIABLE as RUN_LOCK

FOLDER = "UPSWAP_DIR"
"""Of the application: its install folder."""
VERSION = "UPSWAP_VERSION"
"""Of the application: its version, which it confirms."""
PREVIOUS = "UPSWAP_PREVIOUS_VERSION"
"""Of the application: the version before, on the first start after a change."""

TAINTED = {
    "DYLD_INSERT_LIBRARIES",
    "LD_PRELOAD",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
}
"""Variables that led the old version to its files, or another program's into it."""
FROZEN = "_PYI_"
"""PyInstaller's own variables: they would lead a frozen program to the files of another."""
LIBRARIES = "LD_LIBRARY_PATH"
ORIGINAL = LIBRARIES + "_ORIG"
"""Where PyInstaller keeps the user's; without it he had none."""


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """For the new version: without what the old one had set for itself."""
    return {name: value for name, value in unfrozen(environment).items() if name not in TAINTED}


def unfrozen(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what PyInstaller sets for the program it has unpacked, if it has."""
    kept = {name: value for name, value in environment.items() if not name.startswith(FROZEN)}
    if len(kept) < len(environment):
        kept.pop(LIBRARIES, None)
    if ORIGINAL in kept:
        kept[LIBRARIES] = kept.pop(ORIGINAL)
    return kept


def for_application(
    environment: Mapping[str, str], install: Path, version: str, previous: str, lock: int | None
) -> dict[str, str]:
    """For the application in ``install``: with what it is told, and nothing of another start.

    Args:
        environment: of the launcher.
        install: its folder.
        version: its version.
        previous: the version before; empty: not told.
        lock: the open file that says that it runs.
    """
    told = {FOLDER: str(install), VERSION: version}
    told |= {PREVIOUS: previous} if previous else {}
    told |= {} if lock is None else {RUN_LOCK: str(lock)}
    stale = {PREVIOUS, RUN_LOCK}
    kept = {name: value for name, value in unfrozen(environment).items() if name not in stale}
    return kept | told
