"""The State of an install that is being made; removed again if the first commit fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from updater.disk.durable import present, remove_tree
from updater.disk.lock import locked
from updater.disk.permissions import ROOT, WINDOWS, permit
from updater.errors import InstallError, MachineError, RequestError, UpdateInProgress
from updater.format.names import check_app, check_channel
from updater.launch.commit.journal import phase_of
from updater.launch.commit.trash import clear
from updater.launch.state import State, choose, find
from updater.local.session import Session
from updater.local.settings import Settings
from updater.net.address import Address
from updater.reports.consent import allow_reports


@dataclass(frozen=True)
class Origin:
    """The origin of an install: URL, root, app and channel, and consent to reports."""

    address: Address
    root: bytes
    settings: Settings
    reports: bool

    @classmethod
    def of(cls, url: str, root: bytes, app: str, channel: str, *, reports: bool) -> Origin:
        """Check every part of it.

        Raises:
            InstallError, FormatError: a part is not what it must be.
        """
        address = Address.parse(url)
        settings = Settings(app=check_app(app), channel=check_channel(channel), url=address.url)
        return cls(address, root, settings, reports)

    def write(self, session: Session, state: State) -> None:
        """Write what a State begins with; secrets of the URL where its owner alone reads them.

        Raises:
            InstallError, OSError: the disk.
        """
        if self.address.is_secret:
            state.disk.write(state.access, self.address.data, private=True)
        session.identities(state).draw()
        state.disk.write(state.root, self.root)
        if self.reports:
            allow_reports(state, on=True)


@contextmanager
def new_state(
    session: Session,
    place: Path,
    check: Callable[[State], None],
    what: str,
    *,
    is_new: bool = False,
) -> Iterator[State]:
    """The State of the folder ``place``, locked; removed if the body fails and leaves it empty.

    Args:
        session: its disk is used.
        place: the install folder, without symlinks.
        check: raises if the folder may not become an install.
        what: said to whoever finds the lock taken.
        is_new: the install folder is made for this too, and removed with it.

    Raises:
        InstallError: what every later command demands of the folder does not hold here.
        UpdateInProgress: another process makes this install just now.
    """
    try:
        if is_new:
            session.disk.mkdir(place, own=True)
        state = _create(session, place, check)
        with locked(state.lock, what):
            yield state
    except UpdateInProgress:
        raise
    except BaseException:
        with suppress(OSError, InstallError):  # the cause is what counts
            _remove(session, place, is_new=is_new)
        raise


@contextmanager
def first_commit(
    session: Session, state: State, origin: Origin, keep: Collection[Path] = ()
) -> Iterator[None]:
    """Write what ``state`` begins with; clear it again if the body fails before its commit."""
    try:
        origin.write(session, state)
        yield
    except BaseException:
        if phase_of(state) is None and not present(state.manifest):
            with suppress(OSError):  # the cause is what counts
                clear_state(state, keep)
        raise


def clear_state(state: State, keep: Collection[Path] = ()) -> None:
    """Leave nothing in the State but the lock this process holds, and what cannot be deleted yet.

    Args:
        state: of the install that is to be made.
        keep: what stays all the same.

    Raises:
        OSError: the disk.
    """
    for child in sorted(state.folder.iterdir()):
        if child not in {state.lock, state.trash, *keep}:
            clear(state, child)


def is_empty(state: State) -> bool:
    """True if there is nothing in the install folder."""
    return all(child == state.folder for child in state.install.iterdir())


def check_empty(state: State) -> None:
    """Refuse an install folder that has something in it.

    Raises:
        InstallError: it has.
    """
    if not is_empty(state):
        raise RequestError(
            f"{state.install} is not empty", hint="name a new folder; other files are not touched"
        )


def check_owned(state: State) -> None:
    """Refuse an install folder that is somebody else's; root acts for its owner.

    Raises:
        InstallError: it is.
    """
    if not WINDOWS and os.geteuid() not in {ROOT, state.install.stat().st_uid}:
        raise MachineError(
            f"{state.install} belongs to another user", hint="run as the owner of the folder"
        )


def installed_error(state: State) -> RequestError:
    """The error of a folder that is an install already."""
    return RequestError(f"{state.install} is an install already", hint="use `updater update`")


def without_links(place: Path) -> Path:
    """``place`` without symlinks; one that leads to itself stays as it is, and is found later."""
    return Path(os.path.realpath(place))


def _create(session: Session, place: Path, check: Callable[[State], None]) -> State:
    """Find the State or make it: who may not enter the install may not enter its State either."""
    state = find(place)
    if state is None:
        state = choose(place).on(session.disk)
        check(state)
        session.disk.mkdir(state.folder, private=True, own=True)
        try:
            session.disk.imitate(state.folder, state.install)
            permit(state.folder, state.folder.stat().st_mode & 0o755)
            find(state.install)
        except BaseException:
            session.disk.rmdir(state.folder)
            raise
    return state.on(session.disk)


def _remove(session: Session, place: Path, *, is_new: bool) -> None:
    """Remove a State with nothing in it but the lock, which nobody holds any more."""
    state = find(place)
    if state is not None and {state.lock}.issuperset(state.folder.iterdir()):
        remove_tree(session.disk, state.folder)
    if is_new:
        session.disk.rmdir(place)
