"""Taking back a commit that was made and parked: what a rollback does to the tree.

User files stay, with their latest content. Every step looks at the disk, so that it can be
repeated after an interruption. It needs no disk space, for the old files only move back.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath

from updater.launch.content import CACHE, FOLDER, NOTHING, content_of, is_bytecode
from updater.launch.disk import Disk, move, present, sync_folders
from updater.launch.journal import Action, Journal, Step
from updater.launch.spare import free_name, taken_names
from updater.launch.state import State

NOT_BY_RENAME = {errno.EXDEV, errno.EACCES, errno.EPERM}
"""What says that a folder must be made anew: another disk, or one that nobody may write."""


class Reversal:
    """Runs a committed journal the other way."""

    def __init__(self, disk: Disk, state: State, journal: Journal) -> None:
        self._disk = disk
        self._state = state
        self._steps = journal.steps
        self._folders = {
            self._at(step.path): state.parked_file(number)
            for number, step in enumerate(journal.steps)
            if step.action in {Action.RMDIR, Action.SET_ASIDE}
        }

    def damaged(self) -> list[str]:
        """Paths whose old content was not kept whole: without it nothing may be begun.

        Raises:
            OSError: the disk.
        """
        return [
            step.path
            for number, step in enumerate(self._steps)
            if step.parks and not self._is_whole(number, step)
        ]

    def blocked(self) -> str:
        """Why nothing may be begun here; empty if it may.

        A folder this user may not change would stop it half-way; behind a link that took the
        place of a folder lies nothing of ours.
        """
        for step in self._steps:
            path = self._at(step.path)
            if step.parks and not step.own and self._is_behind_link(path):
                return f"a folder of {step.path} is a symlink"
            if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
                return f"no permission to change {path.parent}"
        return ""

    def run(self) -> None:
        """Bring the old tree back, durably.

        Raises:
            OSError: a step failed; call it again when its cause is gone.
        """
        for step in self._steps:
            if step.action is Action.PUT and not step.aside:
                self._drop(step)
        for step in reversed(self._steps):
            if step.action is Action.MKDIR and not self._is_behind_link(self._at(step.path)):
                self._disk.rmdir(self._at(step.path))
        self._make_folders()
        for number, step in enumerate(self._steps):
            self._restore(number, step)
        self._sync()

    def _is_whole(self, number: int, step: Step) -> bool:
        found = content_of(self._state.parked_file(number))
        if step.own and self._at(step.path) in {self._state.arrival, self._state.trial}:
            return True  # removed as soon as they are of no use, and not needed for a way back
        is_ours = step.own and step.path.endswith(f"/{self._state.settings.name}")
        is_users = step.keep or found == content_of(self._at(step.aside))
        return found == step.was or (found != NOTHING and (is_users or is_ours))

    def _drop(self, step: Step) -> None:
        """Take an added file out; one the user changed since is his, and steps aside."""
        path = self._at(step.path)
        found = content_of(path)
        if found in {NOTHING, FOLDER} or (not step.own and self._is_behind_link(path)):
            return
        if found != step.content and not step.own:
            self._rescue(path)
        self._disk.unlink(path)
        self._drop_bytecode(step)

    def _make_folders(self) -> None:
        """Folders of the old tree that are gone; one that went aside with user files comes back."""
        for step in self._steps:
            aside = self._at(step.aside)
            if step.action is Action.SET_ASIDE and present(aside):
                self._make_room(self._at(step.path))
                self._disk.replace(aside, self._at(step.path))
        gone = {s.path for s in self._steps if s.action in {Action.RMDIR, Action.SET_ASIDE}}
        for path in sorted(gone):
            if PurePosixPath(path).name != CACHE:
                self._make_folder(self._at(path))

    def _make_folder(self, path: Path) -> None:
        """A real folder at ``path``, and above it; never through a link out of the install."""
        places = [path, *path.parents]
        inside = [place for place in places if self._state.install in place.parents]
        for place in reversed(inside):
            if not _is_folder(place):
                self._make_room(place)
                self._make_again(place)

    def _make_again(self, place: Path) -> None:
        """As it was when it was removed, so that it is open to nobody else."""
        kept = self._folders.get(place)
        if kept is None or not _is_folder(kept):
            self._disk.mkdir(place)
            self._disk.fit(place, executable=True)
            return
        try:
            self._disk.replace(kept, place)
        except OSError as error:
            if error.errno not in NOT_BY_RENAME:
                raise
            self._disk.mkdir(place, private=True)
            self._disk.imitate(place, kept)

    def _restore(self, number: int, step: Step) -> None:
        """Put back what a step put aside; what the user made there meanwhile steps aside."""
        source = self._source(number, step)
        if source is None or not present(source):
            return
        path = self._at(step.path)
        if not step.own:
            self._make_folder(path.parent)
            self._drop_bytecode(step)
            if step.stays and content_of(path) not in {NOTHING, FOLDER, step.content}:
                return
            self._spare(path, step)
        if step.keep or (not step.own and content_of(source) != step.was):
            self._drop_copy(source, self._at(step.aside))
        move(self._disk, source, path)

    def _drop_copy(self, source: Path, aside: Path) -> None:
        """The user's file comes back: a copy under another name is not needed."""
        if content_of(aside) == content_of(source):
            self._disk.unlink(aside)

    def _source(self, number: int, step: Step) -> Path | None:
        return self._state.parked_file(number) if step.parks else None

    def _spare(self, path: Path, step: Step) -> None:
        """What the user did to a file since the commit stays, beside it."""
        if _is_folder(path):
            self._make_room(path)
        elif content_of(path) not in {NOTHING, step.content}:
            self._rescue(path)

    def _make_room(self, path: Path) -> None:
        if present(path):
            self._disk.replace(path, free_name(path))

    def _rescue(self, path: Path) -> None:
        """Give a user's file a second name beside the first, unless a copy has one already."""
        found = content_of(path)
        if not is_bytecode(path.name) and all(content_of(n) != found for n in taken_names(path)):
            self._disk.keep(path, free_name(path))

    def _drop_bytecode(self, step: Step) -> None:
        """Compiled forms of a module that changes: two of one size and second would be mixed."""
        source = PurePosixPath(step.path)
        cache = self._at(str(source.parent / CACHE))
        if source.suffix != ".py" or not _is_folder(cache) or self._is_behind_link(cache):
            return
        for name in sorted(cache.iterdir()):
            if is_bytecode(name.name) and name.name.startswith(f"{source.stem}."):
                self._disk.unlink(name)
        self._disk.rmdir(cache)

    def _is_behind_link(self, path: Path) -> bool:
        folders = (place for place in path.parents if self._state.install in place.parents)
        return any(folder.is_symlink() for folder in folders)

    def _sync(self) -> None:
        sync_folders(self._disk, (self._at(step.path).parent for step in self._steps))

    def _at(self, path: str) -> Path:
        return self._state.at(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
