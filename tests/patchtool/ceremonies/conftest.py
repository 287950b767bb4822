"""Fixtures of the tests of ceremonies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repository.publisher import Publisher


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    """A publisher of one release, whose root two keys sign."""
    publisher = Publisher(tmp_path / "publisher", threshold=2)
    publisher.release("1.0", {"f": b"1"})
    return publisher
