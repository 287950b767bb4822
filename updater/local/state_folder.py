"""The State of an install that is being made: laid claim to, and taken back if that fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from updater.disk.durable import remove_tree
from updater.disk.permissions import (
    ROOT,
    WINDOWS,
    permit,
)
from updater.errors import InstallError
from updater.launch.commit.trash import clear
from updater.launch.state import State, choose, find
from updater.local.session import Session
from updater.net.address import Address


def create_state(session: Session, place: Path, check: Callable[[State], None]) -> State:
    """The State of the folder ``place``, made if it is not there and ``check`` allows it.

    Whoever may not enter the install may not enter its State, and its owner owns it.

    Raises:
        InstallError: what every later command demands of it does not hold here.
    """
    state = find(place)
    if state is None:
        state = choose(place)
        check(state)
        _make(session, state)
    return state


def _make(session: Session, state: State) -> None:
    session.disk.mkdir(state.folder, private=True, own=True)
    try:
        session.disk.imitate(state.folder, state.install)
        permit(state.folder, state.folder.stat().st_mode & 0o755)
        find(state.install)
    except BaseException:
        session.disk.rmdir(state.folder)
        raise


def is_empty(state: State) -> bool:
    """Whether there is nothing in the install folder."""
    return all(child == state.folder for child in state.install.iterdir())


def check_empty(state: State) -> None:
    """Refuse an install folder that has something in it.

    Raises:
        InstallError: it has.
    """
    if not is_empty(state):
        raise InstallError(
            f"{state.install} is not empty", hint="name a new folder; other files are not touched"
        )


def check_owned(state: State) -> None:
    """Refuse an install folder that is somebody else's; root acts for its owner.

    Raises:
        InstallError: it is.
    """
    if not WINDOWS and os.geteuid() not in {ROOT, state.install.stat().st_uid}:
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
            session.disk.write(state.access, self.address.data, private=True)
        session.identities(state).draw()
        session.disk.write(state.root, self.root)


def clear_state(session: Session, state: State, keep: Collection[Path] = ()) -> None:
    """Leave nothing in the State but the lock this process holds, and what cannot be deleted yet.

    Args:
        session: its disk is used.
        state: of the install that is to be made.
        keep: what stays all the same.

    Raises:
        OSError: the disk.
    """
    for child in sorted(state.folder.iterdir()):
        if child not in {state.lock, state.trash, *keep}:
            clear(session.disk, state, child)


def remove_state(session: Session, place: Path, *, is_new: bool) -> None:
    """Remove a State with nothing in it but the lock, which nobody holds any more.

    ``is_new``: whether the install folder was made for it too, and goes as well.
    """
    state = find(place)
    if state is not None and {state.lock}.issuperset(state.folder.iterdir()):
        remove_tree(session.disk, state.folder)
    if is_new:
        session.disk.rmdir(place)


def without_links(place: Path) -> Path:
    """``place`` without symlinks; one that leads to itself stays as it is, and is found later."""
    return Path(os.path.realpath(place))
