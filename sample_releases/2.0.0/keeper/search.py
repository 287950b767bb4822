"""Finding notes."""

from __future__ import annotations

from collections.abc import Iterable

from keeper.letters import fold
from keeper.note import Note


def search(notes: Iterable[Note], words: Iterable[str]) -> list[Note]:
    """The notes that hold every one of ``words``, whatever their case and accents."""
    wanted = [fold(word) for word in words]
    return [note for note in notes if _holds(fold(note.text), wanted)]


def _holds(text: str, words: Iterable[str]) -> bool:
    return all(word in text for word in words)
