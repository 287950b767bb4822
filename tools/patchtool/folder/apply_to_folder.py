"""Apply a patch to a bare folder, without an install, for ``patchtool apply``."""

from __future__ import annotations

import shutil
from pathlib import Path

from patchtool.folder.scan import scan
from patchtool.folder.temporary import staging
from updater.disk.durable import Disk, machine_errors, mode_of
from updater.errors import FormatError, PatchError, RequestError
from updater.format.manifest import File, Manifest, Symlink
from updater.patch.apply import PatchFile, Tree, apply_patch, nothing, tree_at


def apply_to_folder(patch: Path, old: Path, out: Path, jobs: int = 2) -> Manifest:
    """Rebuild the new release of ``patch`` in the fresh folder ``out``, given folder ``old``.

    Works on any patch: of bare folders, of a repository, bundles too (``old`` is empty then).
    ``jobs`` blocks are decoded at once, each in at most 64 MiB.

    Raises:
        PatchError: ``old`` is not the tree the patch is for, or the result is not the one it
            promises. ``out`` is not there after any error, or a kill.
        FormatError: the patch is not one.
        InstallError: ``out`` exists, or the disk.
    """
    with machine_errors(f"applying {patch}"):
        if out.exists():
            raise RequestError(f"{out} exists", hint="name a folder that does not")
        file = PatchFile(patch)
        base = _base(file, old)
        out.parent.mkdir(parents=True, exist_ok=True)
        with staging(out.parent) as work:
            manifest = _rebuild(file, base, work / "tree", jobs)
            (work / "tree").replace(out)
    return manifest


def _base(patch: PatchFile, folder: Path) -> Tree:
    named = patch.header.old
    entries = scan(folder)
    if named is None:
        if entries:
            raise PatchError(f"a bundle starts from an empty folder, {folder} is not")
        return nothing(patch.header.app)
    wrong = PatchError(
        f"{folder} is not the folder this patch was made from",
        hint=f"the patch is for {patch.header.app} {named.version}, exactly as released",
    )
    try:
        manifest = Manifest.of(patch.header.app, named.version, entries, named.release)
    except FormatError as error:  # such as: the entry of the release is not there
        raise wrong from error
    if manifest.digest != named.digest:
        raise wrong
    return tree_at(folder, manifest)


def _rebuild(patch: PatchFile, base: Tree, out: Path, jobs: int) -> Manifest:
    scratch = out / ".upswap"  # a name no release may hold
    scratch.mkdir(parents=True)
    tree = apply_patch(patch, base, scratch, jobs=jobs)
    for folder in sorted(tree.manifest.directories):
        Disk().mkdir(out / folder)
    for entry in tree.manifest.entries:
        place = out / entry.path
        if isinstance(entry, Symlink):
            place.symlink_to(entry.target)
        elif isinstance(entry, File):
            _put(tree.places[entry.path], place, scratch)
            place.chmod(mode_of(entry.executable))
    shutil.rmtree(scratch)
    return tree.manifest


def _put(source: Path, place: Path, scratch: Path) -> None:
    """A decoded file is moved, for it is nobody else's; any other is copied."""
    if scratch in source.parents:
        source.replace(place)
    else:
        shutil.copyfile(source, place)
