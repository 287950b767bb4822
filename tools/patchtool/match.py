"""Finding what new bytes have in common with old ones: the builder's one door to HDiffPatch.

It finds matches, and its own patch format is not used: the matches are written as bsdiff
triples, which the client decodes. bsdiff4 could find them too, in five times the time, and
takes an hour for 16 MiB of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import hdiffpatch

from updater.delta.bsdiff import Delta
from updater.errors import PatchError
from updater.format.limits import DEFAULT

MAGIC = b"HDIFF13&\0"
"""Start of an uncompressed HDiffPatch document; its covers come first."""
HEADER_NUMBERS = 11


@dataclass(frozen=True, slots=True)
class Cover:
    """``length`` bytes at ``new`` that resemble those at ``old``."""

    old: int
    new: int
    length: int


def find_delta(old: bytes, new: bytes) -> Delta:
    """The best delta we can find from ``old`` to ``new``; the same bytes give the same delta."""
    covers = find_covers(old, new) if old and new else []
    is_useful = 0 < len(covers) < DEFAULT.block_triples
    return as_delta(covers, old, new) if is_useful else whole(new)


def whole(new: bytes) -> Delta:
    """The delta that owes nothing to old bytes."""
    return Delta((0,), (len(new),), (0,), b"", new)


def find_covers(old: bytes, new: bytes) -> list[Cover]:
    """Matches, in the order of ``new``, without overlap there.

    Raises:
        PatchError: HDiffPatch answers in a format we do not know.
    """
    document = hdiffpatch.diff(old, new, compression=hdiffpatch.COMPRESSION_NONE, validate=False)
    if not document.startswith(MAGIC):
        raise PatchError("hdiffpatch writes another format than HDIFF13", hint="check its version")
    numbers = _Numbers(document, len(MAGIC))
    new_length, old_length, count, *_ = [numbers.next() for _ in range(HEADER_NUMBERS)]
    if (old_length, new_length) != (len(old), len(new)):
        raise PatchError("hdiffpatch describes other files", hint="check its version")
    return list(_covers(numbers, count))


def as_delta(covers: list[Cover], old: bytes, new: bytes) -> Delta:
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
