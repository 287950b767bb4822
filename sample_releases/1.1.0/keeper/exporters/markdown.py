"""Notes as Markdown lists."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from keeper.note import Note

SPECIAL = frozenset("\\`*_[]<>#")
"""Characters that Markdown would take for more than themselves."""


def markdown(notes: Iterable[Note]) -> str:
    """A document with a heading for each day, and its notes below."""
    days = groupby(notes, key=lambda note: note.day)
    lists = (f"\n## {day}\n\n" + "\n".join(map(_item, group)) for day, group in days)
    return "\n".join(["# Notes", *lists, ""])


def _item(note: Note) -> str:
    return f"- {_escape(note.text)}"


def _escape(text: str) -> str:
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in text)
