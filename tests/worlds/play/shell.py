"""One bash for a whole world; each step is sourced by it, so that variables and jobs live on.

As root it has its own mounts and its own process numbers: whatever a world leaves ends with it,
and it can write in its own folder alone. A shrunk world may name an install that it never made.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DRIVER = """\
set -u
W=$PWD; SRV=; PIDS=; A=$W/p/a
[ -z "$OWN_MOUNTS" ] || { mount --bind "$W" "$W" && cd "$W" && mount -o remount,bind,ro /; } || exit
exec 3<.told
while read -r step <&3; do
    . "./$step" </dev/null >"$step.out" 2>"$step.err" 3<&-
    echo done >.done
done
"""
APART = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


@dataclass(frozen=True)
class Said:
    """What a step said, and how it went."""

    out: str
    err: str
    ended: bool
    """False: its time ran out."""
    alive: bool
    """Whether bash goes on; it does not after `fail`."""


@cache
def apart() -> tuple[str, ...]:
    """What comes before bash to give it mounts and processes of its own; nothing, if it may not."""
    probe = subprocess.run([*APART, "true"], capture_output=True, check=False)
    return APART if probe.returncode == 0 else ()


class Shell:
    """A bash in ``folder``, until it is closed."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        for name in (".told", ".done"):
            os.mkfifo(folder / name)
        (folder / ".driver").write_text(DRIVER)
        # opened for both: neither side waits for the other, and none sees an end
        self._tell = os.open(folder / ".told", os.O_RDWR)
        self._done = os.open(folder / ".done", os.O_RDWR | os.O_NONBLOCK)
        self._bash = subprocess.Popen(
            [*apart(), "bash", ".driver"],
            cwd=folder,
            env={**environment, "OWN_MOUNTS": "yes" if apart() else ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._steps = 0

    def close(self) -> None:
        """End it, with every process that it has left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        os.close(self._tell)
        os.close(self._done)

    def run(self, lines: str, limit: float) -> Said:
        """Source ``lines``, for at most ``limit`` seconds."""
        self._steps += 1
        step = self._folder / f".step{self._steps}"
        step.write_text(lines)
        os.write(self._tell, f"{step.name}\n".encode())
        ended = self._wait(limit)
        out, err = (_text(step.with_name(step.name + end)) for end in (".out", ".err"))
        return Said(out, err, ended, alive=self._bash.poll() is None)

    def _wait(self, limit: float) -> bool:
        """Whether the step, or bash itself, came to an end in time."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if select.select([self._done], [], [], 0.1)[0]:
                os.read(self._done, 100)
                return True
            if self._bash.poll() is not None:
                return True
        return False


def _text(place: Path) -> str:
    try:
        return place.read_text(errors="replace")
    except FileNotFoundError:
        return ""
