"""Repair: damaged files of an install are put back as they were released.

The way of an update: staged whole, checked, then a commit that can be interrupted anywhere. Old
manifest and new one are the same, so that the tree is either as it was found or as released.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from updater.check.catalogue import Catalogue, PublishedRelease
from updater.check.route_after_failure import Unusable, blaming
from updater.disk.durable import remove_tree
from updater.errors import (
    CannotSpell,
    FormatError,
    InstallError,
    MachineError,
    PatchError,
    TransportError,
    TrustError,
    UpdaterError,
)
from updater.format.manifest import File, Manifest
from updater.format.names import order
from updater.format.paths import parents
from updater.format.policies import Policies
from updater.launch.commit.file_swap import FileSwap
from updater.launch.commit.journal import Journal
from updater.launch.commit.recover import commit
from updater.launch.state import State
from updater.local.free_space import require_space
from updater.local.session import Session
from updater.local.settings import ADOPT_HINT, Settings, read_manifest, read_settings
from updater.patch.apply import Tree
from updater.reports.failures import report_fallbacks
from updater.stage.inspect import Findings, inspect
from updater.stage.released_files import note_folders
from updater.stage.stage import Stage, live_tree
from updater.update.follow_route import find_manifest, rebuilt
from updater.update.manifests import take_manifest
from updater.update.single_files import take_right_files


@dataclass(frozen=True)
class Repaired:
    """The result of a repair."""

    version: str
    repaired: tuple[str, ...]
    """Paths that were damaged and are as released now."""
    fetched_bytes: int
    """Bytes received for it, metadata included; 0 if nothing had to be fetched."""
    written_bytes: int
    """Bytes of the files that were put in place."""
    kept: tuple[str, ...] = ()
    """The new places of content that had to make way."""
    failed: tuple[str, ...] = ()
    """Reasons why the bundle did not help: nothing is lost, but the publisher should know."""


class Repair:
    """Repairs one install. The caller holds the lock, and has recovered."""

    def __init__(
        self, session: Session, state: State, settings: Settings, catalogue: Callable[[], Catalogue]
    ) -> None:
        """``catalogue`` is asked only if something must be fetched."""
        self._session = session
        self._state = state
        self._settings = settings
        self._catalogue = catalogue
        self._received = session.transport.received
        self._stage = Stage(state)
        self._failed: list[UpdaterError] = []

    def run(self, manifest: Manifest, findings: Findings) -> Repaired:
        """Put back what ``findings`` say is damaged, and say in the State what is installed.

        Raises:
            PatchError: the files cannot be had: the release or its bundle is published no more.
            UpdaterError: as `Updater.update`. The tree is as it was found.
        """
        with self._stage.discarded_on_failure():
            journal = self._prepare(manifest, findings)
        commit(self._state, journal)
        with suppress(OSError):  # harmless; the install is whole
            self._state.disk.stamp(self._state.manifest)
            note_folders(self._state, manifest)
            remove_tree(self._state.disk, self._state.downloads)
        report_fallbacks(self._session, self._state, manifest, manifest.version, self._failed)
        return self._report(findings, journal)

    def _prepare(self, manifest: Manifest, findings: Findings) -> Journal:
        size = sum(file.size for file in _lacking(manifest, findings))
        require_space(self._session, self._state, size + len(manifest.data))
        self._stage.clear()
        places = dict(live_tree(self._state, manifest).places)
        places |= self._take(manifest, findings, self._stage.scratch(0), size + len(manifest.data))
        tree = Tree(manifest, places)
        return self._stage.fill(manifest, tree, self._settings.data, repair=True, over_links=True)

    def _take(
        self, manifest: Manifest, findings: Findings, out: Path, reserve: int
    ) -> Mapping[str, Path]:
        """The files whose content is damaged: from the release's bundle, else made anew."""
        files = _lacking(manifest, findings)
        if not files:
            return {}
        release = self._published(manifest)
        try:
            return take_right_files(
                self._session, self._state, manifest.app, release, files, out, reserve=reserve
            )
        except (Unusable, PatchError) as error:
            failed = error if isinstance(error, Unusable) else Unusable(frozenset(), error)
        tree, fallback = rebuilt(
            self._session,
            self._state,
            self._catalogue(),
            manifest.app,
            manifest.version,
            failed,
        )
        self._failed = fallback.failed
        return {file.path: tree.places[file.path] for file in files}

    def _published(self, manifest: Manifest) -> PublishedRelease:
        release = self._catalogue().releases.get(manifest.version)
        if release is None or release.manifest.digest != manifest.digest:
            raise PatchError(
                f"{manifest.app} {manifest.version} is not published any more",
                hint="run updater update: a newer release brings all its files",
            )
        return release

    def _report(self, findings: Findings, journal: Journal) -> Repaired:
        return Repaired(
            journal.new,
            findings.damaged,
            self._session.transport.received - self._received,
            journal.written_bytes,
            FileSwap(self._state, journal).kept(),
            tuple(dict.fromkeys(map(str, self._failed))),
        )


def repair(session: Session, state: State) -> Repaired | None:
    """Look at every installed file and repair the damaged ones; None if none is.

    If the State does not know any more what is installed, it is asked of the repository: see
    `identify`.

    Raises:
        UpdaterError: as `Updater.repair`.
    """
    settings = read_settings(state)
    catalogue = cache(lambda: session.refresh(state, settings, session.now()))
    work = Repair(session, state, settings, catalogue)
    try:
        manifest = read_manifest(state, session.config.limits)
    except CannotSpell:
        raise
    except InstallError as error:
        manifest = identify(session, state, settings.app, catalogue(), error)
        return work.run(manifest, inspect(state, manifest, session.progress, full=True))
    findings = inspect(state, manifest, session.progress, full=True)
    if findings.whole:
        _tidy(state)
        return None
    signed = (
        _signed_manifest(session, state, manifest, catalogue)
        if _lacking(manifest, findings)
        else manifest
    )
    if signed != manifest:
        findings = inspect(state, signed, session.progress, full=True)
    return work.run(signed, findings)


def _tidy(state: State) -> None:
    """Remove what a repair has fetched that was killed and finished by recovery."""
    for path in state.downloads.glob("*.partial"):
        state.disk.unlink(path)
    state.disk.rmdir(state.downloads)


def _lacking(manifest: Manifest, findings: Findings) -> list[File]:
    """The files whose bytes are not there: all other damage is repaired without any."""
    paths = frozenset(findings.damaged) - frozenset(findings.mode_changed)
    behind = frozenset(findings.wrong_kind)  # below such a path nothing of the release can be
    files = manifest.files()
    return [f for f in files if f.path in paths or not behind.isdisjoint(parents(f.path))]


def _signed_manifest(
    session: Session, state: State, manifest: Manifest, catalogue: Callable[[], Catalogue]
) -> Manifest:
    """The manifest as it was signed, if the one of the State is not that."""
    release = catalogue().releases.get(manifest.version)
    if release is None or release.manifest.digest == manifest.digest:
        return manifest
    return find_manifest(session, state, catalogue(), manifest.app, manifest.version)


def identify(
    session: Session, state: State, app: str, catalogue: Catalogue, error: InstallError
) -> Manifest:
    """The manifest of the published release that is installed whole, newest first.

    A release of which only some files are there is not believed: it would be a guess, and a
    repair after it might be an update or a downgrade nobody asked for.

    Raises:
        InstallError: no release is there whole; ``error`` is why that matters.
    """
    newest = sorted(catalogue.releases, key=order, reverse=True)
    missing = []
    for version in newest:
        release = catalogue.releases[version]
        try:
            with blaming(release.manifest.name):
                manifest = take_manifest(session, app, release)
        except Unusable:
            missing.append(version)
            continue
        if _is_installed(session, state, manifest):
            return manifest
    for version in missing:  # much more to fetch
        with suppress(TransportError, TrustError, FormatError, PatchError):
            manifest = find_manifest(session, state, catalogue, app, version)
            if _is_installed(session, state, manifest):
                return manifest
    raise MachineError(
        f"{error}; and what is in {state.install} is no published release of {app}",
        hint=ADOPT_HINT,
    ) from error


def _is_installed(session: Session, state: State, manifest: Manifest) -> bool:
    """True if the release of ``manifest`` is installed whole."""
    return _has_sizes(state, manifest) and (
        inspect(state, manifest, session.progress, full=True).whole
    )


def _has_sizes(state: State, manifest: Manifest) -> bool:
    """True if all sizes fit, so that hashing is worth it; this rules out most releases."""
    policies = Policies(manifest.release)
    ours = (file for file in manifest.files() if policies.of(file.path) == "replace")
    try:
        return all((state.install / f.path).lstat().st_size == f.size for f in ours)
    except OSError:
        return False
