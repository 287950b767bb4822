"""The State of an install that is being made: laid claim to, and taken back if that fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from updater.address import Address
from updater.errors import InstallError
from updater.launch.disk import WINDOWS, remove_tree
from updater.launch.state import State, choose, find
from updater.session import Session


def claim(session: Session, place: Path, check: Callable[[State], None]) -> State:
    """The State of the folder ``place``, made if it is not there and ``check`` allows it."""
    state = find(place)
    if state is None:
        state = choose(place)
        check(state)
        session.disk.mkdir(state.folder)
    return state


def check_empty(state: State) -> None:
    """Refuse an install folder that has something in it.

    Raises:
        InstallError: it has.
    """
    if any(child != state.folder for child in state.install.iterdir()):
        raise InstallError(
            f"{state.install} is not empty", hint="name a new folder; other files are not touched"
        )


def check_owned(state: State) -> None:
    """Refuse an install folder that is somebody else's: their State could not be ours.

    Raises:
        InstallError: it is.
    """
    if not WINDOWS and state.install.stat().st_uid != os.geteuid():
        raise InstallError(
            f"{state.install} belongs to another user", hint="run as the owner of the folder"
        )


@dataclass(frozen=True)
class Origin:
    """Where an install comes from."""

    address: Address
    root: bytes

    def keep(self, session: Session, state: State) -> None:
        """Write what a State begins with; secrets of the URL where its owner alone reads them.

        Raises:
            InstallError, OSError: the disk.
        """
        if self.address.is_secret:
            session.disk.write_private(state.access, self.address.data)
        session.identities(state).draw()
        session.disk.write(state.root, self.root)


def empty(session: Session, state: State) -> None:
    """Leave nothing in the State but the lock this process holds."""
    for child in sorted(state.folder.iterdir()):
        if child != state.lock:
            remove_tree(session.disk, child)


def withdraw(session: Session, place: Path, *, is_new: bool) -> None:
    """Remove a State with nothing in it but the lock, which nobody holds any more.

    ``is_new``: whether the install folder was made for it too, and goes as well.
    """
    state = find(place)
    if state is not None and {state.lock}.issuperset(state.folder.iterdir()):
        remove_tree(session.disk, state.folder)
    if is_new:
        session.disk.rmdir(place)


def real(place: Path) -> Path:
    """``place`` without symlinks; one that leads to itself stays as it is, and is found later."""
    return Path(os.path.realpath(place))
