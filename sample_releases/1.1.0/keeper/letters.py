"""Reading letters without case and accents, so that a search for "cafe" finds "Café".

The table is ``data/folding.bin``: pairs of 16-bit numbers, little-endian, a letter and what it
is read as (0: not at all).
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "data" / "folding.bin"


def fold(text: str) -> str:
    """``text`` as a search compares it."""
    return text.translate(_table())


@cache
def _table() -> dict[int, int | None]:
    pairs = struct.iter_unpack("<HH", TABLE.read_bytes())
    return {letter: base or None for letter, base in pairs}
