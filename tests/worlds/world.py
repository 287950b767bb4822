"""What a world is made of: data, equal and printable."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

STEP_LIMIT = 150.0
"""Seconds a step may take, all its commands together."""
_COMMAND = re.compile(r"\b(?:updater|patchtool|patchserver|starts|directly|run|inst|add|offer)\b")

_VARIES = re.compile(r"\d+|\S*/\S*|'[^']*'")
"""Of a message: what is another in each world."""


@dataclass(frozen=True)
class Step:
    """Something that happens, and what must hold right after it."""

    kind: str
    """For the distribution of what was drawn."""
    text: str
    """Shell lines; a promise they find broken ends them with `fail`."""
    check: str = ""
    """More shell lines, of checks only."""
    limit: float = STEP_LIMIT

    @property
    def lines(self) -> str:
        """All of it."""
        return f"{self.text}\n{self.check}".strip() + "\n"


@dataclass(frozen=True)
class World:
    """A ground, and what happens on it."""

    ground: str
    """Shell lines that publish releases; they start nothing and name no absolute path, so what
    they make is kept and copied for other worlds."""
    steps: tuple[Step, ...]
    functions: str = ""
    """Shell functions that ground and steps call."""
    helpers: tuple[str, ...] = ()
    """Files of `programs` that the lines call (`look.py`); printed with the script."""
    warm: bool = False
    """Whether a warm patchtool may publish for its steps too: it is not what is tested."""
    drawn: tuple[str, ...] = field(default=())
    """Properties of the whole, for the distribution."""

    @property
    def ground_lines(self) -> list[str]:
        """The lines of the ground, each of which can be left out."""
        return self.ground.splitlines(keepends=True)

    @property
    def text(self) -> str:
        """All its lines."""
        return self.ground + "".join(step.lines for step in self.steps)

    @property
    def commands(self) -> int:
        """About how many commands it runs."""
        return len(_COMMAND.findall(self.text))


@dataclass(frozen=True)
class Broken:
    """A promise that did not hold, in a world cut off there."""

    world: World
    promise: int
    """0: the ground or a step of the world itself went wrong."""
    what: str
    """One word for this kind of breach: two worlds with the same are the same finding."""
    message: str

    @property
    def kind(self) -> tuple[int, str, str]:
        """Equal for two findings of one fault, as far as one can tell."""
        says = _VARIES.sub("", self.message) if self.what in {"refused", "stuck", "start"} else ""
        return self.promise, self.what, says[:90]
