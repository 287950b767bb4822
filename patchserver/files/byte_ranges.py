"""The part of a file that a request asks for; pure.

werkzeug parses the header, but its ``make_conditional`` answers more than we may: it refuses
with 416 what RFC 9110 section 14.2 says to ignore (several ranges, other units, nonsense),
refuses a suffix longer than the file, serves ranges to HEAD, and lets a weak tag or any
later date pass ``If-Range``, which would join parts of two different files.
"""

from __future__ import annotations

from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import parse_range_header


def requested_range(header: str | None, size: int) -> range | None:
    """The byte offsets that a ``Range`` header asks for, of a file of ``size`` bytes.

    Returns:
        A non-empty range within the file; ``None`` if the whole file is to be sent.

    Raises:
        RequestedRangeNotSatisfiable: A well-formed range that starts behind the end.
    """
    parsed = parse_range_header(header)
    if size == 0 or parsed is None or parsed.units != "bytes" or len(parsed.ranges) != 1:
        return None
    first, stop = parsed.ranges[0]
    if first >= size:
        raise RequestedRangeNotSatisfiable(size)
    start = first if first >= 0 else max(0, size + first)
    return range(start, size if stop is None else min(stop, size))


def unchanged(if_range: str | None, validators: frozenset[str]) -> bool:
    """Return whether a part may be sent: no ``If-Range``, or one of our strong ``validators``."""
    return if_range is None or if_range.strip() in validators
