"""The stage: every new file, whole, verified and durable, before anything live is touched."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from updater.disk.content import content_of
from updater.disk.durable import is_link, present
from updater.disk.permissions import let_owner_read
from updater.errors import PatchError
from updater.format.manifest import Directory, File, Manifest, Symlink
from updater.format.names import Digest
from updater.format.paths import parents, shown
from updater.launch.commit.file_swap import discard_stage
from updater.launch.commit.journal import Action, Journal, Step
from updater.launch.commit.obstacles import refuse_names, refuse_obstacles
from updater.launch.commit.trash import spare
from updater.launch.start.release_facts import ReleaseFacts
from updater.launch.state import State
from updater.patch.apply import Tree, check_file, tree_at
from updater.patch.file_digest import differs, has_mode, is_edited, untouched_since
from updater.stage.plan_files import StepPlan
from updater.stage.released_files import OwnFiles, remember, sure_until
from updater.stage.user_files import UserFiles

NO_NOTES: Mapping[Path, bytes] = MappingProxyType({})


class Stage:
    """Builds one commit in the State folder."""

    def __init__(self, state: State) -> None:
        self._disk = state.disk
        self._state = state
        self._sure_until = 0
        self._links: frozenset[str] = frozenset()

    def clear(self) -> None:
        """Begin empty: what an earlier attempt left is of no use."""
        discard_stage(self._state)
        self._disk.mkdir(self._state.stage, private=True)
        self._disk.mkdir(self._state.scratch, private=True)

    @contextmanager
    def discarded_on_failure(self) -> Iterator[None]:
        """Leave no stage behind if the body fails."""
        try:
            yield
        except BaseException:
            with suppress(OSError):  # harmless to leave; the cause is what counts
                discard_stage(self._state)
            raise

    def scratch(self, name: int | str) -> Path:
        """A new empty folder, for the files of one hop or for others."""
        folder = self._state.scratch / str(name)
        self._disk.mkdir(folder)
        return folder

    def fill(
        self,
        old: Manifest,
        new: Tree,
        settings: bytes,
        *,
        repair: bool = False,
        over_links: bool = False,
        notes: Mapping[Path, bytes] = NO_NOTES,
    ) -> Journal:
        """Put every file that is to change into the stage, and plan the commit.

        Args:
            old: what is installed.
            new: what shall be, and where its bytes lie; files still at their live place and
                listed alike in ``old`` are left alone if they are whole.
            settings: ``install.json`` as it shall be afterwards.
            repair: hash every live file, and put what is damaged in its place.
            over_links: put folders of the release in the place of symlinks, which are kept aside.
            notes: other files of the State that shall be there afterwards.

        Raises:
            PatchError: a file to carry over is not as released; without ``repair``, one that stays.
            InstallError: this user may not change the install, or a symlink is in the way.
            OSError: the disk; nothing live was touched.
        """
        refuse_names((*old.by_path, *new.manifest.by_path))
        install, folders = self._state.install, new.manifest.directories
        self._links = frozenset(path for path in folders if is_link(install / path))
        users = Counter(new.places.values())
        self._sure_until = sure_until(self._state, old)
        remember(self._state, new.manifest, old)
        staged: dict[str, int] = {}
        offered: dict[str, int] = {}
        known = OwnFiles.read(self._state) if repair else None
        edits = UserFiles(self._state.install, old, new.manifest, known)
        for entry in new.manifest.entries:
            if isinstance(entry, Directory) or self._is_live(entry, old, edits, repair=repair):
                continue
            if not (stays := edits.stays(entry)) or edits.is_offered(entry):
                number = len(staged) + len(offered)
                (offered if stays else staged)[entry.path] = number
                self._put(entry, new, number, users)
        changed = self._changed(old, new.manifest, staged)
        kept = edits.kept(offered)
        ours = self._released({*changed, *(staged.keys() - old.by_path.keys())})
        plan = StepPlan(
            self._state.install,
            old,
            new.manifest,
            staged,
            changed,
            kept,
            ours=ours,
            over_links=over_links,
        )
        steps = plan.steps()
        changing = (step.path for step in steps if step.action is not Action.RMDIR)
        refuse_obstacles(self._state.install, changing)
        spare(self._state, {*new.manifest.by_path, *new.manifest.directories})
        files = {
            self._state.manifest: new.manifest.data,
            self._state.settings: settings,
            self._state.release: facts_of(new.manifest).data,
            **notes,
        }
        own = [
            self._put_own(place, data, number)
            for number, (place, data) in enumerate(files.items(), len(staged) + len(offered))
        ]
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
            content=str(Digest.of(data)),
            was=content_of(place),
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
        elif not place.is_file():
            raise PatchError(f"what {shown(entry.path)} is made of is missing: {place}")
        else:
            self._disk.copy(place, staged, executable=entry.executable)
            check_file(entry, staged)

    def _is_live(
        self, entry: File | Symlink, old: Manifest, edits: UserFiles, *, repair: bool
    ) -> bool:
        """True if the live tree has the entry already, whole."""
        place = self._state.install / entry.path
        if old.by_path.get(entry.path) != entry or self._is_behind_link(entry.path):
            return False
        if not repair and edits.was_ours(entry.path) and self._is_untouched(entry, place):
            return True
        is_right = not differs(entry, place)
        if not repair and not is_right and not edits.stays(entry):
            raise PatchError(
                f"{shown(entry.path)} is missing or not as released",
                hint="it was removed, edited or damaged after it was installed",
            )
        return is_right and has_mode(entry, place, self._state.root)

    def _is_behind_link(self, path: str) -> bool:
        return not self._links.isdisjoint(parents(path))

    def _is_untouched(self, entry: File | Symlink, place: Path) -> bool:
        """True if a released file has its size, and nobody touched it since the commit.

        As `Inspection` looks at it without ``full``.
        """
        try:
            info = place.lstat()
        except OSError:
            return False
        if not isinstance(entry, File) or not stat.S_ISREG(info.st_mode):
            return False
        return info.st_size == entry.size and untouched_since(self._sure_until, info)

    def _changed(self, old: Manifest, new: Manifest, staged: dict[str, int]) -> frozenset[str]:
        """Old paths about to be replaced or removed whose content is not the released one."""
        doomed = (e for e in old.entries if e.path in staged or e.path not in new.by_path)
        live = [e for e in doomed if present(self._state.install / e.path)]
        for entry in live:
            let_owner_read(self._state.install / entry.path)
        return frozenset(e.path for e in live if is_edited(e, self._state.install / e.path))

    def _released(self, paths: Iterable[str]) -> frozenset[str]:
        """Those of ``paths`` that hold a released file: replacing it loses no work of the user."""
        known = OwnFiles.read(self._state)
        return frozenset(path for path in paths if known.is_of_a_release(self._state, path))


def facts_of(manifest: Manifest) -> ReleaseFacts:
    """The facts of a release that the launcher needs."""
    release, confirm = manifest.release, manifest.release.confirm
    return ReleaseFacts(
        manifest.version,
        release.entry,
        confirm.mode,
        confirm.health,
        confirm.starts,
        confirm.seconds,
    )


def renew_release_facts(state: State, manifest: Manifest) -> None:
    """Have ``release.json`` say what is installed, should somebody have damaged it.

    Raises:
        OSError: the disk; it is as before.
    """
    data = facts_of(manifest).data
    if content_of(state.release) != str(Digest.of(data)):
        state.disk.write(state.release, data)


def live_tree(state: State, manifest: Manifest) -> Tree:
    """The installed tree as its manifest describes it."""
    return tree_at(state.install, manifest)
