"""Wall time and peak memory of one command (Linux: the memory is read from /proc)."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INTERVAL = 0.01  # seconds between two looks at the memory


class StepError(Exception):
    """A measured command failed; the message is its last line, or its fate."""


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    peak: int  # bytes, of all its processes together


def measure(words: Sequence[str], limit: float) -> Cost:
    """Run a command from the repository's root.

    Raises:
        StepError: it failed, or ran longer than ``limit`` seconds and was killed.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        watch = _Watch(process.pid, limit)
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            watch.stop(kill=process.returncode is None)
        if process.returncode:
            raise StepError(_reason(process.returncode, errors.fileno(), seconds, limit))
    return Cost(round(seconds, 3), max(watch.peak, _kernel_peak(usage.ru_maxrss)))


def _kernel_peak(kilobytes: int) -> int:
    """The kernel's exact peak of the largest process, where it is that process's own.

    Linux counts the memory of whoever started a process as that process's, so a figure
    below our own peak says nothing, and what was sampled stands.
    """
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * 1024 if kilobytes > own else 0


def _reason(code: int, errors: int, seconds: float, limit: float) -> str:
    if seconds >= limit:
        return f"stopped after {limit:.0f} s"
    os.lseek(errors, 0, os.SEEK_SET)
    lines = os.read(errors, 1 << 20).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"


class _Watch:
    """A thread that adds up the memory of a process and its descendants."""

    def __init__(self, pid: int, limit: float) -> None:
        self.peak = 0
        self._pid = pid
        self._deadline = time.monotonic() + limit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self, *, kill: bool) -> None:
        self._over.set()
        self._thread.join()
        if kill:
            self._kill()

    def _run(self) -> None:
        while not self._over.wait(INTERVAL):
            self.peak = max(self.peak, _memory(self._pid))
            if time.monotonic() > self._deadline:
                self._kill()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)


def _memory(pid: int) -> int:
    """Bytes resident now in a process tree, or the peak of one of its processes if larger."""
    now, peaks, waiting = 0, [0], [pid]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        with suppress(OSError, ValueError):  # it ended while we looked
            status = dict(line.split(":", 1) for line in _text(process / "status").splitlines())
            now += _kilobytes(status.get("VmRSS"))
            peaks.append(_kilobytes(status.get("VmHWM")))
            waiting += _children(process)
    return max(now, *peaks) * 1024


def _children(process: Path) -> list[int]:
    found = [_text(task / "children") for task in (process / "task").iterdir()]
    return [int(pid) for text in found for pid in text.split()]


def _kilobytes(field: str | None) -> int:
    return int(field.split()[0]) if field else 0


def _text(path: Path) -> str:
    return path.read_text("ascii", "replace")
