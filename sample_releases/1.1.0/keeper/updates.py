"""How the application updates itself. This is all that an application has to do for it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import updater

HOME = Path(__file__).resolve().parent.parent
"""The folder this application is installed in."""
NOTHING_TO_DO = 10


class Meter:
    """Shows progress in one line of the terminal; keeps quiet where there is no terminal."""

    def __init__(self) -> None:
        self._task, self._total, self._done = "", 0, 0

    def start(self, task: str, total: int) -> None:
        """Begin to count the bytes of ``task``."""
        self._task, self._total, self._done = task, total, 0
        self.advance(0)

    def advance(self, done: int) -> None:
        """Count and show ``done`` more bytes."""
        self._done += done
        percent = 100 * self._done // max(self._total, 1)
        self._show(f"\r{self._task:<10}{percent:>4} %")

    def finish(self) -> None:
        """Wipe the line."""
        self._show("\r" + " " * 20 + "\r")

    def _show(self, text: str) -> None:
        if sys.stderr.isatty():
            print(text, end="", file=sys.stderr, flush=True)


def check() -> int:
    """Tell whether there is an update; the exit code."""
    offer = updater.Updater(HOME).check()
    if offer is None:
        return _current()
    print(f"{offer.available} is there ({offer.fetch_bytes:,} bytes), you have {offer.installed}")
    return 0


def update(then: Sequence[str]) -> int:
    """Become the newest version, started with the arguments ``then``; or the exit code."""
    app = updater.Updater(HOME, updater.Session(progress=Meter()))
    done = app.update()
    if done.outcome is updater.UpdateOutcome.CURRENT:
        return _current()
    if not done:
        print(f"{done.new} is there already, and comes with the next start")
        return NOTHING_TO_DO
    print(_told(done))
    app.restart(then)


def _told(done: updater.Updated) -> str:
    kinds = sorted(done.changes.items())
    changes = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in kinds)
    return (
        f"updated {done.old} -> {done.new}\n"
        f"fetched {done.fetched_bytes:,} bytes, metadata included; "
        f"the whole release has {done.full_bytes:,}\n"
        f"changes: {changes}"
    )


def _current() -> int:
    print(f"{updater.Updater(HOME).status().version} is up to date")
    return NOTHING_TO_DO
