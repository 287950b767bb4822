"""The file swap: what is true of the live tree while it is being changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import CountingDisk, World, manifest_of, prepare, world_of
from tests.support.trees.trees import Content, Exe, Link, noise
from updater.disk.durable import Disk, present
from updater.errors import InstallError
from updater.launch.commit.file_swap import FileSwap
from updater.launch.commit.journal import Action, Journal, Phase, Step, phase_of
from updater.launch.commit.recover import commit, recover

OLD: dict[str, Content] = {
    "app": Exe(b"1"),
    "lib/a": noise(100, 1),
    "lib/b": noise(100, 2),
    "link": Link("app"),
}
NEW: dict[str, Content] = {
    "app": Exe(b"22"),
    "lib/a": noise(101, 3),
    "lib/b": noise(102, 4),
    "lib/new": b"new",
    "link": Link("lib/a"),
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An install of OLD."""
    return world_of(tmp_path / "world", manifest_of(tmp_path, "1.0", OLD, entry=("app",)), OLD)


def staged(tmp_path: Path, world: World, contents: dict[str, Content] = NEW) -> Journal:
    """The commit of ``contents``, which is staged."""
    entry = ("app",) if "app" in contents else ()
    return prepare(Disk(), world, manifest_of(tmp_path, "2.0", contents, entry=entry), contents)


def test_a_file_that_is_in_both_versions_is_never_absent(tmp_path: Path, world: World) -> None:
    class Watching(CountingDisk):
        def _begin(self, what: str, path: Path) -> None:
            super()._begin(what, path)
            assert all(present(world.state.install / name) for name in OLD), self.log[-1]

    disk = Watching()
    commit(world.state.on(disk), staged(tmp_path, world))
    assert disk.count > 20
    assert world.tree == NEW


def test_the_program_that_starts_the_application_is_put_last(tmp_path: Path, world: World) -> None:
    disk = CountingDisk()
    commit(world.state.on(disk), staged(tmp_path, world))
    install = str(world.state.install)
    puts = [line.removeprefix(f"replace {install}/") for line in disk.log if "replace" in line]
    puts = [name for name in puts if name in NEW]
    assert puts[-1] == "app"
    assert set(puts) == set(NEW)


def test_nothing_live_changes_before_stage_and_journal_are_durable(
    tmp_path: Path, world: World
) -> None:
    state = world.state
    unsynced: set[str] = set()

    class Watching(CountingDisk):
        def _begin(self, what: str, path: Path) -> None:
            super()._begin(what, path)
            if what in {"create", "symlink", "replace"} and path.parent == state.stage:
                unsynced.add(str(state.stage))
            if what == "create":
                unsynced.add(str(path))
            if what == "sync":
                unsynced.discard(str(path))
            if path == state.journal:
                files = {str(p) for p in state.stage.iterdir() if p.is_file()}
                assert len(files) == 4 + 3, "changed and new files, manifest, settings, brief"
                assert unsynced == set(), "all staged files and their names are durable"
                assert f"sync {state.folder}" in self.log, "and so is the stage"
            if state.install in path.parents:
                journal = self.log.index(f"replace {state.journal}")
                assert f"sync {state.folder}" in self.log[journal:], "and so is the journal"

    disk = Watching()
    new = manifest_of(tmp_path, "2.0", NEW, entry=("app",))
    commit(state.on(disk), prepare(disk, world, new, NEW))
    assert world.tree == NEW


def test_every_staged_file_was_synced_itself(tmp_path: Path, world: World) -> None:
    synced: set[int] = set()

    class Watching(Disk):
        def sync_file(self, path: Path) -> None:
            synced.add(path.stat().st_ino)
            super().sync_file(path)

    prepare(Watching(), world, manifest_of(tmp_path, "2.0", NEW, entry=("app",)), NEW)
    files = [path for path in world.state.stage.iterdir() if not path.is_symlink()]
    assert len(files) == 4 + 3, "changed and new files, manifest, settings, brief"
    assert {path.stat().st_ino for path in files} <= synced


def test_the_new_names_are_durable_before_the_commit_is_said_to_be_done(
    tmp_path: Path, world: World
) -> None:
    disk = CountingDisk()
    commit(world.state.on(disk), staged(tmp_path, world))
    done = disk.log.index(f"replace {world.state.journal}.done")
    install = world.state.install
    last_put = disk.log.index(f"replace {install / 'app'}")
    for folder in (install, install / "lib"):
        assert last_put < disk.log.index(f"sync {folder}") < done
    first_removal = next(
        n for n, line in enumerate(disk.log) if line.startswith(f"unlink {install}")
    )
    assert done < disk.log.index(f"sync {world.state.folder}", done) < first_removal


def test_the_old_names_are_durable_before_an_undo_is_said_to_be_done(
    tmp_path: Path, world: World
) -> None:
    class Failing(CountingDisk):
        def replace(self, source: Path, path: Path) -> None:
            if source.name == "app.new":
                raise OSError(5, "Input/output error")
            super().replace(source, path)

    disk, install = Failing(), world.state.install
    with pytest.raises(InstallError):
        commit(world.state.on(disk), staged(tmp_path, world))
    begun = disk.log.index(f"replace {world.state.journal}.undo")
    done = disk.log.index(f"unlink {world.state.journal}.undo")
    changes = [
        n
        for n, line in enumerate(disk.log)
        if begun < n < done and f" {install}/" in line and not line.startswith("sync")
    ]
    assert world.tree == OLD
    for folder in (install, install / "lib"):
        assert changes[-1] < disk.log.index(f"sync {folder}", begun) < done


def test_a_hard_link_of_an_installed_file_elsewhere_is_not_written_through(
    tmp_path: Path, world: World
) -> None:
    outside = tmp_path / "precious"
    os.link(world.state.install / "lib" / "a", outside)
    before = outside.read_bytes()
    commit(world.state, staged(tmp_path, world))
    assert outside.read_bytes() == before
    assert world.tree == NEW


def test_a_symlink_in_place_of_a_file_is_replaced_not_written_through(
    tmp_path: Path, world: World
) -> None:
    outside = tmp_path / "precious"
    outside.write_bytes(b"precious")
    live = world.state.install / "lib" / "a"
    live.unlink()
    live.symlink_to(outside)
    commit(world.state, staged(tmp_path, world))
    assert outside.read_bytes() == b"precious"
    assert world.tree == NEW | {"lib/a.old": Link(str(outside))}


def test_an_undone_update_leaves_the_very_same_files(tmp_path: Path, world: World) -> None:
    """Not copies: owners, times and open files stay what they were."""

    def inodes() -> dict[str, int]:
        return {
            name: (world.state.install / name).lstat().st_ino
            for name in OLD
            if not isinstance(OLD[name], Link)
        }

    class Spoiling(Disk):
        def replace(self, source: Path, path: Path) -> None:
            super().replace(source, path)
            if source.name == "app.new":
                path.write_bytes(b"spoilt")

    before = inodes()
    with pytest.raises(InstallError, match="app is not what was put there"):
        commit(world.state.on(Spoiling()), staged(tmp_path, world))
    assert inodes() == before
    assert world.tree == OLD


def test_a_file_of_the_user_in_a_new_folder_outlives_the_undo(tmp_path: Path, world: World) -> None:
    class Meanwhile(Disk):
        def mkdir(self, path: Path, **how: bool) -> None:
            super().mkdir(path, **how)
            (path / "mine").write_bytes(b"mine")

        def replace(self, source: Path, path: Path) -> None:
            if path.name == "app":
                raise OSError(5, "Input/output error")
            super().replace(source, path)

    journal = staged(tmp_path, world, {**NEW, "fresh/f": b"f"})
    with pytest.raises(InstallError):
        commit(world.state.on(Meanwhile()), journal)
    assert phase_of(world.state) is None
    assert world.tree == OLD | {"fresh/mine": b"mine"}


def test_what_is_kept_is_named_where_it_lies_after_the_commit(tmp_path: Path, world: World) -> None:
    install = world.state.install
    (install / "lib" / "a").write_bytes(b"edited")
    (install / "lib" / "mine").write_bytes(b"mine")
    (install / "link").unlink()
    (install / "link").write_bytes(b"a file of mine")
    (install / "alone").mkdir()
    journal = staged(tmp_path, world, {"lib": b"a file now", "link": Link("lib"), "alone": b"x"})
    commit(world.state, journal)
    kept = FileSwap(world.state, journal).kept()
    assert sorted(kept) == ["lib.old", "lib.old/a.old", "link.old"]
    assert (install / "lib.old" / "a.old").read_bytes() == b"edited"
    assert (install / "lib.old" / "mine").read_bytes() == b"mine"
    assert (install / "link.old").read_bytes() == b"a file of mine"
    assert not (install / "alone.old").exists(), "an empty folder is nobody's work"


def test_what_was_never_done_is_undone_without_a_trace(tmp_path: Path, world: World) -> None:
    journal = staged(tmp_path, world)
    FileSwap(world.state, journal).backward()
    assert world.tree == OLD


def test_a_step_with_no_old_file_touches_no_other_name(tmp_path: Path, world: World) -> None:
    """``.part`` in the root of the install is nobody's copy in the making."""
    (world.state.install / ".part").write_bytes(b"mine")
    journal = staged(tmp_path, world)
    assert any(not step.aside for step in journal.steps)
    FileSwap(world.state, journal).backward()
    assert world.tree == OLD | {".part": b"mine"}


def test_a_folder_made_by_an_interrupted_commit_gets_its_mode(tmp_path: Path, world: World) -> None:
    journal = staged(tmp_path, world, {**NEW, "fresh/f": b"f"})
    journal.write(world.state)
    (world.state.install / "fresh").mkdir(0o700)  # killed before it got its mode
    recover(world.state)
    assert (world.state.install / "fresh").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("size", [-1, 3])
def test_a_new_file_of_another_kind_or_size_is_noticed(world: World, size: int) -> None:
    step = Step(Action.PUT, "lib/a", 0, "lib/a.new", size=size, content="0" * 64)
    journal = Journal("1.0", "2.0", (step,))
    with pytest.raises(InstallError, match="lib/a is not what was put there"):
        FileSwap(world.state, journal).forward()


def test_the_phases_cover_the_whole_commit(tmp_path: Path, world: World) -> None:
    """No live file changes while there is no journal, and none comes back after ``.done``."""
    seen: list[tuple[str, Phase | None]] = []

    class Watching(CountingDisk):
        def _begin(self, what: str, path: Path) -> None:
            super()._begin(what, path)
            if world.state.install in path.parents and ".." not in path.parts:
                seen.append((what, phase_of(world.state)))

    commit(world.state.on(Watching()), staged(tmp_path, world))
    assert {phase for _, phase in seen} == {Phase.SWAPPING, Phase.COMMITTED}
    assert {what for what, phase in seen if phase is Phase.COMMITTED} == {"sync", "unlink"}
