"""Applying a patch: old files and blocks become new files, each hashed while it is written.

Used alike by the client, by ``patchtool apply`` and by ``patchtool diff``, which proves every
patch with it. Writes only into the folder it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from updater.bases import Bases
from updater.delta.block import decode
from updater.delta.view import KNOWN, View, Views, view_of
from updater.errors import FormatError, PatchError
from updater.files import check_file, digest_of
from updater.format.changes import Layout
from updater.format.header import PREAMBLE_MOST, decode_header, header_length
from updater.format.limits import DEFAULT, Limits
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.format.patch import Block, Header
from updater.format.paths import shown
from updater.memory import give_back
from updater.outputs import Outputs
from updater.parallel import in_order
from updater.progress import Progress, Silent

__all__ = [
    "PatchFile",
    "Tree",
    "apply_patch",
    "check_file",
    "digest_of",
    "nothing",
    "tree_at",
    "unusable",
]

JOBS = 2
"""Blocks decoded at once unless a caller says otherwise."""


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

    def __init__(self, path: Path, limits: Limits = DEFAULT) -> None:
        """Read the header of ``path``.

        Raises:
            FormatError: not a patch, or its length is not what its header announces.
        """
        self.path = path
        self.limits = limits
        with path.open("rb") as file:
            self.start = header_length(file.read(PREAMBLE_MOST), limits)
            file.seek(0)
            self.header = decode_header(file.read(self.start), limits)
        length = self.start + self.header.blocks_length
        if path.stat().st_size != length:
            raise FormatError(
                f"patch of {path.stat().st_size} bytes, its header announces {length}"
            )

    def blocks(self) -> Iterator[tuple[Block, int]]:
        """Every block with its offset in the file."""
        offset = self.start
        for block in self.header.blocks:
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
        PatchError: ``old`` is not the tree the patch is for, a file of it has changed, or the
            result is not the tree the header names.
        FormatError: the patch is not one; its author or its transport is at fault.
        OSError: the disk.
        ValueError: ``given`` has a path that no block gives.
    """
    header = patch.header
    _check_base(header, old)
    layout = Layout(old.manifest, header.changes)
    run = _Application(patch, layout, old, out, views, given or {})
    digests = run.decode(progress or Silent(), jobs)
    manifest = layout.manifest(header.app, header.new.version, header.new.release, digests)
    if manifest.digest != header.new.digest or len(manifest.data) != header.new.length:
        raise PatchError(
            f"the result is not {header.app} {header.new.version} as its publisher knows it",
            hint="the installed files are not those of the version they claim to be",
        )
    return Tree(manifest, {file.path: run.place(file.path) for file in manifest.files()})


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
        given: Mapping[str, Path],
    ) -> None:
        self._patch = patch
        self._header = patch.header
        self._layout = layout
        self._old = old
        self._given = given
        for view in (*self._header.old_views, *self._header.new_views):
            view_of(views, view.id)  # one we do not know is found before any work
        self._sizes = self._sizes_to_make()
        self._bases = Bases(self._old_file, out, views, patch.limits)
        self._outputs = Outputs(out, self._sizes, self._header.new_views, views)

    def place(self, path: str) -> Path:
        """Where the bytes of the new file ``path`` lie."""
        if path in self._given:
            return self._given[path]
        slot = self._layout.slots[path]
        if slot.change is not None and self._layout.changes[slot.change].size is not None:
            return self._outputs.path(slot.change)
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
        self._bases.open(numbers, self._header.old_views, jobs)
        self._make_empty_files()
        progress.start("apply", sum(block.new_length for block, _ in blocks))
        try:
            with in_order(self._decode, blocks, jobs) as results:
                for block, _ in blocks:
                    self._outputs.write(block.new, next(results))
                    progress.advance(block.new_length)
            self._outputs.finish(jobs)
        finally:
            progress.finish()
            self._outputs.close()
        made = {self._header.changes[n].path: d for n, d in self._outputs.digests.items()}
        return {**made, **given}

    def _decode(self, placed: tuple[Block, int]) -> bytes:
        block, offset = placed

        def read_old() -> bytes:
            give_back()  # what decompressing took
            return self._bases.read(block.old)

        with self._patch.path.open("rb") as file:
            file.seek(offset)
            try:
                return decode(block, file, read_old, self._patch.limits)
            finally:
                give_back()

    def _sizes_to_make(self) -> dict[int, int]:
        """Number -> size of every new file that blocks give and nobody else."""
        contents = self._header.contents
        unknown = set(self._given) - {self._header.changes[number].path for number in contents}
        if unknown:
            raise ValueError(f"no block gives {shown(min(unknown))}")
        return {
            n: s for n, s in contents.items() if self._header.changes[n].path not in self._given
        }

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
        for number, change in enumerate(self._header.changes):
            if change.size == 0:
                self._outputs.path(number).touch()
