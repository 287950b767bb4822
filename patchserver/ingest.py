"""Ingest: what installs send is stored before it is acknowledged, and once however often it comes.

Nobody signs in to report, so everything here may be a lie: it is counted, shown as text, and
bounded, and installs nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Executable, case, delete
from sqlalchemy.dialects import postgresql, sqlite

from patchserver.batches import Batches
from patchserver.database import POSTGRESQL, Database
from patchserver.messages import Checkin, FailureReport, Sender
from patchserver.tables import Base, Failure, Install, Sighting

DAY = 86_400
KEPT = 400
"""Days that sightings and reports are kept: a year can be compared with the one before."""


@dataclass(frozen=True)
class Ingest:
    """Stores messages in a database."""

    database: Database
    batches: Batches
    secret: bytes
    """Keys the hash of addresses: who reads the database does not learn them."""

    def checkin(self, checkin: Checkin, address: str, now: int) -> None:
        """Store a check-in, durably.

        Raises:
            InstallError: the database; it is not stored, or nobody knows.
        """
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
            InstallError: as `checkin`.
        """
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
        """Forget what is too old to be looked at.

        Raises:
            InstallError: the database.
        """
        with self.database.writing() as session:
            session.execute(delete(Sighting).where(Sighting.day < now // DAY - KEPT))
            session.execute(delete(Failure).where(Failure.received < now - KEPT * DAY))
            session.execute(delete(Install).where(Install.seen < now - KEPT * DAY))

    @cached_property
    def _statements(self) -> _Statements:
        return _Statements.of(self.database)

    def _origin(self, address: str) -> str:
        """The network an address is in, as nobody can read it: /24, or /64 of version 6."""
        try:
            bits = 24 if ipaddress.ip_address(address).version == 4 else 64
            network = str(ipaddress.ip_network(f"{address}/{bits}", strict=False))
        except ValueError:
            network = ""
        return hmac.new(self.secret, network.encode(), hashlib.sha256).hexdigest()[:32]


def _place(sender: Sender) -> dict[str, str]:
    return {"app": sender.app, "install": sender.install}


@dataclass(frozen=True)
class _Statements:
    """What stores a row, in the dialect of a database."""

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
