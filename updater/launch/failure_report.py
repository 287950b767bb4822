"""Failure reports, queued in the State until they are sent."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from updater.disk.json_file import encode
from updater.launch.state import State

MOST = 20
"""Reports kept: the oldest goes for the newest."""
PATHS_MOST = 100
"""Paths named in one report."""
_NAME = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(frozen=True, kw_only=True)
class Report:
    """One failure; holds names of the release's own files and nothing of the user's."""

    identity: str
    """Names it: what fails again in the same way is the same report."""
    step: str
    """``check``, ``fetch``, ``stage``, ``commit`` or ``confirm``."""
    error: str
    old: str
    """Version before."""
    new: str
    """Version that was wanted; empty if it was not known yet."""
    changed: tuple[str, ...] = ()
    """Files of the release that are not as they should be."""

    def write(self, state: State) -> None:
        """Queue it.

        Raises:
            OSError: the disk; it is not queued.
        """
        document = {
            "id": self.identity,
            "step": self.step,
            "error": _without_places(state, self.error),
            "from": self.old,
            "to": self.new,
            "changed": list(self.changed[:PATHS_MOST]),
        }
        if state.reports.is_symlink():  # nobody of us made it: other files would be deleted
            raise NotADirectoryError(errno.ENOTDIR, "no folder of ours", str(state.reports))
        state.disk.mkdir(state.reports)
        state.disk.write(state.reports / f"{self.identity}.json", encode(document))
        for path in queued(state)[:-MOST]:
            state.disk.unlink(path)


def queued(state: State) -> list[Path]:
    """Reports that wait, oldest first; what lies about there besides is not ours.

    Raises:
        OSError: the folder is not there, or the disk.
    """
    found = (path for path in state.reports.iterdir() if _NAME.fullmatch(path.name))
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns)


def _without_places(state: State, text: str) -> str:
    """``text`` without the folders' names: they tell who the user is."""
    home = os.environ.get("HOME") or os.environ.get("USERPROFILE") or "/"
    for place, name in (
        (state.folder, "STATE"),
        (state.install, "DIR"),
        (state.install.parent, "PARENT"),
        (Path(home), "HOME"),
    ):
        if len(place.parts) > 1:
            for spelled in (str(place), repr(str(place))[1:-1]):  # as an OSError quotes it
                text = text.replace(spelled, name)
    return text.encode(errors="backslashreplace").decode()
