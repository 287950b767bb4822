"""The notes file: all notes of one user, outside the application's own folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from keeper.note import Note

DEFAULT = Path.home() / ".notes.json"


class BookError(Exception):
    """The notes file cannot be read."""


def load(path: Path) -> list[Note]:
    """All notes in ``path``; none if there is no such file yet."""
    if not path.exists():
        return []
    try:
        return [Note.parse(item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BookError(f"{path} is not a notes file: {error}") from error


def save(path: Path, notes: Sequence[Note]) -> None:
    """Replace the file in one step: a crash leaves the old notes or the new, never half."""
    text = json.dumps([note.document for note in notes], ensure_ascii=False, indent=1)
    draft = path.with_name(path.name + ".new")
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(path)


def add(path: Path, text: str, day: date) -> Note:
    """Append a note to the file."""
    notes = load(path)
    note = Note(1 + max((note.number for note in notes), default=0), day, text)
    save(path, [*notes, note])
    return note


def remove(path: Path, number: int) -> bool:
    """Drop a note from the file; whether it was there."""
    notes = load(path)
    rest = [note for note in notes if note.number != number]
    if len(rest) == len(notes):
        return False
    save(path, rest)
    return True
