"""Fixtures of the tests of what is pushed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers.served import Server
from tests.support.servers.serving import application_served


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """Where the server listens."""
    with application_served(server.app) as url:
        yield url
