"""What a publisher may expect of their repository, so that the steps that are drawn make sense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.worlds.world import Step

T = TypeVar("T")
FIRST = ("1.0", "1.1")
"""What is published before a world begins; clients c0 and c1 have them."""
READY = "1.2"
"""Published too, and not offered yet."""
DAYS = (1, 5, 8, 20, 40, 100, 400)
URGENT = (
    "refresh",
    *(f"{word} --app app --version 1.1" for word in ("pause", "recall", "promote")),
)


@dataclass
class Model:
    """A repository as it is expected to be."""

    versions: list[str] = field(default_factory=lambda: [*FIRST, READY])
    number: int = 3
    is_calm: bool = True
    """No clock, disk or host has been wrong yet: a release must be taken."""
    is_untidy: bool = False
    """Something was killed: the world ends with a good release."""

    def fresh(self) -> str:
        """A version that nobody has used."""
        self.number += 1
        return f"1.{self.number - 1}"


class Draw:
    """What is drawn, by a seed."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return self._chance.choice(choices)

    def number(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self._chance.randint(low, high)


Kind = Callable[[Draw, Model], Step]


def when_well(options: str, codes: str = "[ $R = 0 ]") -> str:
    """A check that asks for more if the last command ended well."""
    return f"if {codes}; then judge repo {options}; else judge repo; fi"
