"""Draws worlds for as long as it is told, and makes those that break a promise smaller."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from tests.worlds.play.stage import Stage
from tests.worlds.search.reduce import reduce
from tests.worlds.world import Broken, World

WORLDS_A_SEED = 30
SHRINK_SECONDS = 60.0


@dataclass(frozen=True)
class Found:
    """A finding, as small as it could be made."""

    broken: Broken
    seed: int
    worlds: int
    """How many were played until it was met."""
    seconds: float


@dataclass
class Search:
    """One search: its time, and what it has found."""

    stage: Stage
    worlds: Callable[[int], Iterable[World]]
    """Those of a seed."""
    seconds: float
    found: list[Found] = field(default_factory=list)
    again: dict[tuple[int, str, str], int] = field(default_factory=dict)
    """How often each finding was met after the first time."""
    seeds: list[int] = field(default_factory=list)
    unsound: dict[str, int] = field(default_factory=dict)
    """Worlds that could not be played, by why."""
    _played: set[str] = field(default_factory=set)
    _begin: float = 0.0

    def run(self, first: int) -> None:
        """Search from the seed ``first`` on."""
        self._begin = time.monotonic()
        number = first
        while not self._is_over():
            self.seeds.append(number)
            self._run_seed(number)
            number += 1

    def _is_over(self) -> bool:
        return time.monotonic() - self._begin >= self.seconds

    def _run_seed(self, number: int) -> None:
        for world in islice(self.worlds(number), WORLDS_A_SEED):
            if self._is_over():
                return
            if world.text not in self._played:
                self._played.add(world.text)
                self._play(world, number)

    def _play(self, world: World, number: int) -> None:
        broken = self.stage.play(world)
        if broken is None:
            return
        if broken.promise == 0:
            self.unsound[broken.message[:200]] = self.unsound.get(broken.message[:200], 0) + 1
            return
        if broken.kind in self.again:
            self.again[broken.kind] += 1
            return
        self.again[broken.kind] = 0
        worlds, seconds = self.stage.tally.worlds, time.monotonic() - self._begin
        smallest = reduce(broken, self.stage.play, SHRINK_SECONDS)
        self.found.append(Found(smallest, number, worlds, seconds))
