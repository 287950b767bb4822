"""The patch header: which tree becomes which, by what changes, decoded from which blocks.

A patch file is its header, then the bytes of its blocks, nothing else. The header carries the
SHA-256 and length of every block, so a download is verified as it streams. docs/format.md
specifies every byte.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from updater.errors import FormatError
from updater.format.changes import WITH_CONTENT, Change
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.names import Digest
from updater.format.release_description import Release

STORED = 0
LZMA2 = 1
ZSTD = 2
CODECS = frozenset({STORED, LZMA2, ZSTD})


@dataclass(frozen=True, slots=True)
class TreeDescriptor:
    """Names one tree: its version, and the digest and length of its canonical manifest."""

    version: str
    digest: Digest
    length: int
    release: Release
    """Its description, so that a bare folder can be told from the tree it should be."""


@dataclass(frozen=True, slots=True)
class Extent:
    """``length`` view bytes at ``offset`` of file number ``file`` (see `Header`)."""

    file: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FileView:
    """File number ``file`` is read or written through a view of ``length`` bytes, not plainly."""

    file: int
    id: int
    length: int
    recipe: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """The unit of decoding: new extents, decoded from old extents and the block's bytes."""

    old: tuple[Extent, ...]
    new: tuple[Extent, ...]
    codec: int
    raw_length: int
    """Bytes of the block once decompressed, exactly."""
    packed_length: int
    """Bytes of the block in the patch."""
    digest: Digest
    """SHA-256 of the packed bytes."""

    @property
    def new_length(self) -> int:
        """Bytes this block gives."""
        return sum(extent.length for extent in self.new)

    @property
    def old_length(self) -> int:
        """Bytes this block reads."""
        return sum(extent.length for extent in self.old)


@dataclass(frozen=True)
class Header:
    """The header of a patch, which stands before its blocks.

    File numbers: new file number k is the file of ``changes[k]``; old file number k is the old
    self of ``changes[k]``, or for k >= len(changes) the old path ``sources[k - len(changes)]``.
    """

    app: str
    old: TreeDescriptor | None
    """None: the empty tree, and the patch is a bundle."""
    new: TreeDescriptor
    changes: tuple[Change, ...]
    sources: tuple[str, ...]
    """Old files that blocks read though no change names them."""
    old_views: tuple[FileView, ...]
    new_views: tuple[FileView, ...]
    blocks: tuple[Block, ...]

    @cached_property
    def contents(self) -> dict[int, int]:
        """Number -> size of every new file whose content blocks give (empty ones excepted)."""
        return {k: c.size for k, c in enumerate(self.changes) if c.size}

    def blocks_of(self, paths: Collection[str]) -> frozenset[int]:
        """Numbers of the blocks that give any byte of the new files ``paths``."""
        files = {number for number in self.contents if self.changes[number].path in paths}
        return frozenset(
            number
            for number, block in enumerate(self.blocks)
            if any(extent.file in files for extent in block.new)
        )

    @property
    def blocks_length(self) -> int:
        """Bytes that follow the header."""
        return sum(block.packed_length for block in self.blocks)

    @property
    def write_bytes(self) -> int:
        """Bytes of the new files that blocks give."""
        return sum(self.contents.values())

    @property
    def scratch_bytes(self) -> int:
        """Scratch disk that the views need while the patch is applied."""
        return sum(view.length for view in (*self.old_views, *self.new_views))


Select = Callable[[Header], Collection[int]]
"""Tells the numbers of the blocks that are wanted of a patch; the same whenever it is asked."""


def check_header(header: Header, limits: Limits = DEFAULT) -> Header:
    """``header`` itself if its parts agree; the same check at build and at parse.

    Raises:
        FormatError: a limit is passed, blocks do not give every new byte exactly once, or a
            change has fields that are not its kind's.
    """
    _check_counts(header, limits)
    for number, change in enumerate(header.changes):
        if change.kind in WITH_CONTENT and change.size is None:
            raise FormatError("content without a size", context=f"changes[{number}]")
    for number, block in enumerate(header.blocks):
        _check_block(number, block, limits)
    _check_views(header, limits)
    _check_tiling(header)
    return header


def _check_counts(header: Header, limits: Limits) -> None:
    extents = sum(len(block.old) + len(block.new) for block in header.blocks)
    for what, count, most in (
        ("changes", len(header.changes), limits.changes),
        ("sources", len(header.sources), limits.entries),
        ("blocks", len(header.blocks), limits.blocks),
        ("extents", extents, limits.extents),
    ):
        if count > most:
            raise FormatError(f"{count} {what}, {most} allowed")


def _check_block(number: int, block: Block, limits: Limits) -> None:
    for what, value, most in (
        ("new bytes", block.new_length, limits.block_new_bytes),
        ("old bytes", block.old_length, limits.block_old_bytes),
        ("packed bytes", block.packed_length, limits.block_packed_bytes),
        ("decompressed bytes", block.raw_length, raw_limit(block.new_length, limits)),
    ):
        if value > most:
            raise FormatError(f"{value} {what}, {most} allowed", context=f"blocks[{number}]")
    if block.codec not in CODECS:
        raise FormatError(
            f"codec {block.codec} is unknown",
            context=f"blocks[{number}]",
            hint="a newer updater is needed",
        )
    if block.codec == ZSTD and block.raw_length != block.new_length:
        raise FormatError("zstd gives other than the new bytes", context=f"blocks[{number}]")


def raw_limit(new_length: int, limits: Limits = DEFAULT) -> int:
    """Most bytes a block of ``new_length`` new bytes may decompress to.

    Its content, five control numbers of up to 4 bytes for each triple and gap, three counts.
    """
    return 64 + new_length + 20 * min(limits.block_triples, 1 + 2 * new_length)


def _check_views(header: Header, limits: Limits) -> None:
    for views in (header.old_views, header.new_views):
        if len({view.file for view in views}) != len(views):
            raise FormatError("a file has two views", context="views")
    for view in (*header.old_views, *header.new_views):
        if view.length > limits.view_bytes or len(view.recipe) > limits.recipe_bytes:
            raise FormatError(f"view of {view.length} bytes is too large", context="views")
    for view in header.new_views:
        size = header.contents.get(view.file)
        if size is None or not 0 < view.length <= limits.view_factor * size:
            raise FormatError(f"view of {view.length} bytes for {size}", context="new_views")


def _check_tiling(header: Header) -> None:
    lengths = dict(header.contents)
    lengths.update((view.file, view.length) for view in header.new_views)
    reached = dict.fromkeys(lengths, 0)
    extents = (extent for block in header.blocks for extent in block.new)
    for extent in sorted(extents, key=lambda e: (e.file, e.offset)):
        if reached.get(extent.file) != extent.offset or not extent.length:
            raise FormatError(f"new bytes of file {extent.file} overlap or miss", context="blocks")
        reached[extent.file] += extent.length
    if reached != lengths:
        raise FormatError("blocks do not give every new byte", context="blocks")
