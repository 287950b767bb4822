"""Every promise holds in every world that is drawn, for as long as WORLDS_SECONDS says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.worlds.halves import HALVES
from tests.worlds.play.grounds import Grounds
from tests.worlds.play.product import make_product
from tests.worlds.play.stage import Stage
from tests.worlds.search.report import finding, summary
from tests.worlds.search.search import Search

SECONDS = float(os.environ.get("WORLDS_SECONDS", "180"))
SEED = int(os.environ.get("WORLDS_SEED", "1"))
KEEP = os.environ.get("WORLDS_KEEP", "")
"""A folder for the scripts of what is found."""

pytestmark = [pytest.mark.worlds, pytest.mark.timeout(SECONDS * 2 + 900)]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose parents other users may pass: pytest's own are private."""
    with TemporaryDirectory(prefix="worlds", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("half", HALVES)
def test_every_promise_holds_in_every_world(half: str, place: Path) -> None:
    product = make_product(place / "product")
    grounds = Grounds(place, product)
    search = Search(Stage(place, product, grounds), HALVES[half], SECONDS)
    begin = time.monotonic()
    with closing(grounds):
        search.run(SEED)
    print(summary(half, search, time.monotonic() - begin))
    for number, found in enumerate(search.found, 1):
        text = finding(found)
        print(text)
        if KEEP:
            name = f"{half}-{found.seed}-{number}-{found.broken.what}.sh"
            (Path(KEEP) / name).write_text(text.split("---\n", 1)[1].rsplit("---\n", 1)[0])
    assert not search.found, f"{len(search.found)} promises were broken: see the scripts above"
