"""Fixtures of all tests."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.crash.crash_runs import tell
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import quick_session
from tests.support.servers.serving import served
from updater.local.session import Session


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that a test runs in this process says where to log to: a stream that then ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files are not made durable: for tests that look at what is written, not at when."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    """A publisher with an empty repository."""
    return Publisher(tmp_path / "publisher")


@pytest.fixture
def publisher_of_today(tmp_path: Path) -> Publisher:
    """A publisher for commands: they ask the machine's clock."""
    return Publisher(tmp_path / "publisher", now=int(time.time()))


@pytest.fixture
def session(publisher: Publisher) -> Session:
    """A session that lives at the publisher's time and does not wait between tries."""
    return quick_session(lambda: publisher.now)


@pytest.fixture
def url(publisher: Publisher) -> Iterator[str]:
    """Where the publisher's repository is served."""
    with served(publisher.folder) as url:
        yield url


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of installs are made in it."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def runs(request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """How many runs a test made; their sum is printed."""
    counts: list[int] = []
    yield counts
    tell(sum(counts), request.node.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``network`` may reach the package registries; all others only loopback."""
    for item in items:
        if item.get_closest_marker("network") is not None:
            item.add_marker(pytest.mark.enable_socket)
