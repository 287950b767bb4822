"""Databases for tests: SQLite always; PostgreSQL where ``UPSWAP_TEST_DATABASE_URL`` names one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

VARIABLE = "UPSWAP_TEST_DATABASE_URL"
KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))
"""PostgreSQL's turn comes with the slow tests, so that `make test` stays short."""


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """An empty database, gone afterwards; its URL.

    A test that asks for PostgreSQL is skipped, visibly, where there is none.
    """
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'test.db'}"
        return
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no PostgreSQL")
    server = make_url(os.environ[VARIABLE]).set(drivername="postgresql+psycopg")
    name = f"upswap_test_{secrets.token_hex(8)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            url = server.set(drivername="postgresql", database=name)
            yield url.render_as_string(hide_password=False)
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
