"""Ingest: store messages of installs before they are acknowledged, and each once.

Nobody signs in to report, so everything here may be a lie: it is counted, shown as text, and
bounded, and installs nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Executable, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from patchserver.accounts.networks import network_of
from patchserver.database.engine import POSTGRESQL, Database
from patchserver.database.tables import Base, Failure, Install, Sighting
from patchserver.rollouts.group_commit import GroupCommit
from updater.errors import NotEnoughSpace
from updater.format.encoding.limits import MIB
from updater.format.reports import CheckIn, FailureReport, ReportingInstall

DAY = 86_400
KEPT = 400
"""Days that sightings and reports are kept: a year can be compared with the one before."""
REPORTS_MOST = 50_000
"""Reports of one app that are kept, the newest: whoever floods the server fills no disk."""
RESERVE = 128 * MIB
"""Disk that is left to those who publish, and to what the server signs."""


@dataclass(frozen=True)
class Ingest:
    """Stores messages in a database."""

    database: Database
    batches: GroupCommit
    secret: bytes
    """Keys the hash of addresses: who reads the database does not learn them."""
    free: Callable[[], int] = lambda: RESERVE
    """Bytes there is room for where the database lies, as far as the server knows."""

    def checkin(self, checkin: CheckIn, address: str, now: int) -> None:
        """Store a check-in, durably.

        Raises:
            NotEnoughSpace: what room is left is for those who publish; it is not stored.
            InstallError: the database; it is not stored, or nobody knows.
        """
        self._require_room()
        sender = checkin.sender
        seen = {**_place(sender), "channel": sender.channel, "version": checkin.version}
        install = {
            **seen,
            "state": checkin.state,
            "platform": sender.platform,
            "updater": sender.updater,
            "since": now,
            "seen": now,
            "origin": self._origin(address),
            "checkin": sender.id,
        }
        self.batches.store(
            (self._statements.install, install),
            (self._statements.sighting, {**seen, "day": now // DAY}),
        )

    def report(self, report: FailureReport, address: str, now: int) -> None:
        """Store a report, durably.

        Raises:
            NotEnoughSpace, InstallError: as `checkin`.
        """
        self._require_room()
        sender = report.sender
        row = {
            **_place(sender),
            "id": sender.id,
            "channel": sender.channel,
            "platform": sender.platform,
            "updater": sender.updater,
            "step": report.step,
            "error": report.error,
            "kind": report.kind,
            "old": report.old,
            "new": report.new,
            "changed": list(report.changed),
            "received": now,
            "origin": self._origin(address),
        }
        self.batches.store((self._statements.failure, row))

    def sweep(self, now: int) -> None:
        """Forget what is too old to be looked at, and what is more than anybody looks at.

        Raises:
            InstallError: the database.
        """
        with self.database.writing() as session:
            session.execute(delete(Sighting).where(Sighting.day < now // DAY - KEPT))
            session.execute(delete(Failure).where(Failure.received < now - KEPT * DAY))
            session.execute(delete(Install).where(Install.seen < now - KEPT * DAY))
            for app in session.scalars(select(Failure.app).distinct()).all():
                _forget_most(session, app)

    def _require_room(self) -> None:
        if self.free() < RESERVE:
            raise NotEnoughSpace(
                "the server's disk is full, reports of installs are not stored",
                hint="free some",
            )

    @cached_property
    def _statements(self) -> _Statements:
        return _Statements.of(self.database)

    def _origin(self, address: str) -> str:
        """The network an address is in, as nobody can read it.

        Of version 6 it is a /48: so much, or nearly, is given to one household or office.
        """
        network = network_of(address, 24, 48)
        return hmac.new(self.secret, network.encode(), hashlib.sha256).hexdigest()[:32]


def _forget_most(session: Session, app: str) -> None:
    """Keep the newest reports of an app, as many as are kept."""
    newest = select(Failure.received).where(Failure.app == app).order_by(Failure.received.desc())
    last = session.scalar(newest.offset(REPORTS_MOST).limit(1))
    if last is not None:
        session.execute(delete(Failure).where(Failure.app == app, Failure.received <= last))


def _place(sender: ReportingInstall) -> dict[str, str]:
    return {"app": sender.app, "install": sender.install}


@dataclass(frozen=True)
class _Statements:
    """The statements that store a row, in the dialect of a database."""

    install: Executable
    sighting: Executable
    failure: Executable

    @classmethod
    def of(cls, database: Database) -> _Statements:
        """Those for ``database``."""
        insert: Any = postgresql.insert if database.kind == POSTGRESQL else sqlite.insert
        return cls(
            _upsert(insert(Install), Install),
            _upsert(insert(Sighting), Sighting),
            insert(Failure).on_conflict_do_nothing(),
        )


def _upsert(insert: Any, table: type[Base]) -> Executable:
    """Insert a row, or change the one with its key; `since` stays while the version does."""
    keys = {column.name for column in table.__table__.primary_key}
    names = [column.name for column in table.__table__.columns if column.name not in keys]
    new = {name: insert.excluded[name] for name in names}
    if table is Install:
        is_same = Install.version == insert.excluded.version
        new["since"] = case((is_same, Install.since), else_=insert.excluded.since)
    statement: Executable = insert.on_conflict_do_update(index_elements=sorted(keys), set_=new)
    return statement
