"""Version counts: installs by version, now and over time.

Only installs whose users let them report are counted; one that is silent for long is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from patchserver.database.engine import Database
from patchserver.database.tables import Install, Sighting

ACTIVE_DAYS = 30
"""An install that was seen within so many days is active."""
DAY = 86_400


@dataclass(frozen=True)
class Active:
    """Installs of one version on one channel."""

    channel: str
    version: str
    installs: int


@dataclass(frozen=True)
class VersionCounts:
    """Installs that were seen on each of some days."""

    first_day: int
    """Days since 1970, in UTC."""
    days: int
    installs: Mapping[str, tuple[int, ...]]
    """By version; for every day one number."""


def active(database: Database, app: str, now: int) -> list[Active]:
    """The active installs of an app, most first.

    Raises:
        InstallError: the database.
    """
    count = func.count(Install.install)
    wanted = (
        select(Install.channel, Install.version, count)
        .where(Install.app == app, Install.seen >= now - ACTIVE_DAYS * DAY)
        .group_by(Install.channel, Install.version)
        .order_by(count.desc(), Install.version, Install.channel)
    )
    with database.reading() as session:
        return [Active(*row) for row in session.execute(wanted)]


def version_counts(database: Database, app: str, now: int, days: int) -> VersionCounts:
    """The installs of an app that were seen on each of the last ``days``, today the last one.

    Raises:
        InstallError: the database.
    """
    first = now // DAY - days + 1
    wanted = (
        select(Sighting.version, Sighting.day, func.count(Sighting.install))
        .where(Sighting.app == app, Sighting.day.between(first, first + days - 1))
        .group_by(Sighting.version, Sighting.day)
    )
    found: dict[str, list[int]] = {}
    with database.reading() as session:
        for version, day, count in session.execute(wanted):
            found.setdefault(version, [0] * days)[day - first] = count
    return VersionCounts(first, days, {version: tuple(counts) for version, counts in found.items()})
