"""From two trees to one patch file, proven by applying it before anybody sees it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from patchtool.diff import similar_content
from patchtool.diff.block_pool import bundle_blocks, patch_blocks, pool
from patchtool.diff.options import Options
from patchtool.diff.pair_entries import describe
from patchtool.diff.view_files import gather, new_corpus, originals_of
from patchtool.folder.scan import scan
from patchtool.folder.temporary import staging
from updater.disk.durable import machine_errors
from updater.errors import FormatError, PatchError, RequestError
from updater.format.changes import Layout
from updater.format.encoding.limits import MIB
from updater.format.manifest import Manifest
from updater.format.patch_header.header import encode_header
from updater.format.patch_header.patch import Header, TreeDescriptor, check_header
from updater.patch.apply import PatchFile, Tree, apply_patch, nothing, tree_at

APP, OLD, NEW = "folder", "0", "1"
"""Names a bare folder has, because a manifest must name an app and a version."""

INFLATE_MEMORY = 192 * MIB
"""The memory for taking one file apart: an inflated stream, and trials to deflate it."""


@dataclass(frozen=True)
class Built:
    """A patch file that was built and proven."""

    path: Path
    header: Header
    header_bytes: bytes
    write_bytes: int
    """Bytes its application writes into the stage: decoded, carried and copied files."""
    seconds: float

    @property
    def bytes(self) -> int:
        """Bytes of the patch."""
        return len(self.header_bytes) + self.header.blocks_length

    @property
    def changes(self) -> dict[str, int]:
        """The number of changes of each kind."""
        kinds = Counter(change.kind.name.lower() for change in self.header.changes)
        return dict(sorted(kinds.items()))


def diff_folders(old: Path, new: Path, out: Path, options: Options) -> Built:
    """Write the patch from folder ``old`` to folder ``new`` to ``out``.

    Raises:
        FormatError: a folder holds what a release cannot.
        InstallError: a folder cannot be read, or ``out`` not written.
    """
    trees = [
        tree_at(folder, Manifest.of(APP, version, scan(folder)))
        for folder, version in ((old, OLD), (new, NEW))
    ]
    return build_patch(trees[0], trees[1], out, options)


def build_patch(old: Tree | None, new: Tree, out: Path, options: Options | None = None) -> Built:
    """Write the patch from ``old`` to ``new`` (a bundle if ``old`` is None) to ``out``.

    The same trees and effort always give the same bytes.

    Raises:
        FormatError: the trees pass a limit.
        PatchError: the patch does not give ``new`` when applied: a defect of ours, or files
            that changed meanwhile.
        InstallError: the disk. After any error there is no ``out``.
    """
    if out.exists() and not out.is_file():
        raise RequestError(f"{out} is not a file", hint="name a file for the patch")
    options = options or Options()
    begin = options.monotonic()
    with machine_errors(f"writing {out}"), staging(out.parent) as folder:
        base = old or nothing(new.manifest.app)
        header = _make_blocks(base, new, folder, options, bundle=old is None)
        data = encode_header(check_header(header))
        draft = _assemble(data, folder)
        _prove(draft, base, folder)
        draft.replace(out)
    return Built(
        out, header, data, _write_bytes(base.manifest, new.manifest), options.monotonic() - begin
    )


def _make_blocks(old: Tree, new: Tree, folder: Path, options: Options, *, bundle: bool) -> Header:
    """The header; the blocks it lists lie in ``folder``."""
    changes = describe(old.manifest, new.manifest, similar_content.reader(old, new))
    layout = Layout(old.manifest, changes)
    spool = folder / "blocks"
    named = (None if bundle else _named(old.manifest)), _named(new.manifest)
    if bundle:
        blocks = bundle_blocks(new_corpus(layout, new), spool, options)
        return Header(new.manifest.app, *named, changes, (), (), (), tuple(blocks))
    with pool(options, INFLATE_MEMORY, writing=True) as workers:
        sources = originals_of(layout, old, new)
        contents = gather(layout, sources, old, new, folder, workers)
    blocks = patch_blocks(contents, spool, options)
    read = {extent.file for block in blocks for extent in block.old}
    old_views = tuple(view for view in contents.old_views if view.file in read)
    return Header(
        new.manifest.app, *named, changes, sources, old_views, contents.new_views, tuple(blocks)
    )


def _named(manifest: Manifest) -> TreeDescriptor:
    return TreeDescriptor(manifest.version, manifest.digest, len(manifest.data), manifest.release)


def _assemble(header: bytes, folder: Path) -> Path:
    patch = folder / "patch"
    with patch.open("wb") as file, (folder / "blocks").open("rb") as blocks:
        file.write(header)
        shutil.copyfileobj(blocks, file)
        file.flush()
        os.fsync(file.fileno())
    return patch


def _prove(patch: Path, old: Tree, folder: Path) -> None:
    scratch = folder / "proof"
    scratch.mkdir()
    try:
        apply_patch(PatchFile(patch), old, scratch)
    except (FormatError, PatchError) as error:
        raise PatchError(
            f"the patch does not give the new release: {error}",
            hint="did a file change meanwhile? try again",
        ) from error


def _write_bytes(old: Manifest, new: Manifest) -> int:
    """Bytes of the files that are not at their place already."""
    return sum(file.size for file in new.files() if old.by_path.get(file.path) != file)
