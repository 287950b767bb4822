"""An empty PostgreSQL database of one's own, for benchmarks and for tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, make_url, text


@contextmanager
def new_postgresql(server: str) -> Iterator[str]:
    """The URL of a database on ``server``, gone afterwards whoever still uses it."""
    url = make_url(server).set(drivername="postgresql+psycopg")
    name = f"upswap_{secrets.token_hex(8)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            own = url.set(drivername="postgresql", database=name)
            yield own.render_as_string(hide_password=False)
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
