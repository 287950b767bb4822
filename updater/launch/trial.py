"""The trial of a new version: from its commit until it is confirmed, or rolled back.

Only the launcher counts starts. The application writes one file, ``confirmed``, and nothing
else: whatever it does, it cannot damage what a rollback needs.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass

from updater.errors import InstallError
from updater.launch.brief import is_text
from updater.launch.disk import Disk, present
from updater.launch.document import encode, read
from updater.launch.state import State


@dataclass(frozen=True)
class Trial:
    """``trial``: a version that has not been confirmed."""

    version: str
    previous: str
    started: int = 0
    """How often the launcher has started it."""

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return encode(asdict(self))


def read_trial(state: State) -> Trial | None:
    """The trial that is on; None if the installed version is to stay.

    A damaged file is none: it is written in one step, so that nobody but the user damages it.

    Raises:
        OSError: the disk.
    """
    with suppress(InstallError, TypeError):
        document = read(state.trial)
        trial = None if document is None else Trial(**document)
        return trial if trial and _is_sane(trial) else None
    return None


def _is_sane(trial: Trial) -> bool:
    return is_text(trial.version) and is_text(trial.previous) and isinstance(trial.started, int)


def confirm(disk: Disk, state: State, version: str) -> None:
    """Keep ``version``. Called by the application; does nothing if no trial of it is on.

    Raises:
        OSError: the disk; the version is not confirmed.
    """
    trial = read_trial(state)
    if trial is not None and trial.version == version and not is_confirmed(state, trial):
        disk.write(state.confirmed, version.encode())


def is_confirmed(state: State, trial: Trial) -> bool:
    """Whether the application has confirmed the version on trial."""
    with suppress(FileNotFoundError):
        return state.confirmed.read_bytes() == trial.version.encode()
    return False


def settle(disk: Disk, state: State) -> Trial | None:
    """End a trial that was confirmed; the one that is still on, if any.

    Raises:
        OSError: the disk; call it again.
    """
    trial = read_trial(state)
    if trial is not None and not is_confirmed(state, trial):
        return trial
    if present(state.trial):
        disk.unlink(state.arrival)
        disk.unlink(state.trial)
        disk.sync_directory(state.folder)
    if present(state.confirmed):
        disk.unlink(state.confirmed)
    return None


def count_start(disk: Disk, state: State, trial: Trial) -> Trial:
    """Note durably, before it happens, that the version on trial is started.

    Raises:
        OSError: the disk.
    """
    counted = Trial(trial.version, trial.previous, trial.started + 1)
    disk.write(state.trial, counted.data)
    return counted
