"""Notes as a table that spreadsheets read."""

from __future__ import annotations

from collections.abc import Iterable
from csv import writer
from io import StringIO

from keeper.note import Note


def csv(notes: Iterable[Note]) -> str:
    """A table with one row for each note, and a heading."""
    text = StringIO()
    rows = writer(text, lineterminator="\n")
    rows.writerow(("number", "day", "text"))
    rows.writerows((note.number, note.day, note.text) for note in notes)
    return text.getvalue()
