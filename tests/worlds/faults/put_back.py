"""Puts faults back that were mended, and searches until each is found.

    python -m tests.worlds.faults.put_back [LETTER or NAME ...]

prints the table for docs/reliability.md: kind, fault, promise, worlds, seconds, seed;
`make test-worlds PUT_BACK=all` runs it.

Worlds are drawn from a seed, whatever the product makes of them. So one search serves a *group* of
faults: each world is played with all of them in place, and one that breaks is played again with
each fault alone. A fault that breaks it alone is found, and leaves the group.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.worlds.faults import FAULTS
from tests.worlds.faults.fault import Fault
from tests.worlds.halves import HALVES
from tests.worlds.play.grounds import Grounds
from tests.worlds.play.product import copy_tree, make_product
from tests.worlds.play.script import script
from tests.worlds.play.stage import Stage
from tests.worlds.search.search import WORLDS_A_SEED
from tests.worlds.world import Broken, World

SECONDS = float(os.environ.get("WORLDS_SECONDS", "180"))
"""For each group, at most."""
SEED = int(os.environ.get("WORLDS_SEED", "1"))
KEEP = os.environ.get("WORLDS_KEEP", "")
"""A folder for the scripts of what is found."""
MOST_IN_A_GROUP = 9
AT_ONCE = 3


@dataclass(frozen=True)
class Found:
    """A fault that broke a world alone."""

    fault: Fault
    broken: Broken
    seed: int
    worlds: int
    """How many were played until it was met."""
    seconds: float
    """Since the search of its group began."""

    @property
    def row(self) -> str:
        """A row of the table."""
        broken = self.broken
        return _row(
            self.fault,
            f"{broken.promise} ({broken.what})",
            f"{self.worlds} | {self.seconds:.0f} | {self.seed}",
        )


def _row(fault: Fault, result: str, numbers: str) -> str:
    return f"| {fault.letter} | {fault.what} | {result} | {numbers} |"


@dataclass
class Group:
    """Faults that can be in place together, and are searched for together."""

    folder: Path
    faults: list[Fault]
    grounds: Grounds
    worlds: int = 0
    _stages: dict[tuple[str, ...], Stage] = field(default_factory=dict)

    def search(self, first: int, seconds: float) -> Iterator[Found]:
        """Each fault as it is found; who stays in `faults` was not."""
        begin = time.monotonic()
        for seed, world in self._drawn(first):
            if not self.faults or time.monotonic() - begin >= seconds:
                return
            self.worlds += 1
            broken = self._stage(self.faults).play(world)
            found = self._whose(broken) if broken and broken.promise else None
            if found:
                fault, alone = found
                self.faults.remove(fault)
                yield Found(fault, alone, seed, self.worlds, time.monotonic() - begin)

    def _drawn(self, first: int) -> Iterator[tuple[int, World]]:
        worlds = HALVES[self.faults[0].half]
        for seed in count(first):
            for world in islice(worlds(seed), WORLDS_A_SEED):
                yield seed, world

    def _whose(self, broken: Broken) -> tuple[Fault, Broken] | None:
        """The first fault that breaks it alone, on a product that is sound but for it."""
        for fault in self.faults:
            alone = self._stage([fault]).play(broken.world)
            if alone and fault.shows_as(alone):
                return None if self._is_nobodys(broken.world) else (fault, alone)
        return None

    def _is_nobodys(self, world: World) -> bool:
        """Whether the sound product breaks it too; then it says so."""
        broken = self._stage([]).play(world)
        if broken:
            print(f"without any fault: {broken.message}\n{script(broken)}", file=sys.stderr)
        return broken is not None

    def _stage(self, faults: list[Fault]) -> Stage:
        """A stage whose product has these faults."""
        names = tuple(fault.name for fault in faults)
        if names not in self._stages:
            place = self.folder / f"stage{len(self._stages)}"
            tree = copy_tree(place / "tree")
            for fault in faults:
                fault.put_back(tree)
            self._stages[names] = Stage(place, make_product(place / "product", tree), self.grounds)
        return self._stages[names]


def grouped(faults: Iterable[Fault]) -> list[list[Fault]]:
    """Faults of one half, of which no two change the same lines."""
    groups: list[list[Fault]] = []
    for fault in faults:
        fits = (group for group in groups if _fits(fault, group))
        group = next(fits, None)
        if group is None:
            groups.append([fault])
        else:
            group.append(fault)
    return groups


def _fits(fault: Fault, group: list[Fault]) -> bool:
    if len(group) >= MOST_IN_A_GROUP or group[0].half != fault.half:
        return False
    return not any(fault.touches(other) for other in group)


def search_group(faults: list[Fault], folder: Path) -> list[Fault]:
    """Search for each and print its row; those that were not found."""
    folder.mkdir()
    folder.chmod(0o755)
    left = list(faults)
    with closing(Grounds(folder, make_product(folder / "sound"))) as grounds:
        group = Group(folder, left, grounds)
        for found in group.search(SEED, SECONDS):
            print(found.row, flush=True)
            if KEEP:
                (Path(KEEP) / f"{found.fault.name}.sh").write_text(script(found.broken))
        for fault in left:
            numbers = f"{group.worlds} | {SECONDS:.0f} | {SEED}"
            print(_row(fault, "**not found**", numbers), flush=True)
    return left


def main(names: Iterable[str]) -> int:
    """Try the faults called so, all without a name; 1 if one was not found."""
    asked = set(names) - {"all"}
    unknown = asked - {word for fault in FAULTS for word in (fault.letter, fault.name)}
    if unknown:
        raise SystemExit(f"error: no fault is called {', '.join(sorted(unknown))}")
    chosen = [fault for fault in FAULTS if not asked or asked & {fault.letter, fault.name}]
    print("| kind | what was put back | found by promise | worlds | seconds | seed |")
    print("|---|---|---|--:|--:|--:|", flush=True)
    with TemporaryDirectory(prefix="put-back") as place, ThreadPoolExecutor(AT_ONCE) as pool:
        Path(place).chmod(0o755)
        groups = grouped(chosen)
        folders = [Path(place) / f"group{number}" for number in range(len(groups))]
        left = list(pool.map(search_group, groups, folders))
    return 1 if any(left) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
