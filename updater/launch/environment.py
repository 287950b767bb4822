"""The environment a program is started with: nothing of who starts it leads it astray."""

from __future__ import annotations

from collections.abc import Mapping

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
