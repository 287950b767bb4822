"""Trash: own files that could not be deleted yet, to be deleted later.

A file that is in use (Windows), immutable, or on a disk that fails for a moment must neither stop
a commit nor a rollback, nor stay in the install for good. What lies in the State is moved to
``trash/``; of what lies in the install ``trash/left.json`` has the path and the content, so that
nothing is deleted that somebody has changed since. Every command tries both again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath

from updater.disk.content import content_of
from updater.disk.durable import info_of, is_folder, present, remove_tree
from updater.launch.state import State

LEFT = "left.json"


@dataclass
class Left:
    """Own files and folders that still lie in the install."""

    files: dict[str, str] = field(default_factory=dict)
    """Content, as content.py writes it down, by path. With any other content it is not ours."""
    folders: list[str] = field(default_factory=list)
    """Folders that go when nothing is in them."""

    def __bool__(self) -> bool:
        return bool(self.files or self.folders)


class Trash:
    """Deletes in an install, and remembers what it could not, durably once `save` was called."""

    def __init__(self, state: State) -> None:
        self._disk = state.disk
        self._state = state
        self._left = Left()

    def remove(self, path: str, content: str) -> None:
        """Remove the file or symlink at ``path``, which is ours if it is ``content``."""
        try:
            self._disk.unlink(self._state.at(path))
        except OSError:
            self.remember(path, content)

    def remember(self, path: str, content: str) -> None:
        """Remove it some other time, if it is ``content`` then."""
        self._left.files[path] = content

    def renamed(self, path: str, other: str) -> None:
        """Note that ``path``, and all below it, lies at ``other`` now."""

        def moved(place: str) -> str:
            is_there = place == path or place.startswith(f"{path}/")
            return other + place.removeprefix(path) if is_there else place

        files, folders = self._left.files, self._left.folders
        self._left.files = {moved(place): content for place, content in files.items()}
        self._left.folders = [moved(place) for place in folders]

    def remove_folder(self, path: str) -> None:
        """Remove the folder at ``path``, if nothing is in it but what is remembered."""
        place = self._state.at(path)
        try:
            self._disk.rmdir(place)
            remains = bool(self._left) and is_folder(place)
        except OSError:
            remains = True
        if remains:
            self._left.folders.append(path)

    def save(self) -> None:
        """Remember it durably.

        Raises:
            OSError: the disk; what leads here must be done again.
        """
        if self._left:
            known = _read(self._state)
            files = known.files | self._left.files
            _write(self._state, files, [*known.folders, *self._left.folders])


def clear(state: State, folder: Path) -> None:
    """Remove a folder of the State, or put it away.

    Raises:
        OSError: neither is possible.
    """
    try:
        remove_tree(state.disk, folder)
    except OSError:
        if present(folder):
            state.disk.mkdir(state.trash, private=True)
            state.disk.replace(folder, _free_place(state))


def sweep(state: State) -> None:
    """Try again to remove what is left, while no commit is under way; what cannot be stays."""
    with suppress(OSError):
        if is_folder(state.trash):
            _sweep_install(state)
            _sweep_state(state)


def spare(state: State, paths: Collection[str]) -> None:
    """Let stay what the next release has, should it have been ours to remove.

    Raises:
        OSError: the disk.
    """
    left = _read(state)
    files = {path: content for path, content in left.files.items() if path not in paths}
    folders = [folder for folder in left.folders if folder not in paths]
    if (files, folders) != (left.files, left.folders):
        _write(state, files, folders)


def _sweep_install(state: State) -> None:
    left = _read(state)
    files = {path: content for path, content in left.files.items() if _stays(state, path, content)}
    if files:
        folders = left.folders
    else:
        folders = [path for path in _innermost_first(left.folders) if _folder_stays(state, path)]
    if (files, folders) != (left.files, left.folders):
        _write(state, files, folders)


def _stays(state: State, path: str, content: str) -> bool:
    """True if a file of ours still cannot be removed, or looked at."""
    place = state.at(path)
    with suppress(OSError):
        if content_of(place) == content and not _is_behind_link(state, place):
            state.disk.unlink(place)
        return False
    return True


def _folder_stays(state: State, path: str) -> bool:
    place = state.at(path)
    with suppress(OSError):
        if is_folder(place) and not _is_behind_link(state, place):
            state.disk.rmdir(place)
        return False
    return True


def _is_behind_link(state: State, place: Path) -> bool:
    inside = (folder for folder in place.parents if state.install in folder.parents)
    return not all(is_folder(folder) or info_of(folder) is None for folder in inside)


def _innermost_first(folders: Iterable[str]) -> list[str]:
    return sorted({*folders}, key=lambda path: (-len(PurePosixPath(path).parts), path))


def _sweep_state(state: State) -> None:
    for place in sorted(state.trash.iterdir()):
        if place.name != LEFT:
            with suppress(OSError):
                remove_tree(state.disk, place)
    state.disk.rmdir(state.trash)


def _read(state: State) -> Left:
    """Read the list; an empty one if it is damaged."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        document = json.loads((state.trash / LEFT).read_bytes())
        return Left(dict(document["files"]), list(document["folders"]))
    return Left()


def _write(state: State, files: dict[str, str], folders: Iterable[str]) -> None:
    place = state.trash / LEFT
    left = Left(files, _innermost_first(folders))
    if left:
        state.disk.mkdir(state.trash, private=True)
        state.disk.write(place, json.dumps(asdict(left)).encode())
    else:
        state.disk.unlink(place)


def _free_place(state: State) -> Path:
    places = (state.trash / str(number) for number in count())
    return next(place for place in places if not present(place))
