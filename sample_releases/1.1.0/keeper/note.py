"""What a note is, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Note:
    """One note."""

    number: int
    day: date
    text: str

    def __str__(self) -> str:
        return f"{self.number:>4}  {self.day}  {self.text}"

    @property
    def document(self) -> dict[str, Any]:
        """The note as it stands in the notes file."""
        return {"number": self.number, "day": str(self.day), "text": self.text}

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Note:
        """The note that ``document`` describes."""
        day = date.fromisoformat(document["day"])
        return cls(number=int(document["number"]), day=day, text=str(document["text"]))
