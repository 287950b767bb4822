"""What an application asks and tells the updater about itself; cheap to import.

It works in a process of the application that the launcher has started, and does nothing in any
other. What the launcher says stands in the environment, which every program inherits that the
application starts, one with an updater of its own too. So a process counts as the application's
only if something of it lies in the install (links followed or not):

- its interpreter or, if it is frozen, its executable (``sys.executable``);
- its main script, or the program it was called as (``sys.argv[0]``, if that is a full path);
- this very package.

One is enough, because a confirmation that is missed takes a good version away. An application
none of which is true of, such as one run by ``python -c`` with all its packages elsewhere, is not
known as such; nor is a script told from the application that runs it with its own interpreter.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from updater.errors import InstallError
from updater.launch.disk import Disk, told
from updater.launch.environment import FOLDER, PREVIOUS, VERSION, WATCHED, say_up
from updater.launch.state import find
from updater.launch.trial import confirm as confirm_trial

NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}
"""A process that does not own the install, or a disk nobody may write."""


def confirm(environment: Mapping[str, str] | None = None) -> None:
    """Say that this version works, so that it is kept. Writes one file, and nothing else.

    Call it when the application is up; once is enough, more is no harm. It does nothing in a
    process that is not of the install the launcher has started: see above. A service that has
    given up its privileges leaves the writing to the launcher.

    Raises:
        InstallError: the file cannot be written; the version will be rolled back.
    """
    known = _meant_for_us(os.environ if environment is None else environment)
    folder, version = known.get(FOLDER), known.get(VERSION)
    if not folder or not version:
        return
    with told(f"confirming {version}"):
        if not _is_written(Path(folder), version) and known.get(WATCHED) and not say_up(known):
            raise InstallError(
                f"confirming {version}: this process may not write beside {folder}",
                hint="confirm before giving up privileges or closing inherited files",
            )


def _is_written(folder: Path, version: str) -> bool:
    """Whether this process could write whatever there was to write.

    Without a launcher that waits for it nothing is lost if not: somebody else's install.
    """
    try:
        state = find(folder)
        if state is not None:
            confirm_trial(Disk(), state, version)
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        return False
    return state is not None


def previous_version(environment: Mapping[str, str] | None = None) -> str:
    """The version that ran here before, on the first start after an update or a rollback.

    Empty at every other start, and in a process that is not of the install: see above. A version
    that must be confirmed is told until it is.
    """
    known = _meant_for_us(os.environ if environment is None else environment)
    return known.get(PREVIOUS, "")


def _meant_for_us(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, if it was the launcher of this very program that made it; else none."""
    folder = environment.get(FOLDER)
    return environment if folder and any(_lies_in(folder, place) for place in _places()) else {}


def _places() -> list[Path]:
    """Where this program is, as far as it can be known: see above."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    found = [sys.executable, main, *sys.argv[:1], __file__]
    return [place for place in (Path(name) for name in found if name) if place.is_absolute()]


def _lies_in(folder: str, place: Path) -> bool:
    """Whether it is there, or a link to it, as the interpreter of a virtual environment is."""
    install = Path(os.path.realpath(folder))  # Path.resolve raises RuntimeError on a loop
    linked = Path(os.path.realpath(place.parent), place.name)
    return install in linked.parents or install in Path(os.path.realpath(place)).parents
