"""A key from a command, such as the client of a secret store, in bounded time and length."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import IO

PEM_MOST = 64 * 1024
"""Bytes of a key in PEM, with whatever may stand around it."""
SECONDS = 120
"""Time the client has; a person may have to confirm."""


class Failed(Exception):  # noqa: N818 - reads as what it says
    """The command gave no key; the text says why, and nothing that the command printed."""


def output(command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """Run a command and return what it prints.

    Raises:
        Failed: it cannot be run, fails, prints too much, or does not end.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - whose environment it is decides what is run
            command, stdout=subprocess.PIPE, env=environment
        )
    except (ValueError, OSError) as error:
        raise Failed(type(error).__name__) from None
    try:
        found = _read(process)
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Failed(type(error).__name__) from None
    finally:
        process.kill()
        process.wait()
    if code != 0:
        raise Failed(f"exit code {code}")
    return found


def _read(process: subprocess.Popen[bytes]) -> bytes:
    """All that a process prints; a child of it that lives on may hold its output open for ever."""
    found: list[bytes] = []

    def read(source: IO[bytes]) -> None:
        with source:
            found.append(source.read(PEM_MOST + 1))

    assert process.stdout is not None  # noqa: S101 - it is a pipe
    reader = Thread(target=read, args=(process.stdout,), daemon=True)
    reader.start()
    reader.join(SECONDS)
    if not found:
        raise subprocess.TimeoutExpired(process.args, SECONDS)
    if len(found[0]) > PEM_MOST:
        raise Failed(f"more than a key, {PEM_MOST} bytes")
    return found[0]
