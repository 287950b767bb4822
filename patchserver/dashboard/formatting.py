"""Numbers and times in the form that people read. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

MINUTE, HOUR, DAY = 60, 3600, 86_400


def moment(seconds: int) -> str:
    """A time, to the minute: in UTC, as everything here."""
    return _at(seconds).strftime("%Y-%m-%d %H:%M")


def iso(seconds: int) -> str:
    """A time for programs."""
    return _at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(days: int) -> str:
    """A day, by its number since 1970."""
    return _at(days * DAY).strftime("%Y-%m-%d")


def span(seconds: int) -> str:
    """A time from now, or ago if it is negative, in the largest unit that says enough."""
    size = abs(seconds)
    if size < MINUTE:
        return "in a moment" if seconds > 0 else "just now"
    number, unit = next((size // s, u) for s, u in _UNITS if size >= s * enough(s))
    words = f"{number} {unit}{'s' if number != 1 else ''}"
    return f"in {words}" if seconds > 0 else f"{words} ago"


def enough(unit: int) -> int:
    """The least number of a unit that is shown in it: 36 hours say more than one day."""
    return 2 if unit == DAY else 1


def size(length: int) -> str:
    """Bytes."""
    value = float(length)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{length} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def percent(basis_points: int) -> str:
    """Basis points as a percentage."""
    return f"{basis_points / 100:g} %"


def number(value: int) -> str:
    """An integer with its thousands apart."""
    return f"{value:,}"


def _at(seconds: int) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
    except (ValueError, OverflowError):
        return dt.datetime.max.replace(tzinfo=dt.timezone.utc)


_UNITS = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))
FILTERS: dict[str, Callable[..., str]] = {
    "moment": moment,
    "iso": iso,
    "day": day,
    "span": span,
    "size": size,
    "percent": percent,
    "number": number,
}
