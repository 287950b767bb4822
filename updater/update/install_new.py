"""Installation: a first install into an empty folder, or none of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from updater.check.route import choose
from updater.disk.durable import machine_errors, present
from updater.errors import InstallError, RequestError
from updater.format.manifest import Manifest
from updater.launch.commit.recover import recover
from updater.launch.state import State
from updater.local.launcher_files import renew_launcher
from updater.local.session import Session
from updater.local.settings import Settings, read_manifest
from updater.update.job import Job, Updated
from updater.update.new_state import (
    Origin,
    check_empty,
    clear_state,
    first_commit,
    installed_error,
    is_empty,
    new_state,
    without_links,
)


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
    origin = Origin.of(url, root, app, channel, reports=reports)
    place = Path(folder)
    is_new = not present(place)
    with machine_errors(f"installing into {place}"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place = without_links(place)
        with new_state(session, place, check_empty, "installing", is_new=is_new) as state:
            _start_over(state)
            with first_commit(session, state, origin):
                return _first_install(session, state, origin.settings)


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
        raise RequestError(
            f"channel {settings.channel} of {settings.app} offers nothing",
            hint="was a release promoted? was it recalled?",
        )
    nothing = Manifest.empty(settings.app)
    done = Job(session, state, catalogue, settings, nothing, received).run(version)
    with suppress(InstallError, OSError):  # the next command makes it
        renew_launcher(state, read_manifest(state, session.config.limits))
    return done


def _start_over(state: State) -> None:
    """Finish what a killed install has left, or clear it away.

    The State of an install whose folder was removed, or emptied, makes way at once.
    """
    if not is_empty(state):
        recover(state)
        if present(state.manifest):
            raise installed_error(state)
        check_empty(state)
    clear_state(state)
