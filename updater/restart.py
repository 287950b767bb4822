"""Starting the application: in place of this process, or beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from updater.errors import InstallError
from updater.format.release import Release
from updater.launch.disk import told


def command(install: Path, release: Release, arguments: Sequence[str] = ()) -> list[str]:
    """The command line that starts the application of ``release`` in ``install``.

    Raises:
        InstallError: the release names nothing to start.
    """
    if not release.entry:
        raise InstallError(
            "this release names no entry to start",
            hint="set entry in release.toml when the release is made",
        )
    return [str(install / release.entry[0]), *release.entry[1:], *arguments]


def replace_process(line: Sequence[str]) -> NoReturn:
    """Become the application: same process, same terminal, same service.

    Windows has no such thing; there the application is started and this process ends.

    Raises:
        InstallError: it cannot be started; this process goes on.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a Windows program without a console has none
            stream.flush()
    with told(f"starting {line[0]}"):
        if sys.platform == "win32":
            subprocess.Popen(line)  # noqa: S603 - the publisher's own, verified executable
            raise SystemExit(0)
        os.execv(line[0], list(line))  # noqa: S606 - as above


def start_beside(line: Sequence[str]) -> None:
    """Start the application by itself: it outlives this process and keeps none of its streams.

    Raises:
        InstallError: it cannot be started.
    """
    quiet = subprocess.DEVNULL
    with told(f"starting {line[0]}"):
        subprocess.Popen(  # noqa: S603 - the publisher's own, verified executable
            line, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
