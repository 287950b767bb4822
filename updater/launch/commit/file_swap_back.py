"""Taking back a commit that was made and parked: what a rollback does to the tree.

User files stay, with their latest content. Every step looks at the disk, so that it can be
repeated after an interruption. It needs no disk space, for the old files only move back.
"""

from __future__ import annotations

import errno
from pathlib import Path, PurePosixPath

from updater.disk.content import CACHE, FOLDER, NOTHING, content_of, is_bytecode
from updater.disk.durable import is_folder, is_link, move, present
from updater.disk.spare_names import free_name, taken_names
from updater.errors import MachineError
from updater.launch.commit.journal import Action, Journal, Step, sync_steps
from updater.launch.commit.obstacles import refuse_obstacles
from updater.launch.commit.trash import Trash
from updater.launch.state import State

NOT_BY_RENAME = {errno.EXDEV, errno.EACCES, errno.EPERM}
"""Errors after which a folder is made anew: another disk, or no permission."""


class FileSwapBack:
    """Runs a committed journal the other way."""

    def __init__(self, state: State, journal: Journal) -> None:
        self._disk = state.disk
        self._state = state
        self._steps = journal.steps
        self._trash = Trash(state)
        self._links = {s.path: s.content for s in journal.steps if s.action is Action.PUT}
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

    def refuse_obstacles(self) -> None:
        """Refuse what would stop it half-way.

        That an added file or folder cannot be removed does not: it is remembered.

        Raises:
            InstallError: what it is, and what to do about it.
            OSError: the disk.
        """
        restored = [step for step in self._steps if step.parks and not step.own]
        for step in restored:
            if link := self._link_above(self._at(step.path)):
                raise MachineError(
                    f"{link} is a symlink, in the place of a folder that the old version has",
                    hint=f"put the folder back at {link}, or run updater update or repair",
                )
        refuse_obstacles(self._state.install, (step.path for step in restored))

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
                self._trash.remove_folder(step.path)
        self._make_folders()
        for number, step in enumerate(self._steps):
            self._restore(number, step)
        self._trash.save()
        sync_steps(self._state, self._steps)

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
        try:
            found = content_of(path)
        except OSError:  # perhaps the user's by now: it is looked at again
            self._trash.remember(step.path, step.content)
            return
        if found in {NOTHING, FOLDER} or (not step.own and self._is_behind_link(path)):
            return
        if found != step.content and not step.own:
            self._rescue(path)
        if step.own:
            self._disk.unlink(path)
        else:
            self._trash.remove(step.path, found)
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
            if not is_folder(place):
                self._make_room(place)
                self._make_again(place)

    def _make_again(self, place: Path) -> None:
        """Make a folder with the permissions it had when it was removed."""
        kept = self._folders.get(place)
        if kept is None or not is_folder(kept):
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
        try:
            move(self._disk, source, path)
        except OSError:
            if content_of(path) != content_of(source):  # else it is what it shall be already
                raise

    def _drop_copy(self, source: Path, aside: Path) -> None:
        """The user's file comes back: a copy under another name is not needed."""
        if content_of(aside) == content_of(source):
            self._disk.unlink(aside)

    def _source(self, number: int, step: Step) -> Path | None:
        return self._state.parked_file(number) if step.parks else None

    def _spare(self, path: Path, step: Step) -> None:
        """Keep, beside it, a file that the user edited since the commit."""
        if is_folder(path):
            self._make_room(path)
            return
        try:
            is_edited = content_of(path) not in {NOTHING, step.content}
        except OSError:  # perhaps: it is looked at again, under another name
            self._rescue_unread(path, step)
        else:
            if is_edited:
                self._rescue(path)

    def _rescue_unread(self, path: Path, step: Step) -> None:
        place = free_name(path)
        self._disk.keep(path, place)
        self._trash.remember(self._name(place), step.content)

    def _make_room(self, path: Path) -> None:
        if present(path):
            place = free_name(path)
            self._disk.replace(path, place)
            self._trash.renamed(self._name(path), self._name(place))

    def _rescue(self, path: Path) -> None:
        """Give a user's file a second name beside the first, unless a copy has one already."""
        found = content_of(path)
        if not is_bytecode(path.name) and all(content_of(n) != found for n in taken_names(path)):
            self._disk.keep(path, free_name(path))

    def _drop_bytecode(self, step: Step) -> None:
        """Compiled forms of a module that changes: two of one size and second would be mixed."""
        source = PurePosixPath(step.path)
        cache = self._at(str(source.parent / CACHE))
        if source.suffix != ".py" or not is_folder(cache) or self._is_behind_link(cache):
            return
        folder = str(source.parent / CACHE)
        for name in sorted(cache.iterdir()):
            if is_bytecode(name.name) and name.name.startswith(f"{source.stem}."):
                self._trash.remove(f"{folder}/{name.name}", content_of(name))
        self._trash.remove_folder(folder)

    def _is_behind_link(self, path: Path) -> bool:
        folders = (place for place in path.parents if self._state.install in place.parents)
        return any(is_link(folder) for folder in folders)

    def _link_above(self, path: Path) -> Path | None:
        """A symlink that took the place of a folder above ``path``, and is not the new version's.

        Behind it lies nothing of ours.
        """
        folders = (place for place in path.parents if self._state.install in place.parents)
        links = (folder for folder in folders if is_link(folder))
        return next((link for link in links if not self._is_ours(link)), None)

    def _is_ours(self, link: Path) -> bool:
        return self._links.get(self._name(link)) == content_of(link)

    def _name(self, place: Path) -> str:
        return place.relative_to(self._state.install).as_posix()

    def _at(self, path: str) -> Path:
        return self._state.at(path)
