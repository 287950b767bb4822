"""The stage: every new file, whole, verified and durable, before anything live is touched."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from updater.apply import Tree, check_file, tree_at
from updater.errors import InstallError, PatchError
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.paths import shown
from updater.launch.disk import Disk, present
from updater.launch.journal import Action, Journal, Step
from updater.launch.state import State
from updater.launch.swap import discard_stage
from updater.steps import StepPlan, unwritable


class Stage:
    """Builds one commit in the State folder."""

    def __init__(self, disk: Disk, state: State) -> None:
        self._disk = disk
        self._state = state

    def clear(self) -> None:
        """Begin empty: what an earlier attempt left is of no use."""
        discard_stage(self._disk, self._state)
        self._disk.mkdir(self._state.stage)
        self._disk.mkdir(self._state.scratch)

    def scratch(self, number: int) -> Path:
        """A new empty folder for the files of hop ``number``."""
        folder = self._state.scratch / str(number)
        self._disk.mkdir(folder)
        return folder

    def fill(self, old: Manifest, new: Tree, settings: bytes, *, mend: bool = False) -> Journal:
        """Put every file that is to change into the stage, and plan the commit.

        Args:
            old: what is installed.
            new: what shall be, and where its bytes lie; files still at their live place and
                listed alike in ``old`` are left alone.
            settings: ``install.json`` as it shall be afterwards.
            mend: do not believe ``old``, look at every live file.

        Raises:
            PatchError: a file to carry over is not as released, or one that stays is missing.
            InstallError: this user may not change the install, or a symlink is in the way.
            OSError: the disk; nothing live was touched.
        """
        users = Counter(new.places.values())
        staged: dict[str, int] = {}
        for entry in new.manifest.entries:
            if not isinstance(entry, Directory) and not self._is_live(entry, old, mend=mend):
                staged[entry.path] = len(staged)
                self._put(entry, new, len(staged) - 1, users)
        plan = StepPlan(
            self._state.install, old, new.manifest, staged, self._changed(old, new.manifest, staged)
        )
        steps = plan.steps()
        self._check_permission(unwritable(self._state.install, steps))
        own = (
            self._put_own(self._state.manifest, new.manifest.data, len(staged)),
            self._put_own(self._state.settings, settings, len(staged) + 1),
        )
        self._disk.sync_directory(self._state.stage)
        self._disk.sync_directory(self._state.folder)
        return Journal(old.version, new.manifest.version, (*steps, *own))

    def _put_own(self, place: Path, data: bytes, number: int) -> Step:
        """Stage a file of the State: it is put in place, and taken back, with the tree."""
        self._disk.create(self._state.staged(number), data)
        path, incoming, aside = (
            Path(os.path.relpath(name, self._state.install)).as_posix()
            for name in (
                place,
                self._state.stage / place.name,
                self._state.stage / f"{place.name}.old",
            )
        )
        return Step(
            Action.PUT,
            path,
            number,
            incoming,
            aside if present(place) else "",
            size=len(data),
            own=True,
        )

    def _put(self, entry: File | Symlink, new: Tree, number: int, users: Counter[Path]) -> None:
        staged = self._state.staged(number)
        if isinstance(entry, Symlink):
            self._disk.symlink(entry.target, staged)
            return
        place = new.places[entry.path]
        if self._state.scratch in place.parents and users[place] == 1:
            self._disk.settle(place, executable=entry.executable)
            self._disk.replace(place, staged)
        else:
            self._disk.copy(place, staged, executable=entry.executable)
            check_file(entry, staged)

    def _is_live(self, entry: File | Symlink, old: Manifest, *, mend: bool) -> bool:
        """Whether the live tree has the entry already, as far as we know or can see."""
        if old.by_path.get(entry.path) != entry:
            return False
        place = self._state.install / entry.path
        if mend:
            return not _differs(entry, place)
        if not _is_there(entry, place):
            raise PatchError(f"{shown(entry.path)} is missing", hint="somebody removed it")
        return True

    def _changed(self, old: Manifest, new: Manifest, staged: dict[str, int]) -> frozenset[str]:
        """Old paths about to be replaced or removed whose content is not the released one."""
        doomed = (e for e in old.entries if e.path in staged or e.path not in new.by_path)
        return frozenset(
            e.path
            for e in doomed
            if present(self._state.install / e.path) and _differs(e, self._state.install / e.path)
        )

    def _check_permission(self, folder: Path | None) -> None:
        if folder is not None:
            raise InstallError(
                f"no permission to change {folder}", hint="run as the owner of the folder"
            )


def live_tree(state: State, manifest: Manifest) -> Tree:
    """The installed tree as its manifest describes it."""
    return tree_at(state.install, manifest)


def _is_there(entry: File | Symlink, place: Path) -> bool:
    """Whether something of the entry's kind is live; what is in it only reading could tell."""
    is_link = place.is_symlink()
    return is_link if isinstance(entry, Symlink) else place.is_file() and not is_link


def _differs(entry: Entry, place: Path) -> bool:
    if isinstance(entry, Directory):
        return False
    if isinstance(entry, Symlink):
        return not place.is_symlink() or str(place.readlink()) != entry.target
    try:
        check_file(entry, place)
    except PatchError:
        return True
    return False
