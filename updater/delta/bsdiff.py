"""The client's one door to bsdiff4, which trusts its caller and must not.

Crafted control numbers crashed bsdiff4 before 1.3.1 (the family of CVE-2014-9862 and
CVE-2020-14315), and 1.3.2 still reads zeros outside the old bytes without a word. So every
number is checked here first.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import bsdiff4.core

from updater.errors import PatchError

SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Delta:
    """bsdiff's model of new bytes, given old ones.

    For each triple: ``adds[i]`` bytes are old bytes plus ``difference`` bytes (modulo 256),
    ``copies[i]`` bytes come from ``extra``, then the position in old moves by ``seeks[i]``.
    """

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
    return _run(old, delta, new_length)


@cache
def self_check() -> None:
    """Run one known delta, once a process: a broken build of bsdiff4 must not touch a file.

    Raises:
        PatchError: bsdiff4 does not compute what it did when this was written.
    """
    delta = Delta((3, 2), (2, 0), (-1, 0), b"\x01\x00\xff\x00\x00", b"xy")
    if _run(b"abcdef", delta, 7) != b"bbbxycd":
        raise PatchError("bsdiff4 fails its self-check", hint="reinstall the application")


def _run(old: bytes, delta: Delta, new_length: int) -> bytes:
    _check(delta, len(old), new_length)
    try:
        new = bsdiff4.core.patch(old, new_length, _control(delta), delta.difference, delta.extra)
    except (ValueError, MemoryError) as error:
        raise PatchError(f"bsdiff4: {error}") from error
    return bytes(new)


def _check(delta: Delta, old_length: int, new_length: int) -> None:
    adds, copies = sum(delta.adds), sum(delta.copies)
    if adds != len(delta.difference) or copies != len(delta.extra) or adds + copies != new_length:
        raise PatchError("delta: lengths do not add up")
    position = 0
    for add, copy, seek in zip(delta.adds, delta.copies, delta.seeks, strict=True):
        if add < 0 or copy < 0 or position + add > old_length:
            raise PatchError("delta: reads outside the old bytes")
        position += add + seek
        if not 0 <= position <= old_length:
            raise PatchError("delta: seeks outside the old bytes")


def _control(delta: Delta) -> bytes:
    """Sign-magnitude, little-endian, 24 bytes a triple: what bspatch has always read."""
    pack = struct.Struct("<3Q").pack
    triples = zip(delta.adds, delta.copies, delta.seeks, strict=True)
    return b"".join(
        pack(add, copy, seek if seek >= 0 else SIGN - seek) for add, copy, seek in triples
    )
