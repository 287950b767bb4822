"""A world that is being written, and what its script knows at each point.

It knows who owns the install, which release is offered, and whether anything stands in an update's
way. What the commands make of it, only the shell finds out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar, cast

from tests.worlds.client.releases import Folder, Release, Shelf, changed_paths
from tests.worlds.world import Step

T = TypeVar("T")


class Draft:
    """Steps so far."""

    def __init__(self, chance: Random, shelf: Shelf) -> None:
        self._chance = chance
        self.shelf = shelf
        self.steps: list[Step] = []
        self.drawn: list[str] = []
        self.offered = 0
        """Which of the releases is offered."""
        self.before = 0
        """Which one was, before."""
        self.calm = True
        """Nothing stands in the way of an update: it must be made."""
        self.given = False
        """The install is a user's, not root's."""
        self.mounted = False
        self._count = 0

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return self._chance.choice(choices)

    def weighted(self, choices: Sequence[tuple[int, T]]) -> T:
        """One of them, the more likely the greater its number."""
        weights, things = zip(*choices, strict=True)
        return cast("T", self._chance.choices(things, weights)[0])

    def number(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self._chance.randint(low, high)

    def chance(self, of: int) -> bool:
        """One in ``of``."""
        return self.number(0, of - 1) == of - 1

    def count(self) -> int:
        """Another number each time."""
        self._count += 1
        return self._count

    def step(self, kind: str, text: str, *checks: str, after: str = "after") -> None:
        """One more step; ``after`` it all that can be looked at is looked at."""
        self.steps.append(Step(kind, text, "\n".join([*checks, after])))

    def offer(self) -> str:
        """Offer a later release, if there is one; the shell words."""
        left = len(self.shelf.releases) - 2 - self.offered
        if left < 1:
            return ""
        self.before = self.offered
        self.offered += self.number(1, min(left, 2)) if self.chance(4) else 1
        return f"offer {self.shelf.releases[self.offered].version}; "

    def disturb(self, *, calm: bool = False) -> None:
        """From here on an update may be refused, unless it is still calm."""
        self.calm = self.calm and calm

    @property
    def must(self) -> str:
        """The check that an update was made, if nothing stands in its way."""
        return "; calm" if self.calm else ""

    @property
    def is_good(self) -> bool:
        """Whether no release that may be installed by now fails by itself."""
        return all(release.character == "good" for release in self.until_now)

    @property
    def until_now(self) -> tuple[Release, ...]:
        """Releases that were offered, or could have been."""
        return self.shelf.releases[: self.offered + 1]

    def path(self) -> str:
        """A file some release has, quoted; mostly one that the next release changes."""
        return self._one_of(self._changed_between(self.offered, self.offered + 1))

    def path_of_update(self) -> str:
        """The same of the release that is offered now: an update on the way changes it."""
        return self._one_of(self._changed_between(self.before, self.offered))

    def _one_of(self, changed: Sequence[str]) -> str:
        paths = changed if changed and not self.chance(5) else self.shelf.every_path
        return shlex.quote(self.pick(paths)) if paths else "mine"

    def _changed_between(self, one: int, other: int) -> list[str]:
        releases = self.shelf.releases
        return changed_paths(releases[one], releases[min(other, len(releases) - 1)])

    def folder(self) -> str:
        """A folder some release has, quoted, mostly one that goes; empty: there is none."""
        releases = self.shelf.releases
        now, following = releases[self.offered].tree, releases[self.offered + 1].tree
        going = [name for name in now if isinstance(now[name], Folder) and name not in following]
        if going and not self.chance(3):
            return shlex.quote(self.pick(sorted(going)))
        trees = [release.tree for release in releases]
        names = {name for tree in trees for name in tree if isinstance(tree[name], Folder)}
        return shlex.quote(self.pick(sorted(names))) if names else ""


Action = Callable[[Draft], None]
Actions = Sequence[tuple[int, Action]]
