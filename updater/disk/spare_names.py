"""Spare names: ``NAME.old``, ``NAME.old-1`` ... for what has to make way and must not be lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from updater.disk.durable import PART, present

NAME_BYTES = 255
"""NAME_MAX: a longer name is shortened."""


def taken_names(path: Path, suffix: str = ".old") -> Iterator[Path]:
    """The spare names of ``path`` that are in use."""
    number = 0
    while present(name := _spare(path, suffix, number)):
        yield name
        number += 1


def free_name(path: Path, suffix: str = ".old") -> Path:
    """The first spare name of ``path`` that is not in use."""
    return _spare(path, suffix, sum(1 for _ in taken_names(path, suffix)))


def _spare(path: Path, suffix: str, number: int) -> Path:
    end = suffix if number == 0 else f"{suffix}-{number}"
    most = NAME_BYTES - len(end) - len(PART)
    return path.with_name(path.name.encode()[:most].decode(errors="ignore") + end)
