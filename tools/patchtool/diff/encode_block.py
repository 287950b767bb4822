"""From a draft to a block's bytes: the smallest of what is worth trying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from patchtool.diff.cut_blocks import BlockDraft
from patchtool.diff.matching.corpus import Corpus
from patchtool.diff.matching.match import as_delta, bsdiff_covers, whole
from patchtool.diff.options import Spending
from updater.format.encoding import zstandard
from updater.format.encoding.limits import DEFAULT, MIB
from updater.format.names import Digest
from updater.format.patch_header.patch import ZSTD, Block, Extent
from updater.patch.delta.block import encode_block
from updater.patch.delta.bsdiff import Delta

WORTH = 256
"""New bytes for each packed one (beyond the first MiB) up to which zstd is worth its time."""

TEXT = 8
"""Executables hold one zero in 3 to 7 bytes; text none, but for tables of messages (1 in 13)."""


@dataclass(frozen=True)
class Encoded:
    """A block, and its bytes in the patch."""

    block: Block
    packed: bytes


@dataclass(frozen=True)
class _Body:
    """One way to write a block."""

    codec: int
    raw_length: int
    packed: bytes
    reads_old: bool


def encode(draft: BlockDraft, old: Corpus, new: Corpus, spending: Spending) -> Encoded:
    """The block of ``draft``; the same bytes always give the same block.

    Raises:
        OSError: the disk.
    """
    fresh = new.read([draft.new])
    base = old.read(draft.old)
    bodies = _patched(draft, base, fresh, spending) if base else _bundled(fresh, spending)
    best = min(bodies, key=lambda body: len(body.packed))
    olds = old.extents(draft.old) if best.reads_old else ()
    return Encoded(_block(olds, new.extents([draft.new]), best), best.packed)


def encode_whole(draft: BlockDraft, new: Corpus, spending: Spending) -> Encoded:
    """The block of a bundle."""
    delta = whole(new.read([draft.new]))
    body = _delta_body(delta, spending.bundle_preset, spending.sparse, reads_old=False)
    return Encoded(_block((), new.extents([draft.new]), body), body.packed)


def _patched(draft: BlockDraft, base: bytes, fresh: bytes, spending: Spending) -> Iterator[_Body]:
    delta = as_delta(draft.covers, base, fresh)
    body = _delta_body(delta, spending.preset, spending.sparse, reads_old=True)
    yield body
    if spending.bsdiff:
        covers = bsdiff_covers(base, fresh)[: DEFAULT.block_triples - 1]
        other = as_delta(covers, base, fresh)
        yield _delta_body(other, spending.preset, spending.sparse, reads_old=True)
    if spending.zstd and (spending.zstd_always or _is_worth_zstd(delta, fresh, len(body.packed))):
        packed = zstandard.pack(fresh, base, spending.zstd)
        yield _Body(ZSTD, len(fresh), packed, reads_old=True)
    if len(delta.extra) > len(fresh) // 2:  # else so much matches that it would be time lost
        yield from _bundled(fresh, spending)


def _bundled(fresh: bytes, spending: Spending) -> Iterator[_Body]:
    yield _delta_body(whole(fresh), spending.preset, spending.sparse, reads_old=False)


def _is_worth_zstd(delta: Delta, fresh: bytes, packed: int) -> bool:
    """Return whether zstd may win enough for its time.

    It wins on text, which is edited by words, up to a twentieth of the block; never on
    executables, where addresses change in every line, and which hold many zeros.
    """
    edited = len(delta.difference) - delta.difference.count(0)
    is_text = fresh.count(0) * TEXT < len(fresh) and edited <= 2 * len(delta.extra)
    return is_text and packed * WORTH >= len(fresh) - MIB


def _delta_body(delta: Delta, preset: int, sparse: int, *, reads_old: bool) -> _Body:
    codec, raw, packed = encode_block(delta, preset, sparse)
    return _Body(codec, len(raw), packed, reads_old)


def _block(old: tuple[Extent, ...], new: tuple[Extent, ...], body: _Body) -> Block:
    return Block(old, new, body.codec, body.raw_length, len(body.packed), Digest.of(body.packed))
