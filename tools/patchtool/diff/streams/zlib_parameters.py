"""The parameters of zlib that may have written a stream, the most promising first."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import BinaryIO

from updater.format.encoding.limits import MIB
from updater.patch.delta.inflated import Parameters

PATIENCE = 2 * MIB
"""Bytes of one stream deflated in vain, after which no more sets are tried.

Of one stream, not of the file, as long as it may be zlib's: whether a stream is taken apart should
depend on its own bytes, so that one of many is not lost for what the others are.
"""
IN_A_ROW = 64
"""Streams refuted one after the other, after which one new set is tried of each: their encoder is
not zlib, and what it wrote comes out alike in the other release."""
SETS = 16
"""Different sets of one file, so that a client checks few."""

DEFAULT_STRATEGY, FILTERED, HUFFMAN, RLE, FIXED = range(5)


class Trials:
    """The parameters to try, the most promising first."""

    def __init__(self) -> None:
        self._known: list[Parameters] = []
        """Those that worked in this file, the last one first."""
        self._refuted = 0
        """Streams in a row that nothing gave."""

    def find(
        self, header: bytes, content: BinaryIO, works: Callable[[Parameters], bool]
    ) -> Parameters | None:
        """The first set that works, which leaves ``content`` where it was refuted."""
        patience = PATIENCE if self._refuted < IN_A_ROW else 0
        for tried in self._order(header):
            if works(tried):
                self._refuted = 0
                self._known = [tried, *(known for known in self._known if known != tried)]
                return tried
            if tried not in self._known:
                patience -= content.tell()
            if patience < 0:
                break
        self._refuted += 1
        return None

    def _order(self, header: bytes) -> Iterator[Parameters]:
        more = _likely(header) if len(self._known) < SETS else []
        order = dict.fromkeys([*self._known, *more])
        return (tried for tried in order if _may_be(tried, header))


@cache
def _likely(header: bytes) -> list[Parameters]:
    """Every set worth trying; zlib's header tells the window and narrows the level down."""
    windows = [zlib.MAX_WBITS]
    if header:
        windows.insert(0, max((header[0] >> 4) + 8, 9))
    return [
        Parameters(level, window, memory, strategy)
        for strategy, memory, levels in _LIKELY
        for window in dict.fromkeys(windows)
        for level in levels
    ]


def _may_be(parameters: Parameters, header: bytes) -> bool:
    """Return whether zlib writes this header with the parameters: it tells their level roughly."""
    if not header:
        return True
    if parameters.strategy >= HUFFMAN or parameters.level < 2:
        return header[1] >> 6 == 0
    return header[1] >> 6 == 1 + (parameters.level > 5) + (parameters.level > 6)


_ALL = (6, 9, 1, 5, 4, 3, 2, 7, 8)
_LIKELY = (
    (DEFAULT_STRATEGY, 8, _ALL),
    (DEFAULT_STRATEGY, 9, (6, 9, 1)),
    (FILTERED, 8, _ALL),
    (FILTERED, 9, (6, 9, 1)),
    (RLE, 8, (6,)),  # here and in the next the level makes no difference
    (HUFFMAN, 8, (6,)),
    (RLE, 9, (6,)),
    (HUFFMAN, 9, (6,)),
    (FIXED, 8, (6, 9)),
    (FIXED, 9, (6, 9)),
)
"""Strategy, memory level and levels that libraries and optimisers of images use."""
