"""Fixtures of all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from publisher import Publisher
from sessions import quick_session

from updater.session import Session


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    """A publisher with an empty repository."""
    return Publisher(tmp_path / "publisher")


@pytest.fixture
def session(publisher: Publisher) -> Session:
    """A session that lives at the publisher's time and does not wait between tries."""
    return quick_session(lambda: publisher.now)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``network`` may reach the package registries; all others only loopback."""
    for item in items:
        if item.get_closest_marker("network") is not None:
            item.add_marker(pytest.mark.enable_socket)
