"""The audit log: every change, who made it, and how it ended.

A change of the repository and a line in the database cannot be made in one step. So the line comes
first, as ``begun``: what was killed in between is seen, and nothing is ever done unseen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select

from patchserver.database.engine import Database
from patchserver.database.tables import Event
from updater.errors import UpdaterError

BEGUN, DONE = "begun", "done"
_log = logging.getLogger("patchserver.accounts.audit")


@dataclass(frozen=True)
class Actor:
    """The person or program that makes a change."""

    name: str
    """``user anna``, ``token ci of anna``, ``server``."""
    request: str = ""
    """The id of the request."""


SERVER = Actor("server")
"""The server, by itself."""


class Audit:
    """The log in a database."""

    def __init__(self, database: Database) -> None:
        """``database``: its schema is up to date."""
        self._database = database

    @contextmanager
    def change(self, actor: Actor, action: str, app: str, subject: str, now: int) -> Iterator[None]:
        """Keep a change in the audit log, with its outcome.

        Args:
            actor: who.
            action: what, in a word or two.
            app: of which app; empty if of none.
            subject: of what, such as ``stable 1.2``.
            now: seconds since 1970.

        Raises:
            InstallError: the database; the change is not made.
        """
        identity = self._write(
            Event(
                time=now,
                actor=actor.name[:100],
                action=action,
                app=app,
                subject=subject[:200],
                outcome=BEGUN,
                request=actor.request[:64],
            )
        )
        try:
            yield
        except Exception as error:
            self._end(identity, f"failed: {_words(error)}")
            raise
        self._end(identity, DONE)
        _log.info("%s: %s %s %s", actor.name, action, app, subject)

    def events(
        self, *, app: str = "", most: int = 100, before: int | None = None
    ) -> Sequence[Event]:
        """The last changes, newest first.

        Args:
            app: only of this one.
            most: how many.
            before: only those that came before the one with this number.
        """
        wanted = select(Event).order_by(Event.id.desc()).limit(most)
        if app:
            wanted = wanted.where(Event.app == app)
        if before is not None:
            wanted = wanted.where(Event.id < before)
        with self._database.reading() as session:
            return session.scalars(wanted).all()

    def _write(self, event: Event) -> int:
        with self._database.writing() as session:
            session.add(event)
            session.flush()
            return event.id

    def _end(self, identity: int, outcome: str) -> None:
        with self._database.writing() as session:
            event = session.get(Event, identity)
            if event is not None:
                event.outcome = outcome


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, UpdaterError) else type(error).__name__
