"""The database: SQLite beside one server, PostgreSQL for several processes.

A transaction is short, and ends before anything slow is done. One that writes says so when it
begins: SQLite then waits for its turn, instead of failing when it finds that it is too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from updater.errors import MachineError, RequestError

SQLITE, POSTGRESQL = "sqlite", "postgresql"
WAIT = 30
"""Seconds to wait for another writer."""
UPGRADING = 0x75707377
"""The PostgreSQL advisory lock of whoever brings the schema up to date."""


class Database:
    """One database, brought up to date by `upgrade`."""

    def __init__(self, url: str) -> None:
        """Name it; nothing is opened yet.

        Args:
            url: as SQLAlchemy writes it: ``sqlite:///FILE``, ``postgresql://...``.

        Raises:
            InstallError: it is no URL, or of a database that is not supported.
        """
        self.engine = _engine(url)

    @property
    def kind(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads.

        Raises:
            InstallError: the database cannot be reached or used.
        """
        with _database_errors(self.engine), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is stored, durably, when the body ends, and not at all if it fails.

        Raises:
            InstallError: the database cannot be reached or used.
        """
        writer = self.engine.execution_options(writes=True)
        with _database_errors(self.engine), Session(writer, expire_on_commit=False) as session:
            yield session
            session.commit()

    def upgrade(self) -> None:
        """Bring the schema up to date; of several processes one does it, and others wait.

        Raises:
            InstallError: the database cannot be reached or used.
        """
        config = Config()
        config.set_main_option("script_location", "patchserver:database/migrations")
        writer = self.engine.execution_options(writes=True)
        with _database_errors(self.engine), writer.begin() as connection:
            if connection.dialect.name == POSTGRESQL:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADING})"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def probe(self) -> None:
        """Ask it something.

        Raises:
            InstallError: the database cannot be reached or used.
        """
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give up its connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    hint = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    try:
        parsed = make_url(url)
    except ArgumentError as error:  # whose text holds the URL, perhaps with a password
        raise RequestError("--database is no URL", hint=hint) from error
    name = parsed.get_backend_name()
    if name == POSTGRESQL:
        driver = parsed.set(drivername="postgresql+psycopg")
        return create_engine(driver, pool_pre_ping=True, pool_size=10, pool_timeout=WAIT)
    if name != SQLITE:
        raise RequestError(f"databases of kind {name} are not supported", hint=hint)
    engine = create_engine(parsed, connect_args={"timeout": WAIT})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 begins transactions late; see `_begin`
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _database_errors(engine: Engine) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        name = engine.url.render_as_string(hide_password=True)
        cause = str(getattr(error, "orig", None) or error).strip().splitlines() or [""]
        raise MachineError(
            f"database {name}: {cause[0]}", hint="is it running, and may this user write it?"
        ) from error
