"""Databases for tests: SQLite always; PostgreSQL where ``UPSWAP_TEST_DATABASE_URL`` names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.databases import new_postgresql

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
    with new_postgresql(os.environ[VARIABLE]) as url:
        yield url
