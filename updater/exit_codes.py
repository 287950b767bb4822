"""Exit codes of the commands, and the one table from what was found to them.

A command that judges (``doctor``, ``refresh``, ``check``, ``verify``, ``keys drill`` ...) collects
concerns; its exit code is that of the worst. Standard library only: the launcher uses it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from updater.errors import (
    FormatError,
    MachineError,
    PatchError,
    RequestError,
    TrustError,
    UpdaterError,
)

INTERRUPTED = 130
"""After Ctrl-C, as shells give it."""
PIPE_CLOSED = 141
"""Whoever read the output has ended: 128 + SIGPIPE, as shells give it."""
NOTHING_TO_DO = 10


class Severity(IntEnum):
    """The severity of what a command found; the worst last."""

    WELL = 0
    """Nothing is wrong."""
    SOON = 1
    """Somebody must do something in time: clients go on for now."""
    UNSEEN = 2
    """It could not be looked at, so nobody knows."""
    DAMAGED = 3
    """Files of an install are not as released."""
    NOW = 4
    """Clients are refused, or left without an offer, now."""


ERRORS: dict[Severity, type[UpdaterError]] = {
    Severity.SOON: RequestError,
    Severity.UNSEEN: MachineError,
    Severity.DAMAGED: PatchError,
    Severity.NOW: TrustError,
}
"""The error that stands for each; its exit code is that of the command."""


@dataclass(frozen=True)
class Concern:
    """Something that is wrong, and what to do."""

    severity: Severity
    what: str
    hint: str = ""

    @property
    def error(self) -> UpdaterError:
        """The error that says it."""
        return ERRORS[self.severity](self.what, hint=self.hint)

    @classmethod
    def of(cls, error: UpdaterError) -> Concern:
        """The concern of an error that ended an inspection."""
        now = isinstance(error, TrustError | FormatError)
        return cls(Severity.NOW if now else Severity.UNSEEN, str(error), error.hint)


def worst(concerns: Iterable[Concern]) -> Severity:
    """The severity of the worst of them."""
    return max((concern.severity for concern in concerns), default=Severity.WELL)


def exit_code(severity: Severity, *, idle: bool = False) -> int:
    """The exit code of a command that found nothing worse.

    Args:
        severity: of the worst concern.
        idle: there was nothing to do, which counts only if all is well.
    """
    if severity is Severity.WELL:
        return NOTHING_TO_DO if idle else 0
    return ERRORS[severity].exit_code
