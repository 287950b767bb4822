"""Publishing: a release folder becomes manifest, bundle and patches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchtool.description import Description
from patchtool.diff import Built, build_patch
from patchtool.options import Options
from patchtool.releases import Releases, patch_name, target_name
from patchtool.repository import Repository
from patchtool.scan import scan
from patchtool.targets import Target
from updater.apply import PatchFile, Tree, apply_patch, nothing, tree_at
from updater.errors import FormatError, InstallError
from updater.format.manifest import Manifest
from updater.format.names import Digest, check_app, order
from updater.launch.disk import told


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


def add_release(
    repository: Repository,
    app: str,
    version: str,
    folder: Path,
    *,
    description: Description,
    bases: Sequence[str] | None = None,
    options: Options | None = None,
) -> Added | None:
    """Publish ``folder`` as ``version``; None if exactly this is published already.

    Args:
        repository: where to; its lock is taken.
        app: must be delegated in the repository.
        version: not published with other content.
        folder: the release folder.
        description: what ``release.toml`` says.
        bases: versions to make patches from; default: the last three before ``version``, and
            those recalled since.
        options: effort, jobs, progress.

    Raises:
        FormatError: the folder holds what a release cannot, or the version is taken.
        InstallError: a missing key, an unknown base, the disk. Clients see nothing of it.
    """
    entries = scan(folder, description.exclude)
    manifest = Manifest.of(check_app(app), version, entries, description.release)
    with repository.writing(releases=True), workshop() as work:
        releases = Releases.of(repository, app)
        if version in releases.versions:
            _refuse_other(releases.manifest(version).hashes["sha256"], manifest)
            return None
        _refuse_equal(releases, version)
        chosen = _bases(releases, version, bases)
        new = tree_at(folder, manifest)
        bundle = build_patch(None, new, work / "bundle", options)
        patches = {}
        for base in chosen:
            old = unpack(_bundle(repository, releases, base), work / f"tree-{base}")
            patches[base] = build_patch(old, new, work / base, options)
        smaller = {v: built for v, built in patches.items() if built.bytes < bundle.bytes}
        repository.publish(f"app.{app}", _targets(manifest, bundle, smaller))
    sizes = {base: built.bytes for base, built in smaller.items()}
    return Added(version, bundle.bytes, sizes, tuple(v for v in patches if v not in smaller))


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
    """Where the bundle of a base lies; a copy of a repository may not have them all."""
    path = repository.path_of(releases.bundle(base))
    if not path.exists():
        raise InstallError(
            f"the bundle of {releases.app} {base} is not here, and no patch from it can be made",
            hint="fetch it too (patchtool fetch --bundles N), or name other versions with --from",
        )
    return path


def unpack(bundle: Path, folder: Path) -> Tree:
    """The release in a bundle, as a tree in a new ``folder``.

    Raises:
        FormatError, PatchError: it is damaged.
        InstallError: it cannot be read, or the disk.
    """
    with told(f"unpacking {bundle}"):
        folder.mkdir()
        patch = PatchFile(bundle)
        return apply_patch(patch, nothing(patch.header.app), folder)


def _targets(manifest: Manifest, bundle: Built, patches: dict[str, Built]) -> list[Target]:
    app, version = manifest.app, manifest.version
    return [
        Target(target_name(app, version, "manifest"), manifest.data, _said(manifest)),
        Target(target_name(app, version, "bundle"), bundle.path, _custom(bundle)),
        *(patch_target(app, base, version, built) for base, built in patches.items()),
    ]


def _said(manifest: Manifest) -> dict[str, Any]:
    """What a client must know of a release before it fetches anything."""
    said = manifest.release.to_json()
    return {key: said[key] for key in ("stop", "min_updater", "required", "confirm") if key in said}


def _custom(built: Built) -> dict[str, Any]:
    header = {"length": len(built.header_bytes), "sha256": str(Digest.of(built.header_bytes))}
    return {
        "header": header,
        "write_bytes": built.write_bytes,
        "scratch_bytes": built.header.scratch_bytes,
    }


def patch_target(app: str, old: str, new: str, built: Built) -> Target:
    """A patch as it is published."""
    return Target(patch_name(app, old, new), built.path, _custom(built))


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder to build in; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="upswap-") as folder:
        yield Path(folder)
