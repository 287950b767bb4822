"""Adoption: an application that another installer placed becomes an install of ours."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from updater.check.route import check_updater
from updater.check.trust import is_root
from updater.disk.durable import machine_errors, present
from updater.errors import DamagedJournal, DamagedState, RequestError, RollbackFailed
from updater.format.names import check_version
from updater.launch.commit.journal import Phase, named, phase_of
from updater.launch.commit.recover import begin_mixed, end_mixed, recover
from updater.launch.state import State
from updater.local.launcher_files import renew_launcher
from updater.local.session import Session
from updater.local.settings import (
    ADOPT_HINT,
    Settings,
    read_address,
    read_manifest,
    read_root,
    read_settings,
)
from updater.stage.inspect import inspect
from updater.update.follow_route import find_manifest
from updater.update.new_state import (
    Origin,
    check_owned,
    clear_state,
    first_commit,
    installed_error,
    new_state,
    without_links,
)
from updater.update.repair import Repair, Repaired


def adopt(  # noqa: PLR0913 - what `install` takes, and two more
    folder: Path | str,
    url: str,
    root: bytes,
    app: str,
    version: str,
    channel: str = "stable",
    *,
    repair: bool = False,
    reports: bool = False,
    session: Session | None = None,
) -> Repaired:
    """Take over the application in ``folder``, if it is ``version`` as its publisher signed it.

    Files the release does not know are left alone. Updates go on from here as if `install` had
    placed it.

    Args:
        folder: where another installer has put the application.
        url: the repository's URL.
        root: the repository's root metadata, from a source the user trusts.
        app: its name in the repository.
        version: what is installed.
        channel: whose updates it shall get.
        repair: fetch what is missing or damaged; what lies there instead is kept as ``NAME.old``.
            It also takes over anew an install whose State is too damaged for `Updater.repair`.
        reports: tell the publisher how the install fares (see `updater.reports.sending`).
        session: network, progress and settings.

    Raises:
        NotWhole: the files are not those of ``version``, and ``repair`` is not given.
        PatchError: what is damaged cannot be had from the release's bundle.
        InstallError: there is no such folder or no such version, it is an install already, or as
            `Updater.update`.
        UpdaterError: as `Updater.update`. After any error the tree is as before, and there is no
            State, but for what starts the application if it was an install.
    """
    session = session or Session()
    origin = Origin.of(url, root, app, channel, reports=reports)
    check_version(version)
    place = without_links(Path(folder))
    with (
        machine_errors(f"adopting {place}"),
        new_state(session, place, _check_place, "adopting") as state,
    ):
        _start_over(session, state, repair=repair)
        with first_commit(session, state, origin, _needed_to_start(state)):
            return _adopt(session, state, origin.settings, version, repair=repair)


def _check_place(state: State) -> None:
    if not state.install.is_dir():
        raise RequestError(
            f"{state.install} is not a folder", hint="name the folder of the application"
        )
    check_owned(state)


def _start_over(session: Session, state: State, *, repair: bool) -> None:
    """Finish what a killed adoption has left, or clear it away.

    So does, if the tree is repaired, a State that is too damaged for a repair.
    """
    damage = _damage(session, state)
    try:
        recover(state)
    except (DamagedJournal, RollbackFailed):
        if damage is None or not repair:
            raise
        begin_mixed(state)
    if present(state.manifest):
        _require_damage(state, damage, repair=repair)
    clear_state(state, _needed_to_start(state))


def _require_damage(state: State, damage: DamagedState | None, *, repair: bool) -> None:
    """Refuse what is an install already, unless it cannot be used, and is to be repaired."""
    if damage is None:
        raise installed_error(state)
    if not repair:
        raise damage


def _damage(session: Session, state: State) -> DamagedState | None:
    """The damage that makes a State useless for every command; None: there is none."""
    try:
        read_address(state, read_settings(state))
        read_manifest(state, session.config.limits)
        if is_root(read_root(state)):
            return None
    except DamagedState as error:
        return error
    return DamagedState(f"{state.root} is no root metadata", hint=ADOPT_HINT)


def _needed_to_start(state: State) -> tuple[Path, ...]:
    """The files that start the application, if it was an install: they stay in the State."""
    return state.launcher, state.release, state.run_lock, named(state, Phase.MIXED)


def _adopt(
    session: Session, state: State, settings: Settings, version: str, *, repair: bool
) -> Repaired:
    catalogue = session.refresh(state, settings, session.now())
    release = catalogue.releases.get(version)
    if release is None:
        raise RequestError(
            f"{settings.app} {version} is not published", hint="which version is installed?"
        )
    check_updater(release)
    manifest = find_manifest(session, state, catalogue, settings.app, version)
    findings = inspect(state, manifest, session.progress, full=True)
    if not repair:
        findings.require_whole(hint="--repair puts back what is damaged, and keeps what is there")
    done = Repair(session, state, settings, lambda: catalogue).run(manifest, findings)
    if phase_of(state) is Phase.MIXED:
        end_mixed(state)
    with suppress(OSError):  # the next command makes it
        renew_launcher(state, manifest)
    return done
