"""Recovery: what is on disk and in the journal's name decides, nothing else."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import (
    CountingDisk,
    FaultyDisk,
    Killed,
    manifest_of,
    prepare,
    settings,
    world_of,
)
from tests.support.trees.trees import Content, Exe, Link
from updater.disk.durable import Disk, present
from updater.errors import InstallError, NotEnoughSpace, RollbackFailed
from updater.launch.commit.file_swap import FileSwap
from updater.launch.commit.journal import Action, Journal, Phase, enter, named, phase_of
from updater.launch.commit.recover import Outcome, commit, recover
from updater.launch.commit.rollback import previous_version

OLD: dict[str, Content] = {
    "app": Exe(b"1"),
    "dir/f": b"folder to file",
    "file": b"file to folder",
    "gone": b"gone",
    "link": Link("app"),
}
NEW: dict[str, Content] = {
    "added": b"added",
    "app": Exe(b"22"),
    "dir": b"file",
    "file/f": b"folder",
    "link": Link("added"),
}
EXTENT = {"nothing": 0.0, "little": 0.2, "half": 0.5, "most": 0.8, "all": 1.0}


class Case:
    """One update that is staged."""

    def __init__(self, folder: Path) -> None:
        self.old = manifest_of(folder, "1.0", OLD)
        self.new = manifest_of(folder, "2.0", NEW)
        self.world = world_of(folder / "world", self.old, OLD)
        self.state = self.world.state
        self.journal = prepare(Disk(), self.world, self.new, NEW)

    def swap(self, extent: float) -> None:
        """Write the journal and do that much of the swap."""
        self.journal.write(self.state)
        steps = self.journal.steps[: round(len(self.journal.steps) * extent)]
        FileSwap(self.state, Journal("1.0", "2.0", steps)).forward()

    def check(self, contents: dict[str, Content]) -> None:
        """``contents`` is installed, the State says so, and nothing is left over."""
        assert self.world.tree == contents
        manifest, previous = (self.new, "1.0") if contents is NEW else (self.old, "")
        assert self.state.manifest.read_bytes() == manifest.data
        assert self.state.settings.read_bytes() == settings(previous)
        names = {path.name for path in self.state.folder.iterdir()}
        made = {"manifest", "install.json", "release.json", "old"} if contents is NEW else set()
        assert names == made | {"manifest", "install.json", "known"}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An install of 1.0 with 2.0 staged."""
    return Case(tmp_path)


def test_without_a_journal_recovery_changes_nothing(case: Case) -> None:
    disk = CountingDisk()
    assert recover(case.state.on(disk)) is Outcome.CLEAN
    assert disk.log == []
    assert case.world.tree == OLD


@pytest.mark.parametrize("extent", EXTENT)
def test_a_swap_that_was_interrupted_is_finished(case: Case, extent: str) -> None:
    case.swap(EXTENT[extent])
    assert recover(case.state) is Outcome.FINISHED
    case.check(NEW)


@pytest.mark.parametrize("extent", EXTENT)
def test_an_undo_that_was_interrupted_is_finished(case: Case, extent: str) -> None:
    case.swap(EXTENT[extent])
    enter(case.state, Phase.UNDOING)
    assert recover(case.state) is Outcome.UNDONE
    case.check(OLD)


def test_an_undo_that_was_interrupted_never_goes_forward_again(case: Case) -> None:
    case.swap(0.5)
    enter(case.state, Phase.UNDOING)
    with pytest.raises(Killed):
        recover(case.state.on(FaultyDisk(kill=3)))
    assert phase_of(case.state) is Phase.UNDOING
    recover(case.state)
    case.check(OLD)


def test_an_old_file_that_never_left_loses_its_second_name(case: Case) -> None:
    """Two names of one file cannot be renamed over each other: that does nothing.

    Here an undo was cut off with the plug, and what it removed last is gone, not the rest.
    """
    case.swap(0.0)
    enter(case.state, Phase.UNDOING)
    put = next(step for step in case.journal.steps if step.path == "app")
    Disk().keep(case.state.install / "app", case.state.install / put.aside)
    case.state.staged(put.stage).unlink()
    assert recover(case.state) is Outcome.UNDONE
    case.check(OLD)


@pytest.mark.parametrize("cleaned", [1, 3, 5])
def test_a_clean_up_that_was_interrupted_is_finished(case: Case, cleaned: int) -> None:
    case.swap(1.0)
    enter(case.state, Phase.COMMITTED)
    with pytest.raises(Killed):
        recover(case.state.on(FaultyDisk(kill=cleaned)))
    assert phase_of(case.state) is Phase.COMMITTED
    assert recover(case.state) is Outcome.FINISHED
    case.check(NEW)


@pytest.mark.parametrize("extent", EXTENT)
def test_a_swap_that_cannot_be_finished_is_undone(case: Case, extent: str) -> None:
    case.swap(EXTENT[extent])
    put = next(step for step in case.journal.steps if step.path == "app")
    for name in (case.state.staged(put.stage), case.state.install / put.incoming):
        name.unlink(missing_ok=True)
    live = case.state.install / "app"
    if live.read_bytes() == b"22":  # it has arrived, and another program spoils it
        live.write_bytes(b"spoiled")
    assert recover(case.state) is Outcome.UNDONE
    case.check(OLD)


def test_a_commit_notices_that_another_program_spoilt_a_new_file(case: Case) -> None:
    class Scanner(Disk):
        def replace(self, source: Path, path: Path) -> None:
            super().replace(source, path)
            if path.name == "added":
                path.write_bytes(b"quarantined")

    with pytest.raises(InstallError, match="added is not what was put there"):
        commit(case.state.on(Scanner()), case.journal)
    case.check(OLD)


def test_a_commit_notices_that_another_program_took_a_new_file_away(case: Case) -> None:
    class Scanner(Disk):
        def replace(self, source: Path, path: Path) -> None:
            super().replace(source, path)
            if path.name == "added":
                path.unlink()

    with pytest.raises(InstallError, match="added is not what was put there"):
        commit(case.state.on(Scanner()), case.journal)
    case.check(OLD)


def test_a_fault_before_the_journal_is_there_needs_no_undoing(case: Case) -> None:
    disk = FaultyDisk(fail=1, code=errno.EROFS, forever=True)
    with pytest.raises(InstallError) as caught:
        commit(case.state.on(disk), case.journal)
    assert not isinstance(caught.value, RollbackFailed), "nothing was begun"
    assert phase_of(case.state) is None
    assert case.world.tree == OLD


def test_a_fault_in_the_commit_is_told_as_what_it_is(case: Case) -> None:
    with pytest.raises(NotEnoughSpace, match="the update was undone: no space left"):
        commit(case.state.on(FaultyDisk(fail=8, code=errno.ENOSPC)), case.journal)
    case.check(OLD)


def test_a_failed_rollback_says_what_lies_where_and_can_be_repeated(case: Case) -> None:
    disk = FaultyDisk(fail=12, code=errno.EIO, forever=True)
    with pytest.raises(RollbackFailed) as caught:
        commit(case.state.on(disk), case.journal)
    message = str(caught.value)
    assert str(case.state.install) in message
    assert ".old" in message
    assert ".new" in message
    assert "after: " in message
    assert "updater recover" in caught.value.hint
    assert caught.value.exit_code == 7
    with pytest.raises(RollbackFailed):
        recover(case.state.on(FaultyDisk(fail=1, forever=True)))
    recover(case.state)
    assert case.world.tree in (OLD, NEW)


def test_a_stage_that_cannot_be_removed_makes_no_rollback_fail(case: Case) -> None:
    class Held(Disk):
        def replace(self, source: Path, path: Path) -> None:
            if source.name == "dir.new":
                raise OSError(errno.EIO, "Input/output error", str(path))
            super().replace(source, path)

        def unlink(self, path: Path) -> None:
            if path.parent == case.state.stage and path.name.isdecimal():
                raise PermissionError(errno.EACCES, "held by a scanner", str(path))
            super().unlink(path)

    with pytest.raises(InstallError, match="the update was undone") as caught:
        commit(case.state.on(Held()), case.journal)
    assert not isinstance(caught.value, RollbackFailed)
    assert phase_of(case.state) is None
    assert case.world.tree == OLD


class Held(Disk):
    """Another program holds ``app.old``, and what becomes of it."""

    def replace(self, source: Path, path: Path) -> None:
        self._refuse(source)
        super().replace(source, path)

    def unlink(self, path: Path) -> None:
        self._refuse(path)
        super().unlink(path)

    def _refuse(self, path: Path) -> None:
        if path.name == "app.old" and present(path):
            raise PermissionError(errno.EACCES, "still running", str(path))


def test_what_cannot_be_cleaned_up_stops_nothing_and_goes_later(case: Case) -> None:
    commit(case.state.on(Held()), case.journal)
    assert recover(case.state.on(Held())) is Outcome.CLEAN
    assert case.world.tree == {**NEW, "app.old": Exe(b"1")}
    journal = prepare(Disk(), case.world, case.old, OLD)
    commit(case.state.on(Held()), journal)
    assert case.world.tree == {**OLD, "app.old": Exe(b"1")}
    assert previous_version(case.state) == "2.0"
    recover(case.state)
    assert case.world.tree == OLD
    assert not case.state.trash.exists()


def test_what_could_not_be_cleaned_up_and_is_the_users_by_now_stays(case: Case) -> None:
    commit(case.state.on(Held()), case.journal)
    (case.state.install / "app.old").unlink()
    (case.state.install / "app.old").write_bytes(b"mine")
    recover(case.state)
    assert case.world.tree == {**NEW, "app.old": b"mine"}
    assert not case.state.trash.exists()


def test_a_folder_that_stayed_for_such_a_file_goes_with_it_or_is_the_next_releases(
    case: Case,
) -> None:
    class HeldDeep(Held):
        def _refuse(self, path: Path) -> None:
            if path.name == "f.old" and present(path):
                raise PermissionError(errno.EACCES, "still running", str(path))

    commit(case.state, case.journal)
    commit(case.state.on(HeldDeep()), prepare(Disk(), case.world, case.old, {**OLD}))
    assert "file" in case.world.tree
    commit(case.state, prepare(Disk(), case.world, case.new, NEW))
    case.check(NEW)


def test_the_journal_goes_last(case: Case) -> None:
    disk = CountingDisk()
    commit(case.state.on(disk), case.journal)
    done = disk.log.index(f"unlink {named(case.state, Phase.COMMITTED)}")
    later = [line for line in disk.log[done + 1 :] if str(case.state.install) in line]
    assert later == []


def test_every_step_can_be_repeated(case: Case) -> None:
    for _ in range(3):
        case.swap(1.0)
    assert recover(case.state) is Outcome.FINISHED
    case.check(NEW)
    assert {step.action for step in case.journal.steps} == set(Action)
