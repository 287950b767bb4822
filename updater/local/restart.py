"""Starting the application: in place of this process, or beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from updater.disk.durable import machine_errors


def replace_process(line: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become the application: same process, same terminal, same service.

    Windows has no such thing: see `hand_over`.

    Raises:
        InstallError: it cannot be started; this process goes on.
    """
    _flush()
    with machine_errors(f"starting {line[0]}"):
        os.execve(line[0], list(line), environment)  # noqa: S606 - our launcher


def hand_over(line: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Start the application with the streams of this process, and end this one.

    Raises:
        InstallError: it cannot be started; this process goes on.
        SystemExit: it is started.
    """
    _flush()
    with machine_errors(f"starting {line[0]}"):
        subprocess.Popen(line, env=environment)  # noqa: S603 - our launcher
    raise SystemExit(0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a Windows program without a console has none
            stream.flush()


def start_beside(line: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start the application by itself: it outlives this process and keeps none of its streams.

    Raises:
        InstallError: it cannot be started.
    """
    quiet = subprocess.DEVNULL
    with machine_errors(f"starting {line[0]}"):
        subprocess.Popen(  # noqa: S603 - our launcher
            line, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
