"""One update being made: fetch, apply, stage, commit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Literal

from updater.check.catalogue import Catalogue
from updater.check.route import Route
from updater.check.route_after_failure import Fallback, Unusable, blaming
from updater.disk.durable import present, remove_tree
from updater.disk.json_file import encode
from updater.disk.json_file import read as read_document
from updater.errors import InstallError, MachineError, PatchError
from updater.format.manifest import Manifest
from updater.launch.commit.file_swap import FileSwap
from updater.launch.commit.journal import Journal
from updater.launch.commit.pending import announce, announced_version, commit_pending, waiting
from updater.launch.commit.recover import commit
from updater.launch.commit.replan import as_it_is
from updater.launch.start.run_lock import alone
from updater.launch.start.trial import NO_TRIAL, Trial, read_trial
from updater.launch.state import State
from updater.local.launcher_files import check_launcher
from updater.local.session import Session
from updater.local.settings import Settings, read_manifest
from updater.reports.failures import report_fallbacks
from updater.stage.inspect import damage
from updater.stage.released_files import note_folders
from updater.stage.stage import Stage
from updater.update.follow_route import RouteFollower

Running = Literal["stage", "wait", "force"]
"""The choice while the application runs: leave the update to its next launch, wait, or go on."""


class UpdateOutcome(str, Enum):
    """The outcome of an update."""

    UPDATED = "updated"
    """The new version is in place."""
    STAGED = "staged"
    """It is complete, and comes with the next start of the application. Said once a version."""
    WAITING = "waiting"
    """As before: it was said to be staged, and no start has brought it yet; or the version that
    runs is on trial itself, and to restart it unconfirmed would say nothing good of it."""
    CURRENT = "current"
    """Nothing is offered but what is installed."""


@dataclass(frozen=True)
class Updated:
    """The result of an update. It is true if a restart is worth it: ``updated`` or ``staged``.

    For one version that is so once. So ``if app.update(): app.restart()`` ends, though the
    start that follows cannot bring what was staged.
    """

    old: str
    """Version before; empty for a first install."""
    new: str
    """Version that is installed now, or comes with the next start."""
    outcome: UpdateOutcome
    fetched_bytes: int
    """Bytes received for it, metadata included."""
    full_bytes: int
    """Bytes of the whole release as a bundle, for comparison; 0 if there is none."""
    written_bytes: int
    """Bytes of the files that were put in place."""
    changes: dict[str, int] = field(default_factory=dict)
    """The number of changes of each kind that the patches made; none if the bundle was needed."""
    kept: tuple[str, ...] = ()
    """The new places of the user's own work that had to make way."""
    failed: tuple[str, ...] = ()
    """Reasons why cheaper routes failed: nothing is lost, but the publisher should know."""

    def __bool__(self) -> bool:
        return self.outcome in {UpdateOutcome.UPDATED, UpdateOutcome.STAGED}


class Job:
    """Brings one install from ``manifest`` to a route's version. The caller holds the lock."""

    def __init__(
        self,
        session: Session,
        state: State,
        catalogue: Catalogue,
        settings: Settings,
        manifest: Manifest,
        received: int,
        running: Running = "stage",
    ) -> None:
        """``received``: bytes the session had received before this update was looked for."""
        self._session = session
        self._state = state
        self._catalogue = catalogue
        self._settings = settings
        self._manifest = manifest
        self._received = received
        self._running = running
        self._follower = RouteFollower(session, state, catalogue, manifest)
        self._repair = False

    def run(self, version: str) -> Updated:
        """Bring the install to ``version``, by the cheapest way that works.

        What has failed is left out of the next try; the release's own bundle is among the ways.

        Raises:
            UpdaterError: see `Updater.update`; no way is left, with the reason of each.
        """
        fallback = Fallback(self._catalogue, self._manifest.version or None, version)
        journal, outcome = self._conclude(fallback.follow(self._attempt))
        report_fallbacks(self._session, self._state, self._manifest, version, fallback.failed)
        return self._report(journal, outcome, fallback.reasons)

    def resume(self) -> Updated | None:
        """Go on with the update that waits for the application to end; None if it fits no more.

        Raises:
            InstallError, RollbackFailed, OSError: see `commit_pending`.
        """
        state = self._state
        journal = waiting(state)
        if journal is None or self._is_spoilt(journal):
            return None
        with alone(state, wait=self._running == "wait") as nobody_runs:
            if not nobody_runs and self._running == "stage":
                return self._report(journal, self._announced(journal.new))
            made = commit_pending(state)
        return None if made is None else self._report(made, UpdateOutcome.UPDATED)

    def _is_spoilt(self, journal: Journal) -> bool:
        """True if a file that the stage leaves alone was damaged or edited since."""
        replaced = {step.path for step in journal.steps}
        return not replaced.issuperset(damage(self._state, self._manifest))

    def _announced(self, version: str) -> UpdateOutcome:
        """STAGED for ``version`` the first time, WAITING from then on.

        It is noted first: what cannot be noted would be said for ever.
        """
        if announced_version(self._state) == version:
            return UpdateOutcome.WAITING
        announce(self._state, version)
        return UpdateOutcome.STAGED

    def _conclude(self, journal: Journal) -> tuple[Journal, UpdateOutcome]:
        """Commit now, or leave it to the launcher if the application runs."""
        with alone(self._state, wait=self._running == "wait") as nobody_runs:
            if not nobody_runs and self._running == "stage":
                check_launcher(self._state)
                outcome = self._announced(journal.new)
                journal.hold(self._state)
                return journal, outcome
            if self._running == "wait":
                journal = self._after_the_wait(journal)
            commit(self._state, journal)
        with suppress(OSError):  # harmless; the update is made
            if self._running != "wait":  # nobody has looked at the files since, if it took long
                self._state.disk.stamp(self._state.manifest)
            with suppress(InstallError):
                made = read_manifest(self._state, self._session.config.limits)
                note_folders(self._state, made)
            remove_tree(self._state.disk, self._state.downloads)
            self._state.disk.unlink(self._state.announced)
        return journal, UpdateOutcome.UPDATED

    def _after_the_wait(self, journal: Journal) -> Journal:
        """The commit over what the application and its user have made of the tree meanwhile."""
        fitting = as_it_is(self._state, journal)
        if fitting is None:
            raise MachineError(
                "the install was changed while the application was waited for",
                hint="try again",
                retryable=True,
            )
        return fitting

    def _notes(self, new: Manifest) -> dict[Path, bytes]:
        """The files of the State that note where the update came from, and its trial."""
        old = self._manifest.version
        if not old:
            return {}
        notes = {self._state.arrival: encode({"previous": self._last_run(old)})}
        if new.release.confirm.mode != "none":
            notes[self._state.trial] = Trial(new.version, old).data
        elif present(self._state.trial):
            notes[self._state.trial] = NO_TRIAL
        return notes

    def _last_run(self, installed: str) -> str:
        """The version the application was last started as: nobody was told of one in between."""
        trial = read_trial(self._state)
        if trial is not None and trial.ran:
            return installed
        with suppress(InstallError):
            untold = (read_document(self._state.arrival) or {}).get("previous")
            return untold if isinstance(untold, str) and untold else installed
        return installed

    def _attempt(self, route: Route) -> Journal:
        """Follow ``route``; if its patches need files that are damaged, repair those first."""
        if self._repair or route.starts_afresh:
            return self._prepare(route, repair=True)
        try:
            return self._prepare(route, repair=False)
        except Unusable as error:
            if not isinstance(error.reason, PatchError):
                raise
            first = error.reason
        self._repair = True
        try:
            return self._prepare(route, repair=True)
        except Unusable as error:
            raise error.after(first) from first

    def _prepare(self, route: Route, *, repair: bool) -> Journal:
        """Everything before the live tree is touched; on a fault only downloads are left."""
        stage = Stage(self._state)
        with stage.discarded_on_failure():
            stage.clear()
            tree = self._follower.tree(route, stage, repair=repair)
            settings = replace(self._settings, previous=self._manifest.version)
            notes = self._notes(tree.manifest)
            with blaming(route.hops[0].blob.name):  # what it carries over may be damaged
                return stage.fill(self._manifest, tree, settings.data, repair=repair, notes=notes)

    def _report(
        self, journal: Journal, outcome: UpdateOutcome, failed: tuple[str, ...] = ()
    ) -> Updated:
        bundle = self._catalogue.releases[journal.new].bundle
        return Updated(
            journal.old,
            journal.new,
            outcome,
            self._session.transport.received - self._received,
            bundle.length if bundle else 0,
            journal.written_bytes,
            dict(self._follower.changes),
            self._kept(journal),
            failed,
        )

    def _kept(self, journal: Journal) -> tuple[str, ...]:
        """Paths of the user's files that made way; none if the disk does not give them now."""
        with suppress(OSError):
            return FileSwap(self._state, journal).kept()
        return ()
