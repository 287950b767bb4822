"""The client: what an application embeds, and what the command line calls."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from updater.errors import InstallError, UpdateInProgress
from updater.format.manifest import Manifest
from updater.format.names import check_app, check_channel
from updater.format.release import Release
from updater.job import Job, Updated
from updater.launch.disk import present, remove_tree, told
from updater.launch.journal import phase_of
from updater.launch.lock import locked
from updater.launch.recover import Outcome, recover
from updater.launch.state import State, find
from updater.launch.state import choose as choose_state
from updater.launch.swap import discard_stage
from updater.plan import Plan, choose, make_plan
from updater.restart import command, replace_process, start_beside
from updater.session import Session
from updater.store import Settings, find_install, read_manifest, read_settings
from updater.trust import Catalogue


@dataclass(frozen=True)
class Status:
    """What is installed; learned from disk alone."""

    app: str
    version: str
    channel: str
    state: str
    """``clean``, or ``interrupted``: run recover."""
    previous: str
    bad: tuple[str, ...]


@dataclass(frozen=True)
class Offer:
    """An update that is there for this install."""

    installed: str
    available: str
    fetch_bytes: int
    """Bytes to download, metadata not counted."""
    full_bytes: int
    """Bytes of the whole release as a bundle, for comparison; 0 if there is none."""
    write_bytes: int
    """Bytes to write into the stage."""
    disk_bytes: int
    """Free disk the update needs at its peak."""
    required: bool
    """The publisher asks not to put this update off."""
    restart: bool
    """Whether there is something to restart afterwards."""


class Updater:
    """One install of one application."""

    def __init__(self, folder: Path | str, session: Session | None = None) -> None:
        """Open the install at ``folder``.

        Raises:
            InstallError: there is none.
        """
        self._state = find_install(Path(folder))
        self._session = session or Session()

    def status(self) -> Status:
        """What is installed, without asking anybody.

        Raises:
            InstallError: the state is damaged.
        """
        settings, manifest = self._read()
        state = "clean" if phase_of(self._state) is None else "interrupted"
        return Status(
            settings.app,
            manifest.version,
            settings.channel,
            state,
            settings.previous,
            settings.bad,
        )

    def check(self) -> Offer | None:
        """The update that is there for this install, or None. Changes no installed file.

        Raises:
            UpdaterError: as `update`.
        """
        settings, manifest = self._read()
        catalogue, plan = self._plan(settings, manifest.version)
        if plan is None:
            return None
        published = catalogue.releases[plan.version]
        return Offer(
            manifest.version,
            plan.version,
            plan.fetch_bytes,
            published.bundle.length if published.bundle else 0,
            plan.write_bytes,
            plan.disk_bytes,
            published.required,
            bool(manifest.release.entry),
        )

    def update(self) -> Updated | None:
        """Bring the install to the version it shall have; None if it has it.

        Recovers an interrupted update first. Restarts nothing: call `restart` when ready.

        Raises:
            TransportError: the network; what was downloaded is kept for the next try.
            TrustError: the publisher's signatures do not hold.
            FormatError: a signed document is not what our format allows.
            PatchError: neither patch nor bundle gives the release.
            InstallError: this machine; among them `NotEnoughSpace` and `UpdateInProgress`.
                But for `RollbackFailed` the old version is whole.
        """
        with told(f"updating {self._state.install}"), locked(self._state.lock, "updating"):
            self._recover()
            settings, manifest = self._read()
            received = self._session.transport.received
            catalogue, plan = self._plan(settings, manifest.version)
            if plan is None:
                return None
            job = Job(self._session, self._state, catalogue, settings, manifest, received)
            return job.run(plan)

    def recover(self) -> Outcome:
        """Finish or undo what an interrupted update left; needs no network.

        Raises:
            UpdateInProgress: an update is under way just now.
            RollbackFailed: the disk lets neither happen now.
        """
        with told(f"recovering {self._state.install}"), locked(self._state.lock, "recovering"):
            return self._recover()

    def restart(self, arguments: Sequence[str] = ()) -> NoReturn:
        """End this process and start the installed version in its place.

        Raises:
            InstallError: the release names nothing to start, or it cannot be started.
        """
        replace_process(self._command(arguments))

    def start(self, arguments: Sequence[str] = ()) -> None:
        """Start the installed version by itself, beside this process.

        Raises:
            InstallError: as `restart`.
        """
        start_beside(self._command(arguments))

    @property
    def release(self) -> Release:
        """What the publisher says of the installed release.

        Raises:
            InstallError: the state is damaged.
        """
        return read_manifest(self._state, self._session.config.limits).release

    def _read(self) -> tuple[Settings, Manifest]:
        if phase_of(self._state) is not None and not present(self._state.manifest):
            raise InstallError(
                f"the installation into {self._state.install} was interrupted",
                hint="run updater recover",
            )
        manifest = read_manifest(self._state, self._session.config.limits)
        return read_settings(self._state), manifest

    def _plan(self, settings: Settings, installed: str) -> tuple[Catalogue, Plan | None]:
        now = self._session.now()
        catalogue = self._session.refresh(self._state, settings, now)
        version = choose(
            catalogue, settings.install_id, now, installed=installed, bad=frozenset(settings.bad)
        )
        plan = None if version is None else make_plan(catalogue, installed, version)
        return catalogue, plan

    def _recover(self) -> Outcome:
        outcome = recover(self._session.disk, self._state)
        discard_stage(self._session.disk, self._state)
        return outcome

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return command(self._state.install, self.release, arguments)


def install(
    folder: Path | str,
    url: str,
    root: bytes,
    app: str,
    channel: str = "stable",
    session: Session | None = None,
) -> Updated:
    """Install what ``channel`` offers into ``folder``, which is empty or not there.

    ``root`` is the repository's root metadata, from a source the user trusts: everything
    later is verified against it.

    Raises:
        InstallError: the folder is not empty, the channel offers nothing, or as
            `Updater.update`. After any error nothing is left in ``folder`` or beside it.
    """
    session = session or Session()
    settings = Settings(
        app=check_app(app),
        channel=check_channel(channel),
        url=_check_url(url),
        install_id=uuid.uuid4().hex,
    )
    place = Path(folder)
    is_new = not present(place)
    with told(f"installing into {place}"):
        try:
            state = _claim(session, place)
            with locked(state.lock, "installing"):
                _start_over(session, state)
                return _undisturbed(session, state, settings, root)
        except UpdateInProgress:
            raise
        except BaseException:
            with suppress(OSError):  # the cause is what counts
                _withdraw(session, _real(place), is_new=is_new)
            raise


def _undisturbed(session: Session, state: State, settings: Settings, root: bytes) -> Updated:
    """The installation itself, by the holder of the lock."""
    try:
        session.disk.write(state.root, root)
        return _first_install(session, state, settings)
    except BaseException:
        if phase_of(state) is None and not present(state.manifest):
            with suppress(OSError):  # the cause is what counts
                _empty(session, state)
        raise


def _first_install(session: Session, state: State, settings: Settings) -> Updated:
    now = session.now()
    received = session.transport.received
    catalogue = session.refresh(state, settings, now)
    version = choose(catalogue, settings.install_id, now, installed="", bad=frozenset())
    if version is None:
        raise InstallError(
            f"channel {settings.channel} of {settings.app} offers nothing",
            hint="was a release promoted? was it recalled?",
        )
    nothing = Manifest.empty(settings.app)
    plan = make_plan(catalogue, None, version)
    return Job(session, state, catalogue, settings, nothing, received).run(plan)


def _claim(session: Session, place: Path) -> State:
    """The install folder and its State, made if they are not there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not present(place):
        session.disk.mkdir(place)
    place = _real(place)
    state = find(place)
    if state is None:
        state = choose_state(place)
        _check_empty(state)
        session.disk.mkdir(state.folder)
    return state


def _start_over(session: Session, state: State) -> None:
    """What an install that was killed has left is finished, or makes way for a new one."""
    recover(session.disk, state)
    if present(state.manifest):
        raise InstallError(f"{state.install} is an install already", hint="use `updater update`")
    _check_empty(state)
    _empty(session, state)


def _check_empty(state: State) -> None:
    if any(child != state.folder for child in state.install.iterdir()):
        raise InstallError(
            f"{state.install} is not empty", hint="name a new folder; other files are not touched"
        )


def _empty(session: Session, state: State) -> None:
    """Leave nothing in the State but the lock this process holds."""
    for child in sorted(state.folder.iterdir()):
        if child != state.lock:
            remove_tree(session.disk, child)


def _withdraw(session: Session, place: Path, *, is_new: bool) -> None:
    """Remove a State with nothing in it but the lock, which nobody holds any more."""
    state = find(place)
    if state is not None and {state.lock}.issuperset(state.folder.iterdir()):
        remove_tree(session.disk, state.folder)
    if is_new:
        session.disk.rmdir(place)


def _real(place: Path) -> Path:
    """``place`` without symlinks; one that leads to itself stays as it is, and is found later."""
    return Path(os.path.realpath(place))


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and not parts.query
    except ValueError:  # such as a bracket that is not closed
        usable = False
    if not usable:
        raise InstallError(f"{url!a} is not the URL of a repository", hint="http:// or https://")
    return url.rstrip("/")
