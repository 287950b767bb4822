"""Failure groups: ten thousand reports of one fault are one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from patchserver.database.engine import Database
from patchserver.database.tables import Failure

GROUPS_MOST = 50
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Group:
    """Reports of one release, platform and kind of error."""

    release: str
    """Empty if they came before it was known which one."""
    platform: str
    kind: str
    reports: int
    installs: int
    first: int
    """Seconds since 1970, as `last`."""
    last: int
    example: Failure
    """The newest of them."""


@dataclass(frozen=True)
class Groups:
    """The groups with the newest reports."""

    shown: tuple[Group, ...]
    all: int
    """The number of groups."""


def groups(
    database: Database, app: str, since: int, release: str = "", most: int = GROUPS_MOST
) -> Groups:
    """The failures of an app, those with the newest report first.

    Args:
        database: where they are.
        app: whose.
        since: seconds since 1970.
        release: only of updates to this one; empty: of all.
        most: how many groups.

    Raises:
        InstallError: the database.
    """
    wanted = [Failure.app == app, Failure.received >= since]
    if release:
        wanted.append(Failure.new == release)
    keys = (Failure.new, Failure.platform, Failure.kind)
    last = func.max(Failure.received)
    reported = func.count(Failure.install.distinct())
    grouped = (
        select(*keys, func.count(Failure.id), reported, func.min(Failure.received), last)
        .where(*wanted)
        .group_by(*keys)
    )
    with database.reading() as session:
        rows = session.execute(grouped.order_by(last.desc(), *keys).limit(most)).all()
        total = session.scalar(select(func.count()).select_from(grouped.subquery())) or 0
        examples = _examples(session, wanted, [(new, on, kind) for new, on, kind, *_ in rows])
    shown = tuple(Group(*row, example=examples[row[0], row[1], row[2]]) for row in rows)
    return Groups(shown, total)


def _examples(
    session: Session, wanted: Sequence[ColumnElement[bool]], keys: Sequence[Key]
) -> Mapping[Key, Failure]:
    """The newest report of each group."""
    found = {}
    for new, platform, kind in keys:
        newest = (
            select(Failure)
            .where(*wanted)
            .where(Failure.new == new, Failure.platform == platform, Failure.kind == kind)
            .order_by(Failure.received.desc(), Failure.id)
            .limit(1)
        )
        found[new, platform, kind] = session.scalars(newest).one()
    return found
