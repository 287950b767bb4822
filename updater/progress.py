"""Progress is injected: library code counts, whoever called it draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what one operation at a time has done, in bytes."""

    def start(self, task: str, total: int) -> None:
        """A new task of ``total`` bytes begins; ``task`` is a word such as ``download``."""

    def advance(self, done: int) -> None:
        """``done`` more bytes of the current task are finished (negative: to do again)."""

    def finish(self) -> None:
        """The current task ended, well or not."""


class Silent:
    """The progress sink of callers that show none."""

    def start(self, task: str, total: int) -> None:
        """Ignore it."""

    def advance(self, done: int) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""
