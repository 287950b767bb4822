"""Draws worlds for as long as it is told, and shrinks each that breaks a promise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.strategies import SearchStrategy

from worlds.play import Stage
from worlds.world import Broken, World

WORLDS_A_SEED = 20
SHRINK_SECONDS = 60.0


class PromiseError(AssertionError):
    """Tells Hypothesis that a world is worth shrinking."""


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
    worlds: SearchStrategy[World]
    seconds: float
    wanted: Callable[[Broken], bool] = lambda _broken: True
    """What counts as found; with `stop`, for faults that were put back."""
    stop: bool = False
    """Whether to end at the first finding."""
    shrink_seconds: float = SHRINK_SECONDS
    found: list[Found] = field(default_factory=list)
    again: dict[tuple[int, str], int] = field(default_factory=dict)
    """How often each finding was met after the first time."""
    seeds: list[int] = field(default_factory=list)
    _played: dict[str, Broken | None] = field(default_factory=dict)

    def run(self, first: int) -> None:
        """Search from the seed ``first`` on."""
        self._begin = time.monotonic()
        number = first
        while self._left() > 0 and not (self.stop and self.found):
            self.seeds.append(number)
            self._run_seed(number)
            number += 1

    def _left(self) -> float:
        return self._begin + self.seconds - time.monotonic()

    def _run_seed(self, number: int) -> None:
        shrinking = Shrinking()

        @settings(
            max_examples=WORLDS_A_SEED,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=Verbosity.quiet,
        )
        @seed(number)
        @given(self.worlds)
        def holds(world: World) -> None:
            if self._breaks(world, shrinking):
                raise PromiseError

        try:
            holds()
        except PromiseError:
            assert shrinking.smallest is not None
            spent = time.monotonic() - self._begin
            first = shrinking.met_after
            self.found.append(Found(shrinking.smallest, number, first[0], min(spent, first[1])))

    def _breaks(self, world: World, shrinking: Shrinking) -> bool:
        """Whether it breaks a new promise, or the one that is being shrunk."""
        text = world.text
        if text not in self._played:
            if self._left() <= 0 and shrinking.smallest is None:
                return False
            if shrinking.smallest is not None and time.monotonic() > shrinking.until:
                return False
            self._played[text] = self.stage.play(world)
        broken = self._played[text]
        return broken is not None and self._counts(broken, shrinking)

    def _counts(self, broken: Broken, shrinking: Shrinking) -> bool:
        if shrinking.smallest is not None:
            if broken.kind != shrinking.smallest.kind:
                return False
            if len(broken.world.text) < len(shrinking.smallest.world.text):
                shrinking.smallest = broken
            return True
        if not self.wanted(broken):
            return False
        if broken.kind in {found.broken.kind for found in self.found}:
            self.again[broken.kind] = self.again.get(broken.kind, 0) + 1
            return False
        shrinking.smallest = broken
        shrinking.until = time.monotonic() + self.shrink_seconds
        shrinking.met_after = (self.stage.tally.worlds, time.monotonic() - self._begin)
        return True


@dataclass
class Shrinking:
    """The finding of a seed that is being made smaller."""

    smallest: Broken | None = None
    until: float = 0.0
    met_after: tuple[int, float] = (0, 0.0)
