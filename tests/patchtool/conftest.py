"""Fixtures of the tests of patchtool."""

from __future__ import annotations

import pytest

from tests.support.repository.dying import OLD
from tests.support.repository.publisher import Publisher


@pytest.fixture
def released(publisher: Publisher) -> Publisher:
    """A publisher of one release."""
    publisher.release("1.0", OLD)
    return publisher
