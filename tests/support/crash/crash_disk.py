"""A disk that stops working at its n-th change: it fails, or the process dies there.

And small installs for it to stop in, whose updates are staged without a publisher.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from patchtool.folder.scan import scan

from tests.support.trees.trees import Content, data_of, read_tree, write_tree
from updater.disk.durable import PART, Disk
from updater.errors import PatchError
from updater.format.manifest import File, Manifest
from updater.format.release_description import Policy, Release
from updater.launch.commit.journal import Journal
from updater.launch.state import State
from updater.local.settings import Settings
from updater.patch.apply import Tree
from updater.patch.file_digest import differs
from updater.stage.stage import NO_NOTES, Stage


class Killed(BaseException):
    """The process died here; no `except Exception` of ours may see it."""


class CountingDisk(Disk):
    """Counts changes and keeps their names. Flushes nothing: a test does not pull the plug."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self._torn = b""

    @property
    def count(self) -> int:
        """How many changes were begun."""
        return len(self.log)

    def create(
        self, path: Path, data: bytes, *, executable: bool = False, private: bool = False
    ) -> None:
        self._torn = data
        self._begin("create", path)
        super().create(path, data, executable=executable, private=private)

    def copy(
        self, source: Path, path: Path, *, executable: bool = False, alike: bool = False
    ) -> None:
        self._torn = source.read_bytes()
        self._begin("copy", path.with_name(path.name + PART))
        super().copy(source, path, executable=executable, alike=alike)

    def imitate(self, path: Path, model: Path, *, executable: bool | None = None) -> None:
        self._begin("imitate", path)
        super().imitate(path, model, executable=executable)

    def fit(self, path: Path, *, executable: bool) -> None:
        self._begin("fit", path)
        super().fit(path, executable=executable)

    def replace(self, source: Path, path: Path) -> None:
        self._begin("replace", path)
        super().replace(source, path)

    def keep(self, path: Path, aside: Path) -> None:
        self._begin("keep", aside)
        super().keep(path, aside)

    def symlink(self, target: str, path: Path) -> None:
        self._begin("symlink", path)
        super().symlink(target, path)

    def mkdir(self, path: Path, *, private: bool = False, own: bool = False) -> None:
        self._begin("mkdir", path)
        super().mkdir(path, private=private, own=own)

    def unlink(self, path: Path) -> None:
        self._begin("unlink", path)
        super().unlink(path)

    def rmdir(self, path: Path) -> None:
        self._begin("rmdir", path)
        super().rmdir(path)

    def sync_file(self, path: Path) -> None:
        self._begin("sync", path)
        if not os.path.lexists(path):
            raise FileNotFoundError(errno.ENOENT, "nothing to sync", str(path))

    def _begin(self, what: str, path: Path) -> None:
        """Called before every change."""
        self.log.append(f"{what} {path}")


class FaultyDisk(CountingDisk):
    """Fails at change ``fail`` with ``code``, dies at change ``kill``; half of each may be done.

    With ``forever`` every change after ``fail`` fails too. After ``kill`` nothing happens any
    more, as nothing does after a process has died.
    """

    def __init__(
        self,
        *,
        kill: int | None = None,
        fail: int | None = None,
        code: int = errno.EIO,
        forever: bool = False,
    ) -> None:
        super().__init__()
        self._kill = kill
        self._fail = fail
        self._code = code
        self._forever = forever
        self.faults = 0

    @property
    def dead(self) -> bool:
        """Whether the process died."""
        return self._kill is not None and self.count >= self._kill

    def _begin(self, what: str, path: Path) -> None:
        was_dead = self.dead
        super()._begin(what, path)
        if was_dead:
            raise Killed
        if self.dead:
            self._tear(what, path)
            raise Killed
        if self._fails():
            self._tear(what, path)
            self.faults += 1
            raise OSError(self._code, os.strerror(self._code), str(path))

    def _fails(self) -> bool:
        if self._fail is None:
            return False
        return self.count == self._fail or (self._forever and self.count > self._fail)

    def _tear(self, what: str, path: Path) -> None:
        """Half of the bytes are written."""
        if what in {"create", "copy"}:
            path.write_bytes(self._torn[: len(self._torn) // 2])


@dataclass(frozen=True)
class World:
    """An install and its State in one folder, which is cheap to copy."""

    folder: Path

    @cached_property
    def state(self) -> State:
        """Its places."""
        return State(self.folder / "app", self.folder / ".app.upswap")

    @property
    def tree(self) -> dict[str, Content]:
        """All that is in the install."""
        return read_tree(self.state.install)

    @property
    def manifest(self) -> Manifest:
        """What the State says is installed."""
        return Manifest.parse(self.state.manifest.read_bytes())


def world_of(folder: Path, manifest: Manifest, live: Mapping[str, Content]) -> World:
    """A world in which ``manifest`` is installed and ``live`` is what lies there."""
    world = World(folder)
    write_tree(world.state.install, live)
    world.state.folder.mkdir()
    world.state.manifest.write_bytes(manifest.data)
    world.state.settings.write_bytes(settings(""))
    return world


def copy_world(world: World, folder: Path) -> World:
    """The same world in the new folder ``folder``; two names of one file stay that."""
    names: dict[int, Path] = {}
    for parent, folders, files in os.walk(world.folder):
        here = folder / Path(parent).relative_to(world.folder)
        here.mkdir()
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in [*files, *links]:
            place, copy = Path(parent, name), here / name
            inode = place.lstat().st_ino
            if inode in names:
                os.link(names[inode], copy, follow_symlinks=False)
            else:
                shutil.copy2(place, copy, follow_symlinks=False)
            names[inode] = copy
    return World(folder)


def manifest_of(
    folder: Path,
    version: str,
    contents: Mapping[str, Content],
    *,
    entry: tuple[str, ...] = (),
    policy: tuple[tuple[str, Policy], ...] = (),
) -> Manifest:
    """The manifest of a release of ``contents``, which is laid out in ``folder``."""
    release = write_tree(folder / f"release-{version}", contents)
    return Manifest.of("notes", version, scan(release), Release(entry=entry, policy=policy))


def settings(previous: str) -> bytes:
    """``install.json``."""
    made = Settings(app="notes", channel="stable", url="http://h")
    return replace(made, previous=previous).data


def prepare(
    disk: Disk,
    world: World,
    new: Manifest,
    contents: Mapping[str, Content],
    *,
    repair: bool | None = None,
    notes: Mapping[Path, bytes] = NO_NOTES,
) -> Journal:
    """Stage ``new`` over what is installed, with ``contents`` for its files.

    As `Job` does, unless ``repair`` says how: if files are edited or damaged they are mended.
    """
    if repair is None:
        with suppress(PatchError):
            return prepare(disk, world, new, contents, repair=False, notes=notes)
        repair = True
    stage = Stage(world.state.on(disk))
    stage.clear()
    old = world.manifest
    places = _places(world.state, old, new, contents, stage.scratch(0), repair=repair)
    tree = Tree(new, places)
    return stage.fill(old, tree, settings(old.version), repair=repair, notes=notes)


def _places(
    state: State,
    old: Manifest,
    new: Manifest,
    contents: Mapping[str, Content],
    scratch: Path,
    *,
    repair: bool,
) -> dict[str, Path]:
    """Files with the bytes of an old one are taken from there, others are written to scratch."""
    sources = {file.digest: state.install / file.path for file in old.files()}
    places = {}
    for number, file in enumerate(new.files()):
        live = old.by_path.get(file.path)
        is_live = isinstance(live, File) and live.digest == file.digest
        place = state.install / file.path if is_live else sources.get(file.digest)
        if place is None or (repair and differs(file, place)):
            place = scratch / str(number)
            place.write_bytes(data_of(contents[file.path]))
        places[file.path] = place
    return places
