"""What a release folder holds: the tree rules every method is checked by."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    """Files (path -> executable), symlinks (path -> target) and empty folders."""

    files: dict[str, bool]
    links: dict[str, str]
    folders: list[str]


def read_tree(folder: Path) -> Tree:
    """The names in ``folder``; no content is read."""
    tree = Tree({}, {}, [])
    for place in _walk(folder):
        path = place.relative_to(folder).as_posix()
        if place.is_symlink():
            tree.links[path] = str(place.readlink())
        elif place.is_dir():
            tree.folders.append(path)
        else:
            tree.files[path] = bool(place.stat().st_mode & 0o100)
    return tree


def fingerprint(folder: Path) -> dict[str, str]:
    """Everything of a tree that an update must carry, by path; equal trees have equal ones."""
    tree = read_tree(folder)
    files = {
        path: f"{sha256(folder / path)}{' executable' if executable else ''}"
        for path, executable in tree.files.items()
    }
    links = {path: f"-> {target}" for path, target in tree.links.items()}
    return files | links | dict.fromkeys(tree.folders, "folder")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as reader:
        while piece := reader.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """Files, symlinks and empty folders below ``folder``, sorted by name."""
    with os.scandir(folder) as entries:
        children = sorted(entries, key=lambda entry: entry.name)
    for child in children:
        place = Path(child.path)
        if not child.is_dir(follow_symlinks=False) or not any(place.iterdir()):
            yield place
        else:
            yield from _walk(place)
