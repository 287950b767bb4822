"""Makes a world that breaks a promise smaller, for as long as it is told: fewer steps, less ground.

Steps and the lines of a ground are written so that each can be left out. What is left must break
the same promise in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.worlds.world import Broken, World


@dataclass
class Reducer:
    """One finding that is being made smaller."""

    best: Broken
    play: Callable[[World], Broken | None]
    until: float

    def holds_on(self, world: World) -> bool:
        """Whether ``world`` is broken as well, and in time; then it is the best."""
        if time.monotonic() >= self.until:
            return False
        now = self.play(world)
        if now is None or now.kind != self.best.kind:
            return False
        self.best = now
        return True

    def drop_steps(self) -> None:
        """Try without each step but the first, the last ones first.

        The first makes the install that all others name; the very last is where it broke.
        """
        for place in reversed(range(1, len(self.best.world.steps) - 1)):
            world = self.best.world
            self.holds_on(replace(world, steps=world.steps[:place] + world.steps[place + 1 :]))

    def drop_ground(self) -> None:
        """Try without the lines of the ground: eight at once, then fewer."""
        for size in (8, 3, 1):
            place = len(self.best.world.ground_lines) - size
            while place >= 0:
                lines = self.best.world.ground_lines
                kept = lines[:place] + lines[place + size :]
                self.holds_on(replace(self.best.world, ground="".join(kept)))
                place -= size


def reduce(broken: Broken, play: Callable[[World], Broken | None], seconds: float) -> Broken:
    """The smallest world found within ``seconds`` that is broken as ``broken`` is."""
    reducer = Reducer(broken, play, time.monotonic() + seconds)
    reducer.drop_steps()
    reducer.drop_ground()
    return reducer.best
