"""A block's bytes: a delta as columns of control numbers, sparse differences and extra bytes.

Both directions stand here, so that what is written and what is read cannot drift apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from updater.delta.bsdiff import Delta, patch
from updater.errors import FormatError
from updater.format import lzma2
from updater.format.limits import DEFAULT, Limits
from updater.format.names import Digest
from updater.format.patch import LZMA2, STORED, Block
from updater.format.wire import Reader, Writer

_ZEROS = re.compile(rb"\0{256,}")
"""Runs worth cutting out: xz spends kilobytes and most of its time on megabytes of zeros."""


def decode_block(block: Block, packed: bytes, old: bytes, limits: Limits = DEFAULT) -> bytes:
    """The new bytes of ``block``: its new extents one after the other.

    Args:
        block: what the header says of it; its lengths are enforced.
        packed: its bytes in the patch.
        old: its old extents one after the other.
        limits: bounds the number of triples.

    Raises:
        FormatError: the bytes are not those the header names, or not a delta.
        PatchError: the delta does not fit ``old``.
    """
    if len(packed) != block.packed_length or Digest.of(packed) != block.digest:
        raise FormatError("block is not the one its header names")
    raw = packed if block.codec == STORED else lzma2.unpack(packed, block.raw_length, "block")
    if len(raw) != block.raw_length:
        raise FormatError(f"block of {len(raw)} bytes, {block.raw_length} announced")
    return patch(old, _parse(raw, block.new_length, limits), block.new_length)


def encode_block(delta: Delta, preset: int = lzma2.BEST) -> tuple[int, bytes, bytes]:
    """(codec, raw bytes, packed bytes) of ``delta``; stored as it is if packing does not help."""
    raw = _serialize(delta)
    packed = lzma2.pack(raw, preset=preset)
    return (LZMA2, raw, packed) if len(packed) < len(raw) else (STORED, raw, raw)


def _serialize(delta: Delta) -> bytes:
    writer = Writer()
    writer.varint(len(delta.adds))
    writer.column(list(delta.adds))
    writer.column(list(delta.copies))
    for seek in delta.seeks:
        writer.signed(seek)
    literals = b"".join(_write_gaps(writer, delta.difference))
    writer.block(literals)
    writer.raw(delta.extra)
    return writer.data()


def _parse(raw: bytes, new_length: int, limits: Limits) -> Delta:
    reader = Reader(raw)
    count = reader.varint(limits.block_triples, "number of triples")
    adds = reader.column(count, new_length, "add length")
    copies = reader.column(count, new_length, "copy length")
    seeks = [reader.signed(limits.block_old_bytes, "seek") for _ in range(count)]
    if sum(adds) + sum(copies) != new_length:
        raise FormatError("control numbers do not give the block's new bytes")
    runs = list(_read_gaps(reader, sum(adds)))
    literals = reader.block(new_length, "difference bytes")
    extra = reader.raw(sum(copies), "extra bytes")
    reader.end()
    return Delta(adds, copies, seeks, _expand(runs, literals), extra)


def _write_gaps(writer: Writer, difference: bytes) -> Iterator[bytes]:
    """Write the lengths of literals and of the zeros between them; yield the literals.

    The lengths alternate, literal first, until they add up to the difference's length.
    """
    end = 0
    for zeros in _ZEROS.finditer(difference):
        writer.varint(zeros.start() - end)
        writer.varint(zeros.end() - zeros.start())
        yield difference[end : zeros.start()]
        end = zeros.end()
    if end < len(difference):
        writer.varint(len(difference) - end)
        yield difference[end:]


def _read_gaps(reader: Reader, length: int) -> Iterator[int]:
    """The alternating lengths of literals and zeros that add up to ``length``."""
    first = True
    while length:
        run = reader.varint(length, "length of a run")
        if not (run or first):
            raise FormatError("empty run in the difference stream")
        first = False
        length -= run
        yield run


def _expand(runs: list[int], literals: bytes) -> bytes:
    if sum(runs[::2]) != len(literals):
        raise FormatError("difference bytes are not as many as their runs say")
    difference = bytearray()
    taken = 0
    for number, run in enumerate(runs):
        difference += bytes(run) if number % 2 else literals[taken : taken + run]
        taken += 0 if number % 2 else run
    return bytes(difference)
