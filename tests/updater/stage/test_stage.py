"""Staging: all new files whole, checked and durable before anything live is touched.

And whole updates on disks that are really full, really read-only, really somebody else's.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.crash.crash_disk import (
    CountingDisk,
    World,
    manifest_of,
    prepare,
    settings,
    world_of,
)
from tests.support.crash.immutable import immutable
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import QUICK
from tests.support.trees.trees import Content, Exe, Link, noise, read_tree
from tests.support.trees.trees import Tree as Contents
from updater.client import Updater
from updater.disk.durable import Disk
from updater.errors import InstallError, NotEnoughSpace, PatchError, RollbackFailed
from updater.launch.commit.journal import Action, phase_of
from updater.launch.commit.recover import commit, recover
from updater.local.session import Session
from updater.patch.apply import Tree
from updater.stage.stage import Stage, live_tree
from updater.update.install_new import install

OLD: dict[str, Content] = {
    "app": Exe(b"1"),
    "lib/core.py": b"VERSION = 1",
    "lib/same": b"same",
    "link": Link("app"),
    "mode": b"#!/bin/sh\n",
}
NEW: dict[str, Content] = {
    "app": Exe(b"22"),
    "fresh/f": b"fresh",
    "lib/core.py": b"VERSION = 2",
    "lib/copy": b"same",
    "lib/same": b"same",
    "link": Link("lib/core.py"),
    "mode": Exe(b"#!/bin/sh\n"),
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An install of OLD."""
    return world_of(tmp_path / "world", manifest_of(tmp_path, "1.0", OLD), OLD)


def stage_new(world: World, tmp_path: Path, disk: Disk | None = None) -> dict[str, Path]:
    """Stage NEW; where each staged file lies."""
    journal = prepare(disk or Disk(), world, manifest_of(tmp_path, "2.0", NEW), NEW)
    puts = [step for step in journal.steps if step.action is Action.PUT]
    return {step.path: world.state.staged(step.stage) for step in puts}


def test_what_changes_is_staged_whole_and_what_stays_is_not(world: World, tmp_path: Path) -> None:
    staged = stage_new(world, tmp_path)
    manifest = staged.pop("../.app.upswap/manifest")
    assert manifest.read_bytes() == manifest_of(tmp_path / "again", "2.0", NEW).data
    assert staged.pop("../.app.upswap/install.json").read_bytes() == settings("1.0")
    assert staged.pop("../.app.upswap/release.json").exists()
    assert set(staged) == set(NEW) - {"lib/same"}
    assert staged["fresh/f"].read_bytes() == b"fresh"
    assert staged["lib/copy"].read_bytes() == b"same"
    assert staged["link"].readlink() == Path("lib/core.py")


def test_staging_touches_nothing_live(world: World, tmp_path: Path) -> None:
    live = world.state.install
    before = sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_ino) for p in live.rglob("*"))
    stage_new(world, tmp_path)
    assert world.tree == OLD
    after = sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_ino) for p in live.rglob("*"))
    assert after == before


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_and_folders_have_released_modes_whatever_the_umask(
    world: World, tmp_path: Path, umask: int
) -> None:
    new = manifest_of(tmp_path, "2.0", NEW)
    before = os.umask(umask)
    try:
        commit(world.state, prepare(Disk(), world, new, NEW))
    finally:
        os.umask(before)
    live = world.state.install
    modes = {path: stat.S_IMODE((live / path).stat().st_mode) for path in NEW}
    assert modes == {
        path: 0o755 if isinstance(content, Exe) else 0o644
        for path, content in (NEW | {"link": b"behind the link"}).items()
    }
    assert stat.S_IMODE((live / "fresh").stat().st_mode) == 0o755


def test_new_files_have_the_present_time(world: World, tmp_path: Path) -> None:
    """Carried over from an old file too: stale bytecode is found out by size and second."""
    for path in world.state.install.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    for name, place in stage_new(world, tmp_path).items():
        assert place.lstat().st_mtime > 1_000_000_000, name


def test_a_decoded_file_that_two_paths_share_is_staged_for_both(
    world: World, tmp_path: Path
) -> None:
    twins: dict[str, Content] = {"a": b"twin", "b": Exe(b"twin")}
    new = manifest_of(tmp_path, "2.0", twins)
    stage = Stage(world.state)
    stage.clear()
    place = stage.scratch(0) / "0"
    place.write_bytes(b"twin")
    journal = stage.fill(world.manifest, Tree(new, {"a": place, "b": place}), settings(""))
    commit(world.state, journal)
    assert world.tree == twins


def test_a_file_to_carry_over_that_is_not_as_released_is_refused(
    world: World, tmp_path: Path
) -> None:
    (world.state.install / "lib" / "same").write_bytes(b"edit")
    with pytest.raises(PatchError, match="lib/copy"):
        prepare(Disk(), world, manifest_of(tmp_path, "2.0", NEW), NEW, repair=False)


@pytest.mark.parametrize("instead", ["nothing", "a folder", "a symlink"])
def test_a_file_that_stays_and_is_missing_is_noticed(
    world: World, tmp_path: Path, instead: str
) -> None:
    place = world.state.install / "lib" / "same"
    place.unlink()
    if instead == "a folder":
        place.mkdir()
    if instead == "a symlink":
        place.symlink_to("core.py")
    new = {path: content for path, content in NEW.items() if path != "lib/copy"}
    with pytest.raises(PatchError, match="lib/same"):
        prepare(Disk(), world, manifest_of(tmp_path, "2.0", new), new, repair=False)


def test_every_attempt_begins_with_an_empty_stage(world: World, tmp_path: Path) -> None:
    for folder in (world.state.stage, world.state.scratch):
        folder.mkdir()
        (folder / "left over").write_bytes(b"x")
        (folder / "deep").mkdir()
    stage_new(world, tmp_path)
    names = {path.name for path in world.state.stage.iterdir()}
    assert not {"left over", "deep"} & names
    assert {path.name for path in world.state.scratch.iterdir()} == {"0"}


def test_mending_looks_at_every_file_and_puts_back_what_is_not_as_released(
    world: World, tmp_path: Path
) -> None:
    live = world.state.install
    (live / "lib" / "core.py").write_bytes(b"edited")
    (live / "lib" / "same").unlink()
    (live / "link").unlink()
    (live / "link").symlink_to("elsewhere")
    stage = Stage(world.state)
    stage.clear()
    scratch = stage.scratch(0)
    manifest = world.manifest
    places = {}
    for number, file in enumerate(manifest.files()):
        content = OLD[file.path]
        places[file.path] = scratch / str(number)
        assert isinstance(content, bytes | Exe)
        places[file.path].write_bytes(content.data if isinstance(content, Exe) else content)
    journal = stage.fill(manifest, Tree(manifest, places), settings("1.0"), repair=True)
    own = {f"../.app.upswap/{name}" for name in ("manifest", "install.json", "release.json")}
    assert {step.path for step in journal.steps} - own == {"lib/core.py", "lib/same", "link"}
    commit(world.state, journal)
    assert world.tree == OLD | {"lib/core.py.old": b"edited", "link.old": Link("elsewhere")}


def test_a_state_inside_the_install_is_no_part_of_the_release(tmp_path: Path) -> None:
    """Where the parent folder is not ours: manifest and settings move there just the same."""
    beside = world_of(tmp_path / "world", manifest_of(tmp_path, "1.0", OLD), OLD)
    inside = beside.state.install / ".upswap"
    beside.state.folder.rename(inside)
    state = replace(beside.state, folder=inside)
    new = manifest_of(tmp_path, "2.0", NEW)
    stage = Stage(state.on(CountingDisk()))
    stage.clear()
    places = {**live_tree(state, new).places}
    for number, path in enumerate(("app", "fresh/f", "lib/core.py", "mode")):
        content = NEW[path]
        assert isinstance(content, bytes | Exe)
        places[path] = state.scratch / str(number)
        places[path].write_bytes(content.data if isinstance(content, Exe) else content)
    places["lib/copy"] = state.install / "lib/same"
    old = manifest_of(tmp_path / "again", "1.0", OLD)
    commit(state.on(CountingDisk()), stage.fill(old, Tree(new, places), settings("1.0")))
    tree = read_tree(state.install)
    assert {path: tree.pop(path) for path in NEW} == NEW
    parked = {path for path in tree if path.startswith(".upswap/old/")}
    assert tree.keys() - parked == {
        ".upswap/manifest",
        ".upswap/known",
        ".upswap/install.json",
        ".upswap/release.json",
    }
    assert tree[".upswap/manifest"] == new.data
    assert tree[".upswap/install.json"] == settings("1.0")


# Whole updates on this machine's own disks

BIG: Contents = {"app": Exe(b"1"), "data/a": noise(60_000, 1), "data/b": noise(60_000, 2)}
BIGGER: Contents = {"app": Exe(b"2"), "data/a": noise(60_000, 3), "data/b": noise(60_000, 4)}
THRIFTY = replace(QUICK, disk_reserve=0)


class BoastfulDisk(Disk):
    """Says that it has plenty of room, so that it is the writing that fails."""

    def free_bytes(self, folder: Path) -> int:  # noqa: ARG002
        return 1 << 40


class FullDisk(Disk):
    """Says how much room it has."""

    def __init__(self, free: int) -> None:
        self.free = free

    def free_bytes(self, folder: Path) -> int:  # noqa: ARG002
        return self.free


@pytest.fixture
def url(publisher: Publisher, url: str) -> str:
    """Where version 1.0 is BIG."""
    publisher.release("1.0", BIG)
    return url


def installed(place: Path, publisher: Publisher, url: str, session: Session) -> Updater:
    """BIG in ``place``, and a newer version on the server."""
    install(place, url, publisher.root, "notes", session=session)
    publisher.release("2.0", BIGGER)
    return Updater(place, session)


def check_whole(place: Path, session: Session, version: str) -> None:
    """``version`` is there, whole, and says so."""
    assert read_tree(place) == (BIG if version == "1.0" else BIGGER)
    status = Updater(place, session).status()
    assert (status.version, status.state) == (version, "clean")


def test_too_little_room_is_found_before_anything_is_fetched_or_changed(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    place = tmp_path / "app"
    installed(place, publisher, url, session)
    offer = Updater(place, session).check()
    assert offer is not None
    needed = offer.disk_bytes + session.config.disk_reserve
    before = read_tree(tmp_path / ".app.upswap")
    with pytest.raises(NotEnoughSpace, match=f"{needed:,} bytes") as caught:
        Updater(place, replace(session, disk=FullDisk(needed - 1))).update()
    assert caught.value.exit_code == 7
    assert caught.value.hint
    after = read_tree(tmp_path / ".app.upswap")
    changed = {path.split("/")[0] for path in after.keys() ^ before.keys()}
    assert changed <= {"reports", "trust"}
    check_whole(place, session, "1.0")
    Updater(place, replace(session, disk=FullDisk(needed))).update()
    check_whole(place, session, "2.0")


@contextmanager
def mounted(options: str) -> Iterator[Path]:
    """A file system in memory; skips the test where mounting is not permitted."""
    with TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"mode=0755,{options}", "none", folder]
        if subprocess.run(command, check=False).returncode:
            pytest.skip("mounting is not permitted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def fill_up(disk: Path, free: int) -> Path:
    """Fill a file system until about ``free`` bytes are left; the file that fills it."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        left = os.statvfs(disk)
        file.write(b"\0" * max(0, left.f_bavail * left.f_frsize - free))
    return filler


@pytest.mark.parametrize("free", [0, 4096, 20_480, 81_920, 163_840, 245_760])
def test_a_disk_that_is_really_full_leaves_the_old_version_whole(
    publisher: Publisher, session: Session, url: str, free: int
) -> None:
    session = replace(session, config=THRIFTY, disk=BoastfulDisk())
    with mounted("size=1m") as disk:
        updater = installed(disk / "app", publisher, url, session)
        filler = fill_up(disk, free)
        with pytest.raises(InstallError) as caught:
            updater.update()
        assert isinstance(caught.value, NotEnoughSpace), caught.value
        check_whole(disk / "app", session, "1.0")
        filler.unlink()
        updater.update()
        check_whole(disk / "app", session, "2.0")


def test_a_disk_without_room_for_another_file_leaves_the_old_version_whole(
    publisher: Publisher, session: Session, url: str
) -> None:
    session = replace(session, config=THRIFTY)
    with mounted("size=4m,nr_inodes=60") as disk:
        updater = installed(disk / "app", publisher, url, session)
        others = disk / "others"
        others.mkdir()
        for number in range(os.statvfs(disk).f_favail):
            (others / str(number)).touch()
        with pytest.raises(NotEnoughSpace):
            updater.update()
        check_whole(disk / "app", session, "1.0")
        for number in range(40):
            (others / str(number)).unlink(missing_ok=True)
        updater.update()
        check_whole(disk / "app", session, "2.0")


def test_recovery_needs_no_room(tmp_path: Path) -> None:
    with mounted("size=1m") as disk:
        world = world_of(disk / "world", manifest_of(tmp_path, "1.0", OLD), OLD)
        prepare(Disk(), world, manifest_of(tmp_path, "2.0", NEW), NEW).write(world.state)
        fill_up(disk, 0)
        with pytest.raises(OSError, match="No space"):
            (disk / "more").write_bytes(b"x")
        Updater(world.state.install).recover()
        assert world.tree == NEW


def test_a_disk_that_is_read_only_is_told_as_that(
    publisher: Publisher, session: Session, url: str
) -> None:
    session = replace(session, config=THRIFTY)
    with mounted("size=2m") as disk:
        updater = installed(disk / "app", publisher, url, session)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(InstallError, match="read-only file system") as caught:
            updater.update()
        assert caught.value.exit_code == 7
        assert "writable disk" in caught.value.hint
        check_whole(disk / "app", session, "1.0")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        updater.update()
        check_whole(disk / "app", session, "2.0")


@pytest.mark.parametrize("at", [1, 4, 9, 20])
def test_a_disk_that_becomes_read_only_in_the_middle_can_be_recovered(
    tmp_path: Path, at: int
) -> None:
    with mounted("size=1m") as folder:

        class Remounting(CountingDisk):
            def _begin(self, what: str, path: Path) -> None:
                super()._begin(what, path)
                if self.count == at:
                    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)

        world = world_of(folder / "world", manifest_of(tmp_path, "1.0", OLD), OLD)
        journal = prepare(Disk(), world, manifest_of(tmp_path, "2.0", NEW), NEW)
        with pytest.raises(InstallError) as caught:
            commit(world.state.on(Remounting()), journal)
        begun = phase_of(world.state) is not None
        assert isinstance(caught.value, RollbackFailed) == begun
        assert begun == (at > 1)
        assert begun or world.tree == OLD
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        recover(world.state)
        assert world.tree == (NEW if begun else OLD)


@pytest.mark.parametrize("path", ["app", "data/b", "data", "."])
def test_what_cannot_be_changed_leaves_the_old_version_whole(
    tmp_path: Path, publisher: Publisher, session: Session, url: str, path: str
) -> None:
    place = tmp_path / "app"
    updater = installed(place, publisher, url, session)
    with immutable(place / path):
        with pytest.raises(InstallError, match=r"immutable") as caught:
            updater.update()
        assert not isinstance(caught.value, RollbackFailed)
        assert caught.value.exit_code == 7
        assert "chattr" in caught.value.hint
        check_whole(place, session, "1.0")
    updater.update()
    check_whole(place, session, "2.0")


def as_nobody(action: Callable[[], object]) -> str:
    """The error ``action`` ends with in a process of another user; empty if with none."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            action()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        answer = told.read()
    os.waitpid(child, 0)
    return answer


@pytest.mark.parametrize("folder", ["lib", "."])
def test_a_folder_of_somebody_else_is_refused_before_anything_changes(
    tmp_path: Path, folder: str
) -> None:
    with TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        world = world_of(Path(base, "world"), manifest_of(tmp_path, "1.0", OLD), OLD)
        new = manifest_of(tmp_path, "2.0", NEW)
        for path in [world.folder, *world.folder.rglob("*")]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
        refused = world.state.install / folder
        os.chown(refused, 0, 0)

        error = as_nobody(lambda: commit(world.state, prepare(Disk(), world, new, NEW)))
        assert error == f"MachineError: no permission to change {refused}"
        assert world.tree == OLD
        assert phase_of(world.state) is None

        os.chown(refused, 65534, 65534)
        error = as_nobody(lambda: commit(world.state, prepare(Disk(), world, new, NEW)))
        assert (error, world.tree) == ("", NEW)


def test_an_install_of_somebody_else_is_not_updated(
    publisher: Publisher, session: Session, url: str
) -> None:
    with TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        updater = installed(Path(base, "app"), publisher, url, session)

        error = as_nobody(updater.update)
        assert error.startswith("MachineError: updating")
        assert "permission denied" in error
        check_whole(Path(base, "app"), session, "1.0")


def test_the_work_of_the_user_is_reported_where_it_lies(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    place = tmp_path / "app"
    install(place, url, publisher.root, "notes", session=session)
    (place / "data" / "a").write_bytes(b"edited")
    (place / "data" / "mine").write_bytes(b"mine")
    publisher.release("2.0", {"data": b"a file now"})
    done = Updater(place, session).update()
    assert done is not None
    assert sorted(done.kept) == ["data.old", "data.old/a.old"]
    assert read_tree(place) == {
        "data": b"a file now",
        "data.old/a.old": b"edited",
        "data.old/mine": b"mine",
    }
