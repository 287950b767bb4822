"""The trial of a new version: from its commit until it is confirmed, or rolled back.

Only evidence counts against a version: a crash, or its seconds run out while it runs. A start
that ends well, or that somebody else ends, says nothing. One whose end nobody saw is counted
apart: a version that takes the machine down shall not be started for ever.

Only the launcher counts. The application writes one file, ``confirmed``, and nothing else:
whatever it does, it cannot damage what a rollback needs.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from updater.disk.durable import present
from updater.disk.json_file import encode, read
from updater.errors import InstallError
from updater.launch.start.release_facts import is_text
from updater.launch.state import State

CUT_OFF_MOST = 5
"""Starts in a row whose end nobody saw, after which the version is taken to be the cause."""


NO_TRIAL = b""
"""The file of a version that stays anyway, where it replaced one on trial."""


@dataclass(frozen=True)
class Trial:
    """``trial``: a version that has not been confirmed."""

    version: str
    previous: str
    ran: bool = False
    """True if the launcher has started it at all."""
    failed: int = 0
    """Starts that spoke against it."""
    why: str = ""
    """The failure of the last of them."""
    cut_off: int = 0
    """Starts in a row whose end no launcher saw: the machine went down, or it was killed itself.

    A start that goes on just now is one of them."""

    def verdict(self, starts: int) -> str:
        """The reason to roll the version back; empty if there is none.

        Args:
            starts: how many of its starts must fail.
        """
        if self.failed >= starts:
            return self.why
        if self.cut_off >= CUT_OFF_MOST:
            return f"was cut off in {self.cut_off} starts, one after the other"
        return ""

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
    words, counts = (trial.version, trial.previous, trial.why), (trial.failed, trial.cut_off)
    return all(map(is_text, words)) and all(isinstance(count, int) for count in counts)


def confirm(state: State, version: str) -> None:
    """Keep ``version``. Called by the application; does nothing if no trial of it is on.

    Raises:
        OSError: the disk; the version is not confirmed.
    """
    trial = read_trial(state)
    if trial is not None and trial.version == version and not is_confirmed(state, trial):
        state.disk.write(state.confirmed, version.encode())


def is_confirmed(state: State, trial: Trial) -> bool:
    """True if the application has confirmed the version on trial."""
    with suppress(FileNotFoundError):
        return state.confirmed.read_bytes() == trial.version.encode()
    return False


def settle(state: State) -> Trial | None:
    """End a trial that was confirmed; the one that is still on, if any.

    Raises:
        OSError: the disk; call it again.
    """
    trial = read_trial(state)
    if trial is not None and not is_confirmed(state, trial):
        return trial
    if trial is not None:
        state.disk.unlink(state.arrival)  # it was told, to the version that has confirmed
    if present(state.trial):
        state.disk.unlink(state.trial)
        state.disk.sync_directory(state.folder)
    if present(state.confirmed):
        state.disk.unlink(state.confirmed)
    return None


def begin_start(state: State, trial: Trial) -> Trial:
    """Note durably, before it happens, that the version on trial is started.

    Raises:
        OSError: the disk.
    """
    return _note(state, replace(trial, ran=True, cut_off=trial.cut_off + 1))


def end_start(state: State, trial: Trial, why: str = "") -> Trial:
    """Note that a start of the version on trial has ended before somebody's eyes.

    Args:
        state: of the install.
        trial: as it stands now.
        why: what spoke against the version; empty: nothing.

    Raises:
        OSError: the disk.
    """
    ended = replace(trial, cut_off=0)
    return _note(state, replace(ended, failed=trial.failed + 1, why=why) if why else ended)


def _note(state: State, trial: Trial) -> Trial:
    state.disk.write(state.trial, trial.data)
    return trial
