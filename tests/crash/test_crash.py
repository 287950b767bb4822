"""The promise of this project: an update interrupted anywhere leaves the old tree or the new.

A small install holds every kind of step there is, and files of its user in every awkward
place. The update is killed, or the disk fails, at every change it makes; so is the recovery.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import (
    CountingDisk,
    FaultyDisk,
    World,
    copy_world,
    manifest_of,
    prepare,
    settings,
    world_of,
)
from tests.support.crash.crash_runs import every, failed, killed
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import served
from tests.support.trees.trees import Exe, Link, difference, noise, read_tree
from tests.support.trees.trees import Tree as Contents
from updater.client import Updater
from updater.disk.durable import Disk
from updater.errors import InstallError, NotEnoughSpace, RollbackFailed
from updater.launch.commit.journal import Action, Journal, phase_of
from updater.launch.commit.recover import Outcome, commit, recover
from updater.local.session import Session
from updater.update.install_new import install

pytestmark = pytest.mark.crash

OLD: Contents = {
    "app": Exe(b"program 1"),
    "archive/one": b"one",
    "crate/in/it": b"managed only",
    "current": Link("lib"),
    "deep/er/only.txt": b"alone",
    "docs/a.txt": noise(300, 1),
    "docs/b.txt": noise(300, 2),
    "edited.cfg": b"as released 1",
    "editgone.cfg": b"as released",
    "hollow": None,
    "lib/core.py": b"VERSION = 1",
    "lib/gone.py": b"gone",
    "lib/keep.py": b"stays",
    "link": Link("app"),
    "link-to-file": Link("same.txt"),
    "file-to-link": b"will be a link",
    "name.bin": noise(200, 3),
    "same.txt": b"never changes",
    "spot/here": b"a folder that becomes a link",
    "swap-a": b"a",
    "swap-b": b"bb",
    "thing": b"a file that becomes a folder",
    "tool": b"#!/bin/sh\n",
    "tuned.cfg": b"released alike in both",
}
NEW: Contents = {
    "app": Exe(b"program two"),
    "archive": b"a folder that became a file",
    "area/x": b"x",
    "crate": b"another",
    "current/core.py": b"behind what was a link",
    "edited.cfg": b"as released 2",
    "file-to-link": Link("same.txt"),
    "fresh.txt": b"fresh",
    "lib/core.py": b"VERSION = 2",
    "lib/keep.py": b"stays",
    "link": Link("lib/core.py"),
    "link-to-file": b"was a link",
    "manual/a.txt": noise(300, 1),
    "manual/b.txt": noise(300, 2),
    "renamed.bin": noise(200, 3),
    "same.txt": b"never changes",
    "slot": b"slot",
    "spot": Link("lib"),
    "swap-a": b"bb",
    "swap-b": b"a",
    "thing/inner": b"a file that became a folder",
    "tool": Exe(b"#!/bin/sh\n"),
    "tuned.cfg": b"released alike in both",
    "void": None,
    "zero": b"",
}
USERS: Contents = {
    ".part": b"user: named like our copies in the making",
    "app.new": b"user: had this name before us",
    "app.new.part": b"user: this one too",
    "app.old": b"user: and this",
    "archive/mine.txt": b"user: in a folder that becomes a file",
    "area": b"user: where a folder goes",
    "docs/notes.txt": b"user: in a folder that goes away",
    "edited.cfg": b"user: edited",
    "editgone.cfg": b"user: edited, then gone",
    "fresh.txt": b"user: where a new file goes",
    "lib/core.py.old": b"user: own copy",
    "lib/core.py.old.part": b"user: own part",
    "lib/own.txt": b"user: own",
    "slot/theirs.txt": b"user: a folder where a file goes",
    "tuned.cfg": b"user: tuned",
    "zone/far/away": b"user: far away",
}
"""What the user has in the install: edits of managed files, and files no release knows."""
BYTECODE: Contents = {
    "lib/__pycache__/core.cpython-312.pyc": b"stale",
    "lib/__pycache__/gone.cpython-312.pyc": b"stale",
    "lib/__pycache__/keep.cpython-312.pyc": b"good",
}
USERS_AFTER: Contents = {
    **{path: content for path, content in USERS.items() if path != "area"},
    "area.old": USERS["area"],
    "archive.old/mine.txt": USERS["archive/mine.txt"],
    "edited.cfg.old": USERS["edited.cfg"],
    "editgone.cfg.old": USERS["editgone.cfg"],
    "fresh.txt.old": USERS["fresh.txt"],
    "slot.old/theirs.txt": USERS["slot/theirs.txt"],
    "tuned.cfg.old": USERS["tuned.cfg"],
    "lib/__pycache__/keep.cpython-312.pyc": b"good",
}
MOVED = (
    "archive/mine.txt",
    "edited.cfg",
    "editgone.cfg",
    "fresh.txt",
    "slot/theirs.txt",
    "tuned.cfg",
)
BEFORE: Contents = {**OLD, **BYTECODE, **USERS}
AFTER: Contents = {**NEW, **{p: c for p, c in USERS_AFTER.items() if p not in MOVED}}

SMALL_OLD: Contents = {
    "app": Exe(b"1"),
    "dir/f": b"folder to file",
    "gone/f": b"gone",
    "gone/void": None,
    "link": Link("gone"),
    "same": b"same",
}
SMALL_NEW: Contents = {
    "added": b"added",
    "app": Exe(b"22"),
    "dir": b"file",
    "link/f": b"in a folder that was a link to one with such a file",
    "link/void": None,
    "same": b"same",
}
SMALL_USERS: Contents = {"dir/mine": b"user", "added": b"user: in the way", "app.old": b"user"}
SMALL_BEFORE: Contents = {**SMALL_OLD, **SMALL_USERS}
SMALL_AFTER: Contents = {
    **SMALL_NEW,
    "dir.old/mine": b"user",
    "added.old": b"user: in the way",
    "app.old": b"user",
}
THIRD: Contents = {"app": Exe(b"program 3"), "lib/core.py": b"VERSION = 3", "docs": None}


class Scenario:
    """One update of one world: how to make it, and what may be found afterwards."""

    def __init__(
        self, folder: Path, old: Contents, new: Contents, before: Contents, after: Contents
    ) -> None:
        self._folder = folder
        self._number = 0
        self.before, self.after = dict(before), dict(after)
        self.old = manifest_of(folder, "1.0", old, entry=("app",))
        self.new = manifest_of(folder, "2.0", new, entry=("app",))
        self.third = manifest_of(folder, "3.0", THIRD, entry=("app",))
        self._contents = new
        self.world = world_of(folder / "world", self.old, before)

    @contextmanager
    def copy(self, world: World | None = None) -> Iterator[World]:
        """A copy of ``world``, by default of the install before the update."""
        self._number += 1
        folder = self._folder / f"copy-{self._number}"
        yield copy_world(world or self.world, folder)
        shutil.rmtree(folder)

    def prepare(self, disk: Disk, world: World) -> Journal:
        """Stage the update."""
        return prepare(disk, world, self.new, self._contents)

    def stage(self) -> Journal:
        """Stage the update in the world all copies are made of."""
        return self.prepare(CountingDisk(), self.world)

    def changes(self, journal: Journal) -> int:
        """How many changes a commit makes that nothing disturbs."""
        disk = CountingDisk()
        with self.copy() as world:
            commit(world.state.on(disk), journal)
        return disk.count

    def is_new(self, world: World, what: str) -> bool:
        """Whether the new tree is there; fails the test unless it or the old one is, whole."""
        tree, state = world.tree, world.state
        new = tree == self.after
        assert new or tree == self.before, f"{what}: {difference(tree, self.before, self.after)}"
        assert phase_of(state) is None, what
        wanted = (self.new.data, settings("1.0")) if new else (self.old.data, settings(""))
        assert (state.manifest.read_bytes(), state.settings.read_bytes()) == wanted, what
        return new

    def check_made(self, world: World, what: str) -> None:
        """The new tree is there, though old files may still lie aside."""
        tree = world.tree
        assert {path: tree.get(path) for path in self.after} == self.after, what
        assert world.manifest == self.new, what

    def check_next_update(self, world: World, what: str) -> None:
        """After a recovery a good update works, and leaves nothing in the State."""
        journal = prepare(CountingDisk(), world, self.third, THIRD)
        commit(world.state.on(CountingDisk()), journal)
        tree = world.tree
        assert {path: tree.get(path) for path in THIRD} == THIRD, what
        names = {child.name for child in world.state.folder.iterdir()}
        own = {"manifest", "install.json", "known", "release.json", "old"}
        assert names == own, f"{what}: {names}"


@pytest.fixture
def rich(memory: Path) -> Scenario:
    """Every kind of step."""
    return Scenario(memory, OLD, NEW, BEFORE, AFTER)


@pytest.fixture
def small(memory: Path) -> Scenario:
    """Few steps, for what takes a run for every pair of changes."""
    return Scenario(memory, SMALL_OLD, SMALL_NEW, SMALL_BEFORE, SMALL_AFTER)


@pytest.fixture(params=["hard links", "no hard links", "several disks", "Windows"])
def lie(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What kinds of file system the install may lie on."""
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", _no_link)
    if request.param == "Windows":  # the order of its renames, that is
        monkeypatch.setattr("updater.launch.commit.file_swap.WINDOWS", True)
    if request.param == "several disks":
        monkeypatch.setattr(os, "replace", _on_one_disk(os.replace))
        monkeypatch.setattr(os, "link", _on_one_disk(os.link))


def _no_link(source: Path, target: Path) -> None:
    raise PermissionError(errno.EPERM, "no hard links here", str(target))


def _on_one_disk(rename: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def checked(source: Path, target: Path) -> None:
        if source.parent.name == "stage" and not {"stage", ".app.upswap"} & {*target.parts}:
            raise OSError(errno.EXDEV, "another disk", str(target))
        rename(source, target)

    return checked


def test_an_update_killed_at_any_change_is_made_or_undone_whole(
    rich: Scenario, lie: None, runs: list[int]
) -> None:
    journal = rich.stage()
    assert {step.action for step in journal.steps} == set(Action)
    outcomes = []

    def run(at: int) -> bool:
        with rich.copy() as world:
            dead = killed(FaultyDisk(kill=at), lambda disk: commit(world.state.on(disk), journal))
            recover(world.state.on(CountingDisk()))
            outcomes.append(rich.is_new(world, f"killed at {at}"))
            if at % 10 == 0:
                rich.check_next_update(world, f"killed at {at}")
        return dead

    runs.append(every(run))
    assert outcomes == sorted(outcomes), "the old tree came back after the new one was there"
    assert {outcomes[0], outcomes[-1]} == {False, True}


START: Contents = {"app": Exe(b"program")}
FOLDERS_TO_LINKS: dict[str, tuple[Contents, Contents]] = {
    "to what was there": (
        {**START, "lib/a": b"a", "lib64/a": b"64"},
        {**START, "lib/a": b"a", "lib64": Link("lib")},
    ),
    "to what is new": (
        {**START, "lib/a": b"old"},
        {**START, "lib": Link("lib64"), "lib64/a": b"new"},
    ),
    "and another back": (
        {**START, "lib/a": b"a", "bin": Link("lib")},
        {**START, "lib": Link("bin"), "bin/a": b"a"},
    ),
}


@pytest.mark.parametrize("pair", FOLDERS_TO_LINKS.values(), ids=FOLDERS_TO_LINKS)
def test_a_folder_that_becomes_a_link_never_leads_recovery_into_its_target(
    pair: tuple[Contents, Contents], memory: Path, runs: list[int]
) -> None:
    old, new = pair
    scenario = Scenario(memory, old, new, old, new)
    journal = scenario.stage()

    def run_twice(at: int, then: int) -> bool:
        with scenario.copy() as world:
            dead = killed(FaultyDisk(kill=at), lambda disk: commit(world.state.on(disk), journal))
            again = killed(FaultyDisk(kill=then), lambda disk: recover(world.state.on(disk)))
            recover(world.state.on(CountingDisk()))
            scenario.is_new(world, f"killed at {at}, recovery at {then}")
        return dead and again

    runs.append(sum(every(partial(run_twice, at)) for at in range(1, 20)))


def test_an_update_killed_while_staging_leaves_the_old_tree_alone(
    rich: Scenario, runs: list[int]
) -> None:
    def run(at: int) -> bool:
        with rich.copy() as world:
            dead = killed(FaultyDisk(kill=at), lambda disk: rich.prepare(disk, world))
            assert recover(world.state.on(CountingDisk())) is Outcome.CLEAN
            assert not rich.is_new(world, f"killed at {at}")
            if at % 10 == 0:
                commit(world.state.on(CountingDisk()), rich.prepare(CountingDisk(), world))
                assert rich.is_new(world, f"killed at {at}, then updated")
        return dead

    runs.append(every(run))


def at_every_kill(scenario: Scenario, recovery: Callable[[World, int, int], bool]) -> list[int]:
    """Call ``recovery`` with each install whose update was killed; the numbers of runs.

    It says whether it met its own fault, whose number is its last argument.
    """
    journal = scenario.stage()
    made = []

    def run(at: int) -> bool:
        with scenario.copy() as world:
            dead = killed(FaultyDisk(kill=at), lambda disk: commit(world.state.on(disk), journal))
            made.append(every(partial(recovery, world, at)))
        return dead

    every(run)
    return made


@pytest.mark.parametrize("lie", ["no hard links"], indirect=True)  # it has the most changes
def test_a_killed_recovery_is_recovered_from(small: Scenario, lie: None, runs: list[int]) -> None:
    def run_recovery(world: World, at: int, again: int) -> bool:
        with small.copy(world) as second:
            dead = killed(FaultyDisk(kill=again), lambda disk: recover(second.state.on(disk)))
            recover(second.state.on(CountingDisk()))
            small.is_new(second, f"killed at {at}, recovery killed at {again}")
        return dead

    runs.extend(at_every_kill(small, run_recovery))


@pytest.mark.parametrize("lie", ["hard links", "no hard links"], indirect=True)
def test_a_killed_undo_is_undone(small: Scenario, lie: None, runs: list[int]) -> None:
    journal = small.stage()

    def run(fail: int, later: int) -> bool:
        kill = fail + later
        disk = FaultyDisk(kill=kill, fail=fail)
        with small.copy() as world:
            with suppress(InstallError):
                killed(disk, lambda disk: commit(world.state.on(disk), journal))
            recover(world.state.on(CountingDisk()))
            small.is_new(world, f"failed at {fail}, killed at {kill}")
        return disk.dead

    runs.extend(every(partial(run, fail)) for fail in range(1, small.changes(journal) + 1))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_fault_anywhere_is_an_error_with_the_old_tree_or_success_with_the_new(
    code: int, rich: Scenario, runs: list[int]
) -> None:
    journal = rich.stage()

    def run(at: int) -> bool:
        disk = FaultyDisk(fail=at, code=code)
        what = f"failed at {at}"
        with rich.copy() as world:
            error = failed(lambda: commit(world.state.on(disk), journal))
            if error:
                assert not rich.is_new(world, what)
                assert isinstance(error, NotEnoughSpace) == (code == errno.ENOSPC)
            else:
                rich.check_made(world, what)
            recover(world.state.on(CountingDisk()))
            assert rich.is_new(world, what) == (error is None)
            if at % 10 == 0:
                rich.check_next_update(world, what)
        return disk.faults > 0

    runs.append(every(run))


def test_a_fault_while_staging_leaves_the_old_tree_alone(rich: Scenario, runs: list[int]) -> None:
    def run(at: int) -> bool:
        disk = FaultyDisk(fail=at, code=errno.ENOSPC)
        with rich.copy() as world:
            with suppress(OSError):
                rich.prepare(disk, world)
                removed = disk.log[at - 1 :][:1] and disk.log[at - 1].split()[0]
                assert not disk.faults or removed in {"unlink", "rmdir"}, "a fault was swallowed"
            assert not rich.is_new(world, f"failed at {at}")
        return disk.faults > 0

    runs.append(every(run))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_fails_for_good_leaves_what_a_later_recovery_makes_whole(
    code: int, rich: Scenario, runs: list[int]
) -> None:
    journal = rich.stage()

    def run(at: int) -> bool:
        disk = FaultyDisk(fail=at, code=code, forever=True)
        what = f"failed from {at} on"
        with rich.copy() as world:
            error = failed(lambda: commit(world.state.on(disk), journal))
            if error is None:
                rich.check_made(world, what)
            elif not isinstance(error, RollbackFailed):
                assert not rich.is_new(world, what)
            again = failed(lambda: recover(world.state.on(disk)))
            assert again is None or phase_of(world.state) is not None, what
            recover(world.state.on(CountingDisk()))
            assert rich.is_new(world, what) or error, what
        return disk.faults > 0

    runs.append(every(run))


def test_a_recovery_that_meets_a_fault_tells_the_truth_and_can_be_repeated(
    small: Scenario, runs: list[int]
) -> None:
    def run_recovery(world: World, at: int, again: int) -> bool:
        disk = FaultyDisk(fail=again, code=errno.ENOSPC)
        what = f"killed at {at}, recovery failed at {again}"
        with small.copy(world) as second:
            outcome = Outcome.CLEAN
            with suppress(InstallError):
                outcome = recover(second.state.on(disk))
            if outcome is not Outcome.CLEAN:
                assert small.is_new(second, what) == (outcome is Outcome.FINISHED)
            recover(second.state.on(CountingDisk()))
            small.is_new(second, what)
        return disk.faults > 0

    runs.extend(at_every_kill(small, run_recovery))


RELEASE: Contents = {"app": Exe(b"1"), "lib/core": b"core", "link": Link("app")}


def test_a_first_install_killed_anywhere_can_be_repeated(
    tmp_path: Path, publisher: Publisher, session: Session, runs: list[int]
) -> None:
    publisher.release("1.0", RELEASE)

    def run(at: int) -> bool:
        place = tmp_path / str(at) / "app"
        with served(publisher.folder) as url:
            install_with = partial(install, place, url, publisher.root, "notes")
            dead = killed(
                FaultyDisk(kill=at), lambda disk: install_with(session=replace(session, disk=disk))
            )
            error = failed(lambda: install_with(session=session))
        assert error is None or "an install already" in str(error), f"killed at {at}"
        assert read_tree(place) == RELEASE, f"killed at {at}"
        status = Updater(place, session).status()
        assert (status.version, status.state) == ("1.0", "clean"), f"killed at {at}"
        return dead

    runs.append(every(run))


def test_a_first_install_that_fails_leaves_nothing_behind(
    tmp_path: Path, publisher: Publisher, session: Session, runs: list[int]
) -> None:
    publisher.release("1.0", RELEASE)

    def run(at: int) -> bool:
        place = tmp_path / str(at) / "app"
        disk = FaultyDisk(fail=at, code=errno.ENOSPC)
        with served(publisher.folder) as url:
            error = failed(
                lambda: install(
                    place, url, publisher.root, "notes", session=replace(session, disk=disk)
                )
            )
        if error is None:
            assert read_tree(place) == RELEASE, f"failed at {at}"
            assert Updater(place, session).status().version == "1.0", f"failed at {at}"
        else:
            assert isinstance(error, NotEnoughSpace), f"failed at {at}"
            assert read_tree(tmp_path / str(at)) == {}, f"failed at {at}"
        return disk.faults > 0

    runs.append(every(run))


def test_an_update_killed_anywhere_is_made_by_the_next_one(
    tmp_path: Path, publisher: Publisher, session: Session, runs: list[int], url: str
) -> None:
    new: Contents = {"app": Exe(b"22"), "lib": b"a file now", "more/f": b"more"}
    publisher.release("1.0", RELEASE)
    install(tmp_path / "first" / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", new)

    def run(at: int) -> bool:
        copy_world(World(tmp_path / "first"), tmp_path / str(at))
        place = tmp_path / str(at) / "app"
        dead = killed(
            FaultyDisk(kill=at),
            lambda disk: Updater(place, replace(session, disk=disk)).update(),
        )
        Updater(place, session).update()
        assert read_tree(place) == new, f"killed at {at}"
        status = Updater(place, session).status()
        assert (status.version, status.previous, status.state) == ("2.0", "1.0", "clean")
        return dead

    runs.append(every(run))
