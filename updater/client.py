"""The client: what an application embeds, and what the command line calls."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from updater.check.catalogue import Catalogue
from updater.check.route import Route, choose, find_route, is_recalled, is_required
from updater.check.watermarks import clock_doubt, read_watermarks
from updater.disk.durable import WINDOWS, machine_errors, present
from updater.disk.lock import locked
from updater.errors import (
    ApplicationRuns,
    DamagedJournal,
    InstallError,
    MachineError,
    RequestError,
    RollbackFailed,
    TransportError,
    UpdateInProgress,
    UpdaterError,
)
from updater.format.manifest import Manifest
from updater.format.release_description import Release
from updater.launch.commit.file_swap import discard_stage
from updater.launch.commit.journal import Phase, phase_of
from updater.launch.commit.pending import pending_version
from updater.launch.commit.recover import Outcome, begin_mixed, end_mixed, recover
from updater.launch.commit.rollback import previous_version, rollback
from updater.launch.commit.trash import spare
from updater.launch.start.environment import WAIT, WATCHED, handed_on
from updater.launch.start.launcher import Launcher
from updater.launch.start.run_lock import POLL, alone, leave
from updater.launch.start.run_lock import VARIABLE as RUN_LOCK
from updater.launch.start.trial import Trial, is_confirmed, read_trial, settle
from updater.local.launcher_files import launcher_command, renew_launcher, start_command
from updater.local.restart import hand_over, replace_process, start_beside
from updater.local.session import Session
from updater.local.settings import Settings, find_install, read_manifest, read_settings
from updater.reports.consent import allow_reports, reports_allowed
from updater.reports.failures import report_failure
from updater.reports.sending import public_name, send_reports
from updater.stage.inspect import Findings, inspect, is_exchanged
from updater.stage.stage import facts_of, renew_release_facts
from updater.transport import server_time
from updater.update.job import Job, Running, Updated, UpdateOutcome
from updater.update.repair import Repaired, repair

RESTART_WAIT = 30.0
"""Seconds the launcher waits for the end of the application it follows, where it must."""
HEARD = 2.0
"""Seconds after which a launcher has surely heard a confirmation."""


@dataclass(frozen=True)
class Status:
    """The state of an install, read from disk alone."""

    app: str
    version: str
    channel: str
    state: str
    """``clean``; ``staged``: an update waits for the next launch; ``unconfirmed``: on trial;
    ``interrupted``: run recover; ``damaged``: the folder holds files of another release, or
    hardly any of this: run repair."""
    pending: str
    """The version that waits for the next launch."""
    previous: str
    """The version before the last update."""
    bad: tuple[str, ...]
    """Versions that failed here; not offered again."""
    recalled: bool
    """True if the publisher withdrew the installed version, as far as this disk tells."""
    launcher: str
    """The command for shortcuts and services; empty: this install has no launcher."""


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
    """The publisher asks not to put this update off, or one that it jumps over."""
    restart: bool
    """True if there is something to restart afterwards."""
    recalled: bool
    """True if the publisher withdrew the installed version."""


@dataclass(frozen=True)
class RolledBack:
    """A rollback that was made."""

    old: str
    """Version before; bad from now on."""
    new: str
    """The earlier version that is back."""


class Updater:
    """One install of one application."""

    def __init__(self, folder: Path | str, session: Session | None = None) -> None:
        """Open the install at ``folder``.

        Raises:
            InstallError: there is none.
        """
        self._session = session or Session()
        self._state = find_install(Path(folder)).on(self._session.disk)

    def status(self) -> Status:
        """Read from disk what is installed; uses no network.

        Raises:
            InstallError: the state is damaged, or the disk.
        """
        with machine_errors(f"looking at {self._state.install}"):
            settings, manifest = self._read()
            condition = self._condition()
            if condition == "clean" and is_exchanged(self._state, manifest):
                condition = "damaged"
            return Status(
                settings.app,
                manifest.version,
                settings.channel,
                condition,
                pending_version(self._state),
                settings.previous,
                settings.bad,
                manifest.version in self._session.recalled(self._state, settings.app),
                subprocess.list2cmdline(launcher_command(self._state) or []),
            )

    def check(self) -> Offer | None:
        """The update that is there for this install, or None. Changes no installed file.

        Raises:
            UpdaterError: as `update`.
        """
        with self._sending_reports():
            return self._check()

    def _check(self) -> Offer | None:
        settings, manifest = self._read()
        catalogue, route = self._route(settings, manifest.version)
        if route is None:
            return None
        published = catalogue.releases[route.version]
        return Offer(
            manifest.version,
            route.version,
            route.fetch_bytes,
            published.bundle.length if published.bundle else 0,
            route.write_bytes,
            route.disk_bytes,
            is_required(catalogue, manifest.version, route.version),
            bool(manifest.release.entry),
            is_recalled(catalogue, manifest.version),
        )

    def _condition(self) -> str:
        phase = phase_of(self._state)
        if phase not in {None, Phase.STAGED}:
            return "interrupted"
        if self._unconfirmed():
            return "unconfirmed"
        return "clean" if phase is None else "staged"

    def update(self, running: Running = "stage") -> Updated:
        """Bring the install to the version it shall have; how that ended.

        Recovers an interrupted update first. Restarts nothing: call `restart` when ready.

        Args:
            running: what to do while the application runs, if the launcher has started it.
                ``stage``: leave the complete update to its next launch; ``wait`` for its end;
                ``force``: go on all the same.

        Raises:
            TransportError: the network; what was downloaded is kept for the next try.
            TrustError: the publisher's signatures do not hold.
            FormatError: a signed document is not what our format allows.
            PatchError: neither patch nor bundle gives the release.
            InstallError: this machine; among them `NotEnoughSpace` and `UpdateInProgress`.
                But for `RollbackFailed` the old version is whole.
        """
        with self._sending_reports():
            return self._update(running)

    def _update(self, running: Running) -> Updated:
        with (
            machine_errors(f"updating {self._state.install}"),
            locked(self._state.lock, "updating"),
        ):
            self._recover()
            settings, manifest = self._read()
            with suppress(InstallError):  # it is found again the next time
                self._session.identities(self._state).keep()
            received = self._session.transport.received
            with report_failure(self._session, self._state, manifest):
                catalogue, route = self._route(settings, manifest.version)
            if route is None:
                discard_stage(self._state)
                self._state.disk.unlink(self._state.announced)
                fetched = self._session.transport.received - received
                version = manifest.version
                return Updated(version, version, UpdateOutcome.CURRENT, fetched, 0, 0)
            job = Job(self._session, self._state, catalogue, settings, manifest, received, running)
            waits = pending_version(self._state) == route.version
            with report_failure(self._session, self._state, manifest, route.version):
                done = job.resume() if waits else None
                return self._before_confirmation(job.run(route.version) if done is None else done)

    def _before_confirmation(self, done: Updated) -> Updated:
        """In a start that its launcher watches nothing is restarted, until it has confirmed."""
        if done.outcome is UpdateOutcome.STAGED and WATCHED in os.environ and self._unconfirmed():
            return replace(done, outcome=UpdateOutcome.WAITING)
        return done

    def rollback(self) -> RolledBack:
        """Bring the version before the last update back; needs no network.

        The present version is not offered again until a newer one is.

        Raises:
            InstallError: none is kept, its publisher recalled it, or the application runs; nothing
                was changed.
            UpdateInProgress: an update is under way just now.
            RollbackFailed: it could not be finished; `recover` goes on with it.
        """
        what = f"rolling back {self._state.install}"
        with (
            machine_errors(what),
            locked(self._state.lock, "rolling back"),
            alone(self._state) as is_alone,
        ):
            recover(self._state)
            if not is_alone:
                raise ApplicationRuns("the application runs", hint="end it and try again")
            self._refuse_recalled(previous_version(self._state))
            commit = rollback(self._state, "rolled back by its user")
            return RolledBack(commit.new, commit.old)

    def recover(self) -> Outcome:
        """Finish or undo what an interrupted update left; needs no network.

        Raises:
            UpdateInProgress: an update is under way just now.
            RollbackFailed: the disk lets neither happen now.
        """
        with (
            machine_errors(f"recovering {self._state.install}"),
            locked(self._state.lock, "recovering"),
        ):
            return self._recover()

    def verify(self, *, full: bool = False) -> Findings:
        """Compare the install with the manifest of its release; changes nothing, uses no network.

        Holds no lock, and may be called by a user who may only read. Without ``full`` a file is
        hashed only if it was touched since it was put in place; a disk that gives other bytes
        than were written to it is found with ``full`` alone.

        Raises:
            InstallError: the state is damaged or an update was interrupted.
            UpdateInProgress: an update came in between; try again.
        """
        with machine_errors(f"verifying {self._state.install}"):
            manifest = self._settled()
            findings = inspect(self._state, manifest, self._session.progress, full=full)
            if self._is_changing() or self._settled() != manifest:
                raise UpdateInProgress(
                    f"{self._state.install} was updated meanwhile", hint="try again"
                )
            return findings

    def repair(self) -> Repaired | None:
        """Put back what is missing, damaged or edited as it was released; None if nothing is.

        Fetches only the parts of the release's bundle that hold such files; needs no network for
        symlinks and modes. What lies in their place is kept as ``NAME.old``. Files whose policy
        is ``keep`` or ``keep-if-changed`` stay as the user has made them. Settings do not change.

        Raises:
            TransportError, TrustError, FormatError: as `update`.
            PatchError: the installed release or its bundle is published no more.
            InstallError: as `update`; or the state is damaged, and what is installed is no
                published release either. But for `RollbackFailed` the tree is as before.
        """
        with (
            machine_errors(f"repairing {self._state.install}"),
            locked(self._state.lock, "repairing"),
        ):
            try:
                self._recover()
            except DamagedJournal:
                return self._unmixed()
            except RollbackFailed:
                self._session.refresh(self._state, read_settings(self._state), self._session.now())
                return self._unmixed()  # not before what is needed for it can be had
            return repair(self._session, self._state)

    def _unmixed(self) -> Repaired | None:
        """Make one release of a tree that is perhaps between two, as nobody can tell any more."""
        begin_mixed(self._state)
        made = repair(self._session, self._state)
        manifest = read_manifest(self._state, self._session.config.limits)
        spare(self._state, {*manifest.by_path, *manifest.directories})
        end_mixed(self._state)
        return made

    def restart(self, arguments: Sequence[str] = (), *, wait: float | None = None) -> NoReturn:
        """End this process and start the installed version in its place, through the launcher.

        An update that waits for this application to end is committed on the way. That needs all
        its processes to have ended: other windows, forked workers, a shell or an unpacker that
        waits for this one.

        Args:
            arguments: for the application.
            wait: do not become the launcher, but start it beside this process, which ends by
                `SystemExit`: the launcher waits so many seconds for the others to end, then
                starts what it can. For programs whose parent ends with them, as those that
                PyInstaller packs into one file. Not under a service manager, which takes the
                service for ended. On Windows there is no other way.

        Raises:
            ApplicationRuns: an update waits, ``wait`` is not given, and other processes of the
                application run. This one goes on as before.
            InstallError: the release names nothing to start, or it cannot be started.
        """
        line, environment = self._command(arguments), handed_on(os.environ, self._state.install)
        if wait is not None or WINDOWS:
            environment.pop(RUN_LOCK, None)
            environment[WAIT] = str(RESTART_WAIT if wait is None else wait)
            hand_over(line, environment)
        pending = pending_version(self._state)
        if pending:
            self._require_confirmed()
        leave(self._state, environment, pending)
        replace_process(line, environment)

    def _require_confirmed(self) -> None:
        """Refuse to leave a start that its launcher watches; what was just said it soon hears."""
        deadline = time.monotonic() + HEARD
        while WATCHED in os.environ and (trial := self._unconfirmed()):
            if time.monotonic() >= deadline:
                raise ApplicationRuns(
                    f"{trial.version} is not confirmed yet: its launcher waits for that",
                    hint="call updater.confirm() before restart()",
                )
            time.sleep(POLL)

    def _unconfirmed(self) -> Trial | None:
        trial = read_trial(self._state)
        return None if trial is None or is_confirmed(self._state, trial) else trial

    def start(self, arguments: Sequence[str] = ()) -> None:
        """Start the installed version by itself, beside this process, through the launcher.

        Raises:
            InstallError: as `restart`.
        """
        environment = handed_on(os.environ, self._state.install)
        environment.pop(RUN_LOCK, None)
        start_beside(self._command(arguments), environment)

    def launch(self, arguments: Sequence[str] = ()) -> int:
        """Be the launcher: see `updater.launch.start.launcher`; the application's exit code.

        Raises:
            InstallError: the tree is not whole and cannot be made so, or nothing can be started.
        """
        return Launcher(self._state).run(arguments)

    @property
    def release(self) -> Release:
        """The release description of the installed release.

        Raises:
            InstallError: the state is damaged.
        """
        return read_manifest(self._state, self._session.config.limits).release

    @property
    def clock_doubt(self) -> str:
        """The reason to doubt this machine's clock, in words; empty if there is none.

        If something was signed more than a day after what the clock says, updates go on at the
        signed time, but what is held back from us is not seen to expire.

        Raises:
            InstallError: the state cannot be read.
        """
        with machine_errors(f"reading {self._state.seen}"):
            signed = read_watermarks(self._state.seen).time.value
        return clock_doubt(self._session.now(), signed, server_time(self._session.transport))

    @property
    def reports(self) -> bool:
        """True if `check` and `update` send reports: see `updater.reports.sending`.

        To change it sends nothing.

        Raises:
            InstallError: the State cannot be read, or written.
        """
        with machine_errors(f"reading {self._state.consent}"):
            return reports_allowed(self._state)

    @reports.setter
    def reports(self, on: bool) -> None:
        allow_reports(self._state, on=on)

    @property
    def identity(self) -> str:
        """The name under which this install tells its publisher anything.

        It follows from a random one, which decides where the install stands in rollouts.

        Raises:
            InstallError: the State cannot be read.
        """
        return public_name(self._session.identities(self._state).read().name)

    def draw_identity(self) -> None:
        """Draw a new identity: for a copy that cannot be told from what it was copied of.

        Raises:
            InstallError: the State cannot be written.
            UpdateInProgress: an update is under way just now.
        """
        with locked(self._state.lock, "drawing a new identity"):
            self._session.identities(self._state).draw()

    @contextmanager
    def _sending_reports(self) -> Iterator[None]:
        """Tell the publisher at the end, also of a failure; not where there is no network."""
        try:
            yield
        except TransportError:
            raise
        except (UpdaterError, OSError):
            self._send_reports()
            raise
        self._send_reports()

    def _send_reports(self) -> None:
        with suppress(Exception):  # what a command did counts, and not what is said of it
            # Who may only read could not note that it was told, and would tell it again.
            if reports_allowed(self._state) and os.access(self._state.folder, os.W_OK):
                settings, manifest = self._read()
                send_reports(
                    self._session, self._state, settings, manifest.version, self._condition()
                )

    def _read(self) -> tuple[Settings, Manifest]:
        with machine_errors(f"looking at {self._state.install}"):
            is_first = phase_of(self._state) is not None and not present(self._state.manifest)
        if is_first:
            raise MachineError(
                f"the installation into {self._state.install} was interrupted",
                hint="run updater recover",
            )
        settings = read_settings(self._state)  # if both are damaged, its hint leads out
        return settings, read_manifest(self._state, self._session.config.limits)

    def _is_changing(self) -> bool:
        """True if a commit is under way; one that waits for the next launch changes nothing."""
        return phase_of(self._state) not in {None, Phase.STAGED}

    def _settled(self) -> Manifest:
        """The manifest of an install that no update is changing.

        Raises:
            InstallError: one is, or was interrupted.
        """
        if self._is_changing():
            raise MachineError(
                f"an update of {self._state.install} is under way or was interrupted",
                hint="run updater recover, then try again",
            )
        return read_manifest(self._state, self._session.config.limits)

    def _route(self, settings: Settings, installed: str) -> tuple[Catalogue, Route | None]:
        catalogue = self._session.refresh(self._state, settings, self._session.now())
        version = choose(
            catalogue,
            self._session.identities(self._state).read().name,
            catalogue.now,
            installed=installed,
            bad=frozenset(settings.bad),
        )
        route = None if version is None else find_route(catalogue, installed, version)
        return catalogue, route

    def _recover(self) -> Outcome:
        state = self._state
        outcome = recover(state)
        if phase_of(state) is None:
            discard_stage(state)
        trial = settle(state)
        # A damaged manifest is told by whoever needs it; a launcher is renewed another time.
        with suppress(InstallError, OSError):
            manifest = read_manifest(state, self._session.config.limits)
            renew_release_facts(state, manifest)
            if trial is None or launcher_command(state) is None:
                renew_launcher(state, manifest)
        return outcome

    def _refuse_recalled(self, version: str) -> None:
        """Refuse to go back to what was withdrawn; a trial that fails still may: it has to run."""
        if version not in self._session.recalled(self._state, read_settings(self._state).app):
            return
        start = start_command(self._state) or "updater launch"
        raise RequestError(
            f"{version} was recalled by its publisher",
            hint=f"start the application by {start}: if it does not come up, it goes back by itself"
            if read_trial(self._state)
            else "run updater update: it brings what the publisher offers instead",
        )

    def _command(self, arguments: Sequence[str]) -> list[str]:
        facts = facts_of(read_manifest(self._state, self._session.config.limits))
        direct = Launcher(self._state).command(facts, arguments)
        with machine_errors(f"starting {self._state.install}"):
            launcher = launcher_command(self._state)
        return direct if launcher is None else [*launcher, *arguments]
