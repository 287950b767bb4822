"""Consent: whoever runs an install may agree that it sends reports to its publisher."""

from __future__ import annotations

from updater.disk.durable import machine_errors, present
from updater.format.encoding.canonical import encode
from updater.launch.state import State

FORMAT = 1
"""Of ``consent.json``."""


def reports_allowed(state: State) -> bool:
    """True if this install may send reports to its publisher.

    Raises:
        OSError: the State cannot be read.
    """
    return present(state.consent)


def allow_reports(state: State, *, on: bool) -> None:
    """Let this install tell its publisher how it fares, or end that.

    It stands in a file of its own, because a rollback brings earlier settings back, and must not
    bring back what its user has ended.

    Raises:
        InstallError: the disk; it stays as it was.
    """
    with machine_errors(f"writing {state.consent}"):
        if on:
            state.disk.write(state.consent, encode({"format": FORMAT}))
        else:
            state.disk.unlink(state.consent)
            state.disk.sync_directory(state.folder)
