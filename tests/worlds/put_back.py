"""Puts faults back that were mended, one at a time, and searches until each is found.

    python -m worlds.put_back [LETTER or NAME ...]

prints the table for docs/reliability.md: kind, promise, worlds, seconds, seed. The folder `tests`
must be on PYTHONPATH; `make test-worlds PUT_BACK=all` does that.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from worlds.fault import Fault
from worlds.faults import FAULTS
from worlds.grounds import Grounds
from worlds.halves import HALVES
from worlds.play import Stage
from worlds.product import copy_tree, make_product
from worlds.search import Found, Search
from worlds.verdict import remove

SECONDS = float(os.environ.get("WORLDS_SECONDS", "180"))
"""For each fault, at most."""
SEED = int(os.environ.get("WORLDS_SEED", "1"))


@dataclass(frozen=True)
class Outcome:
    """A fault, and whether it was found."""

    fault: Fault
    found: Found | None
    worlds: int
    seconds: float

    @property
    def row(self) -> str:
        """A row of the table."""
        fault, found = self.fault, self.found
        if found is None:
            result = f"**not found** | {self.worlds} | {self.seconds:.0f} |"
        else:
            broken = found.broken
            result = (
                f"{broken.promise} ({broken.what}) | {found.worlds} | {found.seconds:.0f} "
                f"| {found.seed}"
            )
        return f"| {fault.letter} | {fault.what} | {result} |"


def search_with(fault: Fault, folder: Path, grounds: Grounds) -> Outcome:
    """Search worlds of a product that has the fault."""
    tree = copy_tree(folder / "tree")
    fault.put_back(tree)
    stage = Stage(folder, make_product(folder / "product", tree), grounds)
    search = Search(
        stage,
        HALVES[fault.half],
        SECONDS,
        wanted=fault.shows_as,
        stop=True,
        shrink_seconds=0,
    )
    begin = time.monotonic()
    search.run(SEED)
    found = search.found[0] if search.found else None
    return Outcome(fault, found, stage.tally.worlds, time.monotonic() - begin)


def outcomes(faults: Iterable[Fault], folder: Path) -> Iterator[Outcome]:
    """Search for each, on grounds they share; each row is printed."""
    folder.chmod(0o755)
    with closing(Grounds(folder, make_product(folder / "sound"))) as grounds:
        for fault in faults:
            place = folder / fault.name
            place.mkdir()
            outcome = search_with(fault, place, grounds)
            remove(place)
            print(outcome.row, flush=True)
            yield outcome


def main(names: Iterable[str]) -> int:
    """Try the faults called so, all without a name; 1 if one was not found."""
    asked = set(names) - {"all"}
    unknown = asked - {word for fault in FAULTS for word in (fault.letter, fault.name)}
    if unknown:
        raise SystemExit(f"error: no fault is called {', '.join(sorted(unknown))}")
    chosen = [fault for fault in FAULTS if not asked or asked & {fault.letter, fault.name}]
    print("| kind | what was put back | found by promise | worlds | seconds | seed |")
    print("|---|---|---|--:|--:|--:|", flush=True)
    with TemporaryDirectory(prefix="put-back") as folder:
        found = [outcome.found for outcome in outcomes(chosen, Path(folder))]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
