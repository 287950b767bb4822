"""One update being made: fetch, apply, stage, commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from updater.apply import PatchFile, Tree, apply_patch, nothing, unusable
from updater.download import Download
from updater.errors import InstallError, PatchError, TransportError
from updater.excerpt import take_files
from updater.format.manifest import Manifest
from updater.launch.disk import remove_tree
from updater.launch.journal import Journal
from updater.launch.recover import commit
from updater.launch.state import State
from updater.launch.swap import FileSwap, discard_stage
from updater.plan import Hop, Plan, check_header, make_plan
from updater.session import Session
from updater.stage import Stage, live_tree
from updater.store import Settings
from updater.trust import Catalogue

GONE = {404, 410}
"""HTTP statuses of a patch that was pruned, or did not reach a mirror."""


@dataclass(frozen=True)
class Updated:
    """An update that was made."""

    old: str
    """Version before; empty for a first install."""
    new: str
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
    ) -> None:
        """``received``: bytes the session had received before this update was looked for."""
        self._session = session
        self._state = state
        self._catalogue = catalogue
        self._settings = settings
        self._manifest = manifest
        self._received = received
        self._changes: Counter[str] = Counter()

    def run(self, plan: Plan) -> Updated:
        """Follow ``plan``; if its patches do not fit what is installed, take the bundle.

        Raises:
            PatchError: the bundle does not give the release either.
            UpdaterError: see `Updater.update`.
        """
        try:
            journal = self._prepare(plan, mend=plan.starts_afresh)
        except (PatchError, TransportError) as error:
            if plan.starts_afresh or not _is_of_the_patch(error):
                raise
            journal = self._prepare(self._bundle(plan, error), mend=True)
        commit(self._session.disk, self._state, journal)
        with suppress(OSError):  # harmless; the update is made
            remove_tree(self._session.disk, self._state.downloads)
        return self._report(journal)

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
            for number, patch in enumerate(patches):
                tree = self._apply(patch, tree, stage.scratch(number), given[number])
            settings = replace(self._settings, previous=self._manifest.version)
            return stage.fill(self._manifest, tree, settings.data, mend=mend)

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

    def _apply(self, patch: PatchFile, tree: Tree, out: Path, given: Mapping[str, Path]) -> Tree:
        header = patch.header
        if header.old is not None or not self._manifest.entries:
            self._changes.update(change.kind.name.lower() for change in header.changes)
        return apply_patch(
            patch,
            tree if header.old is not None else nothing(header.app),
            out,
            progress=self._session.progress,
            jobs=self._session.config.jobs,
            given=given,
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

    def _report(self, journal: Journal) -> Updated:
        bundle = self._catalogue.releases[journal.new].bundle
        return Updated(
            journal.old,
            journal.new,
            self._session.transport.received - self._received,
            bundle.length if bundle else 0,
            sum(max(step.size, 0) for step in journal.steps if not step.own),
            dict(self._changes),
            FileSwap(self._session.disk, self._state, journal).kept(),
        )


def _is_of_the_patch(error: PatchError | TransportError) -> bool:
    """Whether the bundle may help: the patch does not fit, or the server has it no more."""
    return isinstance(error, PatchError) or error.status in GONE
