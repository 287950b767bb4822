"""The interface for the running application: confirm a version; cheap to import.

It works in a process of an installed application, and does nothing in any other. What the
launcher says stands in the environment, which every program inherits that the application
starts, one with an updater of its own too. So a process counts as the application's only if
something of it lies in the install (links followed or not):

- its interpreter or, if it is frozen, its executable (``sys.executable``);
- its main script, or the program it was called as (``sys.argv[0]``, if that is a full path);
- this very package.

One is enough, because a confirmation that is missed may take a good version away. An application
none of which is true of, such as one run by ``python -c`` with all its packages elsewhere, is not
known as such; nor is a script told from the application that runs it with its own interpreter.

A process that was started around the launcher, such as by a double click on the executable, may
confirm its version too. Nobody told it which version it is: it speaks for the installed one if
that was in place when it began.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path

from updater.disk.durable import machine_errors
from updater.errors import InstallError, MachineError
from updater.launch.start.environment import FOLDER, PREVIOUS, VERSION, WATCHED, report_up
from updater.launch.start.trial import confirm as confirm_trial
from updater.launch.start.trial import is_confirmed, read_trial
from updater.launch.state import State, find
from updater.process_start import BEGAN

NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}
"""A process that does not own the install, or a disk nobody may write."""


class Confirmation(str, Enum):
    """The answer to `confirm`."""

    KEPT = "kept"
    """This version was on trial; it stays."""
    NOT_ON_TRIAL = "not-on-trial"
    """This version stays anyway; or this user may not confirm it, and no launcher waits."""
    REPLACED = "replaced"
    """An update came under this process: it runs the version before, and cannot speak for this."""
    NOT_INSTALLED = "not-installed"
    """This process belongs to no install."""


def confirm(environment: Mapping[str, str] | None = None) -> Confirmation:
    """Say that this version works, so that it is kept. Writes one file, and nothing else.

    Call it when the application is up; once is enough, more is no harm. It does nothing in a
    process that is of no install: see above. A service that has given up its privileges leaves
    the writing to the launcher.

    Raises:
        InstallError: the file cannot be written; the version may be rolled back.
    """
    known = _meant_for_us(os.environ if environment is None else environment)
    folder, version = known.get(FOLDER), known.get(VERSION)
    if not folder or not version:
        return _confirm_own()
    with machine_errors(f"confirming {version}"):
        try:
            state = find(Path(folder))
            return Confirmation.NOT_INSTALLED if state is None else _confirm(state, version)
        except OSError as error:
            if error.errno not in NOT_OURS:
                raise
    if not known.get(WATCHED):
        return Confirmation.NOT_ON_TRIAL
    if report_up(known):
        return Confirmation.KEPT
    raise MachineError(
        f"confirming {version}: this process may not write beside {folder}",
        hint="confirm before giving up privileges or closing inherited files",
    )


def _confirm(state: State, version: str) -> Confirmation:
    trial = read_trial(state)
    if trial is None or is_confirmed(state, trial):
        return Confirmation.NOT_ON_TRIAL
    if trial.version != version:
        return Confirmation.REPLACED
    confirm_trial(state, version)
    return Confirmation.KEPT


def _confirm_own() -> Confirmation:
    """Confirm the version of the install this program lies in, started around the launcher."""
    with machine_errors("confirming this version"), suppress(PermissionError):
        state = _own_install()
        trial = None if state is None else read_trial(state)
        if state is None or trial is None:
            return Confirmation.NOT_INSTALLED if state is None else Confirmation.NOT_ON_TRIAL
        if _put_in_place(state) > BEGAN:
            return Confirmation.REPLACED
        return _confirm(state, trial.version)
    return Confirmation.NOT_ON_TRIAL


def _own_install() -> State | None:
    for place in _places():
        for folder in (*place.parents, *Path(os.path.realpath(place)).parents):
            with suppress(InstallError):  # a State that somebody else planted
                if state := find(folder):
                    return state
    return None


def _put_in_place(state: State) -> float:
    """The time at which the installed version took its place, in seconds since 1970."""
    info = state.release.stat()
    return max(info.st_ctime, info.st_mtime)  # a rename changes the first, but for Windows


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
    """The places of this program, as far as they are known: see above."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    found = [sys.executable, main, *sys.argv[:1], __file__]
    return [place for place in (Path(name) for name in found if name) if place.is_absolute()]


def _lies_in(folder: str, place: Path) -> bool:
    """True if ``place``, or the target of its link, lies in ``folder``."""
    install = Path(os.path.realpath(folder))  # Path.resolve raises RuntimeError on a loop
    linked = Path(os.path.realpath(place.parent), place.name)
    return install in linked.parents or install in Path(os.path.realpath(place)).parents
