"""Add a release: a folder becomes manifest, bundle and patches."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from patchtool.diff.diff import Built, build_patch
from patchtool.diff.options import Options
from patchtool.folder.scan import scan
from patchtool.folder.temporary import scratch, staging
from patchtool.release.hazards import refuse_place, refuse_secrets, warnings
from patchtool.release.outline import Difference, Outline
from patchtool.release.release_toml import Description
from patchtool.repository.releases import Releases
from patchtool.repository.repository import Repository
from patchtool.repository.targets import NewTarget
from updater.disk.durable import Disk, machine_errors, move
from updater.errors import FormatError, RequestError
from updater.format.manifest import Manifest
from updater.format.names import Digest, check_app, order
from updater.format.target_names import patch_name, release_name
from updater.patch.apply import PatchFile, Tree, apply_patch, nothing, tree_at

ROUNDS = 4
"""Looks at the repository: what came meanwhile gets patches too, so often and no more."""


@dataclass(frozen=True)
class Added:
    """A release that was added."""

    version: str
    bundle: int
    """Bytes."""
    patches: dict[str, int]
    """Bytes of the patch from each version."""
    skipped: tuple[str, ...]
    """Versions from which the bundle is smaller than a patch."""


@dataclass(frozen=True)
class ReleaseDraft:
    """A release as it would be published; nothing is built yet."""

    folder: Path
    manifest: Manifest
    outline: Outline
    difference: Difference | None
    """Against the release before; None: there is none, or it is not here."""
    is_published: bool
    """Exactly this is published already."""
    warnings: tuple[str, ...]
    """Warnings about what the publisher may not have meant."""


def draft_release(
    repository: Repository,
    app: str,
    version: str,
    folder: Path,
    description: Description,
    *,
    allow_empty: bool = False,
) -> ReleaseDraft:
    """Look at a folder as a release; nothing is written, and no key is needed.

    Args:
        repository: where it would be published.
        app: must be delegated in the repository.
        version: not published with other content.
        folder: the release folder.
        description: what ``release.toml`` says.
        allow_empty: publish it though there is nothing in it.

    Raises:
        FormatError: the folder holds what a release cannot, or must not, or the version is taken.
        InstallError: it cannot be read, it is or holds a repository, or there is no such app.
    """
    refuse_place(folder, repository.folder)
    entries = scan(folder, description.exclude)
    manifest = Manifest.of(check_app(app), version, entries, description.release)
    refuse_secrets(folder, manifest, repository.keyring.folder)
    outline = Outline.of(manifest)
    if outline.is_empty and not allow_empty:
        raise FormatError(
            f"{folder} has nothing in it to install",
            hint="did the build fail? --allow-empty publishes it all the same",
        )
    repository.require()
    releases = Releases.of(repository.look(), app)
    difference = _difference(repository, releases, manifest)
    said = warnings(folder, manifest)
    if difference is not None and outline.is_small_part(difference.before):
        said.append(
            f"it holds less than half of {difference.version}: {outline.words}, and that had "
            f"{difference.before.words}"
        )
    if unwatched := description.unwatched:
        said.append(unwatched)
    there = is_published(releases, manifest)
    return ReleaseDraft(folder, manifest, outline, difference, there, tuple(said))


def add_release(
    repository: Repository,
    draft: ReleaseDraft,
    *,
    bases: Sequence[str] | None = None,
    options: Options | None = None,
) -> Added | None:
    """Publish a release; None if exactly this is published already.

    Nobody waits for the build: the repository is held to look at it, and to publish. What is
    published or recalled in between counts.

    Args:
        repository: where to; its lock is taken, twice at least.
        draft: the release.
        bases: versions to make patches from; default: the last three before it, and those
            recalled since.
        options: effort, jobs, progress.

    Raises:
        FormatError: the version is taken by now.
        PatchError: the folder has changed since it was drafted.
        InstallError: a missing key, an unknown base, the disk. Clients see nothing of it.
    """
    app, manifest = draft.manifest.app, draft.manifest
    repository.open_keys(f"app.{app}", *([] if repository.hands_over else ["timestamp"]))
    with build_folder(repository) as builds:
        build = _ReleaseBuild(repository, tree_at(draft.folder, manifest), builds, options)
        for number in range(ROUNDS):
            with repository.writing(releases=True):
                releases = Releases.of(repository.look(), app)
                if is_published(releases, manifest):
                    return None
                lacking = build.lacking(releases, bases)
                if build.is_done and (not lacking or number == ROUNDS - 1):
                    repository.publish(f"app.{app}", build.targets())
                    return build.added()
            build.run(lacking)
    raise AssertionError  # the last round publishes


def _difference(
    repository: Repository, releases: Releases, manifest: Manifest
) -> Difference | None:
    """Compare a release with the one before; a copy of a repository may not have that.

    A manifest that is damaged keeps no release from coming: `doctor` reports it.
    """
    for before in releases.below(manifest.version)[:1]:
        place = repository.path_of(releases.manifest(before))
        with machine_errors(f"reading {place}"), suppress(FormatError):
            if place.exists():
                return Difference.of(Manifest.parse(place.read_bytes()), manifest)
    return None


def is_published(releases: Releases, manifest: Manifest) -> bool:
    """Return whether exactly this release is published already.

    Raises:
        FormatError: its version is, with other content or in another spelling.
    """
    if manifest.version in releases.versions:
        _refuse_other(releases.manifest(manifest.version).hashes["sha256"], manifest)
        return True
    _refuse_equal(releases, manifest.version)
    return False


class _ReleaseBuild:
    """A release that is being built; nobody knows of it yet."""

    def __init__(
        self, repository: Repository, new: Tree, builds: BuildFolder, options: Options | None
    ) -> None:
        self._repository = repository
        self._new = new
        self._builds = builds
        self._options = options
        self._bundle: NewTarget | None = None
        self._patches: dict[str, NewTarget] = {}

    @property
    def is_done(self) -> bool:
        return self._bundle is not None

    def lacking(self, releases: Releases, named: Sequence[str] | None) -> dict[str, Path]:
        """The bundles of versions from which a patch is still to be built.

        Versions that somebody named are looked up once: what becomes of them during the build
        makes a patch from them no worse.
        """
        if named is not None and self.is_done:
            return {}
        chosen = _bases(releases, self._new.manifest.version, named)
        lacking = [base for base in chosen if base not in self._patches]
        return {base: _bundle(self._repository, releases, base) for base in lacking}

    def run(self, bases: Mapping[str, Path]) -> None:
        manifest = self._new.manifest
        if self._bundle is None:
            built = self._builds.build(None, self._new, "bundle", self._options)
            name = release_name(manifest.app, manifest.version, "bundle")
            self._bundle = NewTarget.of(name, built.path, _custom(built))
        for base, bundle in bases.items():
            with self._builds.unpacked(bundle) as old:
                built = self._builds.build(old, self._new, base, self._options)
            self._patches[base] = patch_target(manifest.app, base, manifest.version, built)

    def targets(self) -> list[NewTarget]:
        """Return the targets to publish."""
        manifest, bundle = self._new.manifest, self._bundle
        assert bundle is not None  # noqa: S101 - `is_done`
        name = release_name(manifest.app, manifest.version, "manifest")
        smaller = [self._patches[base] for base in self._smaller()]
        return [NewTarget.of(name, manifest.data, _said(manifest)), bundle, *smaller]

    def added(self) -> Added:
        """The same in words and numbers."""
        bundle, smaller = self._bundle, self._smaller()
        assert bundle is not None  # noqa: S101 - `is_done`
        skipped = tuple(base for base in self._patches if base not in smaller)
        return Added(self._new.manifest.version, bundle.listed.length, smaller, skipped)

    def _smaller(self) -> dict[str, int]:
        """Bytes of the patches that are worth it, by version."""
        most = self._bundle.listed.length if self._bundle else 0
        sizes = {base: target.listed.length for base, target in self._patches.items()}
        return {base: size for base, size in sizes.items() if size < most}


def _refuse_other(digest: str, manifest: Manifest) -> None:
    if Digest.parse(digest) != manifest.digest:
        raise FormatError(
            f"{manifest.app} {manifest.version} is published with other content",
            hint="installed copies have it already: give this one a new version",
        )


def _refuse_equal(releases: Releases, version: str) -> None:
    """1.0 and 1.0.0 are one version to whoever compares them."""
    for other in releases.versions:
        if order(other) == order(version):
            raise FormatError(
                f"{releases.app} {other} is published, and {version} is the same version",
                hint="choose a higher one",
            )


def _bases(releases: Releases, version: str, named: Sequence[str] | None) -> list[str]:
    if named is None:
        return releases.last(version)
    for base in named:
        releases.bundle(base)
    return list(dict.fromkeys(named))


def _bundle(repository: Repository, releases: Releases, base: str) -> Path:
    """Return the place of a base's bundle; a copy of a repository may not have them all."""
    path = repository.path_of(releases.bundle(base))
    if not path.exists():
        raise RequestError(
            f"the bundle of {releases.app} {base} is not here, and no patch from it can be made",
            hint="fetch it too (patchtool fetch --bundles N), or name other versions with --from",
        )
    return path


def _said(manifest: Manifest) -> dict[str, Any]:
    """Return what a client must know of a release before it fetches anything."""
    said = manifest.release.to_json()
    return {key: said[key] for key in ("stop", "min_updater", "required", "confirm") if key in said}


def _custom(built: Built) -> dict[str, Any]:
    header = {"length": len(built.header_bytes), "sha256": str(Digest.of(built.header_bytes))}
    return {
        "header": header,
        "write_bytes": built.write_bytes,
        "scratch_bytes": built.header.scratch_bytes,
    }


def patch_target(app: str, old: str, new: str, built: Built) -> NewTarget:
    """A patch as it is published."""
    return NewTarget.of(patch_name(app, old, new), built.path, _custom(built))


@dataclass(frozen=True)
class BuildFolder:
    """A folder in which releases are built while nobody waits for them."""

    work: Path
    """For what is not finished: blocks, proofs, old trees."""
    ready: Path
    """For what is, on the disk of the repository."""
    disk: Disk

    def build(self, old: Tree | None, new: Tree, name: str, options: Options | None) -> Built:
        """Build a patch, proven, under a name of its own: see `build_patch`."""
        built = build_patch(old, new, self.work / name, options)
        with machine_errors(f"writing {self.ready.parent}"):
            move(self.disk, built.path, self.ready / name)
        return replace(built, path=self.ready / name)

    @contextmanager
    def unpacked(self, bundle: Path) -> Iterator[Tree]:
        """The release in a bundle, as a tree that is gone at the end.

        Raises:
            FormatError, PatchError: it is damaged.
            InstallError: it cannot be read, or the disk.
        """
        folder = Path(tempfile.mkdtemp(dir=self.work))
        try:
            with machine_errors(f"unpacking {bundle}"):
                patch = PatchFile(bundle)
                tree = apply_patch(patch, nothing(patch.header.app), folder)
            yield tree
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def build_folder(repository: Repository) -> Iterator[BuildFolder]:
    """A build_folder for a repository; nothing of it stays.

    Raises:
        InstallError: the folder is no repository, or the disk.
    """
    with machine_errors("building"), staging(scratch()) as work, repository.staging() as ready:
        yield BuildFolder(work, ready, repository.disk)
