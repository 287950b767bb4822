"""Find what new bytes have in common with old ones, behind one interface.

A finder takes old and new bytes and gives covers; what finds them never shows in a patch, where
they are bsdiff triples. HDiffPatch finds quickly. bsdiff4 takes five times as long and more where
much repeats itself, and finds a little more in some executables: `best` asks both.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import bsdiff4.core
import hdiffpatch

from updater.errors import PatchError
from updater.patch.delta.bsdiff import Delta

MAGIC = b"HDIFF13&\0"
"""Start of an uncompressed HDiffPatch document; its covers come first."""
HEADER_NUMBERS = 11
SIGN = 1 << 63
REPETITIVE = 16
"""Bytes zlib makes one of; beyond it bsdiff4's search takes minutes (2 MiB of zeros: one)."""


@dataclass(frozen=True, slots=True)
class Cover:
    """``length`` bytes at ``new`` that resemble those at ``old``."""

    old: int
    new: int
    length: int


def hdiffpatch_covers(old: bytes, new: bytes) -> list[Cover]:
    """Find covers with HDiffPatch.

    Raises:
        PatchError: it answers in a format we do not know.
    """
    if not old or not new:
        return []
    document = hdiffpatch.diff(old, new, compression=hdiffpatch.COMPRESSION_NONE, validate=False)
    if not document.startswith(MAGIC):
        raise PatchError("hdiffpatch writes another format than HDIFF13", hint="check its version")
    numbers = _Numbers(document, len(MAGIC))
    new_length, old_length, count, *_ = [numbers.next() for _ in range(HEADER_NUMBERS)]
    if (old_length, new_length) != (len(old), len(new)):
        raise PatchError("hdiffpatch describes other files", hint="check its version")
    return list(_covers(numbers, count))


def bsdiff_covers(old: bytes, new: bytes) -> list[Cover]:
    """Find covers with bsdiff4; none in content so repetitive that it would not come to an end."""
    if not old or not new or is_repetitive(old) or is_repetitive(new):
        return []
    control, _, _ = bsdiff4.core.diff(old, new)
    numbers = [n if n < SIGN else SIGN - n for (n,) in struct.iter_unpack("<Q", control)]
    covers, old_at, new_at = [], 0, 0
    for add, copy, seek in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        if add:
            covers.append(Cover(old_at, new_at, add))
        old_at, new_at = old_at + add + seek, new_at + add + copy
    return covers


def is_repetitive(data: bytes) -> bool:
    """Return whether any part of ``data`` says the same thing over and over."""
    size = 1 << 18  # a run of this length takes it a second
    parts = (data[start : start + size] for start in range(0, len(data), size))
    return any(len(zlib.compress(part, 1)) * REPETITIVE < len(part) for part in parts)


def whole(new: bytes) -> Delta:
    """The delta that owes nothing to old bytes."""
    return Delta((0,), (len(new),), (0,), b"", new)


def as_delta(covers: Sequence[Cover], old: bytes, new: bytes) -> Delta:
    """``covers`` in bsdiff's model: each is added, what lies between them is copied."""
    begin, end = Cover(0, 0, 0), Cover(0, len(new), 0)
    steps = list(pairwise([begin, *covers, end]))
    seeks = [after.old - (cover.old + cover.length) for cover, after in steps]
    seeks[-1] = 0  # there is nothing to seek after the last
    gaps = [new[cover.new + cover.length : after.new] for cover, after in steps]
    differences = b"".join(_difference(old, new, cover) for cover in covers)
    adds = [cover.length for cover, _ in steps]
    return Delta(adds, [len(gap) for gap in gaps], seeks, differences, b"".join(gaps))


def _covers(numbers: _Numbers, count: int) -> Iterator[Cover]:
    """Covers as HDIFF13 writes them: signed step in old, gap in new, length."""
    old = new = 0
    for _ in range(count):
        old += numbers.next_signed()
        new += numbers.next()
        length = numbers.next()
        yield Cover(old, new, length)
        old, new = old + length, new + length


def _difference(old: bytes, new: bytes, cover: Cover) -> bytes:
    """New bytes minus old ones, modulo 256, as one subtraction of long numbers.

    Bit 7 of each byte is kept apart so that no borrow crosses into the next byte.
    """
    size = cover.length
    a = int.from_bytes(new[cover.new : cover.new + size], "little")
    b = int.from_bytes(old[cover.old : cover.old + size], "little")
    high = int.from_bytes(b"\x80" * size, "little")
    result = ((a | high) - (b & ~high)) ^ ((a ^ ~b) & high)
    return result.to_bytes(size, "little")


class _Numbers:
    """Big-endian base-128 numbers, as HDiffPatch packs them."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def next(self) -> int:
        return self._rest(0, more=True)

    def next_signed(self) -> int:
        """The first byte has the sign in bit 7, the flag for more in bit 6."""
        byte = self._data[self._at]
        self._at += 1
        value = self._rest(byte & 0x3F, more=bool(byte & 0x40))
        return -value if byte & 0x80 else value

    def _rest(self, value: int, *, more: bool) -> int:
        while more:
            byte = self._data[self._at]
            self._at += 1
            value = value << 7 | byte & 0x7F
            more = bool(byte & 0x80)
        return value
