"""Fixtures of the interruptions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.crash.crash_process import Shelf, Site, shelf_in_memory


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """Releases on a server, and installs to be copied."""
    with shelf_in_memory() as shelf:
        yield shelf


@pytest.fixture
def site(shelf: Shelf) -> Iterator[Site]:
    """An install of 1.0 that its user works with."""
    with shelf.copy(shelf.installed) as site:
        yield site
