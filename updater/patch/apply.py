"""Applying a patch: old files and blocks become new files, each hashed while it is written.

Used alike by the client, by ``patchtool apply`` and by ``patchtool diff``, which proves every
patch with it. Writes only into the folder it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from updater.errors import FormatError, PatchError
from updater.format.changes import Layout
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.format.patch_header.header import PREAMBLE_MOST, decode_header, header_length
from updater.format.patch_header.patch import Block, Header, Select
from updater.format.paths import shown
from updater.patch.delta.block import decode
from updater.patch.delta.view import KNOWN, View, Views, view_of
from updater.patch.file_digest import check_file, digest_of
from updater.patch.memory import trim_memory
from updater.patch.new_files import NewFiles
from updater.patch.old_files import OldFiles
from updater.patch.parallel import in_order
from updater.progress import Progress, Silent

__all__ = [
    "PatchFile",
    "Tree",
    "WrongTree",
    "apply_patch",
    "check_file",
    "digest_of",
    "extract",
    "nothing",
    "tree_at",
    "unusable",
]

JOBS = 2
"""Blocks decoded at once unless a caller says otherwise."""


class WrongTree(PatchError):  # noqa: N818 - reads as what the user is told
    """The result of a patch is not the tree its header names; ``manifest`` lists it."""

    def __init__(self, header: Header, manifest: Manifest) -> None:
        super().__init__(
            f"the result is not {header.app} {header.new.version} as its publisher knows it",
            hint="the installed files are not those of the version they claim to be",
        )
        self.manifest = manifest


@dataclass(frozen=True)
class Tree:
    """A manifest, and where on disk the bytes of each of its files lie now."""

    manifest: Manifest
    places: Mapping[str, Path]


def tree_at(folder: Path, manifest: Manifest) -> Tree:
    """The tree whose files lie in ``folder`` at their own paths."""
    return Tree(manifest, {file.path: folder / file.path for file in manifest.files()})


def nothing(app: str) -> Tree:
    """The tree a bundle starts from."""
    return Tree(Manifest.empty(app), {})


class PatchFile:
    """A patch on disk: its header, read and checked; its blocks, read when asked for."""

    def __init__(self, path: Path, limits: Limits = DEFAULT, select: Select | None = None) -> None:
        """Read the header of ``path``.

        Args:
            path: the header, and its blocks one behind the other.
            limits: what a patch may ask of this machine.
            select: tells which blocks ``path`` has; without it all.

        Raises:
            FormatError: not a patch, or its length is not what its header announces.
        """
        self.path = path
        self.limits = limits
        with path.open("rb") as file:
            self.start = header_length(file.read(PREAMBLE_MOST), limits)
            file.seek(0)
            self.header = decode_header(file.read(self.start), limits)
        blocks = self.header.blocks
        self._numbers = range(len(blocks)) if select is None else sorted(select(self.header))
        length = self.start + sum(blocks[number].packed_length for number in self._numbers)
        if path.stat().st_size != length:
            raise FormatError(
                f"patch of {path.stat().st_size} bytes, its header announces {length}"
            )

    def blocks(self) -> Iterator[tuple[Block, int]]:
        """Every block that is there, with its offset in the file."""
        offset = self.start
        for block in (self.header.blocks[number] for number in self._numbers):
            yield block, offset
            offset += block.packed_length


def apply_patch(
    patch: PatchFile,
    old: Tree,
    out: Path,
    *,
    views: Views = KNOWN,
    progress: Progress | None = None,
    jobs: int = JOBS,
    given: Mapping[str, Path] | None = None,
) -> Tree:
    """The new tree, its decoded files written into the empty folder ``out``.

    Files that are carried over whole keep the places they have in ``old``: nothing is copied.
    ``out`` gets files with numbers for names, no folders; on an error it holds rubbish.

    Args:
        patch: its blocks are decoded with its limits.
        old: the tree it is for.
        out: an empty folder.
        views: the views to know.
        progress: told of the bytes that blocks give.
        jobs: blocks decoded at once, each in at most 64 MiB; 1 needs no thread.
        given: new files, by path, that lie elsewhere already, such as those `unusable` names:
            they are not decoded, only hashed, and keep the places given here.

    Raises:
        PatchError: ``old`` is not the tree the patch is for, or a file of it has changed.
        WrongTree: the result is not the tree the header names.
        FormatError: the patch is not one; its author or its transport is at fault.
        OSError: the disk.
        ValueError: ``given`` has a path that no block gives.
    """
    header = patch.header
    _check_base(header, old)
    layout = Layout(old.manifest, header.changes)
    given = given or {}
    run = _Application(patch, layout, old, out, views, _to_make(header, given), given)
    digests = run.decode(progress or Silent(), jobs)
    manifest = layout.manifest(header.app, header.new.version, header.new.release, digests)
    if manifest.digest != header.new.digest or len(manifest.data) != header.new.length:
        raise WrongTree(header, manifest)
    return Tree(manifest, {file.path: run.place(file.path) for file in manifest.files()})


def extract(
    bundle: PatchFile,
    paths: Collection[str],
    out: Path,
    *,
    progress: Progress | None = None,
    jobs: int = JOBS,
) -> dict[str, Path]:
    """Some files of a bundle: where each of ``paths`` lies in the empty folder ``out``.

    Their bytes are those that were signed with the bundle; no manifest is asked. Only the blocks
    that hold them are decoded, and need be there.

    Args:
        bundle: a patch from the empty tree.
        paths: files of it.
        out: an empty folder; on an error it holds rubbish.
        progress: told of the bytes that blocks give.
        jobs: as for `apply_patch`.

    Raises:
        PatchError: not a bundle, it has no such file, or not in a form this machine can read.
        FormatError: not a patch; its author or its transport is at fault.
        OSError: the disk.
    """
    header = bundle.header
    old = nothing(header.app)
    _check_base(header, old)
    sizes = {
        n: c.size for n, c in enumerate(header.changes) if c.size is not None and c.path in paths
    }
    missing = set(paths) - {header.changes[number].path for number in sizes}
    if missing:
        raise PatchError(
            f"the bundle of {header.app} {header.new.version} has no {shown(min(missing))}"
        )
    run = _Application(bundle, Layout(old.manifest, header.changes), old, out, KNOWN, sizes, {})
    run.decode(progress or Silent(), jobs)
    return {path: run.place(path) for path in paths}


def unusable(header: Header, views: Views = KNOWN) -> list[str]:
    """New files, by path, that this machine cannot make: they must come from elsewhere.

    Raises:
        FormatError: a view is unknown, or a recipe is not one.
    """
    return [
        header.changes[view.file].path
        for view in header.new_views
        if not _works(view_of(views, view.id), view.recipe)
    ]


def _works(view: View, recipe: bytes) -> bool:
    try:
        view.check(recipe)
    except PatchError:
        return False
    return True


def _to_make(header: Header, given: Mapping[str, Path]) -> dict[int, int]:
    """Number -> size of every new file that is not there yet, empty ones included."""
    unknown = set(given) - {header.changes[number].path for number in header.contents}
    if unknown:
        raise ValueError(f"no block gives {shown(min(unknown))}")
    return {
        number: change.size
        for number, change in enumerate(header.changes)
        if change.size is not None and change.path not in given
    }


def _check_base(header: Header, old: Tree) -> None:
    if header.old is None:
        if old.manifest.entries:
            raise PatchError("a bundle starts from nothing, not from an installed tree")
    elif header.old.digest != old.manifest.digest:
        raise PatchError(
            f"the patch is for {header.app} {header.old.version}, and this is another tree",
            hint="apply it to exactly the release it was made from",
        )


class _Application:
    """One patch being applied: which file numbers are which files."""

    def __init__(
        self,
        patch: PatchFile,
        layout: Layout,
        old: Tree,
        out: Path,
        views: Views,
        sizes: Mapping[int, int],
        given: Mapping[str, Path],
    ) -> None:
        self._patch = patch
        self._header = patch.header
        self._layout = layout
        self._old = old
        self._given = given
        for view in (*self._header.old_views, *self._header.new_views):
            view_of(views, view.id)  # one we do not know is found before any work
        self._sizes = sizes
        self._old_files = OldFiles(self._old_file, out, views, patch.limits)
        self._new_files = NewFiles(out, self._sizes, self._header.new_views, views)

    def place(self, path: str) -> Path:
        """The place of the bytes of the new file ``path``."""
        if path in self._given:
            return self._given[path]
        slot = self._layout.slots[path]
        if slot.change is not None and self._layout.changes[slot.change].size is not None:
            return self._new_files.path(slot.change)
        assert slot.source is not None  # noqa: S101 - what is not decoded is carried over
        return self._old.places[slot.source]

    def decode(self, progress: Progress, jobs: int) -> dict[str, Digest]:
        """Write every new file; their digests by path."""
        given = {path: digest_of(place) for path, place in self._given.items()}
        blocks = [
            (block, offset)
            for block, offset in self._patch.blocks()
            if any(extent.file in self._sizes for extent in block.new)
        ]
        numbers = {extent.file for block, _ in blocks for extent in block.old}
        self._old_files.open(numbers, self._header.old_views, jobs)
        self._make_empty_files()
        progress.start("apply", sum(block.new_length for block, _ in blocks))
        try:
            with in_order(self._decode, blocks, jobs) as results:
                for block, _ in blocks:
                    self._new_files.write(block.new, next(results))
                    progress.advance(block.new_length)
            self._new_files.finish(jobs)
        finally:
            progress.finish()
            self._new_files.close()
        made = {self._header.changes[n].path: d for n, d in self._new_files.digests.items()}
        return {**made, **given}

    def _decode(self, placed: tuple[Block, int]) -> bytes:
        block, offset = placed

        def read_old() -> bytes:
            trim_memory()  # what decompressing took
            return self._old_files.read(block.old)

        with self._patch.path.open("rb") as file:
            file.seek(offset)
            try:
                return decode(block, file, read_old, self._patch.limits)
            finally:
                trim_memory()

    def _old_file(self, number: int) -> tuple[File, Path]:
        """The old file of a number, and its place.

        Raises:
            FormatError: there is none.
        """
        count = len(self._header.changes)
        sources = self._header.sources
        if number >= count:
            path = sources[number - count] if number - count < len(sources) else None
        else:
            path = self._layout.olds.get(number)
        file = self._old.manifest.by_path.get(path or "")
        if not isinstance(file, File):
            raise FormatError(f"old file {number} is not a file", context="blocks")
        return file, self._old.places[file.path]

    def _make_empty_files(self) -> None:
        for number, size in self._sizes.items():
            if size == 0:
                self._new_files.path(number).touch()
