"""A chart of version counts: stacked areas of SVG, in numbers for a template. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from patchserver.rollouts.version_counts import VersionCounts
from updater.format.names import order

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 28
SERIES_MOST = 7
"""Versions with an area of their own; all others share one."""
OTHERS = "older"
TICKS = 4


@dataclass(frozen=True)
class Area:
    """One version."""

    name: str
    counts: tuple[int, ...]
    points: str
    """Of its polygon."""


@dataclass(frozen=True)
class Tick:
    """A line with a label."""

    at: float
    value: int


@dataclass(frozen=True)
class Chart:
    """All that is drawn."""

    areas: tuple[Area, ...]
    """From the bottom up: the oldest first."""
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    """Their values are days since 1970."""
    counts_by_day: VersionCounts

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to draw."""
        return not self.areas

    @property
    def table(self) -> list[tuple[int, list[int]]]:
        """The same as rows of a table, the newest day first: day, and one number an area."""
        first = self.counts_by_day.first_day
        days = reversed(range(self.counts_by_day.days))
        return [(first + i, [area.counts[i] for area in self.areas]) for i in days]


def chart(counts_by_day: VersionCounts) -> Chart:
    """The chart of some days."""
    series = _series(counts_by_day.installs)
    totals = [sum(counts[day] for _, counts in series) for day in range(counts_by_day.days)]
    top = _round_up(max(totals, default=0))
    return Chart(
        tuple(_areas(series, counts_by_day.days, top)),
        tuple(Tick(_y(top * i // TICKS, top), top * i // TICKS) for i in range(TICKS + 1)),
        tuple(_columns(counts_by_day)),
        counts_by_day,
    )


def _series(installs: Mapping[str, Sequence[int]]) -> list[tuple[str, Sequence[int]]]:
    """Versions from the oldest on; those that few installs have had are one."""
    largest = sorted(installs, key=lambda version: (-sum(installs[version]), version))
    kept, rest = largest[:SERIES_MOST], largest[SERIES_MOST:]
    series = [(version, installs[version]) for version in sorted(kept, key=order)]
    if rest:
        together = [sum(day) for day in zip(*(installs[v] for v in rest), strict=True)]
        series.insert(0, (OTHERS, together))
    return series


def _areas(series: Sequence[tuple[str, Sequence[int]]], days: int, top: int) -> list[Area]:
    floor, areas = [0] * days, []
    for name, counts in series:
        ceiling = [below + count for below, count in zip(floor, counts, strict=True)]
        there = [_point(day, value, days, top) for day, value in enumerate(ceiling)]
        back = [_point(day, value, days, top) for day, value in enumerate(floor)]
        areas.append(Area(name, tuple(counts), " ".join([*there, *reversed(back)])))
        floor = ceiling
    return areas


def _columns(counts_by_day: VersionCounts) -> list[Tick]:
    last = counts_by_day.days - 1
    found = sorted({round(last * i / TICKS) for i in range(TICKS + 1)})
    return [Tick(_x(day, counts_by_day.days), counts_by_day.first_day + day) for day in found]


def _point(day: int, value: int, days: int, top: int) -> str:
    return f"{_x(day, days):.1f},{_y(value, top):.1f}"


def _x(day: int, days: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * day / max(days - 1, 1)


def _y(value: int, top: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _round_up(value: int) -> int:
    """The next number that ticks divide well."""
    step = TICKS
    while step * 10 < value:
        step *= 10
    return next(step * n for n in (1, 2, 3, 5, 10) if step * n >= value)
