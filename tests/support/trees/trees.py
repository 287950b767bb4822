"""Small release trees for tests: a dict of path -> content, written to disk and read back.

A value is bytes (a file), `Exe` (an executable file), `Link` (a symlink) or None (an empty
folder).
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Exe:
    """An executable file."""

    data: bytes


@dataclass(frozen=True)
class Link:
    """A symlink."""

    target: str


Content = bytes | Exe | Link | None
Tree = Mapping[str, Content]


def noise(length: int, seed: int = 0) -> bytes:
    """Incompressible bytes, the same for the same seed: content a bundle cannot make small."""
    return random.Random(seed).randbytes(length)


def data_of(content: Content) -> bytes:
    """The bytes of a file."""
    assert isinstance(content, bytes | Exe)
    return content.data if isinstance(content, Exe) else content


def write_tree(folder: Path, tree: Tree) -> Path:
    """Lay ``tree`` out in the new folder ``folder``."""
    folder.mkdir(parents=True)
    for path, content in tree.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            place.mkdir(exist_ok=True)
        elif isinstance(content, Link):
            place.symlink_to(content.target)
        else:
            place.write_bytes(content.data if isinstance(content, Exe) else content)
            place.chmod(0o755 if isinstance(content, Exe) else 0o644)
    return folder


def read_tree(folder: Path) -> dict[str, Content]:
    """What is in ``folder``; empty folders are listed, others are implied."""
    tree: dict[str, Content] = {}
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in [*files, *links]:
            tree[str((here / name).relative_to(folder))] = _read(here / name)
        if here != folder and not folders and not files:
            tree[str(here.relative_to(folder))] = None
    return tree


def difference(tree: Tree, *wanted: Tree) -> str:
    """What makes ``tree`` neither of ``wanted``, for a person."""

    def against(other: Tree) -> list[str]:
        paths = sorted(tree.keys() | other.keys())
        return [p for p in paths if (p in tree, tree.get(p)) != (p in other, other.get(p))]

    return " / ".join(str(against(other)) for other in wanted)


def _read(place: Path) -> Content:
    if place.is_symlink():
        return Link(str(place.readlink()))
    data = place.read_bytes()
    return Exe(data) if place.stat().st_mode & 0o100 else data
