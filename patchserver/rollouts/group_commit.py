"""Group commit: rows that several threads store at the same time go into one transaction.

To make a transaction durable is to wait for the disk, which takes as long for one row as for a
hundred. While one thread waits others bring more, and the next one takes all of it along.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Executable

from patchserver.database.engine import Database
from updater.errors import InstallError, MachineError

Row = Mapping[str, Any]
Wanted = tuple[Executable, Row]
"""A statement, and a row for it."""


@dataclass
class _Job:
    """The rows that one thread wants to be stored."""

    wanted: tuple[Wanted, ...]
    is_done: bool = False
    error: InstallError | None = None


@dataclass
class GroupCommit:
    """Stores rows in a database."""

    database: Database
    _jobs: list[_Job] = field(default_factory=list)
    _adding: threading.Lock = field(default_factory=threading.Lock)
    _storing: threading.Lock = field(default_factory=threading.Lock)

    def store(self, *wanted: Wanted) -> None:
        """Store rows; they are stored, durably, when this returns.

        Raises:
            InstallError: the database; whether they are stored is not known, so bring them again.
        """
        job = _Job(wanted)
        with self._adding:
            self._jobs.append(job)
        with self._storing:
            if not job.is_done:
                self._store_all()
        if job.error is not None:
            raise MachineError(str(job.error), hint=job.error.hint) from job.error

    def _store_all(self) -> None:
        """Store what everybody has brought so far."""
        with self._adding:
            jobs, self._jobs = self._jobs, []
        error: InstallError | None = MachineError("not stored", hint="bring it again")
        try:
            self._write([one for job in jobs for one in job.wanted])
            error = None
        except InstallError as refused:
            error = refused
        finally:
            for job in jobs:
                job.error, job.is_done = error, True

    def _write(self, wanted: Iterable[Wanted]) -> None:
        """In an order that is everybody's: two processes never wait for each other's rows."""
        rows: dict[Executable, list[Row]] = {}
        for statement, row in wanted:
            rows.setdefault(statement, []).append(row)
        with self.database.writing() as session:
            for statement, some in rows.items():
                ordered = sorted(some, key=lambda row: (row["app"], row["install"]))
                session.connection().execute(statement, ordered)
