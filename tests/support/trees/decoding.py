"""Decoding of what lies in memory, whole: as the product does it piece by piece from a file."""

from __future__ import annotations

import io

from updater.errors import FormatError
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.encoding.zstandard import unpacking
from updater.format.patch_header.patch import Block
from updater.patch.delta.block import decode


def unpack(packed: bytes, raw_length: int, prefix: bytes, what: str) -> bytes:
    """Exactly ``raw_length`` bytes from one frame; never a byte more is decompressed."""
    return unpacking(io.BytesIO(packed), raw_length, prefix, what).rest()


def decode_block(block: Block, packed: bytes, old: bytes, limits: Limits = DEFAULT) -> bytes:
    """The new bytes of a block."""
    if len(packed) != block.packed_length:
        raise FormatError("block is not the one its header names")
    return decode(block, io.BytesIO(packed), lambda: old, limits)
