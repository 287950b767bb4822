"""One update being made: fetch, apply, stage, commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Literal

from updater.apply import PatchFile, Tree, WrongTree, apply_patch, nothing, unusable
from updater.catalogue import Catalogue
from updater.download import Download
from updater.errors import InstallError, PatchError, TransportError
from updater.excerpt import take_files
from updater.format.manifest import Manifest
from updater.inspection import damage
from updater.launch.disk import present, remove_tree
from updater.launch.document import encode
from updater.launch.document import read as read_document
from updater.launch.fitting import as_it_is
from updater.launch.journal import Journal
from updater.launch.pending import announce, announced_version, commit_pending, waiting
from updater.launch.recover import commit
from updater.launch.running import alone
from updater.launch.state import State
from updater.launch.swap import FileSwap, discard_stage
from updater.launch.trial import NO_TRIAL, Trial, read_trial
from updater.launcher import check_launcher
from updater.plan import Hop, Plan, check_header, make_plan
from updater.session import Session
from updater.sources import Sources
from updater.stage import Stage, live_tree
from updater.store import Settings

Running = Literal["stage", "wait", "force"]
"""What to do while the application runs: leave the update to its next launch, wait, or go on."""

GONE = {404, 410}
"""HTTP statuses of a patch that was pruned, or did not reach a mirror."""


class UpdateOutcome(str, Enum):
    """How an update ended."""

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
    """How an update ended. It is true if a restart is worth it: ``updated`` or ``staged``.

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
    """How many changes of each kind the patches made; none if the bundle was needed."""
    kept: tuple[str, ...] = ()
    """Where the user's own work lies now that had to make way."""

    def __bool__(self) -> bool:
        return self.outcome in {UpdateOutcome.UPDATED, UpdateOutcome.STAGED}


class Job:
    """Brings one install from ``manifest`` to a plan's version. The caller holds the lock."""

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
        self._sources = Sources(session, state, catalogue, manifest)
        self._changes: Counter[str] = Counter()

    def run(self, plan: Plan) -> Updated:
        """Follow ``plan``; if its patches do not fit what is installed, mend that first.

        The last resort is the whole bundle.

        Raises:
            PatchError: the bundle does not give the release either.
            UpdaterError: see `Updater.update`.
        """
        try:
            journal = self._prepare(plan, mend=plan.starts_afresh)
        except (PatchError, TransportError) as error:
            if plan.starts_afresh or not _is_of_the_patch(error):
                raise
            journal = self._otherwise(plan, error)
        return self._report(*self._conclude(journal))

    def resume(self) -> Updated | None:
        """Go on with the update that waits for the application to end; None if it fits no more.

        Raises:
            InstallError, RollbackFailed, OSError: see `commit_pending`.
        """
        disk, state = self._session.disk, self._state
        journal = waiting(state)
        if journal is None or self._is_spoilt(journal):
            return None
        with alone(state, wait=self._running == "wait") as nobody_runs:
            if not nobody_runs and self._running == "stage":
                return self._report(journal, self._announced(journal.new))
            made = commit_pending(disk, state)
        return None if made is None else self._report(made, UpdateOutcome.UPDATED)

    def _is_spoilt(self, journal: Journal) -> bool:
        """Whether a file was damaged or edited since the stage was made that it leaves alone."""
        replaced = {step.path for step in journal.steps}
        return not replaced.issuperset(damage(self._state, self._manifest))

    def _announced(self, version: str) -> UpdateOutcome:
        """That ``version`` is staged; if that was said before, that it waits.

        It is noted first: what cannot be noted would be said for ever.
        """
        if announced_version(self._state) == version:
            return UpdateOutcome.WAITING
        announce(self._session.disk, self._state, version)
        return UpdateOutcome.STAGED

    def _conclude(self, journal: Journal) -> tuple[Journal, UpdateOutcome]:
        """Commit now, or leave it to the launcher if the application runs."""
        with alone(self._state, wait=self._running == "wait") as nobody_runs:
            if not nobody_runs and self._running == "stage":
                check_launcher(self._state)
                outcome = self._announced(journal.new)
                journal.hold(self._session.disk, self._state)
                return journal, outcome
            if self._running == "wait":
                journal = self._after_the_wait(journal)
            commit(self._session.disk, self._state, journal)
        with suppress(OSError):  # harmless; the update is made
            if self._running != "wait":  # nobody has looked at the files since, if it took long
                self._session.disk.stamp(self._state.manifest)
            remove_tree(self._session.disk, self._state.downloads)
            self._session.disk.unlink(self._state.announced)
        return journal, UpdateOutcome.UPDATED

    def _after_the_wait(self, journal: Journal) -> Journal:
        """The commit over what the application and its user have made of the tree meanwhile."""
        fitting = as_it_is(self._state, journal)
        if fitting is None:
            raise InstallError(
                "the install was changed while the application was waited for",
                hint="try again",
                retryable=True,
            )
        return fitting

    def _notes(self, new: Manifest) -> dict[Path, bytes]:
        """What the State shall say of the update: whence, and whether it is on trial."""
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

    def _otherwise(self, plan: Plan, error: PatchError | TransportError) -> Journal:
        """The same patches with what they lack from the installed release's bundle, else ours."""
        if isinstance(error, PatchError):
            try:
                return self._prepare(plan, mend=True)
            except (PatchError, TransportError) as again:
                if not _is_of_the_patch(again):
                    raise
        return self._prepare(self._bundle(plan, error), mend=True)

    def _bundle(self, plan: Plan, error: PatchError | TransportError) -> Plan:
        """The way that needs nothing of what is installed; ``error`` if there is none."""
        try:
            return make_plan(self._catalogue, None, plan.version)
        except InstallError:
            raise error from None

    def _prepare(self, plan: Plan, *, mend: bool) -> Journal:
        """Everything before the live tree is touched; on a fault only downloads are left."""
        self._session.require_space(self._state, plan.disk_bytes)
        self._changes.clear()
        with self._cleared():
            stage = Stage(self._session.disk, self._state)
            stage.clear()
            patches = [self._fetch(hop) for hop in plan.hops]
            given = [self._take(plan, n, patch, stage) for n, patch in enumerate(patches)]
            tree = live_tree(self._state, self._manifest)
            if mend and not plan.starts_afresh:
                tree = self._mended(plan, patches, tree, stage)
            for number, patch in enumerate(patches):
                tree = self._apply(plan, patch, tree, stage, given[number])
            settings = replace(self._settings, previous=self._manifest.version)
            notes = self._notes(tree.manifest)
            return stage.fill(self._manifest, tree, settings.data, mend=mend, notes=notes)

    def _fetch(self, hop: Hop) -> PatchFile:
        downloads = self._state.downloads
        downloads.mkdir(exist_ok=True)
        path = downloads / str(hop.blob.digest)
        Download(
            self._session.transport,
            hop.blob,
            path,
            config=self._session.config,
            progress=self._session.progress,
        ).run()
        patch = PatchFile(path, self._session.config.limits)
        release = self._catalogue.releases[hop.new]
        check_header(patch.header, self._settings.app, hop, release)
        return patch

    def _take(self, plan: Plan, number: int, patch: PatchFile, stage: Stage) -> Mapping[str, Path]:
        """New files of hop ``number`` that this machine cannot make of ``patch``."""
        paths = unusable(patch.header)
        if not paths:
            return {}
        return take_files(
            self._session,
            self._state,
            self._settings.app,
            self._catalogue.releases[plan.hops[number].new],
            paths,
            stage.scratch(len(plan.hops) + number),
            reserve=plan.work_bytes,
        )

    def _mended(self, plan: Plan, patches: list[PatchFile], tree: Tree, stage: Stage) -> Tree:
        """``tree`` with the files that the patches lack from the installed release's bundle."""
        places = self._sources.bases(
            patches[0].header, stage.scratch("bases"), plan.work_bytes, last=len(patches) == 1
        )
        return replace(tree, places={**tree.places, **places})

    def _apply(
        self, plan: Plan, patch: PatchFile, tree: Tree, stage: Stage, given: Mapping[str, Path]
    ) -> Tree:
        """The tree ``patch`` gives; files that it makes wrong come from the bundle."""
        header = patch.header
        if header.old is not None or not self._manifest.entries:
            self._changes.update(change.kind.name.lower() for change in header.changes)
        old = tree if header.old is not None else nothing(header.app)
        out = stage.scratch(f"to-{header.new.version}")
        try:
            return self._decode(patch, old, out, given)
        except WrongTree as error:
            if header.old is None:
                raise
            again = stage.scratch(f"again-{header.new.version}")
            right = self._sources.right(header, error, again, plan.work_bytes)
            remove_tree(self._session.disk, out)
            return self._decode(
                patch, old, stage.scratch(f"to-{header.new.version}"), {**given, **right}
            )

    def _decode(self, patch: PatchFile, old: Tree, out: Path, given: Mapping[str, Path]) -> Tree:
        session = self._session
        return apply_patch(
            patch, old, out, progress=session.progress, jobs=session.config.jobs, given=given
        )

    @contextmanager
    def _cleared(self) -> Iterator[None]:
        """Leave no stage behind if the body fails."""
        try:
            yield
        except BaseException:
            with suppress(OSError):  # harmless to leave; the cause is what counts
                discard_stage(self._session.disk, self._state)
            raise

    def _report(self, journal: Journal, outcome: UpdateOutcome) -> Updated:
        bundle = self._catalogue.releases[journal.new].bundle
        return Updated(
            journal.old,
            journal.new,
            outcome,
            self._session.transport.received - self._received,
            bundle.length if bundle else 0,
            sum(max(step.size, 0) for step in journal.steps if not step.own),
            dict(self._changes),
            self._kept(journal),
        )

    def _kept(self, journal: Journal) -> tuple[str, ...]:
        """What made way; it can be found later too, and the update is made."""
        with suppress(OSError):
            return FileSwap(self._session.disk, self._state, journal).kept()
        return ()


def _is_of_the_patch(error: PatchError | TransportError) -> bool:
    """Whether the bundle may help: the patch does not fit, or the server has it no more."""
    return isinstance(error, PatchError) or error.status in GONE
