"""The environment a program is started with: nothing of who starts it leads it astray."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from updater.disk.durable import WINDOWS
from updater.launch.start.run_lock import VARIABLE as RUN_LOCK

FOLDER = "UPSWAP_DIR"
"""For the application: its install folder."""
VERSION = "UPSWAP_VERSION"
"""For the application: its version, which it confirms."""
PREVIOUS = "UPSWAP_PREVIOUS_VERSION"
"""For the application: the version before, on the first start after a change."""
WATCHED = "UPSWAP_WATCHED"
"""For the application: this start must be confirmed; the inherited lock by device and inode."""
FIRST = "UPSWAP_FIRST"
"""For the application: `LEADING` as its launcher found it, in JSON; for the starts after this."""
WAIT = "UPSWAP_WAIT"
"""For the launcher: seconds to wait for the application that restarts, to bring what
it has staged."""
UNHEARD = "-"
"""No lock: nobody can be notified."""

WAIT_MOST = 3600.0
"""Seconds a launcher waits at most, whatever it is told."""

LEADING = {
    "DYLD_FRAMEWORK_PATH",
    "DYLD_INSERT_LIBRARIES",
    "DYLD_LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
}
"""Variables that lead a program to its files. An application may set them for itself, and its user
for the application: see `handed_on`."""
FROZEN = "_PYI_"
"""PyInstaller's own variables: they would lead a frozen program to the files of another."""
LIBRARIES = "LD_LIBRARY_PATH"
ORIGINAL = LIBRARIES + "_ORIG"
"""The variable in which PyInstaller keeps the user's value; absent if there was none."""


def handed_on(environment: Mapping[str, str], install: Path) -> dict[str, str]:
    """The environment for a start of the application in ``install``, whoever starts it.

    What its user or a service has set is kept, what the version that runs has set for itself is
    not: each start finds `LEADING` as the first one did. A process of the application knows how
    that was, because its launcher wrote it down. Any other process hands on its own environment,
    but for what PyInstaller has put there.
    """
    kept = unfrozen(environment)
    first = _first(kept, install)
    if first is not None:
        kept = {name: value for name, value in kept.items() if name not in LEADING} | first
    kept.pop(FIRST, None)
    return kept


def _first(environment: Mapping[str, str], install: Path) -> dict[str, str] | None:
    """`LEADING` as this application's first start found it; None if nobody wrote it down."""
    folder = environment.get(FOLDER)
    if not folder or os.path.realpath(folder) != os.path.realpath(install):
        return None
    with suppress(ValueError):
        document = json.loads(environment.get(FIRST, ""))
        if isinstance(document, dict) and all(isinstance(text, str) for text in document.values()):
            return {name: text for name, text in document.items() if name in LEADING}
    return None


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
    given = handed_on(environment, install)
    first = {name: value for name, value in given.items() if name in LEADING}
    added = {FOLDER: str(install), VERSION: version, FIRST: json.dumps(first, sort_keys=True)}
    added |= {PREVIOUS: previous} if previous else {}
    added |= {} if lock is None else {RUN_LOCK: str(lock)}
    stale = {PREVIOUS, RUN_LOCK, WAIT, WATCHED}
    return {name: value for name, value in given.items() if name not in stale} | added


def seconds_to_wait(environment: Mapping[str, str]) -> float:
    """The seconds a launcher waits for others to end, as `WAIT` says; 0 without it."""
    with suppress(ValueError):
        return max(0.0, min(float(environment.get(WAIT, "0")), WAIT_MOST))
    return 0.0


def watched(environment: Mapping[str, str], lock: int | None) -> dict[str, str]:
    """For an application whose launcher waits to be told that it is up; ``lock`` as above."""
    heard_by = UNHEARD if WINDOWS or lock is None else _identity(lock)
    return {**environment, WATCHED: heard_by}


def report_up(environment: Mapping[str, str]) -> bool:
    """Tell the launcher that watches; False if it cannot be reached from here.

    It has the inherited lock open together with this process, so both have one position in it.
    To move that needs no right to anything, and no file changes: a service that has given up
    its privileges can still do it.
    """
    try:
        lock = int(environment[RUN_LOCK])
        if _identity(lock) == environment[WATCHED]:  # else its number is another file's by now
            os.lseek(lock, 1, os.SEEK_SET)
            return True
    except (KeyError, ValueError, OverflowError, OSError):
        pass
    return False


def is_reported_up(lock: int | None) -> bool:
    """True if the application that has ``lock`` from this process says that it is up."""
    return not WINDOWS and lock is not None and os.lseek(lock, 0, os.SEEK_CUR) > 0


def _identity(descriptor: int) -> str:
    info = os.fstat(descriptor)
    return f"{info.st_dev}:{info.st_ino}"
