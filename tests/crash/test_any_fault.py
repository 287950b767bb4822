"""Whatever is raised in the middle of a commit, its recovery or a rollback, leaves one version.

And every command that meets it ends: real commands under a watchdog.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import (
    CountingDisk,
    World,
    copy_world,
    manifest_of,
    prepare,
    world_of,
)
from tests.support.crash.crash_runs import tell
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import served
from tests.support.trees.trees import Content, Exe, Link, Tree
from updater.disk.durable import Disk
from updater.errors import InstallError, RollbackFailed, causes
from updater.launch.commit.journal import Phase, phase_of
from updater.launch.commit.recover import commit, recover
from updater.launch.commit.rollback import rollback
from updater.local.session import Session
from updater.update.install_new import install

OLD: Tree = {"app": Exe(b"1"), "dir/f": b"folder to file", "file": b"1", "gone": b"1"}
NEW: Tree = {"added": b"2", "app": Exe(b"2"), "dir": b"file", "file/f": b"2", "link": Link("app")}
RAISED: dict[str, Callable[[], BaseException]] = {
    "no memory": MemoryError,
    "a name without a spelling": lambda: UnicodeEncodeError("latin-1", "ф", 0, 1, "not in range"),
    "a null byte": lambda: ValueError("embedded null byte"),
    "no thread": lambda: RuntimeError("can't start new thread"),
    "too deep": RecursionError,
    "our own": lambda: InstallError("another program was faster"),
    "Ctrl-C": KeyboardInterrupt,
    "an application's handler of SIGTERM": SystemExit,
}
COMMAND_SECONDS = 60
"""What the slowest command here may take; without a fault it is two seconds."""


class Raising(CountingDisk):
    """A disk one change of which, and only one, raises something."""

    def __init__(self, at: int, make: Callable[[], BaseException]) -> None:
        super().__init__()
        self._at = at
        self._make = make

    @property
    def met(self) -> bool:
        return self.count >= self._at

    def _begin(self, what: str, path: Path) -> None:
        super()._begin(what, path)
        if self.count == self._at:
            raise self._make()


class Case:
    """An install of 1.0, and one that was updated to 2.0, to be copied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trees: dict[str, dict[str, Content]] = {"1.0": dict(OLD), "2.0": dict(NEW)}
        self.manifests = {v: manifest_of(folder, v, tree) for v, tree in self.trees.items()}
        self.old = world_of(folder / "old", self.manifests["1.0"], OLD)
        prepare(Disk(), self.old, self.manifests["2.0"], NEW)
        self.new = copy_world(self.old, folder / "new")
        commit(self.new.state, prepare(Disk(), self.new, self.manifests["2.0"], NEW))
        self._number = itertools.count()

    def copy(self, world: World) -> World:
        return copy_world(world, self.folder / f"copy-{next(self._number)}")

    def version(self, world: World) -> str:
        """Which version is there, whole, also in what the State says."""
        (version,) = (v for v, tree in self.trees.items() if world.tree == tree)
        assert world.manifest == self.manifests[version]
        return version


@pytest.fixture
def case(memory: Path) -> Case:
    return Case(memory)


def ended_with(action: Callable[[], object]) -> BaseException | None:
    """What ``action`` raises."""
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - that is what is tested
        return error
    return None


def points(raised: str) -> Iterator[Raising]:
    """Disks that raise it at their first change, the second, and so on as long as one is met."""
    for at in itertools.count(1):
        disk = Raising(at, RAISED[raised])
        yield disk
        if not disk.met:
            tell(at - 1, f"in which is raised: {raised}")
            return


@pytest.mark.parametrize("raised", RAISED)
def test_a_commit_is_undone_or_made_whatever_is_raised_in_it(case: Case, raised: str) -> None:
    versions = set()
    for disk in points(raised):
        world = case.copy(case.old)
        state, journal = world.state, prepare(Disk(), world, case.manifests["2.0"], NEW)
        error = ended_with(partial(commit, state.on(disk), journal))
        phase = phase_of(state)
        assert phase in {None, Phase.COMMITTED}
        if isinstance(error, InstallError):
            assert case.version(world) == "1.0"
            assert error.rolled_back
            assert error.hint or raised == "our own"
        recover(state)
        versions.add(case.version(world))
    assert versions == {"1.0", "2.0"}


@pytest.mark.parametrize("raised", [name for name in RAISED if name not in {"Ctrl-C", "our own"}])
def test_a_rollback_is_gone_on_with_whatever_is_raised_in_it(case: Case, raised: str) -> None:
    versions = []
    for disk in points(raised):
        world = case.copy(case.new)
        error = ended_with(partial(rollback, world.state.on(disk), "a test"))
        begun = phase_of(world.state) is Phase.REVERTING
        assert isinstance(error, RollbackFailed | SystemExit) or not begun
        recover(world.state)
        versions.append(case.version(world))
    assert versions[-1] == "1.0"


def test_the_causes_of_an_error_end_also_where_they_are_a_circle() -> None:
    one, two = InstallError("one"), InstallError("two")
    one.__cause__, two.__cause__ = two, one
    assert list(causes(one)) == [one, two]
    one.__cause__ = one
    assert list(causes(one)) == [one]


SPOILING = """
import sys
from pathlib import Path
from updater.cli import commands as cli
from updater.launch.commit import file_swap
real = file_swap.sync_steps

def spoiled(*what):
    (Path(sys.argv[-1]) / "lib").write_bytes(b"by another program")
    real(*what)
    file_swap.sync_steps = real

file_swap.sync_steps = spoiled
sys.exit(cli.main(sys.argv[1:]))
"""
"""A real command beside which another program writes to a file that was just put in place."""


@pytest.fixture
def live(tmp_path: Path, publisher: Publisher, session: Session) -> Iterator[Path]:
    """An install of 1.0 that is offered 2.0, served."""
    publisher.release("1.0", {"app": Exe(b"1"), "lib": b"1"})
    with served(publisher.folder) as url:
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
        publisher.release("2.0", {"app": Exe(b"2"), "lib": b"2"})
        yield tmp_path / "app"


def test_an_update_whose_file_is_spoilt_by_another_program_ends_and_the_next_one_works(
    live: Path,
) -> None:
    words = ["update", "--no-restart", "--quiet", "--dir", str(live)]
    command = [sys.executable, "-c", SPOILING, *words]
    spoilt = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
    )
    assert (spoilt.returncode, "is not what was put there" in spoilt.stderr) == (7, True)
    assert (live / "app").read_bytes() == b"1"
    command = [sys.executable, "-m", "updater", *words]
    subprocess.run(command, capture_output=True, check=True, timeout=COMMAND_SECONDS)
    assert (live / "lib").read_bytes() == b"2"
