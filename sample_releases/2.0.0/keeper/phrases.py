"""What the application says, in the user's language."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "translations"


def phrase(key: str, **values: object) -> str:
    """The phrase called ``key`` with its blanks filled in."""
    language = os.environ.get("NOTES_LANGUAGE", "default")
    place = FOLDER / f"{language}.txt"
    known = read(place if place.is_file() else FOLDER / "default.txt")
    return known[key].format(**values)


def read(place: Path) -> dict[str, str]:
    """A file of phrases: ``key = phrase`` lines."""
    lines = place.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" = ", 1) for line in lines if " = " in line)
    return {key.strip(): text for key, text in pairs}
