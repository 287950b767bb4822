"""Going back to the version before: whole, offline, with the user's latest work."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import updater
from tests.support.crash.crash_disk import (
    CountingDisk,
    FaultyDisk,
    World,
    copy_world,
    manifest_of,
    prepare,
    world_of,
)
from tests.support.crash.crash_runs import every, killed
from tests.support.trees.trees import Content, Exe, Link, data_of, noise, read_tree
from updater.disk.durable import Disk
from updater.disk.json_file import read as read_document
from updater.errors import InstallError, RollbackFailed
from updater.format.manifest import Manifest
from updater.launch.commit.journal import Journal, Phase, phase_of
from updater.launch.commit.pending import commit_pending
from updater.launch.commit.recover import Outcome, commit, recover
from updater.launch.commit.rollback import previous_version, rollback
from updater.launch.state import State
from updater.local.settings import Settings

OLD: dict[str, Content] = {
    "app": Exe(b"1"),
    "dir/f": b"folder to file",
    "dir/sub/g": b"deep",
    "edited": b"as released",
    "file": b"file to folder",
    "gone": b"gone",
    "gone-folder/a/b": noise(100, 1),
    "lib/core.py": b"VERSION = 1",
    "link": Link("app"),
    "same": b"same",
}
NEW: dict[str, Content] = {
    "added": b"added",
    "app": Exe(b"22"),
    "dir": b"file",
    "edited": b"as released later",
    "file/f": b"folder",
    "lib/core.py": b"VERSION = 2",
    "lib/more.py": b"MORE = 1",
    "link": Link("added"),
    "new-folder/x/y": b"new",
    "same": b"same",
}


@dataclass
class Case:
    """An install of 1.0 that was updated to 2.0."""

    world: World
    old: Manifest
    new: Manifest

    @property
    def install(self) -> Path:
        return self.world.state.install

    def settings(self) -> Settings:
        return Settings.parse(self.world.state.settings.read_bytes())

    def is_new(self) -> bool:
        """Whether 2.0 is there whole; else it must be 1.0, whole, and nothing bad."""
        state = self.world.state
        if state.manifest.read_bytes() == self.old.data:
            assert self.world.tree == OLD
            assert self.settings().bad == ()
            return False
        assert self.world.tree == NEW
        return True

    def is_old(self, mine: dict[str, Content] | None = None) -> bool:
        """Whether 1.0 is back whole; else it must be 2.0, whole."""
        state = self.world.state
        if state.manifest.read_bytes() == self.new.data:
            assert self.world.tree == NEW | (mine or {})
            assert self.settings().bad == ()
            return False
        assert state.manifest.read_bytes() == self.old.data
        assert self.world.tree == OLD | (mine or {})
        assert self.settings().bad == ("2.0",)
        return True


def updated(folder: Path, before: Callable[[Path], object] | None = None) -> Case:
    """1.0 in ``folder`` was changed by ``before``, then updated."""
    old, new = manifest_of(folder, "1.0", OLD), manifest_of(folder, "2.0", NEW)
    world = world_of(folder / "world", old, OLD)
    if before:
        before(world.state.install)
    commit(world.state, prepare(Disk(), world, new, NEW))
    return Case(world, old, new)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Nobody changed anything."""
    return updated(tmp_path)


def test_the_old_version_is_back_whole_and_the_new_one_is_bad(case: Case) -> None:
    assert previous_version(case.world.state) == "1.0"
    taken_back = rollback(case.world.state, "it crashed")
    assert (taken_back.old, taken_back.new) == ("1.0", "2.0")
    assert case.is_old()
    assert phase_of(case.world.state) is None


def test_a_rollback_leaves_no_litter_but_a_report_and_whence_it_came(case: Case) -> None:
    rollback(case.world.state, "it crashed")
    names = {path.name for path in case.world.state.folder.iterdir()}
    assert names == {"manifest", "install.json", "known", "reports", "arrival"}
    assert json.loads(case.world.state.arrival.read_bytes()) == {"previous": "2.0"}
    (report,) = case.world.state.reports.iterdir()
    document = json.loads(report.read_bytes())
    assert (document["error"], document["from"], document["to"]) == ("it crashed", "1.0", "2.0")


def test_there_is_no_way_back_twice(case: Case) -> None:
    rollback(case.world.state, "")
    assert previous_version(case.world.state) == ""
    with pytest.raises(InstallError, match="no previous version") as caught:
        rollback(case.world.state, "")
    assert caught.value.hint


def test_a_repair_does_not_take_the_way_back(case: Case) -> None:
    (case.install / "link").unlink()
    commit(case.world.state, prepare(Disk(), case.world, case.new, NEW, repair=True))
    assert case.world.tree == NEW
    assert previous_version(case.world.state) == "1.0"
    rollback(case.world.state, "")
    assert case.world.tree == OLD


def test_the_next_update_keeps_its_own_old_version(tmp_path: Path, case: Case) -> None:
    third = {**NEW, "app": Exe(b"333")}
    commit(
        case.world.state,
        prepare(Disk(), case.world, manifest_of(tmp_path, "3.0", third), third),
    )
    assert previous_version(case.world.state) == "2.0"
    rollback(case.world.state, "")
    assert case.world.tree == NEW


def test_after_a_rollback_the_next_update_works(tmp_path: Path, case: Case) -> None:
    rollback(case.world.state, "")
    third = {**NEW, "app": Exe(b"333")}
    commit(
        case.world.state,
        prepare(Disk(), case.world, manifest_of(tmp_path, "3.0", third), third),
    )
    assert case.world.tree == third


MINE: dict[str, dict[str, bytes]] = {
    "beside": {"mine": b"mine", "lib/plugin": b"mine", "own/f": b"mine"},
    "in a new folder": {"new-folder/x/mine": b"mine"},
    "where a file came": {"gone": b"mine"},
    "in a folder that went": {"gone-folder/mine": b"mine"},
    "named like ours": {"app.old": b"mine", "app.new": b"mine", "added.old": b"mine"},
    "over a new file": {"added": b"mine", "app": b"mine", "new-folder/x/y": b"mine"},
}


@pytest.mark.parametrize("where", MINE)
def test_what_the_user_made_since_the_update_survives_with_its_latest_content(
    where: str, case: Case
) -> None:
    for path, data in MINE[where].items():
        (case.install / path).parent.mkdir(parents=True, exist_ok=True)
        (case.install / path).write_bytes(data)
    rollback(case.world.state, "")
    tree = case.world.tree
    assert {path: tree[path] for path in OLD} == OLD
    mine = {path: data_of(tree[path]) for path in tree.keys() - OLD.keys()}
    assert sorted(mine.values()) == sorted(MINE[where].values()), mine
    for path in MINE[where]:
        assert path in mine or any(name.startswith(f"{path}.old") for name in mine)


def test_a_folder_of_the_user_where_an_old_file_was_steps_aside(case: Case) -> None:
    (case.install / "gone" / "deep").mkdir(parents=True)
    (case.install / "gone" / "deep" / "mine").write_bytes(b"mine")
    rollback(case.world.state, "")
    assert case.world.tree == OLD | {"gone.old/deep/mine": b"mine"}


def test_user_files_of_a_folder_that_became_a_file_are_in_it_again(tmp_path: Path) -> None:
    def before(install: Path) -> None:
        (install / "dir" / "mine").write_bytes(b"mine")

    case = updated(tmp_path, before)
    assert case.world.tree["dir.old/mine"] == b"mine"
    rollback(case.world.state, "")
    assert case.world.tree == OLD | {"dir/mine": b"mine"}


def test_a_file_edited_before_the_update_comes_back_as_it_was_edited(tmp_path: Path) -> None:
    def before(install: Path) -> None:
        (install / "edited").write_bytes(b"my edit")
        (install / "gone").write_bytes(b"my other edit")

    case = updated(tmp_path, before)
    assert case.world.tree["edited.old"] == b"my edit"
    rollback(case.world.state, "")
    assert case.world.tree == OLD | {"edited": b"my edit", "gone": b"my other edit"}


def test_a_link_that_leads_out_of_the_install_is_not_followed(case: Case, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "x").mkdir(parents=True)
    (outside / "x" / "y").write_bytes(b"not ours")
    shutil.rmtree(case.install / "new-folder")
    (case.install / "new-folder").symlink_to(outside)
    rollback(case.world.state, "")
    assert read_tree(outside) == {"x/y": b"not ours"}
    assert case.world.tree == OLD | {"new-folder": Link(str(outside))}


def test_a_folder_that_became_a_link_is_refused_before_anything_changes(
    case: Case, tmp_path: Path
) -> None:
    (case.install / "lib").rename(tmp_path / "lib")
    (case.install / "lib").symlink_to(tmp_path / "lib")
    disk = CountingDisk()
    with pytest.raises(InstallError, match="lib is a symlink, in the place of a folder") as caught:
        rollback(case.world.state.on(disk), "")
    assert disk.log == []
    assert caught.value.hint


def test_a_folder_nobody_may_change_is_refused_before_anything_changes(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path).name != "lib" and real(path, mode)
    )
    disk = CountingDisk()
    with pytest.raises(InstallError, match=r"no permission to change .*/lib"):
        rollback(case.world.state.on(disk), "")
    assert disk.log == []


def test_bytecode_that_a_release_has_is_brought_back_like_any_file(tmp_path: Path) -> None:
    compiled: dict[str, Content] = {"app": b"1", "lib/core.pyc": b"one", "lib/gone.pyc": b"gone"}
    later: dict[str, Content] = {"app": b"2", "lib/core.pyc": b"two"}
    old, new = manifest_of(tmp_path, "1.0", compiled), manifest_of(tmp_path, "2.0", later)
    world = world_of(tmp_path / "world", old, compiled)
    commit(world.state, prepare(Disk(), world, new, later))
    assert world.tree == later
    rollback(world.state, "")
    assert world.tree == compiled


def test_an_install_that_was_moved_is_rolled_back_and_updated_where_it_is(case: Case) -> None:
    place = case.world.folder
    (place / "app").rename(place / "app2")
    (place / ".app.upswap").rename(place / ".app2.upswap")
    state = State(place / "app2", place / ".app2.upswap")
    rollback(state, "")
    assert read_tree(place / "app2") == OLD
    assert state.manifest.read_bytes() == case.old.data


def test_a_name_too_long_for_a_second_one_is_shortened(tmp_path: Path) -> None:
    name = "n" * 253
    old, new = (
        manifest_of(tmp_path, "1.0", {name: b"1"}),
        manifest_of(tmp_path, "2.0", {name: b"2"}),
    )
    world = world_of(tmp_path / "world", old, {name: b"1"})
    commit(world.state, prepare(Disk(), world, new, {name: b"2"}))
    (world.state.install / name).write_bytes(b"mine")
    rollback(world.state, "")
    tree = world.tree
    assert tree.pop(name) == b"1"
    assert list(tree.values()) == [b"mine"]


def test_an_edit_whose_second_name_was_removed_is_brought_back_all_the_same(
    tmp_path: Path,
) -> None:
    case = updated(tmp_path, lambda place: (place / "edited").write_bytes(b"mine"))
    (case.install / "edited.old").unlink()
    rollback(case.world.state, "")
    assert case.world.tree == OLD | {"edited": b"mine"}


def test_a_state_file_that_was_not_kept_whole_is_refused(case: Case) -> None:
    for path in case.world.state.old.iterdir():
        if path.is_file() and path.read_bytes() == case.old.data:
            path.write_bytes(b"")
    with pytest.raises(InstallError, match="was not kept whole"):
        rollback(case.world.state, "")
    assert case.world.tree == NEW


def test_compiled_modules_of_the_new_version_go(case: Case) -> None:
    cache = case.install / "lib" / "__pycache__"
    cache.mkdir()
    for name in ("core.cpython-311.pyc", "more.cpython-311.pyc", "plugin.cpython-311.pyc"):
        (cache / name).write_bytes(b"compiled")
    rollback(case.world.state, "")
    assert case.world.tree == OLD | {"lib/__pycache__/plugin.cpython-311.pyc": b"compiled"}


def test_an_old_version_that_was_not_kept_whole_is_refused_before_anything_changes(
    case: Case,
) -> None:
    files = (path for path in case.world.state.old.iterdir() if path.is_file())
    next(path for path in files if path.read_bytes() == b"gone").write_bytes(b"rotten")
    disk = CountingDisk()
    with pytest.raises(InstallError, match="was not kept whole: gone"):
        rollback(case.world.state.on(disk), "")
    assert disk.log == []
    assert case.world.tree == NEW


@pytest.mark.crash
def test_a_rollback_killed_anywhere_is_finished_or_was_not_begun(
    tmp_path: Path, case: Case, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        world = copy_world(case.world, tmp_path / str(at))
        copy = Case(world, case.old, case.new)
        dead = killed(FaultyDisk(kill=at), lambda disk: rollback(world.state.on(disk), ""))
        outcome = recover(world.state)
        assert copy.is_old() or outcome is Outcome.CLEAN, f"killed at {at}"
        if not copy.is_old():
            rollback(world.state, "")
            assert copy.is_old(), f"killed at {at}"
        return dead

    runs.append(every(run))
    assert runs[0] > 20


@pytest.mark.crash
def test_a_recovery_of_a_rollback_killed_anywhere_is_finished_by_the_next(
    tmp_path: Path, case: Case, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        first = copy_world(case.world, tmp_path / str(at))
        dead = killed(FaultyDisk(kill=at), lambda disk: rollback(first.state.on(disk), ""))

        def again(later: int) -> bool:
            world = copy_world(first, tmp_path / f"{at}-{later}")
            died = killed(FaultyDisk(kill=later), lambda disk: recover(world.state.on(disk)))
            recover(world.state)
            Case(world, case.old, case.new).is_old()
            return died

        runs.append(every(again))
        return dead

    every(run)


@pytest.mark.crash
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_fault_in_a_rollback_is_told_and_the_next_recovery_makes_it_whole(
    code: int, tmp_path: Path, case: Case, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        disk = FaultyDisk(fail=at, code=code)
        world = copy_world(case.world, tmp_path / str(at))
        copy = Case(world, case.old, case.new)
        begun = False
        try:
            rollback(world.state.on(disk), "")
        except RollbackFailed:
            begun = True
            assert phase_of(world.state) is not None or copy.is_old(), f"failed at {at}"
        except OSError:
            assert phase_of(world.state) is None, f"failed at {at}"
            assert not copy.is_old()
        else:
            begun = True  # what could not be deleted may lie there still
        recover(world.state)
        assert copy.is_old() or not begun, f"failed at {at}"
        return disk.faults > 0

    runs.append(every(run))


class FullDisk(Disk):
    """No byte more can be written while ``full`` says so."""

    def __init__(self, full: Callable[[], bool] = lambda: True) -> None:
        self._full = full

    def create(self, path: Path, data: bytes, **how: bool) -> None:
        if self._full():
            raise OSError(errno.ENOSPC, "no space left", str(path))
        super().create(path, data, **how)


def test_a_rollback_needs_no_disk_space(case: Case) -> None:
    state = case.world.state
    assert rollback(state.on(FullDisk()), "").old == "1.0"
    assert case.is_old()
    assert (read_document(state.settings) or {})["bad"] == ["2.0"]


def test_settings_that_could_not_be_marked_at_the_update_are_marked_by_the_rollback(
    tmp_path: Path,
) -> None:
    case = waiting(tmp_path)
    state = case.world.state
    assert commit_pending(state.on(FullDisk(lambda: phase_of(state) is Phase.COMMITTED)))
    assert phase_of(state) is None, "the update is made, and can be taken back"
    with pytest.raises(OSError, match="no space left"):
        rollback(state.on(FullDisk()), "")
    rollback(state, "")
    assert (read_document(state.settings) or {})["bad"] == ["2.0"]


def waiting(folder: Path, edit: Callable[[Path], object] | None = None) -> Case:
    """1.0, and 2.0 that waits for the next start; ``edit`` is what happened meanwhile."""
    old, new = manifest_of(folder, "1.0", OLD), manifest_of(folder, "2.0", NEW)
    world = world_of(folder / "world", old, OLD)
    prepare(Disk(), world, new, NEW).hold(world.state)
    if edit:
        edit(world.state.install)
    return Case(world, old, new)


def test_what_waits_is_committed_whole(tmp_path: Path) -> None:
    case = waiting(tmp_path)
    assert recover(case.world.state) is Outcome.CLEAN
    assert case.world.tree == OLD
    assert commit_pending(case.world.state)
    assert case.world.tree == NEW
    assert commit_pending(case.world.state) is None


EDITS: dict[str, tuple[Callable[[Path], object], dict[str, Content] | None]] = {
    "a file edited": (
        lambda place: (place / "edited").write_bytes(b"mine"),
        {"edited.old": b"mine"},
    ),
    "a file that goes edited": (
        lambda place: (place / "gone").write_bytes(b"mine"),
        {"gone.old": b"mine"},
    ),
    "a file that goes gone already": (lambda place: (place / "gone").unlink(), {}),
    "a new name taken": (lambda place: (place / "added").write_bytes(b"mine"), None),
    "a new folder's name taken": (lambda place: (place / "new-folder").write_bytes(b"m"), None),
    "a file of the user": (lambda place: (place / "mine").write_bytes(b"m"), {"mine": b"m"}),
    "a name of ours taken": (lambda place: (place / "app.old").write_bytes(b"mine"), None),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_happened_while_it_waited_is_kept_or_the_stage_is_dropped(
    edit: str, tmp_path: Path
) -> None:
    change, added = EDITS[edit]
    case = waiting(tmp_path, change)
    before = case.world.tree
    error: InstallError | None = None
    try:
        made = commit_pending(case.world.state)
    except InstallError as fault:
        made, error = None, fault
    if added is None:
        assert made is None
        assert case.world.tree == before
        assert phase_of(case.world.state) is None
        assert error is None or error.hint
    else:
        assert case.world.tree == NEW | added


@pytest.mark.crash
def test_a_pending_commit_killed_anywhere_is_whole_after_recovery(
    tmp_path: Path, runs: list[int]
) -> None:
    case = waiting(tmp_path)

    def run(at: int) -> bool:
        world = copy_world(case.world, tmp_path / str(at))
        dead = killed(FaultyDisk(kill=at), lambda disk: commit_pending(world.state.on(disk)))
        recover(world.state)
        if not Case(world, case.old, case.new).is_new():
            assert commit_pending(world.state), f"killed at {at}"
        assert world.tree == NEW, f"killed at {at}"
        return dead

    runs.append(every(run))
    assert runs[0] > 30


def commit_in(state: State, journal: Journal, disk: Disk) -> None:
    commit(state.on(disk), journal)


def roll_back_in(state: State, disk: Disk) -> None:
    rollback(state.on(disk), "")


def test_a_client_in_the_tree_takes_part_in_it_like_any_file(
    tmp_path: Path, runs: list[int]
) -> None:
    """An application that brings its own copy of us: it is swapped, and swapped back, too."""
    package = Path(updater.__file__).parent
    ours: dict[str, Content] = {
        f"updater/{path.relative_to(package)}": path.read_bytes() for path in package.rglob("*.py")
    }
    changed: dict[str, Content] = {
        path: data + b"# 2" if isinstance(data, bytes) else data for path, data in ours.items()
    }
    old, new = manifest_of(tmp_path, "1.0", ours), manifest_of(tmp_path, "2.0", changed)
    world = world_of(tmp_path / "world", old, ours)
    journal = prepare(Disk(), world, new, changed)
    points = [*range(1, 40, 6), *range(40, 400, 60)]
    runs.append(len(points))
    for at in points:
        copy = copy_world(world, tmp_path / str(at))
        assert killed(FaultyDisk(kill=at), partial(commit_in, copy.state, journal))
        recover(copy.state)
        assert copy.tree in (ours, changed), f"killed at {at}"
        if copy.tree == changed:
            killed(FaultyDisk(kill=at), partial(roll_back_in, copy.state))
            recover(copy.state)
            assert copy.tree in (ours, changed), f"rollback killed at {at}"
