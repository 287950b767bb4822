"""An error while looking is no answer: what could not be looked at now is looked at again.

Every call by which a commit, its clean-up or a rollback looks at the disk fails once; so does
every change. The next command leaves nothing of ours that belongs nowhere.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash.crash_disk import (
    FaultyDisk,
    World,
    copy_world,
    manifest_of,
    prepare,
    world_of,
)
from tests.support.crash.crash_runs import tell
from tests.support.trees.trees import Content, Exe, Link
from updater.disk.durable import Disk, is_folder, is_link, present
from updater.errors import InstallError, PatchError
from updater.launch.commit.journal import phase_of
from updater.launch.commit.recover import commit, recover
from updater.launch.commit.rollback import rollback

OLD: dict[str, Content] = {
    "app": Exe(b"1"),
    "data/table.txt": b"1",
    "dir/f": b"folder to file",
    "gone-folder/deep/gone": b"1",
    "link": Link("app"),
}
NEW: dict[str, Content] = {
    "added/f": b"2",
    "app": Exe(b"22"),
    "dir": b"file",
    "link": Link("dir"),
}
STATE = {"manifest", "install.json", "release.json", "old", "arrival", "known"}
LOOKS: tuple[tuple[Any, str], ...] = (
    (os, "stat"),
    (os, "lstat"),
    (os, "readlink"),
    (os, "listdir"),
    (os, "scandir"),
    (io, "open"),
)
CODES = (errno.EIO, errno.EACCES, errno.ENOSPC, errno.EMFILE)


class Looks:
    """Counts how often a tree is looked at; one of them fails."""

    def __init__(self, folder: Path, at: int, code: int) -> None:
        self._folder = str(folder)
        self._at = at
        self._code = code
        self.count = 0

    @contextmanager
    def fail(self) -> Iterator[None]:
        """While the body runs."""
        with pytest.MonkeyPatch.context() as patch:
            for module, name in LOOKS:
                patch.setattr(module, name, self._instead(getattr(module, name)))
            yield

    def _instead(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def look(path: Any = ".", *words: Any, **more: Any) -> Any:
            if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._folder):
                self.count += 1
                if self.count == self._at:
                    raise OSError(self._code, os.strerror(self._code), str(path))
            return real(path, *words, **more)

        return look


class Case:
    """An install of 1.0, and one that was updated to 2.0, to be copied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests = {
            version: manifest_of(folder, version, tree)
            for version, tree in (("1.0", OLD), ("2.0", NEW))
        }
        self.old = world_of(folder / "old", self.manifests["1.0"], OLD)
        self.new = copy_world(self.old, folder / "new")
        self.update(Disk(), self.new)
        self._number = itertools.count()

    def copy(self, world: World) -> World:
        return copy_world(world, self.folder / f"copy-{next(self._number)}")

    def update(self, disk: Disk, world: World) -> None:
        commit(world.state.on(disk), prepare(disk, world, self.manifests["2.0"], NEW))

    def check(self, world: World, what: str) -> None:
        """After the next command: one version, and nothing besides."""
        recover(world.state)
        recover(world.state)
        tree = {"1.0": OLD, "2.0": NEW}[world.manifest.version]
        assert world.tree == tree, what
        assert phase_of(world.state) is None, what
        names = {path.name for path in world.state.folder.iterdir()}
        assert names - {"stage", "scratch", "reports"} <= STATE, what


def take_back(disk: Disk, world: World) -> None:
    rollback(world.state.on(disk), "a test")


@pytest.fixture
def case(memory: Path) -> Case:
    return Case(memory)


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize("what", ["update", "rollback"])
def test_one_look_that_fails_leaves_nothing_that_belongs_nowhere(
    case: Case, what: str, code: int
) -> None:
    for at in itertools.count(1):
        world = case.copy(case.old if what == "update" else case.new)
        looks = Looks(world.folder, at, code)
        with looks.fail(), suppress(InstallError, PatchError, OSError):
            case.update(Disk(), world) if what == "update" else take_back(Disk(), world)
        case.check(world, f"{what}, look {at}")
        if looks.count < at:
            break
    tell(at - 1, f"{what}: a look fails with {errno.errorcode[code]}")
    assert at > 100


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize("what", ["update", "rollback"])
def test_one_change_that_fails_leaves_nothing_that_belongs_nowhere(
    case: Case, what: str, code: int
) -> None:
    for at in itertools.count(1):
        world = case.copy(case.old if what == "update" else case.new)
        disk = FaultyDisk(fail=at, code=code)
        with suppress(InstallError, PatchError, OSError):
            case.update(disk, world) if what == "update" else take_back(disk, world)
        case.check(world, f"{what}, change {at}")
        if not disk.faults:
            break
    tell(at - 1, f"{what}: a change fails with {errno.errorcode[code]}")


@pytest.mark.parametrize("look", [present, is_folder, is_link])
def test_a_look_that_fails_is_not_taken_for_nothing(
    look: Callable[[Path], bool], tmp_path: Path
) -> None:
    assert not look(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    assert not look(tmp_path / "file" / "below")
    (tmp_path / "circle").symlink_to("circle")
    assert not look(tmp_path / "circle" / "below")
    assert not look(tmp_path / ("x" * 300))
    with Looks(tmp_path, 1, errno.EIO).fail(), pytest.raises(OSError, match=r"nput/output"):
        look(tmp_path / "file")
