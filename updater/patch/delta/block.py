"""A block's bytes: a delta as control numbers, extra bytes and sparse differences, or zstd.

Both directions stand here, so that what is written and what is read cannot drift apart. The
decoder holds at most four times a block at once: see `decode`.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from updater.errors import FormatError
from updater.format.encoding import lzma2, zstandard
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.encoding.stream import CHUNK, ExactReader, LimitedReader
from updater.format.encoding.wire import Writer
from updater.format.patch_header.patch import LZMA2, STORED, ZSTD, Block
from updater.patch.delta.bsdiff import Delta, Triples, run
from updater.patch.delta.control import Control, decode_control, encode_control, most_bytes

SPARSE = 256
"""Zeros in the differences worth cutting out: xz spends kilobytes and most of its time on
megabytes of them. It never makes a block larger; cutting shorter runs does, and saves time."""
_NOT_ZERO = re.compile(rb"[^\0]")


def decode(
    block: Block, packed: BinaryIO, read_old: Callable[[], bytes], limits: Limits = DEFAULT
) -> bytes:
    """The new bytes of ``block``: its new extents one after the other.

    Holds at most four times 16 MiB: never the decompressor's dictionary beside the old bytes,
    never the block's raw bytes whole.

    Args:
        block: what the header says of it; its lengths are enforced.
        packed: a file that stands at the block's first byte. Read twice, because nothing is
            parsed before its digest is known to be right.
        read_old: gives its old extents one after the other.
        limits: bounds the control numbers.

    Raises:
        FormatError: the bytes are not those the header names, or not a delta.
        PatchError: the delta does not fit the old bytes.
    """
    start = packed.tell()
    _check_digest(block, packed)
    packed.seek(start)
    part = LimitedReader(packed, block.packed_length)
    if block.codec == ZSTD:
        return zstandard.unpacking(part, block.new_length, read_old(), "block").rest()
    parts = _parts(block, part, limits)
    if not parts.difference and not parts.need:
        return parts.extra
    return run(read_old(), *parts)


def encode_block(
    delta: Delta, preset: int = lzma2.BEST, sparse: int = SPARSE
) -> tuple[int, bytes, bytes]:
    """(codec, raw bytes, packed bytes) of ``delta``; stored as it is if packing does not help.

    Args:
        delta: what the block shall give.
        preset: xz's.
        sparse: zeros of the difference bytes that are cut out where so many follow each other.
    """
    raw = _serialize(delta, sparse)
    packed = lzma2.pack(raw, pb=0 if delta.difference else 2, preset=preset)
    return (LZMA2, raw, packed) if len(packed) < len(raw) else (STORED, raw, raw)


def _check_digest(block: Block, packed: BinaryIO) -> None:
    part, digest = LimitedReader(packed, block.packed_length), hashlib.sha256()
    while data := part.read(CHUNK):
        digest.update(data)
    if part.left or digest.digest() != block.digest:
        raise FormatError("block is not the one its header names")


class _Parts(NamedTuple):
    """The input of bsdiff besides the old bytes."""

    need: int
    control: bytes
    difference: bytes
    extra: bytes


def _parts(block: Block, packed: LimitedReader, limits: Limits) -> _Parts:
    """Take the raw bytes apart while they are decompressed; the decompressor is gone after."""
    if block.codec == STORED:
        stream = ExactReader(packed, block.raw_length, "block")
    else:
        stream = lzma2.unpacking(packed, block.raw_length, "block")
    length = stream.varint(most_bytes(limits), "length of control numbers")
    control = decode_control(stream.read(length), block.new_length, limits)
    need, numbers = control.triples.need(), control.triples.control()
    extra = stream.read(sum(control.triples.copies))
    difference = _difference(stream, control)
    stream.end()
    return _Parts(need, numbers, difference, extra)


def _difference(stream: ExactReader, control: Control) -> bytes:
    """The difference bytes, zeros in the gaps, made in one buffer that is then given away."""
    length = sum(control.triples.adds)
    buffer = io.BytesIO(bytes(length))
    left = length
    for literal, gap in zip(control.literals, control.gaps, strict=True):
        buffer.writelines(stream.pieces(literal))
        buffer.seek(gap, io.SEEK_CUR)
        left -= literal + gap
    buffer.writelines(stream.pieces(left))
    return buffer.getvalue()


def _serialize(delta: Delta, sparse: int) -> bytes:
    cuts = list(_gaps(delta.difference, sparse))
    if len(cuts) > DEFAULT.block_triples:
        return _serialize(delta, sparse * 2)
    ends = [0, *(end for _, end in cuts)]
    control = encode_control(
        Control(
            Triples(delta.adds, delta.copies, delta.seeks),
            [start - end for (start, _), end in zip(cuts, ends, strict=False)],
            [end - start for start, end in cuts],
        )
    )
    starts = [*(start for start, _ in cuts), len(delta.difference)]
    writer = Writer()
    writer.block(control)
    writer.raw(delta.extra)
    for end, start in zip(ends, starts, strict=True):
        writer.raw(delta.difference[end:start])
    return writer.data()


def _gaps(difference: bytes, least: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every run of at least ``least`` zeros.

    Two searches in turn: one for a pattern of both takes quadratic time on shorter runs.
    """
    zeros = bytes(least)
    end = 0
    while (start := difference.find(zeros, end)) >= 0:
        other = _NOT_ZERO.search(difference, start + least)
        end = other.start() if other else len(difference)
        yield start, end
