"""The user's own texts, in a folder that releases leave empty."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "templates"


def names() -> list[str]:
    """The templates that are there."""
    return sorted(place.stem for place in FOLDER.glob("*.txt"))


def template(name: str) -> str:
    """The text of one of `names`, on one line."""
    return " ".join((FOLDER / f"{name}.txt").read_text(encoding="utf-8").split())
