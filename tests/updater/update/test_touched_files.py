"""What somebody changed is found by the next update, whatever came between; nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Exe, Tree, noise, read_tree
from updater.client import Updater
from updater.disk.durable import Disk
from updater.errors import InstallError, UpdaterError
from updater.format.names import Digest
from updater.format.release_description import Policy, Release
from updater.launch.start.run_lock import alone, share
from updater.launch.state import State
from updater.local.session import Session
from updater.patch.file_digest import digest_of
from updater.update.install_new import install
from updater.update.job import UpdateOutcome

TREES: dict[str, Tree] = {
    version: {
        "app": Exe(b"#!/bin/sh\necho " + version.encode()),
        "core": noise(3_000, number),
        "same": b"same",
    }
    for number, version in enumerate(["1.0", "2.0", "3.0"])
}


class Case:
    """An install of 1.0 whose file ``same`` no release changes."""

    def __init__(self, folder: Path, url: str, publisher: Publisher, session: Session) -> None:
        self.folder = folder
        self.session = session
        self.publisher = publisher
        self.release("1.0")
        folder.mkdir()
        install(folder / "app", url, publisher.root, "notes", session=session)

    @property
    def updater(self) -> Updater:
        return Updater(self.folder / "app", self.session)

    @property
    def same(self) -> Path:
        return self.folder / "app" / "same"

    def release(
        self,
        version: str,
        policy: tuple[tuple[str, Policy], ...] = (),
        more: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Publish a version."""
        release = Release(entry=("app",), policy=policy)
        self.publisher.release(version, {**TREES[version], **more}, release=release)

    def damage(self) -> None:
        """Other bytes, as many; later than all that happened before, by the file system's clock."""
        before = self.same.stat().st_ctime_ns
        while self.same.stat().st_ctime_ns <= max(before, time.time_ns() - 10**8):
            time.sleep(0.02)
            self.same.write_bytes(b"SAME")

    def check(self, version: str) -> None:
        """Version ``version`` is there, whole, and what was edited lies beside it."""
        assert self.updater.status().version == version
        assert self.updater.verify().whole
        assert self.updater.verify(full=True).whole
        assert read_tree(self.folder / "app")["same.old"] == b"SAME"


@pytest.fixture
def case(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Case:
    return Case(tmp_path / "here", url, publisher, session)


def staged(case: Case, version: str) -> None:
    """The version waits for the application to end."""
    case.release(version)
    running = share(case.updater._state, 1)
    done = case.updater.update()
    assert done.outcome is UpdateOutcome.STAGED
    assert running is not None
    os.close(running)


def test_damage_is_found_by_the_next_update(case: Case) -> None:
    case.damage()
    case.release("2.0")
    case.updater.update()
    case.check("2.0")


def test_damage_before_a_rollback_is_found_by_the_update_after_it(case: Case) -> None:
    case.release("2.0")
    case.updater.update()
    case.damage()
    case.updater.rollback()
    case.release("3.0")
    case.updater.update()
    case.check("3.0")


def test_damage_while_an_update_waits_is_found_when_it_is_resumed(case: Case) -> None:
    staged(case, "2.0")
    case.damage()
    case.updater.update()
    case.check("2.0")


def test_damage_while_an_update_waits_for_the_launcher_is_found_by_verify_and_the_next_update(
    case: Case,
) -> None:
    staged(case, "2.0")
    case.damage()
    subprocess.run([case.updater._state.launcher / "start"], check=True, timeout=60)
    assert case.updater.status().version == "2.0"
    assert case.updater.verify().changed == ("same",)
    case.release("3.0")
    case.updater.update()
    case.check("3.0")


def copied(source: Path, target: Path) -> None:
    """The tree first, then the State."""
    target.mkdir()
    for name in ("app", ".app.upswap"):
        subprocess.run(["cp", "-a", source / name, target], check=True)


def unpacked(source: Path, target: Path) -> None:
    """As from an archive."""
    target.mkdir()
    archive = ["tar", "-C", str(source), "-cf", "-", "app", ".app.upswap"]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as packing:
        subprocess.run(["tar", "-C", target, "-xpf", "-"], stdin=packing.stdout, check=True)


@pytest.mark.parametrize("move", [copied, unpacked, shutil.move])
def test_damage_is_found_though_the_install_was_moved(
    case: Case, tmp_path: Path, move: Callable[[Path, Path], object]
) -> None:
    case.damage()
    move(case.folder, tmp_path / "there")
    case.folder = tmp_path / "there"
    case.release("2.0")
    case.updater.update()
    case.check("2.0")


def test_damage_is_found_after_an_install_by_a_clock_that_was_ahead(case: Case) -> None:
    tomorrow = time.time() + 86_400
    os.utime(case.updater._state.manifest, (tomorrow, tomorrow))
    case.damage()
    case.release("2.0")
    case.updater.update()
    case.check("2.0")


def test_an_edited_file_that_was_left_to_its_user_is_ours_again_when_its_policy_ends(
    case: Case,
) -> None:
    case.release("2.0", (("same", "keep"),))
    case.damage()
    case.updater.update()
    assert case.same.read_bytes() == b"SAME"
    assert case.updater.verify().kept == ("same",)
    case.release("3.0")
    case.updater.update()
    case.check("3.0")


def test_a_whole_install_is_believed_without_reading_it(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.release("2.0")
    case.updater.update()
    read: list[Path] = []

    def noted(path: Path) -> Digest:
        read.append(path)
        return digest_of(path)

    monkeypatch.setattr("updater.stage.inspect.digest_of", noted)
    assert case.updater.verify().whole
    ended = case.updater._state.manifest.stat().st_mtime_ns
    assert all(path.stat().st_ctime_ns == ended for path in read), "but for one tick of the clock"


def test_what_is_saved_while_an_update_is_committed_is_not_lost(case: Case) -> None:
    class Saving(Disk):
        """Its user saves a file that the update replaces, when the journal is written."""

        saved = False

        def write(self, path: Path, data: bytes, **how: bool) -> None:
            if path.name == "journal" and not self.saved:
                self.saved = True
                (case.folder / "app" / "core").write_bytes(b"saved late")
            super().write(path, data, **how)

    case.release("2.0")
    Updater(case.folder / "app", replace(case.session, disk=Saving())).update()
    assert b"saved late" in read_tree(case.folder / "app").values()
    case.updater.rollback()
    assert case.updater.status().version == "1.0"
    assert b"saved late" in read_tree(case.folder / "app").values()
    case.release("3.0")
    case.updater.update()
    assert b"saved late" in read_tree(case.folder / "app").values()


class Working(Disk):
    """Its user does ``work`` when the journal is written, and ``later`` when the commit is made."""

    def __init__(self, work: Callable[[], object], later: Callable[[], object] = list) -> None:
        self._todo = {"journal": work, "journal.done": later}

    def write(self, path: Path, data: bytes, **how: bool) -> None:
        self._todo.pop(path.name, list)()
        super().write(path, data, **how)

    def replace(self, source: Path, path: Path) -> None:
        self._todo.pop(path.name, list)()
        super().replace(source, path)


def moved_in(case: Case, tmp_path: Path) -> None:
    """A file from a backup, years old, takes the place of one that the update replaces."""
    (tmp_path / "backup").write_bytes(b"saved late")
    os.utime(tmp_path / "backup", (1.6e9, 1.6e9))
    (tmp_path / "backup").replace(case.folder / "app" / "core")


def test_what_is_moved_in_while_an_update_is_committed_is_not_lost_whatever_its_time(
    case: Case, tmp_path: Path
) -> None:
    case.release("2.0")
    disk = Working(lambda: moved_in(case, tmp_path))
    Updater(case.folder / "app", replace(case.session, disk=disk)).update()
    assert b"saved late" in read_tree(case.folder / "app").values()
    case.updater.rollback()
    assert b"saved late" in read_tree(case.folder / "app").values()


def test_what_is_saved_twice_while_an_update_is_committed_is_not_lost(case: Case) -> None:
    core = case.folder / "app" / "core"

    def save_again() -> None:
        core.unlink()
        core.write_bytes(b"saved later")

    case.release("2.0")
    disk = Working(lambda: core.write_bytes(b"saved late"), save_again)
    with suppress(InstallError):
        Updater(case.folder / "app", replace(case.session, disk=disk)).update()
    case.updater.recover()
    found = list(read_tree(case.folder / "app").values())
    assert b"saved later" in found
    assert b"saved late" in found
    if case.updater.status().version == "2.0":
        case.updater.rollback()
    assert case.updater.status().version == "1.0"


def test_what_is_made_where_an_update_puts_a_new_file_is_not_lost(case: Case) -> None:
    case.release("2.0", more={"notes.txt": b"released"})
    notes = case.folder / "app" / "notes.txt"
    disk = Working(lambda: notes.write_bytes(b"mine"))
    with pytest.raises(InstallError, match=r"was made while|was changed while"):
        Updater(case.folder / "app", replace(case.session, disk=disk)).update()
    assert notes.read_bytes() == b"mine"
    case.updater.update()
    assert case.updater.verify(full=True).whole
    assert (case.folder / "app" / "notes.txt.old").read_bytes() == b"mine"


@pytest.mark.parametrize("work", ["made", "moved in"])
def test_what_is_done_while_an_update_waits_for_the_application_is_not_lost(
    case: Case, tmp_path: Path, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = share(case.updater._state, 1)
    assert running is not None

    def after_work(state: State, *, wait: bool) -> AbstractContextManager[bool]:
        assert wait
        if work == "made":
            (case.folder / "app" / "notes.txt").write_bytes(b"saved late")
        else:
            moved_in(case, tmp_path)
        os.close(running)
        return alone(state, wait=wait)

    case.release("2.0", more={"notes.txt": b"released"})
    monkeypatch.setattr("updater.update.job.alone", after_work)
    with suppress(InstallError):
        case.updater.update("wait")
    monkeypatch.undo()
    case.updater.update()
    assert case.updater.status().version == "2.0"
    assert b"saved late" in read_tree(case.folder / "app").values()


def test_a_repair_keeps_what_is_saved_while_it_is_committed(case: Case) -> None:
    class Saving(Disk):
        """Its user saves the file that is repaired, when the journal is written."""

        def write(self, path: Path, data: bytes, **how: bool) -> None:
            if path.name == "journal":
                case.same.write_bytes(b"saved late")
            super().write(path, data, **how)

    case.damage()
    Updater(case.folder / "app", replace(case.session, disk=Saving())).repair()
    assert b"saved late" in read_tree(case.folder / "app").values()
    with pytest.raises(UpdaterError, match="no previous version"):
        case.updater.rollback()
