"""Fixtures of the tests of rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.databases import KINDS, fresh_database
from tests.support.servers.served import Server, server_at


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that offers nothing yet, on each kind of database."""
    with fresh_database(request.param, tmp_path) as url, server_at(tmp_path, url) as server:
        yield server
