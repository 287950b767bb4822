"""Spare names: ``NAME.old``, ``NAME.old-1`` ... for what has to make way and must not be lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path, PurePath
from typing import TypeVar

from updater.disk.durable import PART, present

P = TypeVar("P", bound=PurePath)

NAME_BYTES = 255
"""NAME_MAX: a longer name is shortened."""


def spare_names(path: P, suffix: str = ".old") -> Iterator[P]:
    """All spare names of ``path``, the first choice first; without end."""
    for number in count():
        end = suffix if number == 0 else f"{suffix}-{number}"
        most = NAME_BYTES - len(end) - len(PART)
        yield path.with_name(path.name.encode()[:most].decode(errors="ignore") + end)


def taken_names(path: Path) -> Iterator[Path]:
    """The spare names of ``path`` that are in use."""
    return takewhile(present, spare_names(path))


def free_name(path: Path) -> Path:
    """The first spare name of ``path`` that is not in use."""
    return next(name for name in spare_names(path) if not present(name))
