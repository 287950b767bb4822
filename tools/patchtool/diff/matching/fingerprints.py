"""Fingerprints of content: positions chosen by the bytes there, so that they move with them.

These positions are called anchors. Two pieces of content that have much in common have many anchors
in common, wherever the common parts stand. Found at 20 (text) to 60 (executables) MB a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from zlib import crc32

LENGTH = 24
"""Bytes after an anchor that name it."""
_ANCHOR = re.compile(rb"[\n;}\xc3]")
"""Ends of lines, statements and functions (x86 ``ret``): what follows is seldom an address."""
SKETCH = 64
"""Anchors kept of one file."""


def anchors(data: bytes, one_in: int = 1) -> Iterator[tuple[int, int]]:
    """(name, position) of about one in ``one_in`` anchors of ``data``, the same in any content."""
    for match in _ANCHOR.finditer(data, 0, max(len(data) - LENGTH, 0)):
        position = match.end()
        name = crc32(data[position : position + LENGTH])
        if name % one_in == 0:
            yield name, position


def sketch(data: bytes) -> frozenset[int]:
    """A sample of ``data``: its lowest anchor names (bottom-k), the same from the same lines."""
    return frozenset(sorted({name for name, _ in anchors(data)})[:SKETCH])
