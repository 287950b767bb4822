"""What an application asks and tells the updater about itself; cheap to import.

It works in a process the launcher has started, and does nothing in any other.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from updater.launch.disk import Disk, told
from updater.launch.environment import FOLDER, PREVIOUS, VERSION
from updater.launch.state import State, find
from updater.launch.trial import confirm as confirm_trial

NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}
"""The start of somebody who does not own the install, or a disk nobody may write: nobody waits
for this confirmation."""


def confirm(environment: Mapping[str, str] | None = None) -> None:
    """Say that this version works, so that it is kept. Writes one file, and nothing else.

    Call it when the application is up; once is enough, more is no harm.

    Raises:
        InstallError: the file cannot be written; the version will be rolled back.
    """
    known = os.environ if environment is None else environment
    folder, version = known.get(FOLDER), known.get(VERSION)
    if not folder or not version:
        return
    with told(f"confirming {version}"):
        state = find(Path(folder))
        if state is not None:
            _confirm(state, version)


def _confirm(state: State, version: str) -> None:
    try:
        confirm_trial(Disk(), state, version)
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise


def previous_version(environment: Mapping[str, str] | None = None) -> str:
    """The version that ran here before, on the first start after an update or a rollback.

    Empty at every other start. A version that must be confirmed is told until it is.
    """
    known = os.environ if environment is None else environment
    return known.get(PREVIOUS, "")
