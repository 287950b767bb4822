"""The way back leads to the version before, or there is none; a version without one is no trap."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import FaultyDisk, World, copy_world
from tests.support.crash.crash_runs import every, tell
from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Exe, Tree, noise
from updater.client import Updater
from updater.errors import InstallError
from updater.format.release_description import Confirm, Release
from updater.launch.start.launcher import Launcher
from updater.launch.start.run_lock import share
from updater.launch.start.watch import Start
from updater.launch.state import State
from updater.local.session import Session
from updater.update.install_new import install

PLAIN = Release(entry=("app",))
TRIED = Release(entry=("app",), confirm=Confirm(mode="app", starts=1, seconds=5))


def tree(version: str, number: int, code: int = 0, shared: bytes = b"alike") -> Tree:
    """A release whose entry says its version, and ends with ``code``."""
    entry = Exe(f"#!/bin/sh\necho {version}\nexit {code}\n".encode())
    return {"app": entry, "core": noise(900, number), "shared": shared}


class Case:
    """An install of 0.9."""

    def __init__(self, folder: Path, url: str, publisher: Publisher, session: Session) -> None:
        self.session = session
        self.publisher = publisher
        self.world = World(folder)
        publisher.release("0.9", tree("0.9", 0), release=PLAIN)
        folder.mkdir()
        install(folder / "app", url, publisher.root, "notes", session=session)

    @property
    def state(self) -> State:
        return self.world.state

    @property
    def updater(self) -> Updater:
        return Updater(self.state.install, self.session)

    def update(self, version: str, content: Tree, release: Release = PLAIN) -> None:
        """Publish a version, and update to it."""
        self.publisher.release(version, content, release=release)
        assert self.updater.update()


@pytest.fixture
def case(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Case:
    return Case(tmp_path / "here", url, publisher, session)


class Beside(Launcher):
    """A launcher that does not become the application, but starts it beside."""

    def _become(self, start: Start) -> int:
        return subprocess.call(start.line, env=start.environment)


@pytest.mark.crash
def test_a_fault_while_the_launcher_cleans_up_never_leads_two_versions_back(
    case: Case, tmp_path: Path
) -> None:
    """0.9, then 1.0, then 2.0 that waits, is committed by the launcher, and crashes."""
    case.update("1.0", tree("1.0", 1))
    case.publisher.release("2.0", tree("2.0", 2, 3, b"changed"), release=TRIED)
    running = share(case.state, 1)
    assert case.updater.update()
    assert running is not None
    os.close(running)

    def run(at: int) -> bool:
        what = f"failed at {at}"
        world = copy_world(case.world, tmp_path / str(at))
        disk = FaultyDisk(fail=at, code=errno.EIO)
        with suppress(InstallError, OSError):
            Beside(world.state.on(disk)).run()
        updater = Updater(world.state.install, case.session)
        updater.recover()
        assert updater.status().version in {"1.0", "2.0"}, what
        assert "1.0" not in updater.status().bad, what
        assert updater.verify(full=True).whole, what
        shutil.rmtree(world.folder)
        return disk.faults > 0

    tell(every(run), "launches that commit what waits, and take it back")


def unparked(state: State) -> None:
    shutil.rmtree(state.old)


def spoilt(state: State) -> None:
    state.parked.write_bytes(bytes(500))


def rotten(state: State) -> None:
    state.parked_file(0).write_bytes(b"rotten")


@pytest.mark.parametrize("lost", [unparked, spoilt, rotten])
def test_a_version_on_trial_that_cannot_be_taken_back_can_be_updated(
    case: Case, lost: Callable[[State], None]
) -> None:
    case.update("1.0", tree("1.0", 1, code=3), TRIED)
    lost(case.state)
    assert subprocess.run([case.state.launcher / "start"], check=False, timeout=60).returncode
    assert case.updater.status().version == "1.0"
    case.update("2.0", tree("2.0", 2))
    assert case.updater.status().version == "2.0"
    assert case.updater.verify(full=True).whole


@pytest.mark.parametrize("lost", [unparked, spoilt, rotten])
def test_an_update_after_the_way_back_was_lost_works(
    case: Case, lost: Callable[[State], None]
) -> None:
    case.update("1.0", tree("1.0", 1))
    lost(case.state)
    case.update("2.0", tree("2.0", 2))
    assert case.updater.rollback().new == "1.0"


def test_what_was_told_once_is_not_needed_for_the_way_back(case: Case) -> None:
    """A second window is told of 0.9 while 2.0 waits; the rollback of 2.0 must not miss that."""
    running = share(case.state, 1)
    case.publisher.release("1.0", tree("1.0", 1), release=PLAIN)
    assert case.updater.update("force")
    case.publisher.release("2.0", tree("2.0", 2, code=3), release=TRIED)
    assert case.updater.update()
    assert case.state.arrival.exists()
    case.state.arrival.unlink()
    assert running is not None
    os.close(running)
    Beside(case.state).run()
    assert case.updater.status().version == "1.0"
    assert case.updater.status().bad == ("2.0",)


def test_a_disk_that_fails_once_ends_no_trial(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.update("1.0", tree("1.0", 1, code=3), TRIED)
    real = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path == case.state.parked:
            raise OSError(errno.EIO, "input/output error", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert not case.updater.update()
    monkeypatch.undo()
    Beside(case.state).run()
    assert case.updater.status().version == "0.9"


def test_arguments_that_no_program_could_take_say_nothing_about_a_version(case: Case) -> None:
    case.update("1.0", tree("1.0", 1), TRIED)
    with pytest.raises(InstallError, match="Argument list too long"):
        Beside(case.state).run(["x" * 200_000])
    assert case.updater.status().bad == ()


def test_a_rollback_leaves_a_file_its_user_gave_such_a_name(case: Case) -> None:
    core = case.state.install / "core"
    old = core.read_bytes()
    case.update("1.0", tree("1.0", 1))
    core.with_name("core.old").write_bytes(old)
    case.updater.rollback()
    assert core.with_name("core.old").read_bytes() == old
