"""Worlds of a Hypothesis strategy, as a search wants them: by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from worlds.world import World

MOST = 30


def drawn_from(strategy: SearchStrategy[World]) -> Callable[[int], Iterator[World]]:
    """Worlds of a seed; they are all drawn before the first is played."""

    def worlds(number: int) -> Iterator[World]:
        found: list[World] = []

        @settings(
            max_examples=MOST,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @seed(number)
        @given(strategy)
        def collect(world: World) -> None:
            found.append(world)

        collect()
        yield from found

    return worlds
