"""A mended fault, and how it is put back into a copy of the sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.worlds.world import Broken


@dataclass(frozen=True)
class Edit:
    """A piece of a file, which is there once, and what stood in its place."""

    file: str
    present: str
    back: str


@dataclass(frozen=True)
class Fault:
    """A mended fault of one kind."""

    letter: str
    name: str
    what: str
    edits: tuple[Edit, ...]
    half: str = "client"
    promises: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    """Those it can break: a finding of another promise is another fault."""

    def put_back(self, tree: Path) -> None:
        """Bring the fault back into the sources in ``tree``.

        Raises:
            ValueError: the sources have changed, and the table must follow.
        """
        for edit in self.edits:
            place = tree / edit.file
            text = place.read_text()
            if text.count(edit.present) != 1:
                raise ValueError(
                    f"{self.name}: {edit.file} has {text.count(edit.present)} times\n{edit.present}"
                )
            place.write_text(text.replace(edit.present, edit.back))

    def touches(self, other: Fault) -> bool:
        """Whether both change the same line, so that they cannot be put back together."""
        return bool(self._lines() & other._lines())

    def _lines(self) -> set[tuple[str, str]]:
        return {(edit.file, line) for edit in self.edits for line in edit.present.splitlines()}

    def shows_as(self, broken: Broken) -> bool:
        """Whether ``broken`` can come from it."""
        return broken.promise in self.promises
