"""Every promise holds in every world that is drawn, for as long as WORLDS_SECONDS says."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from worlds.grounds import Grounds
from worlds.halves import HALVES
from worlds.play import Stage
from worlds.product import make_product
from worlds.report import finding, summary
from worlds.search import Search

SECONDS = float(os.environ.get("WORLDS_SECONDS", "180"))
SEED = int(os.environ.get("WORLDS_SEED", "1"))
KEEP = os.environ.get("WORLDS_KEEP", "")
"""A folder for the scripts of what is found."""

pytestmark = [pytest.mark.worlds, pytest.mark.timeout(SECONDS * 2 + 900)]


@pytest.mark.parametrize("half", HALVES)
def test_every_promise_holds_in_every_world(half: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    product = make_product(tmp_path / "product")
    grounds = Grounds(tmp_path, product)
    stage = Stage(tmp_path, product, grounds)
    search = Search(stage, HALVES[half], SECONDS)
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
