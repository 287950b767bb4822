"""The tree swap: when it is used, and that no work of the user is lost or leaks.

Five ways to lose or leak data were measured on a naive exchange of folders; each is a test.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from crash_disk import CountingDisk, World, prepare
from tree_worlds import OLD, SMALL, Scenario, package
from trees import Content, Exe, noise, read_tree

from updater.errors import InstallError, RollbackFailed
from updater.format.release import Release
from updater.launch.disk import Disk, present, same
from updater.launch.journal import Journal, Phase, named, phase_of, read
from updater.launch.kinds import swap_of
from updater.launch.pending import commit_pending
from updater.launch.recover import Outcome, commit, recover
from updater.launch.rollback import edited_files, roll_back

pytestmark = pytest.mark.usefixtures("small_files")


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """1.0 is installed."""
    return Scenario(tmp_path)


@pytest.fixture
def world(scenario: Scenario) -> World:
    """Its install."""
    return scenario.world


class Meddler(Disk):
    """Somebody is at work in the moment before two folders change places."""

    def __init__(self, live: Path, work: Callable[[], None]) -> None:
        self._live = live
        self._work = work

    def exchange(self, path: Path, other: Path) -> None:
        if path == self._live:
            self._work()
        super().exchange(path, other)


def save(path: Path, data: bytes) -> None:
    """Save as editors do: a new file takes the name."""
    part = path.with_name(f".{path.name}.tmp")
    part.write_bytes(data)
    part.replace(path)


# The five ways


def test_a_write_in_place_through_a_hard_link_stays_the_users_and_is_told(
    scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    live, kept = world.state.install / "big", world.folder / "app.old" / "big"
    assert same(live, kept)
    with live.open("r+b") as file:
        file.write(b"mine")
    assert kept.read_bytes().startswith(b"mine"), "it is one file"
    assert edited_files(Disk(), world.state) == ("big",)
    roll_back(Disk(), world.state, "")
    mine = b"mine" + noise(SMALL + 1, 1)[4:]
    assert scenario.version(world, mine={"big": mine}) == "1.0"
    scenario.check_clean(world, "rolled back", beside=set())


def test_a_write_in_place_to_a_copied_file_does_not_reach_the_other_tree(
    scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    with (world.state.install / "same").open("r+b") as file:
        file.write(b"mine")
    assert (world.folder / "app.old" / "same").read_bytes() == b"same"
    assert edited_files(Disk(), world.state) == ()
    roll_back(Disk(), world.state, "")
    assert scenario.version(world, mine={"same": b"mine"}) == "1.0", "the latest content"


def test_an_atomic_save_after_the_swap_by_a_process_in_the_old_tree_comes_to_the_new_one(
    scenario: Scenario, world: World
) -> None:
    handle = os.open(world.state.install, os.O_RDONLY)
    try:
        scenario.update(world)
        file = os.open(".n.tmp", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=handle)
        os.write(file, b"mine")
        os.close(file)
        os.rename(".n.tmp", "notes", src_dir_fd=handle, dst_dir_fd=handle)
    finally:
        os.close(handle)
    assert not present(world.state.install / "notes")
    assert recover(Disk(), world.state) is Outcome.CLEAN
    assert scenario.version(world, mine={"notes": b"mine"}) == "2.0"
    assert not present(world.folder / "app.old" / "notes")


def test_a_file_created_in_the_window_is_live_after_it(scenario: Scenario, world: World) -> None:
    install = world.state.install

    def work() -> None:
        (install / "mine").write_bytes(b"mine")
        (install / "added").write_bytes(b"mine, where a new file goes")
        (install / "own").mkdir()
        (install / "own" / "deep").write_bytes(b"mine")
        (install / "gone-folder" / "mine").write_bytes(b"mine, in a folder that goes")
        (install / "dir" / "mine").write_bytes(b"mine, in a folder that becomes a file")

    journal = scenario.stage(world)
    made = commit(Meddler(install, work), world.state, journal)
    mine: dict[str, Content] = {
        "mine": b"mine",
        "added.old": b"mine, where a new file goes",
        "own/deep": b"mine",
        "gone-folder/mine": b"mine, in a folder that goes",
        "dir.old/mine": b"mine, in a folder that becomes a file",
    }
    assert made.tree is not None
    assert scenario.version(world, mine=mine) == "2.0"
    kept = swap_of(Disk(), world.state, made).kept()
    assert kept == ("added.old", "dir.old")
    scenario.check_clean(world, "", beside={"app.old"})


def test_a_file_saved_in_the_window_has_its_latest_content(
    scenario: Scenario, world: World
) -> None:
    install = world.state.install

    def work() -> None:
        save(install / "same", b"mine: alike in both")
        save(install / "big", b"mine: shared by both")
        (install / "lib" / "core.py").write_bytes(b"mine: replaced")
        save(install / "gone-folder" / "a", b"mine: gone")

    commit(Meddler(install, work), world.state, scenario.stage(world))
    mine: dict[str, Content] = {
        "same": b"mine: alike in both",
        "big": b"mine: shared by both",
        "lib/core.py.old": b"mine: replaced",
        "gone-folder/a.old": b"mine: gone",
    }
    assert scenario.version(world, mine=mine) == "2.0"
    roll_back(Disk(), world.state, "")
    back = mine | {"lib/core.py": b"mine: replaced", "gone-folder/a": b"mine: gone"}
    assert scenario.version(world, mine=back) == "1.0"


def test_an_old_process_that_still_writes_into_the_old_tree_loses_nothing(
    scenario: Scenario, world: World
) -> None:
    log = (world.state.install / "same").open("ab", buffering=0)
    handle = os.open(world.state.install, os.O_RDONLY)
    scenario.update(world)
    log.write(b", and a line")
    file = os.open("journal.txt", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=handle)
    os.write(file, b"first")
    scenario.update(world, "3.0", "file")  # removes the tree of 1.0
    os.write(file, b", second")
    os.close(file)
    os.close(handle)
    log.close()
    mine: dict[str, Content] = {"same.old": b"same, and a line", "journal.txt": b"first, second"}
    assert scenario.version(world, mine=mine) == "3.0"
    scenario.check_clean(world, "", beside=set())


# What else may happen to the two trees


def test_of_two_new_files_of_one_name_the_latest_has_it_and_the_other_is_kept(
    scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    live, old = world.state.install, world.folder / "app.old"
    for path, place, changed in (
        ("a", live, 1),
        ("a", old, 2),
        ("b", live, 2),
        ("b", old, 1),
        ("c", live, 1),
        ("c", old, 2),
    ):
        (place / path).write_bytes(b"alike" if path == "c" else f"{place.name} {path}".encode())
        os.utime(place / path, (changed, changed))
    recover(Disk(), world.state)
    mine: dict[str, Content] = {
        "a": b"app.old a",
        "a.old": b"app a",
        "b": b"app b",
        "b.old": b"app.old b",
        "c": b"alike",
    }
    assert scenario.version(world, mine=mine) == "2.0"
    assert recover(Disk(), world.state) is Outcome.CLEAN
    assert scenario.version(world, mine=mine) == "2.0", "once"


def test_a_file_saved_in_both_trees_has_its_latest_content_and_the_other_is_kept(
    scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    for number, place in enumerate((world.folder / "app.old", world.state.install)):
        save(place / "same", place.name.encode())
        save(place / "big", place.name.encode())
        os.utime(place / "same", (number, number))
        os.utime(place / "big", (-number, -number))
    for _ in range(2):
        recover(Disk(), world.state)
        mine: dict[str, Content] = {
            "same": b"app",
            "same.old": b"app.old",
            "big": b"app.old",
            "big.old": b"app",
        }
        assert scenario.version(world, mine=mine) == "2.0"


def test_what_the_user_made_since_is_there_after_a_rollback(
    scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    for path in ("mine", "added", "app", "third", "lib/core.py"):
        (world.state.install / path).write_bytes(b"mine")
    roll_back(Disk(), world.state, "it crashed")
    mine: dict[str, Content] = {
        "mine": b"mine",
        "added.old": b"mine",
        "app.old": Exe(b"mine"),
        "third": b"mine",
        "lib/core.py.old": b"mine",
    }
    assert scenario.version(world, mine=mine) == "1.0"
    scenario.check_clean(world, "", beside=set())


def test_a_file_that_was_only_touched_is_nobodys_work(scenario: Scenario, world: World) -> None:
    scenario.update(world)
    for path in ("lib/core.py", "added", "same"):
        os.utime(world.state.install / path)
        os.utime(world.folder / "app.old" / "same")
    roll_back(Disk(), world.state, "")
    assert scenario.version(world) == "1.0"


def test_compiled_modules_are_left_behind(scenario: Scenario, world: World) -> None:
    for place in (world.state.install, world.state.install):
        cache = place / "lib" / "__pycache__"
        cache.mkdir()
        (cache / "core.cpython-312.pyc").write_bytes(b"compiled")
        if place.parent.joinpath("app.old").exists():
            break
        scenario.update(world)
        assert scenario.version(world) == "2.0"
    roll_back(Disk(), world.state, "")
    assert world.tree == {**OLD, "lib/__pycache__/core.cpython-312.pyc": b"compiled"}
    scenario.check_clean(world, "", beside=set())


def test_modes_are_those_of_the_release(scenario: Scenario, world: World) -> None:
    before = os.umask(0o077)
    try:
        scenario.update(world)
    finally:
        os.umask(before)
    assert (world.state.install / "lib").stat().st_mode & 0o777 == 0o755
    assert world.state.install.stat().st_mode & 0o777 == 0o755
    assert (world.state.install / "same").stat().st_mode & 0o777 == 0o644
    assert (world.state.install / "app").stat().st_mode & 0o777 == 0o755


def test_a_compiled_module_and_a_pipe_of_the_user_are_not_lost(
    scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    old = world.folder / "app.old"
    (old / "plugin.pyc").write_bytes(b"all there is of it")
    for place in (old, world.state.install):
        os.mkfifo(place / "pipe")
    recover(Disk(), world.state)
    names = {path.name for path in world.state.install.iterdir()}
    assert {"plugin.pyc", "pipe", "pipe.old"} <= names


# Which swap is used


def reason(scenario: Scenario) -> str:
    """Why a tree swap that was asked for is refused; ``auto`` then takes the other."""
    assert scenario.stage(scenario.world, swap="auto").tree is None
    with pytest.raises(InstallError, match="cannot be exchanged") as caught:
        scenario.stage(scenario.world)
    assert caught.value.hint
    return str(caught.value).partition("exchanged: ")[2]


@pytest.mark.parametrize("swap", ["auto", "tree"])
def test_a_tree_swap_is_used_where_all_conditions_hold_and_stands_in_the_journal(
    swap: str, scenario: Scenario, world: World
) -> None:
    journal = scenario.stage(world, swap="auto" if swap == "auto" else "tree")
    journal.hold(Disk(), world.state)
    assert read(named(world.state, Phase.STAGED)) == journal
    assert b'"swap": "tree"' in named(world.state, Phase.STAGED).read_bytes()
    assert commit_pending(Disk(), world.state) == journal
    assert scenario.version(world) == "2.0"
    scenario.check_clean(world, "", beside={"app.old"})


def test_a_file_swap_can_be_forced(scenario: Scenario, world: World) -> None:
    assert scenario.stage(world, swap="file").tree is None


def test_a_file_of_the_user_asks_for_a_file_swap(scenario: Scenario, world: World) -> None:
    (world.state.install / "mine").write_bytes(b"mine")
    assert reason(scenario) == "no release knows 'mine'"


def test_an_empty_folder_of_the_user_asks_for_a_file_swap(scenario: Scenario, world: World) -> None:
    (world.state.install / "mine").mkdir()
    assert reason(scenario) == "no release knows 'mine'"


def test_an_edited_file_that_changes_asks_for_a_file_swap(scenario: Scenario, world: World) -> None:
    (world.state.install / "lib" / "core.py").write_bytes(b"mine")
    assert reason(scenario) == "'lib/core.py' was changed by its user"


def test_a_policy_asks_for_a_file_swap(scenario: Scenario, world: World) -> None:
    manifest = scenario.manifests["2.0"]
    release = replace(manifest.release, policy=(("*.cfg", "keep"),))
    scenario.manifests["2.0"] = replace(manifest, release=release)
    assert reason(scenario) == "*.cfg has the policy keep"


def test_a_state_inside_the_install_asks_for_a_file_swap(scenario: Scenario, world: World) -> None:
    world.state.folder.rename(world.state.install / ".upswap")
    object.__setattr__(world.state, "folder", world.state.install / ".upswap")
    assert reason(scenario) == "its state folder lies inside it"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL, errno.EXDEV])
def test_a_system_that_cannot_exchange_folders_asks_for_a_file_swap(
    code: int, scenario: Scenario, world: World
) -> None:
    class Plain(Disk):
        def exchange(self, path: Path, other: Path) -> None:
            raise OSError(code, os.strerror(code), str(path), None, str(other))

    assert scenario.stage(world, swap="auto", disk=Plain()).tree is None
    with pytest.raises(InstallError, match=os.strerror(code)):
        scenario.stage(world, disk=Plain())
    journal = scenario.stage(world)
    assert commit(Plain(), world.state, journal).tree is None, "as a mount of one folder does"
    assert scenario.version(world) == "2.0"
    scenario.check_clean(world, "", beside=set())


@pytest.mark.parametrize(("limit", "most"), [("COPY_BYTES_MOST", 3), ("COPIES_MOST", 0)])
def test_much_to_copy_is_only_done_when_it_is_asked_for(
    limit: str, most: int, scenario: Scenario, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scenario.stage(world, swap="auto").tree is not None
    monkeypatch.setattr(f"updater.newtree.{limit}", most)
    assert scenario.stage(world, swap="auto").tree is None
    assert scenario.stage(world).tree is not None


def test_a_full_disk_holds_a_file_swap(scenario: Scenario, world: World) -> None:
    class Full(Disk):
        def free_bytes(self, folder: Path) -> int:
            return min(3, super().free_bytes(folder))

    assert scenario.stage(world, swap="auto", disk=Full()).tree is None


def test_without_an_entry_nobody_knows_what_runs(scenario: Scenario, world: World) -> None:
    plain = replace(scenario.manifests["1.0"], release=Release())
    world.state.manifest.write_bytes(plain.data)
    assert scenario.stage(world, swap="auto").tree is None
    assert scenario.stage(world).tree is not None


def test_disposable_files_go_with_the_old_tree(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    world = scenario.world
    for version, manifest in scenario.manifests.items():
        release = Release(entry=("app",), disposable=("cache/**", "*.log"))
        scenario.manifests[version] = replace(manifest, release=release)
    world.state.manifest.write_bytes(scenario.manifests["1.0"].data)
    (world.state.install / "cache" / "deep").mkdir(parents=True)
    (world.state.install / "cache" / "deep" / "x").write_bytes(b"x")
    (world.state.install / "lib" / "run.log").write_bytes(b"x")
    assert scenario.update(world, swap="auto").tree is not None
    assert scenario.version(world) == "2.0"
    scenario.update(world, "3.0", "file")
    assert scenario.version(world) == "3.0"
    scenario.check_clean(world, "", beside=set())


def test_names_that_are_taken_are_left_alone(scenario: Scenario, world: World) -> None:
    for name in ("app.new", "app.old", "app.old-1"):
        (world.folder / name).mkdir()
        (world.folder / name / "mine").write_bytes(b"mine")
    mine = {"app.new", "app.old", "app.old-1"}
    scenario.update(world)
    scenario.check_clean(world, "", beside={*mine, "app.old-2"})
    scenario.update(world, "3.0")
    assert scenario.version(world) == "3.0"
    scenario.check_clean(world, "", beside={*mine, "app.old-2"})
    roll_back(Disk(), world.state, "")
    assert scenario.version(world) == "2.0"
    scenario.check_clean(world, "", beside=mine)
    assert all((world.folder / name / "mine").read_bytes() == b"mine" for name in mine)


def test_a_name_taken_since_the_update_was_staged_is_left_alone(
    scenario: Scenario, world: World
) -> None:
    journal = scenario.stage(world)
    for name in ("app.new", "app.old"):
        (world.folder / name).write_bytes(b"mine")
    assert commit(Disk(), world.state, journal).tree is None
    assert scenario.version(world) == "2.0"
    scenario.check_clean(world, "", beside={"app.new", "app.old"})


def test_a_name_for_the_old_tree_taken_since_leaves_it_where_it_is(
    scenario: Scenario, world: World
) -> None:
    journal = scenario.stage(world)
    (world.folder / "app.old").write_bytes(b"mine")
    commit(Disk(), world.state, journal)
    assert scenario.version(world) == "2.0"
    scenario.check_clean(world, "", beside={"app.new", "app.old"})
    roll_back(Disk(), world.state, "")
    assert scenario.version(world) == "1.0"
    scenario.check_clean(world, "", beside={"app.old"})


# Changes between the stage and the commit


def held(scenario: Scenario) -> Journal:
    """2.0 waits for the next launch."""
    journal = scenario.stage(scenario.world)
    journal.hold(Disk(), scenario.world.state)
    return journal


def test_a_file_that_came_since_the_stage_asks_for_a_file_swap(
    scenario: Scenario, world: World
) -> None:
    held(scenario)
    (world.state.install / "mine").write_bytes(b"mine")
    made = commit_pending(Disk(), world.state)
    assert made is not None
    assert made.tree is None
    assert scenario.version(world, mine={"mine": b"mine"}) == "2.0"
    scenario.check_clean(world, "", beside=set())


def test_a_managed_file_edited_since_the_stage_asks_for_a_file_swap_that_keeps_it(
    scenario: Scenario, world: World
) -> None:
    journal = scenario.stage(world)
    save(world.state.install / "lib" / "core.py", b"mine")
    save(world.state.install / "same", b"mine too")
    assert commit(Disk(), world.state, journal).tree is None
    mine: dict[str, Content] = {"lib/core.py.old": b"mine", "same": b"mine too"}
    assert scenario.version(world, mine=mine) == "2.0"
    scenario.check_clean(world, "", beside=set())


def test_a_stage_that_fits_no_more_at_all_is_given_up_cleanly(
    scenario: Scenario, world: World
) -> None:
    journal = scenario.stage(world)
    (world.state.install / "added").mkdir()
    (world.state.install / "added" / "mine").write_bytes(b"mine")
    with pytest.raises(InstallError, match="was changed while") as caught:
        commit(Disk(), world.state, journal)
    assert (caught.value.rolled_back, caught.value.retryable) == (True, True)
    assert scenario.version(world, mine={"added/mine": b"mine"}) == "1.0"
    scenario.check_clean(world, "", beside=set())


def test_a_module_compiled_since_the_stage_is_no_reason(scenario: Scenario, world: World) -> None:
    journal = scenario.stage(world)
    (world.state.install / "lib" / "__pycache__").mkdir()
    (world.state.install / "lib" / "__pycache__" / "core.cpython-312.pyc").write_bytes(b"c")
    assert commit(Disk(), world.state, journal).tree is not None
    assert scenario.version(world) == "2.0"


# Folders somebody put in the place of ours


def test_a_folder_that_is_neither_tree_is_not_touched(scenario: Scenario, world: World) -> None:
    scenario.stage(world).write(Disk(), world.state)
    world.state.install.rename(world.folder / "moved")
    world.state.install.mkdir()
    (world.state.install / "mine").write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(RollbackFailed, match="neither the old folder nor the new") as caught:
            recover(Disk(), world.state)
        assert caught.value.hint
    assert world.tree == {"mine": b"mine"}
    (world.state.install / "mine").unlink()
    (world.folder / "moved").rename(world.state.install)
    recover(Disk(), world.state)
    assert scenario.version(world) == "1.0"
    assert phase_of(world.state) is None


def test_an_old_tree_that_is_gone_or_not_whole_is_refused_and_nothing_changed(
    scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    old = world.folder / "app.old"
    (old / "lib" / "core.py").unlink()
    with pytest.raises(InstallError, match=r"was not kept whole: lib/core\.py"):
        roll_back(Disk(), world.state, "")
    old.rename(world.folder / "other" / "old")
    with pytest.raises(InstallError, match="was not kept whole"):
        roll_back(Disk(), world.state, "")
    assert scenario.version(world) == "2.0"
    assert scenario.update(world, "3.0").tree is not None
    assert scenario.version(world) == "3.0"


@pytest.mark.parametrize("second", ["file", "tree"])
def test_an_update_after_a_rollback_and_one_after_that_work(
    second: str, scenario: Scenario, world: World
) -> None:
    scenario.update(world)
    roll_back(Disk(), world.state, "")
    scenario.update(world, "2.0", "file")
    scenario.update(world, "3.0", "file" if second == "file" else "tree")
    assert scenario.version(world) == "3.0"
    roll_back(Disk(), world.state, "")
    assert scenario.version(world) == "2.0"
    scenario.check_clean(world, "", beside=set())


def test_a_repair_between_leaves_the_way_back(scenario: Scenario, world: World) -> None:
    scenario.update(world)
    (world.state.install / "link").unlink()
    save(world.state.install / "lib" / "core.py", b"VERSION = 2")  # as a repair of it does
    manifest, tree = scenario.manifests["2.0"], scenario.trees["2.0"]
    journal = prepare(Disk(), world, manifest, tree, mend=True, swap="tree")
    assert journal.tree is None, "a repair changes few files"
    commit(Disk(), world.state, journal)
    assert scenario.version(world) == "2.0"
    roll_back(Disk(), world.state, "")
    assert scenario.version(world) == "1.0"
    scenario.check_clean(world, "", beside=set())


def test_the_old_tree_can_be_discarded_at_once(scenario: Scenario, world: World) -> None:
    journal = scenario.stage(world)
    swap = swap_of(Disk(), world.state, journal)
    swap.forward()
    (world.folder / "app.new" / "mine").write_bytes(b"mine")
    swap.discard()
    assert scenario.version(world, mine={"mine": b"mine"}) == "2.0"
    assert not present(world.folder / "app.new")


def test_what_is_made_while_the_old_tree_is_deleted_survives(
    scenario: Scenario, world: World
) -> None:
    class Late(Disk):
        def unlink(self, path: Path) -> None:
            if path == old / "same":  # sorted backwards: "big" comes after it
                save(old / "big", b"mine: saved")
                (old / "mine").write_bytes(b"mine: made")
            super().unlink(path)

    old = world.folder / "app.old"
    scenario.update(world)
    commit(Late(), world.state, scenario.stage(world, "3.0", "file"))
    assert scenario.version(world) == "3.0"
    assert read_tree(old) == {"big": b"mine: saved", "mine": b"mine: made"}
    scenario.update(world, "2.0")
    scenario.check_clean(world, "it is not ours", beside={"app.old", "app.old-1"})


@pytest.mark.parametrize("extent", [0, 1])
def test_a_disk_with_another_number_since_the_machine_was_started_is_recovered(
    extent: int, scenario: Scenario, world: World
) -> None:
    journal = scenario.stage(world)
    assert journal.tree is not None
    old, new = journal.tree.old_root, journal.tree.new_root
    moved = replace(
        journal.tree,
        old_root=old._replace(device=old.device + 7),
        new_root=new._replace(device=new.device + 7),
    )
    journal.write(Disk(), world.state)
    if extent:
        swap_of(Disk(), world.state, journal).forward()
    replace(journal, tree=moved).write(Disk(), world.state)
    assert recover(Disk(), world.state) is Outcome.FINISHED
    assert scenario.version(world) == "2.0"
    roll_back(Disk(), world.state, "")
    assert scenario.version(world) == "1.0"


def test_all_that_is_new_is_durable_before_the_folders_change_places(
    scenario: Scenario, world: World
) -> None:
    disk = CountingDisk()
    journal = scenario.stage(world, disk=disk)
    top = world.state.staged_tree
    flushed = {line.removeprefix("sync ") for line in disk.log if line.startswith("sync ")}
    folders = {top, *(path for path in top.rglob("*") if path.is_dir() and not path.is_symlink())}
    assert {str(folder) for folder in folders} <= flushed
    second = CountingDisk()
    commit(second, world.state, journal)
    (at,) = (n for n, line in enumerate(second.log) if line == f"exchange {world.state.install}")
    before = second.log[:at]
    assert before.index(f"replace {world.state.journal}") < before.index(
        f"replace {world.folder / 'app.new'}"
    )
    assert before[-1] == f"sync {world.folder}"
    assert second.log[at + 1] == f"sync {world.folder}"


MAIN = """
import sys
root = sys.argv[1]
sys.path.insert(0, root + "/lib")
from pathlib import Path
from updater.launch.disk import Disk
from updater.launch.pending import commit_pending
from updater.launch.recover import recover
from updater.launch.rollback import roll_back
from updater.launch.state import State
assert roll_back.__code__.co_filename.startswith(root), "the package of the tree itself"
install = Path(root)
state = State(install, install.with_name(".app.upswap"))
recover(Disk(), state)
made = commit_pending(Disk(), state)
if made is None:
    roll_back(Disk(), state, "")
else:
    print(made.tree is not None)
"""


def test_a_tree_swaps_the_very_package_that_swaps_it(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, package())
    world = scenario.world
    scenario.stage(world).hold(Disk(), world.state)
    line = [sys.executable, "-B", "-I", "-c", MAIN, str(world.state.install)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"
    assert scenario.version(world) == "2.0"
    subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert scenario.version(world) == "1.0"
    scenario.check_clean(world, "", beside=set())


def test_a_journal_that_cannot_be_read_on_the_way_back_is_a_failed_rollback(
    scenario: Scenario, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(path: Path) -> Journal:
        raise InstallError(f"journal {path} cannot be read: input/output error")

    class FailsOnce(Disk):
        """The first file of the State cannot be put in place."""

        def replace(self, source: Path, path: Path) -> None:
            if path == world.state.manifest:
                monkeypatch.setattr("updater.launch.recover.read", unreadable)
                raise OSError(errno.EIO, "input/output error", str(path))
            super().replace(source, path)

    journal = scenario.stage(world)
    with pytest.raises(RollbackFailed, match=r"could not be undone: journal .* cannot be read"):
        commit(FailsOnce(), world.state, journal)
    monkeypatch.undo()
    recover(Disk(), world.state)
    assert scenario.version(world) in {"1.0", "2.0"}
