"""A route followed: its patches fetched and applied, up to the tree they lead to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from updater.check.catalogue import Catalogue
from updater.check.route import Hop, Route, check_header
from updater.check.route_after_failure import Fallback, Unusable, blaming
from updater.disk.durable import remove_tree, written_to
from updater.format.manifest import Manifest
from updater.launch.commit.file_swap import discard_stage
from updater.launch.state import State
from updater.local.free_space import require_space
from updater.local.session import Session
from updater.net.download import Download
from updater.patch.apply import PatchFile, Tree, WrongTree, apply_patch, nothing, unusable
from updater.stage.stage import Stage, live_tree
from updater.update.manifests import take_manifest
from updater.update.missing_files import MissingFiles
from updater.update.single_files import bundle_of, take_files


class RouteFollower:
    """Follows routes that start from ``installed``, or from nothing."""

    def __init__(
        self, session: Session, state: State, catalogue: Catalogue, installed: Manifest
    ) -> None:
        """Nothing is read or fetched yet."""
        self.changes: Counter[str] = Counter()
        """The number of changes of each kind that the patches of the last route made."""
        self._session = session
        self._state = state
        self._catalogue = catalogue
        self._installed = installed
        self._missing = MissingFiles(session, state, catalogue, installed)

    def tree(self, route: Route, stage: Stage, *, repair: bool) -> Tree:
        """The tree that ``route`` leads to; its new files lie in the scratch of ``stage``.

        Args:
            route: from what is installed, or from nothing.
            stage: cleared.
            repair: whether damaged installed files that the patches need are fetched.

        Raises:
            Unusable: a target of the route is not there or cannot be applied.
            UpdaterError: see `Updater.update`.
        """
        require_space(self._session, self._state, route.disk_bytes)
        self.changes.clear()
        patches = [self._fetch(hop) for hop in route.hops]
        given = [self._take(route, n, patch, stage) for n, patch in enumerate(patches)]
        if route.starts_afresh:
            tree = nothing(self._installed.app)
        else:
            tree = live_tree(self._state, self._installed)
            tree = self._repaired(route, patches, tree, stage) if repair else tree
        for number, patch in enumerate(patches):
            tree = self._apply(route, number, patch, tree, stage, given[number])
        return tree

    def _fetch(self, hop: Hop) -> PatchFile:
        session, downloads = self._session, self._state.downloads
        self._state.disk.mkdir(downloads)
        path = downloads / str(hop.blob.digest)
        config, progress = session.config, session.progress
        download = Download(session.transport, hop.blob, path, config=config, progress=progress)
        with blaming(hop.blob.name):
            with written_to(self._state.disk, path):
                download.run()
            patch = PatchFile(path, config.limits)
            release = self._catalogue.releases[hop.new]
            check_header(patch.header, self._installed.app, hop, release)
        return patch

    def _take(
        self, route: Route, number: int, patch: PatchFile, stage: Stage
    ) -> Mapping[str, Path]:
        """New files of hop ``number`` that this machine cannot make of ``patch``."""
        paths, app = unusable(patch.header), self._installed.app
        if not paths:
            return {}
        release = self._catalogue.releases[route.hops[number].new]
        out = stage.scratch(len(route.hops) + number)
        with blaming(route.hops[number].blob.name), blaming(bundle_of(app, release).name):
            return take_files(
                self._session, self._state, app, release, paths, out, reserve=route.work_bytes
            )

    def _repaired(self, route: Route, patches: list[PatchFile], tree: Tree, stage: Stage) -> Tree:
        """``tree`` with the files that the patches lack from the installed release's bundle."""
        with blaming(route.hops[0].blob.name):
            places = self._missing.bases(
                patches[0].header, stage.scratch("bases"), route.work_bytes, last=len(patches) == 1
            )
        return replace(tree, places={**tree.places, **places})

    def _apply(
        self,
        route: Route,
        number: int,
        patch: PatchFile,
        tree: Tree,
        stage: Stage,
        given: Mapping[str, Path],
    ) -> Tree:
        """The tree ``patch`` gives; files that it makes wrong come from the bundle."""
        header = patch.header
        if header.old is not None or not self._installed.entries:
            self.changes.update(change.kind.name.lower() for change in header.changes)
        out = stage.scratch(f"to-{header.new.version}")
        with blaming(route.hops[number].blob.name):
            try:
                return self._decode(patch, tree, out, given)
            except WrongTree as error:
                if header.old is None:
                    raise
                again = stage.scratch(f"again-{header.new.version}")
                right = self._missing.right(header, error, again, route.work_bytes)
                remove_tree(self._state.disk, out)
                out = stage.scratch(f"to-{header.new.version}")
                return self._decode(patch, tree, out, {**given, **right})

    def _decode(self, patch: PatchFile, old: Tree, out: Path, given: Mapping[str, Path]) -> Tree:
        session = self._session
        return apply_patch(
            patch, old, out, progress=session.progress, jobs=session.config.jobs, given=given
        )


def rebuilt(
    session: Session, state: State, catalogue: Catalogue, app: str, version: str, failed: Unusable
) -> tuple[Tree, Fallback]:
    """A release made anew of bundles and patches, and the ways that failed before.

    Args:
        session: network, progress and settings.
        state: of the install it is for; its stage is cleared, and holds the files afterwards.
        catalogue: what is published.
        app: whose release.
        version: which release.
        failed: what has failed already, and is left out.

    Raises:
        UpdaterError: no way is left, with the reason of each.
    """
    fallback = Fallback(catalogue, None, version)
    fallback.exclude(failed)
    follower = RouteFollower(session, state, catalogue, Manifest.empty(app))

    def attempt(route: Route) -> Tree:
        stage = Stage(state)
        stage.clear()
        return follower.tree(route, stage, repair=False)

    return fallback.follow(attempt), fallback


def find_manifest(
    session: Session, state: State, catalogue: Catalogue, app: str, version: str
) -> Manifest:
    """The signed manifest of a release: fetched, or else computed of its files.

    Raises:
        UpdaterError: as `take_manifest`, and no bundle or patch leads to the release either.
    """
    release = catalogue.releases[version]
    try:
        with blaming(release.manifest.name):
            return take_manifest(session, app, release)
    except Unusable as error:
        try:
            return rebuilt(session, state, catalogue, app, version, error)[0].manifest
        finally:
            discard_stage(state)
