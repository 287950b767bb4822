"""The promise of this project, for the tree swap: interrupted anywhere, old or new, and whole.

Every change a commit, its recovery, its rollback and its clean-up make is one at which the
process is killed, or the disk fails. In the moment of each exchange the user makes a file and
saves another: both are there in the end, with their latest content.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from crash_disk import CountingDisk, FaultyDisk, World
from crash_runs import every, every_pair, failed, killed
from tree_worlds import Scenario, package
from trees import Content

from updater.config import Swap
from updater.errors import InstallError, NotEnoughSpace, RollbackFailed
from updater.launch.disk import present
from updater.launch.journal import phase_of, read
from updater.launch.recover import Outcome, commit, recover
from updater.launch.rollback import previous_version, roll_back
from updater.launch.swap import discard_stage

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("small_files")]
CODES = [errno.ENOSPC, errno.EIO, errno.EACCES]
MINE: dict[str, Content] = {"mine": b"mine", "same": b"mine: saved"}
ASIDE: dict[str, Content] = {"mine": b"mine", "same.old": b"mine: saved"}
"""The same after the next update, which puts the released file in place."""
OTHERS: tuple[Swap, ...] = ("file", "tree")


class Busy(FaultyDisk):
    """A disk on which somebody works in the moment before the live folder is exchanged."""

    live: Path | None = None
    worked = False

    def exchange(self, path: Path, other: Path) -> None:
        if path == self.live and not self.worked and not self.dead:
            self.worked = True
            (path / "mine").write_bytes(b"mine")
            part = path / ".part"
            part.write_bytes(b"mine: saved")
            part.replace(path / "same")
        super().exchange(path, other)

    @property
    def mine(self) -> Mapping[str, Content]:
        """What must be there of the user's."""
        return MINE if self.worked else {}


def busy(
    world: World, *, kill: int | None = None, fail: int | None = None, code: int = errno.EIO
) -> Busy:
    """A disk for ``world``."""
    disk = Busy(kill=kill, fail=fail, code=code)
    disk.live = world.state.install
    return disk


@pytest.fixture
def scenario(memory: Path) -> Scenario:
    """1.0 is installed."""
    return Scenario(memory)


@pytest.fixture(params=["application", "with this package"])
def either(request: pytest.FixtureRequest, memory: Path) -> Scenario:
    """1.0 is installed; its tree may hold the very code that swaps it."""
    return Scenario(memory, package() if request.param == "with this package" else None)


def put_right(world: World) -> Outcome:
    """Recover, as every command begins."""
    outcome = recover(CountingDisk(), world.state)
    discard_stage(CountingDisk(), world.state)
    return outcome


def check(scenario: Scenario, world: World, what: str, mine: Mapping[str, Content]) -> str:
    """Which version is there, whole and without litter."""
    version = scenario.version(world, what, mine)
    scenario.check_clean(world, what, beside={"app.old"} if keeps_a_tree(world) else set())
    return version


def keeps_a_tree(world: World) -> bool:
    """Whether a rollback would exchange folders: the old one must be there then, and only then."""
    return present(world.state.parked) and read(world.state.parked).tree is not None


def check_next(scenario: Scenario, world: World, what: str, mine: Mapping[str, Content]) -> None:
    """After a recovery two good updates work, one of each kind, and leave no litter."""
    swaps = OTHERS if len(what) % 2 else OTHERS[::-1]
    is_third = world.state.manifest.read_bytes() == scenario.manifests["3.0"].data
    versions = ("2.0", "3.0") if is_third else ("3.0", "2.0")
    after = ASIDE if mine == MINE else mine
    for version, swap in zip(versions, swaps, strict=True):
        wanted: Swap = "file" if mine else swap  # its user's files are in the tree
        made = scenario.update(world, version, wanted)
        assert (made.tree is None) == (wanted == "file"), what
        assert scenario.version(world, what, after) == version
        beside = set() if made.tree is None else {"app.old"}
        scenario.check_clean(world, what, beside=beside)


def updated(scenario: Scenario, world: World) -> None:
    scenario.update(world)
    (world.state.install / "mine").write_bytes(b"mine")
    (world.state.install / "same").write_bytes(b"mine: saved")


def test_a_tree_swap_killed_at_any_change_is_made_or_undone_whole(
    either: Scenario, runs: list[int]
) -> None:
    outcomes = []

    def run(at: int) -> bool:
        what = f"killed at {at}"
        with either.copy() as world:
            journal = either.stage(world)
            disk = busy(world, kill=at)
            dead = killed(disk, lambda disk: commit(disk, world.state, journal))
            put_right(world)
            outcomes.append(check(either, world, what, disk.mine))
            if at % 4 == 0:
                check_next(either, world, what, disk.mine)
        return dead

    runs.append(every(run))
    assert set(outcomes) <= {"1.0", "2.0"}
    assert outcomes == sorted(outcomes), "the old tree came back after the new one was there"
    assert len(set(outcomes)) == 2


def test_a_tree_swap_killed_while_staging_leaves_the_old_tree_alone(
    scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        with scenario.copy() as world:
            dead = killed(FaultyDisk(kill=at), partial(scenario.stage, world, "2.0", "tree"))
            assert put_right(world) is Outcome.CLEAN
            assert scenario.version(world, f"killed at {at}") == "1.0"
            if at % 4 == 0:
                scenario.update(world)
                check(scenario, world, f"killed at {at}, then updated", {})
        return dead

    runs.append(every(run))


def test_a_killed_recovery_of_a_tree_swap_is_recovered_from(
    scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int, again: int) -> tuple[bool, bool]:
        what = f"killed at {at}, recovery at {again}"
        with scenario.copy() as world:
            journal = scenario.stage(world)
            disk = busy(world, kill=at)
            dead = killed(disk, lambda disk: commit(disk, world.state, journal))
            second = busy(world, kill=again)
            died = killed(second, lambda disk: recover(disk, world.state))
            put_right(world)
            check(scenario, world, what, disk.mine or second.mine)
        return dead, died

    runs.append(every_pair(run))


def test_a_killed_undo_of_a_tree_swap_is_undone(scenario: Scenario, runs: list[int]) -> None:
    def run(fail: int, later: int) -> tuple[bool, bool]:
        what = f"failed at {fail}, killed at {fail + later}"
        with scenario.copy() as world:
            journal = scenario.stage(world)
            disk = busy(world, fail=fail, kill=fail + later)
            with suppress(InstallError):
                killed(disk, lambda disk: commit(disk, world.state, journal))
            put_right(world)
            check(scenario, world, what, disk.mine)
        return disk.faults > 0, disk.dead

    runs.append(every_pair(run))


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_a_fault_anywhere_in_a_tree_swap_is_an_error_with_the_old_tree_or_success(
    code: int, scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        what = f"failed at {at}"
        with scenario.copy() as world:
            journal = scenario.stage(world)
            disk = busy(world, fail=at, code=code)
            error = failed(lambda: commit(disk, world.state, journal))
            if error:
                assert isinstance(error, NotEnoughSpace) == (code == errno.ENOSPC), what
                assert error.rolled_back, what
            put_right(world)
            version = check(scenario, world, what, disk.mine)
            assert version == ("1.0" if error else "2.0"), what
            if at % 4 == 0:
                check_next(scenario, world, what, disk.mine)
        return disk.faults > 0

    runs.append(every(run))


def test_a_fault_while_a_tree_is_built_leaves_the_old_one_alone(
    scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        disk = FaultyDisk(fail=at, code=errno.ENOSPC)
        with scenario.copy() as world:
            with suppress(OSError):
                scenario.stage(world, disk=disk)
                assert not disk.faults, "a fault was swallowed"
            assert scenario.version(world, f"failed at {at}") == "1.0"
            scenario.update(world)
            check(scenario, world, f"failed at {at}", {})
        return disk.faults > 0

    runs.append(every(run))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_fails_for_good_leaves_what_a_later_recovery_makes_whole(
    code: int, scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        what = f"failed from {at} on"
        with scenario.copy() as world:
            journal = scenario.stage(world)
            disk = Busy(fail=at, code=code, forever=True)
            disk.live = world.state.install
            error = failed(lambda: commit(disk, world.state, journal))
            again = failed(lambda: recover(disk, world.state))
            assert again is None or phase_of(world.state) is not None, what
            put_right(world)
            assert check(scenario, world, what, disk.mine) == "2.0" or error, what
        return disk.faults > 0

    runs.append(every(run))


@pytest.mark.parametrize("swap", OTHERS)
def test_the_update_after_a_tree_swap_killed_anywhere_cleans_up_after_both(
    swap: Swap, scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        what = f"killed at {at}"
        with scenario.copy() as world:
            scenario.update(world)
            late = world.folder / "app.old" / "late"
            late.write_bytes(b"late")  # by a process that still runs there
            journal = scenario.stage(world, "3.0", swap)
            disk = FaultyDisk(kill=at)
            dead = killed(disk, lambda disk: commit(disk, world.state, journal))
            put_right(world)
            version = scenario.version(world, what, {"late": b"late"})
            beside = {"app.old"} if version == "2.0" or swap == "tree" else set()
            scenario.check_clean(world, what, beside=beside)
            assert previous_version(world.state) == {"2.0": "1.0", "3.0": "2.0"}[version]
            if at % 4 == 0:
                check_next(scenario, world, what, {"late": b"late"})
        return dead

    runs.append(every(run))


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_a_fault_in_the_update_after_a_tree_swap_is_cleaned_up_by_the_next_recovery(
    code: int, scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        what = f"failed at {at}"
        with scenario.copy() as world:
            scenario.update(world)
            journal = scenario.stage(world, "3.0")
            disk = FaultyDisk(fail=at, code=code)
            error = failed(lambda: commit(disk, world.state, journal))
            put_right(world)
            assert scenario.version(world, what) == ("2.0" if error else "3.0"), what
            scenario.check_clean(world, what, beside={"app.old"})
        return disk.faults > 0

    runs.append(every(run))


def test_a_rollback_of_a_tree_swap_killed_anywhere_is_finished_or_was_not_begun(
    either: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        what = f"killed at {at}"
        with either.copy() as world:
            updated(either, world)
            dead = killed(FaultyDisk(kill=at), lambda disk: roll_back(disk, world.state, ""))
            outcome = put_right(world)
            version = either.version(world, what, MINE)
            assert version == "1.0" or outcome is Outcome.CLEAN, what
            if version == "2.0":
                roll_back(CountingDisk(), world.state, "")
            assert check(either, world, what, MINE) == "1.0", what
            if at % 4 == 0:
                check_next(either, world, what, MINE)
        return dead

    runs.append(every(run))


def test_a_killed_recovery_of_a_rollback_of_a_tree_swap_is_finished_by_the_next(
    scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int, again: int) -> tuple[bool, bool]:
        with scenario.copy() as world:
            updated(scenario, world)
            dead = killed(FaultyDisk(kill=at), lambda disk: roll_back(disk, world.state, ""))
            died = killed(FaultyDisk(kill=again), lambda disk: recover(disk, world.state))
            put_right(world)
            check(scenario, world, f"killed at {at}, recovery at {again}", MINE)
        return dead, died

    runs.append(every_pair(run))


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_a_fault_in_a_rollback_of_a_tree_swap_is_told_and_the_next_recovery_makes_it_whole(
    code: int, scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        what = f"failed at {at}"
        with scenario.copy() as world:
            updated(scenario, world)
            disk = FaultyDisk(fail=at, code=code)
            begun = True
            try:
                roll_back(disk, world.state, "")
            except RollbackFailed:
                pass
            except OSError:
                begun = False
                assert phase_of(world.state) is None, what
            put_right(world)
            assert check(scenario, world, what, MINE) == ("1.0" if begun else "2.0"), what
        return disk.faults > 0

    runs.append(every(run))


def test_a_fault_while_late_work_is_carried_over_loses_nothing(
    scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int, fault: str) -> bool:
        what = f"{fault} at {at}"
        with scenario.copy() as world:
            scenario.update(world)
            old = world.folder / "app.old"
            (old / "own").mkdir()
            (old / "own" / "mine").write_bytes(b"late")
            (old / "dir" / "mine").write_bytes(b"late")
            (old / "same").write_bytes(b"late too")
            disk = FaultyDisk(kill=at) if fault == "killed" else FaultyDisk(fail=at)
            killed(disk, lambda disk: recover(disk, world.state))
            met = disk.dead or disk.faults > 0
            put_right(world)
            mine = {"own/mine": b"late", "dir.old/mine": b"late", "same": b"late too"}
            assert scenario.version(world, what, mine) == "2.0"
            scenario.check_clean(world, what, beside={"app.old"})
        return met

    runs.extend(every(partial(run, fault=fault)) for fault in ("killed", "failed"))


def test_an_update_that_is_no_more_possible_as_a_tree_swap_killed_anywhere_is_made_by_files(
    scenario: Scenario, runs: list[int]
) -> None:
    def run(at: int, *, then: bool) -> bool:
        what = f"killed at {at}"
        mine: dict[str, Content] = {"same": b"mine, and later", "notes": b"mine"}
        with scenario.copy() as world:
            journal = scenario.stage(world)
            if not then:
                change(world)
            dead = killed(FaultyDisk(kill=at), lambda disk: commit(disk, world.state, journal))
            if then:
                change(world)
            put_right(world)
            made.append(check(scenario, world, what, mine))
            whole.append(keeps_a_tree(world))
        return dead

    def change(world: World) -> None:
        (world.state.install / "same").write_bytes(b"mine, and later")
        (world.state.install / "notes").write_bytes(b"mine")

    made: list[str] = []
    whole: list[bool] = []
    runs.extend(every(partial(run, then=then)) for then in (False, True))
    assert set(made) == {"1.0", "2.0"}
    assert set(whole) == {False, True}
