"""The client's one door to bsdiff4, which trusts its caller and must not.

Crafted control numbers crashed bsdiff4 before 1.3.1 (the family of CVE-2014-9862 and
CVE-2020-14315), and 1.3.2 still reads zeros outside the old bytes without a word. So every
number is checked here first.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import bsdiff4.core

from updater.errors import PatchError

SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Triples:
    """bsdiff's control numbers.

    For each triple: ``adds[i]`` bytes are old bytes plus difference bytes (modulo 256),
    ``copies[i]`` bytes are extra bytes, then the position in old moves by ``seeks[i]``.
    """

    adds: Sequence[int]
    copies: Sequence[int]
    seeks: Sequence[int]

    def need(self) -> int:
        """The number of old bytes that are needed, so that nothing outside them is read.

        Raises:
            PatchError: a position before them or a length below 0; the author is at fault.
        """
        position = need = 0
        for add, copy, seek in zip(self.adds, self.copies, self.seeks, strict=True):
            end = position + add
            position = end + seek
            if add < 0 or copy < 0 or position < 0:
                raise PatchError("delta: reads outside the old bytes")
            need = max(need, end, position)
        return need

    def control(self) -> bytes:
        """Sign-magnitude, little-endian, 24 bytes a triple: what bspatch has always read."""
        numbers = array("Q", bytes(24 * len(self.adds)))
        numbers[0::3] = array("Q", self.adds)
        numbers[1::3] = array("Q", self.copies)
        numbers[2::3] = array("Q", (n if n >= 0 else SIGN - n for n in self.seeks))
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()


@dataclass(frozen=True, slots=True)
class Delta:
    """bsdiff's model of new bytes, given old ones: `Triples`, and the bytes they count."""

    adds: Sequence[int]
    copies: Sequence[int]
    seeks: Sequence[int]
    difference: bytes
    extra: bytes


def patch(old: bytes, delta: Delta, new_length: int) -> bytes:
    """The new bytes.

    Raises:
        PatchError: lengths that do not add up or a position outside ``old``; the block's
            author is at fault, or these are not the old bytes it was made for.
    """
    self_check()
    return _patch(old, delta, new_length)


def run(old: bytes, need: int, control: bytes, difference: bytes, extra: bytes) -> bytes:
    """The new bytes of triples whose `Triples.need` and `Triples.control` are given.

    They must count just as many difference and extra bytes: bsdiff4 believes them.

    Raises:
        PatchError: ``old`` is too short, or bsdiff4 does not work.
    """
    self_check()
    _check(need, old)
    return _run(old, control, difference, extra)


@cache
def self_check() -> None:
    """Run one known delta, once a process: a broken build of bsdiff4 must not touch a file.

    Raises:
        PatchError: bsdiff4 does not compute what it did when this was written.
    """
    delta = Delta((3, 2), (2, 0), (-1, 0), b"\x01\x00\xff\x00\x00", b"xy")
    if _patch(b"abcdef", delta, 7) != b"bbbxycd":
        raise PatchError("bsdiff4 fails its self-check", hint="reinstall the application")


def _patch(old: bytes, delta: Delta, new_length: int) -> bytes:
    triples = Triples(delta.adds, delta.copies, delta.seeks)
    adds, copies = sum(delta.adds), sum(delta.copies)
    if adds != len(delta.difference) or copies != len(delta.extra) or adds + copies != new_length:
        raise PatchError("delta: lengths do not add up")
    _check(triples.need(), old)
    return _run(old, triples.control(), delta.difference, delta.extra)


def _check(need: int, old: bytes) -> None:
    if need > len(old):
        raise PatchError("delta: reads outside the old bytes")


def _run(old: bytes, control: bytes, difference: bytes, extra: bytes) -> bytes:
    new_length = len(difference) + len(extra)
    try:
        return bytes(bsdiff4.core.patch(old, new_length, control, difference, extra))
    except (ValueError, MemoryError) as error:
        raise PatchError(f"bsdiff4: {error}") from error
