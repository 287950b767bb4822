"""Fixtures of the attacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attacks.victim import Victim, attacked
from tests.support.repository.publisher import Publisher
from updater.local.session import Session


@pytest.fixture
def victim(tmp_path: Path, publisher: Publisher, session: Session) -> Iterator[Victim]:
    """An install that its tests attack."""
    with attacked(tmp_path / "home", publisher, session) as victim:
        yield victim
