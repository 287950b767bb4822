"""Finding what new bytes have in common with old ones: the builder's one door to bsdiff4."""

from __future__ import annotations

import struct

import bsdiff4.core

from updater.delta.bsdiff import SIGN, Delta
from updater.format.limits import DEFAULT


def find_delta(old: bytes, new: bytes) -> Delta:
    """The shortest delta we can find from ``old`` to ``new``.

    Takes about 17 bytes of memory per old byte while it sorts suffixes.
    """
    if not old or not new:
        return whole(new)
    control, difference, extra = bsdiff4.core.diff(old, new)
    if len(control) > 24 * DEFAULT.block_triples:
        return whole(new)
    triples = list(struct.iter_unpack("<3Q", control))
    adds, copies, seeks = zip(*triples, strict=True)
    moves = [-(seek & ~SIGN) if seek & SIGN else seek for seek in seeks]
    moves[-1] = 0  # bsdiff's last seek leads to nothing and may leave the old bytes
    return Delta(adds, copies, moves, bytes(difference), bytes(extra))


def whole(new: bytes) -> Delta:
    """The delta that owes nothing to old bytes."""
    return Delta((0,), (len(new),), (0,), b"", new)
