"""Fixtures of the tests of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.served import Server, server_at


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that offers nothing yet."""
    with server_at(tmp_path) as server:
        yield server
