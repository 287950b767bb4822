"""Notes as a web page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from keeper.note import Note

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Notes</title>
<ol>
{items}
</ol>
"""


def html(notes: Iterable[Note]) -> str:
    """A page with one list of all notes."""
    return PAGE.format(items="\n".join(map(_item, notes)))


def _item(note: Note) -> str:
    return f'<li value="{note.number}"><time>{note.day}</time> {escape(note.text)}</li>'
