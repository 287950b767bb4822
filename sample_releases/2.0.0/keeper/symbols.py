"""Symbols by name: ``:slice of pizza:`` in a note becomes the symbol.

The table is ``data/symbols.bin``: code point (32 bits, little-endian), length of the name
(8 bits), name; and so on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "data" / "symbols.bin"
NAME = re.compile(r":([a-z][a-z0-9 -]*):")


def put_symbols(text: str) -> str:
    """``text`` with symbols for their names; unknown names stay."""
    return NAME.sub(lambda found: _table().get(found[1], found[0]), text)


@cache
def _table() -> dict[str, str]:
    return dict(_records(TABLE.read_bytes()))


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """Name and symbol of every record."""
    start = 0
    while start < len(data):
        code, length = struct.unpack_from("<IB", data, start)
        start += struct.calcsize("<IB") + length
        yield data[start - length : start].decode("ascii"), chr(code)
