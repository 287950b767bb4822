"""Notes as a Markdown list."""

from __future__ import annotations

from collections.abc import Iterable

from keeper.note import Note

SPECIAL = frozenset("\\`*_[]<>#")
"""Characters that Markdown would take for more than themselves."""


def markdown(notes: Iterable[Note]) -> str:
    """A document with one list of all notes."""
    return "\n".join(["# Notes", "", *(_item(note) for note in notes), ""])


def _item(note: Note) -> str:
    return f"- {note.day}: {_escape(note.text)}"


def _escape(text: str) -> str:
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in text)
