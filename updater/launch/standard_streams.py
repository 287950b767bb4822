"""Standard streams that cannot break a command: closed, full, or unable to show a name.

Every console command and the launcher run inside `run_command`, which comes before any other
import: a file of ours that got descriptor 2 would receive the messages.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO, cast

from updater.errors import MachineError
from updater.exit_codes import INTERRUPTED, NOTHING_TO_DO, PIPE_CLOSED

_NO_THREAD = "can't start new thread"


class LossyStream(io.RawIOBase):
    """Writes to a stream until that fails; then remembers why, and drops the rest.

    An error in the middle of a command would end its work. So nothing is raised: `run_command`
    judges at the end what was lost.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.failure: OSError | None = None
        """The error that kept something from being written."""

    def writable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def fileno(self) -> int:
        """See `io.RawIOBase`."""
        return self._raw.fileno()

    def isatty(self) -> bool:
        """See `io.RawIOBase`."""
        return self._raw.isatty()

    def write(self, data: Any) -> int:
        """Write what the stream takes; all of ``data`` counts as written if it takes no more."""
        if self.failure is None:
            try:
                return self._written(data)
            except OSError as error:
                self.failure = error
        return len(data)

    def _written(self, data: Any) -> int:
        written: int | None = self._raw.write(data)
        if written is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return written


def run_command(command: Callable[[], int]) -> int:
    """Run a whole command on streams that cannot break it; its exit code.

    Args:
        command: imports what it needs and does its work. It may end with `SystemExit`.
    """
    _open_closed_descriptors()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - lives as long as the process
    output = _replace("stdout", 1)
    _replace("stderr", 2)
    return _with_lost_output(_exit_code(command), output)


def _open_closed_descriptors() -> None:
    """Give descriptors 0 to 2 to the null device where whoever started us closed them."""
    for descriptor in range(3):
        if not _is_open(descriptor):  # so the lowest free number is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _replace(name: Literal["stdout", "stderr"], descriptor: int) -> LossyStream:
    """Put a stream that cannot raise in the place of a standard stream."""
    found: TextIO | None = getattr(sys, name)
    lossy = LossyStream(_raw(found) if found else io.FileIO(descriptor, "w", closefd=False))
    text = io.TextIOWrapper(
        io.BufferedWriter(cast("io.RawIOBase", lossy)),
        encoding=found.encoding if found else "utf-8",
        errors="backslashreplace",
        line_buffering=name == "stderr" or lossy.isatty(),
    )
    setattr(sys, name, text)
    return lossy


def _raw(stream: TextIO) -> io.RawIOBase:
    """The bytes below a standard stream; with ``python -u`` nothing is buffered in between."""
    below: Any = stream.buffer
    raw: io.RawIOBase = getattr(below, "raw", below)
    return raw


def _exit_code(command: Callable[[], int]) -> int:
    try:
        return command()
    except SystemExit as ended:  # of argparse, which has said why
        return int(ended.code or 0)
    except KeyboardInterrupt:
        _print("error: interrupted")
        return INTERRUPTED
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _NO_THREAD not in str(error):
            raise
        what = "thread" if isinstance(error, RuntimeError) else "memory"
        _print(f"error: this machine gives this process no more {what}")
        _print("hint: end other programs, or raise the limits (ulimit -u, ulimit -v)")
        return MachineError.exit_code


def _with_lost_output(code: int, output: LossyStream) -> int:
    """The exit code of a command whose result may not have been written; its own failure wins."""
    sys.stdout.flush()
    if output.failure is None:
        return code
    well = code in {0, NOTHING_TO_DO}
    if _is_closed_pipe(output.failure):
        return PIPE_CLOSED if well else code
    _print(f"error: writing the result: {(output.failure.strerror or 'failed').lower()}")
    _print("hint: the command itself has ended; free the disk that its output goes to")
    return MachineError.exit_code if well else code


def _is_closed_pipe(failure: OSError) -> bool:
    # Windows tells a closed pipe as an invalid argument.
    return failure.errno in {errno.EPIPE, errno.EINVAL if os.name == "nt" else errno.EPIPE}


def _print(text: str) -> None:
    print(text, file=sys.stderr)
