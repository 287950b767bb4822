"""Installation: a first install into an empty folder, or none of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from updater.check.route import choose
from updater.disk.durable import machine_errors, present
from updater.disk.lock import locked
from updater.errors import InstallError, UpdateInProgress
from updater.format.manifest import Manifest
from updater.format.names import check_app, check_channel
from updater.launch.commit.journal import phase_of
from updater.launch.commit.recover import recover
from updater.launch.state import State
from updater.local.launcher_files import renew_launcher
from updater.local.session import Session
from updater.local.settings import Settings, read_manifest
from updater.local.state_folder import (
    Origin,
    check_empty,
    clear_state,
    create_state,
    is_empty,
    remove_state,
    without_links,
)
from updater.net.address import Address
from updater.reports.sending import allow_reports
from updater.update.job import Job, Updated


def install(
    folder: Path | str,
    url: str,
    root: bytes,
    app: str,
    channel: str = "stable",
    session: Session | None = None,
    *,
    reports: bool = False,
) -> Updated:
    """Install what ``channel`` offers into ``folder``, which is empty or not there.

    ``root`` is the repository's root metadata, from a source the user trusts: everything
    later is verified against it. With ``reports`` its publisher is told how the install fares
    (see `updater.reports.sending`).

    Raises:
        InstallError: the folder is not empty, the channel offers nothing, or as
            `Updater.update`. After any error nothing is left in ``folder`` or beside it.
    """
    session = session or Session()
    origin = Origin(Address.parse(url), root)
    settings = Settings(
        app=check_app(app),
        channel=check_channel(channel),
        url=origin.address.url,
    )
    place = Path(folder)
    is_new = not present(place)
    with machine_errors(f"installing into {place}"):
        try:
            state = _install_state(session, place)
            with locked(state.lock, "installing"):
                _start_over(session, state)
                return _undisturbed(session, state, settings, origin, reports=reports)
        except UpdateInProgress:
            raise
        except BaseException:
            with suppress(OSError):  # the cause is what counts
                remove_state(session, without_links(place), is_new=is_new)
            raise


def _undisturbed(
    session: Session, state: State, settings: Settings, origin: Origin, *, reports: bool
) -> Updated:
    """The installation itself, by the holder of the lock."""
    try:
        origin.keep(session, state)
        if reports:
            allow_reports(session.disk, state, on=True)
        return _first_install(session, state, settings)
    except BaseException:
        if phase_of(state) is None and not present(state.manifest):
            with suppress(OSError):  # the cause is what counts
                clear_state(session, state)
        raise


def _first_install(session: Session, state: State, settings: Settings) -> Updated:
    received = session.transport.received
    catalogue = session.refresh(state, settings, session.now())
    version = choose(
        catalogue,
        session.identities(state).read().name,
        catalogue.now,
        installed="",
        bad=frozenset(),
    )
    if version is None:
        raise InstallError(
            f"channel {settings.channel} of {settings.app} offers nothing",
            hint="was a release promoted? was it recalled?",
        )
    nothing = Manifest.empty(settings.app)
    done = Job(session, state, catalogue, settings, nothing, received).run(version)
    with suppress(InstallError, OSError):  # the next command makes it
        renew_launcher(session.disk, state, read_manifest(state, session.config.limits))
    return done


def _install_state(session: Session, place: Path) -> State:
    """The install folder and its State, made if they are not there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not present(place):
        session.disk.mkdir(place, own=True)
    return create_state(session, without_links(place), check_empty)


def _start_over(session: Session, state: State) -> None:
    """What an install that was killed has left is finished, or makes way for a new one.

    The State of an install whose folder was removed, or emptied, makes way at once.
    """
    if not is_empty(state):
        recover(session.disk, state)
        if present(state.manifest):
            raise InstallError(
                f"{state.install} is an install already", hint="use `updater update`"
            )
        check_empty(state)
    clear_state(session, state)
