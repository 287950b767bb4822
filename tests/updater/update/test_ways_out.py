"""From every state of an install a command leads out: a rollback, the next update, or a repair."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import World
from tests.support.crash.immutable import immutable
from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Content, Exe, Link, Tree, read_tree
from updater.client import Updater
from updater.errors import InstallError, RollbackFailed
from updater.format.release_description import Confirm, Release
from updater.launch.commit.journal import Phase, named, phase_of
from updater.launch.start.run_lock import share
from updater.launch.state import State
from updater.local.session import Session
from updater.update.install_new import install
from updater.update.job import UpdateOutcome

PLAIN = Release(entry=("app",))
TRIED = Release(entry=("app",), confirm=Confirm(mode="app", starts=1, seconds=5))


def program(version: str, code: int = 0) -> Exe:
    """An entry that says its version, and ends with ``code``."""
    return Exe(f"#!/bin/sh\necho {version}\nexit {code}\n".encode())


OLD: Tree = {"app": program("1.0"), "d/f": b"1", "l": Link("d"), "x": b"1", "was-file": b"1"}
GOOD: Tree = {"app": program("3.0"), "d/f": b"3", "l": Link("d"), "x": b"3", "was-file": b"3"}
SHAPES: dict[str, dict[str, Content]] = {
    "a folder becomes a symlink": {"d": Link("e"), "e/f": b"1"},
    "a folder becomes a file": {"d": b"file"},
    "a file becomes a folder": {"d/f": b"1", "was-file/deep/f": b"2"},
    "a file becomes a symlink": {"d/f": b"1", "was-file": Link("d/f")},
    "a symlink becomes a folder": {"d/f": b"1", "l/deep/f": b"2"},
    "a symlink becomes a folder with a file it led to": {"d/f": b"1", "l/f": b"1"},
    "a folder becomes a symlink to itself, moved": {"d": Link("e/d"), "e/d/f": b"1"},
}


class Case:
    """An install of 1.0."""

    def __init__(self, folder: Path, url: str, publisher: Publisher, session: Session) -> None:
        self.session = session
        self.publisher = publisher
        self.live = folder / "app"
        self._url = url
        publisher.release("1.0", OLD, release=PLAIN)
        folder.mkdir()
        self.install()

    @property
    def state(self) -> State:
        return World(self.live.parent).state

    @property
    def updater(self) -> Updater:
        return Updater(self.live, self.session)

    def install(self) -> None:
        """Install what is offered, and work with it."""
        install(self.live, self._url, self.publisher.root, "notes", session=self.session)
        (self.live / "mine.txt").write_bytes(b"mine")

    def fails(self, shape: dict[str, Content]) -> None:
        """Update to a version of that shape, which does not come up."""
        self.publisher.release("2.0", {"app": program("2.0", 3), "x": b"2", **shape}, release=TRIED)
        assert self.updater.update()

    def launch(self) -> int:
        """The next start; its exit code."""
        start = [self.state.launcher / "start"]
        return subprocess.run(start, check=False, timeout=60, capture_output=True).returncode

    def leads_on(self) -> None:
        """The next good release can be installed with at most two commands, and starts."""
        self.publisher.release("4.0", GOOD, release=PLAIN)
        for first in (list, self.launch, self.updater.repair):
            with suppress(InstallError):
                first()
                self.updater.update()
                break
        self.check(GOOD, "4.0")
        assert self.launch() == 0

    def check(self, tree: Tree, version: str) -> None:
        """That version is there, whole, and the user's file."""
        assert self.updater.status().version == version
        assert self.updater.verify(full=True).whole
        assert {**read_tree(self.live), **tree, "mine.txt": b"mine"} == read_tree(self.live)


@pytest.fixture
def case(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Case:
    return Case(tmp_path / "here", url, publisher, session)


@contextmanager
def mounted(source: Path, place: Path) -> Iterator[None]:
    """``source`` in force at ``place``; skips the test where that is not permitted."""
    command: list[str | Path] = ["mount", "--bind", source, place]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["by its trial", "by its user"])
def test_a_version_of_any_shape_is_taken_back(case: Case, shape: str, how: str) -> None:
    case.fails(SHAPES[shape])
    if how == "by its trial":
        assert case.launch() == 0
    else:
        case.updater.rollback()
    case.check(OLD, "1.0")
    assert read_tree(case.live) == {**OLD, "mine.txt": b"mine"}
    case.leads_on()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_version_of_any_shape_comes_with_the_next_start(case: Case, shape: str) -> None:
    new: Tree = {"app": program("2.0"), "x": b"2", **SHAPES[shape]}
    case.publisher.release("2.0", new, release=PLAIN)
    lock = share(case.state, 1)
    assert lock is not None
    assert case.updater.update().outcome is UpdateOutcome.STAGED
    os.close(lock)
    assert case.launch() == 0
    case.check(new, "2.0")
    case.leads_on()


def test_an_update_that_waits_is_not_made_through_a_link_of_the_users(case: Case) -> None:
    case.publisher.release("2.0", {**OLD, "d/f": b"2"}, release=PLAIN)
    lock = share(case.state, 1)
    assert lock is not None
    assert case.updater.update().outcome is UpdateOutcome.STAGED
    os.close(lock)
    link_in_the_way(case)
    assert case.launch() == 0
    assert case.updater.status().version == "1.0"
    assert (case.live.parent / "elsewhere/f").read_bytes() == b"1"


def link_in_the_way(case: Case) -> None:
    """The user has put a folder of the old version elsewhere."""
    (case.live / "d").rename(case.live.parent / "elsewhere")
    (case.live / "d").symlink_to(case.live.parent / "elsewhere")


def kept_is_gone(case: Case) -> None:
    (case.state.old / "0").unlink()


def kept_settings_are_spoilt(case: Case) -> None:
    for place in case.state.old.iterdir():
        if place.is_file() and b'"channel"' in place.read_bytes() and place.name != "journal":
            place.write_bytes(b"{}")


@pytest.mark.parametrize("what", [link_in_the_way, kept_is_gone, kept_settings_are_spoilt])
def test_a_failed_version_that_cannot_be_taken_back_makes_way_for_the_next(
    case: Case, what: Callable[[Case], None]
) -> None:
    case.fails({"d/f": b"2"})
    what(case)
    assert case.launch() == 3, "its own exit code"
    case.leads_on()


def test_a_folder_nobody_may_change_stops_no_start_and_no_later_update(case: Case) -> None:
    case.fails({"d/f": b"2"})
    with immutable(case.live / "d"):
        with pytest.raises(InstallError, match="immutable"):
            case.updater.rollback()
        assert case.launch() == 3, "its own exit code"
    case.leads_on()


@pytest.mark.parametrize("path", ["added", "added-folder/deep/f"])
def test_a_file_of_a_failed_version_that_cannot_be_deleted_keeps_nobody_from_the_old_one(
    case: Case, path: str
) -> None:
    case.fails({"d/f": b"2", path: b"added"})
    with immutable(case.live / path):
        assert case.launch() == 0
        case.check(OLD, "1.0")
        assert case.updater.status().state == "clean"
        case.leads_on()
        assert (case.live / path).read_bytes() == b"added"
    case.updater.recover()
    assert read_tree(case.live) == {**GOOD, "mine.txt": b"mine"}
    assert not case.state.trash.exists()


def test_what_was_kept_and_cannot_be_deleted_blocks_no_later_update(case: Case) -> None:
    case.publisher.release("2.0", {**GOOD, "x": b"2"}, release=PLAIN)
    assert case.updater.update()
    kept = next(place for place in case.state.old.iterdir() if place.read_bytes() == b"1")
    if subprocess.run(["chattr", "+i", kept], capture_output=True, check=False).returncode:
        pytest.skip("no immutable files here")
    try:
        case.publisher.release("3.0", GOOD, release=PLAIN)
        assert case.updater.update()
        case.leads_on()
        case.updater.rollback()
        case.check(GOOD, "3.0")
        assert case.state.trash.exists()
    finally:
        subprocess.run(["chattr", "-R", "-f", "-i", case.state.folder], check=False)
    case.updater.recover()
    assert not case.state.trash.exists()


def test_what_could_not_be_deleted_and_is_released_again_stays(case: Case) -> None:
    case.fails({"d/f": b"2", "added": b"added"})
    with immutable(case.live / "added"):
        assert case.launch() == 0
    case.publisher.release("3.0", {**GOOD, "added": b"added"}, release=PLAIN)
    assert case.updater.update()
    case.updater.recover()
    case.check({**GOOD, "added": b"added"}, "3.0")


@pytest.mark.parametrize("phase", [Phase.SWAPPING, Phase.UNDOING, Phase.REVERTING])
def test_a_commit_that_can_neither_be_made_nor_undone_is_led_out_of_by_a_repair(
    case: Case, phase: Phase
) -> None:
    case.fails({"d/f": b"2", "added": b"2"})
    state = case.state
    if phase is Phase.REVERTING:
        state.parked.rename(named(state, phase))
        for place in state.old.iterdir():
            place.unlink()
            place.mkdir()  # what was kept is no use any more
    else:
        state.parked.rename(named(state, phase))
        (case.live / "x.old").mkdir()
        (case.live / "x.old" / "in the way").write_bytes(b"")
        (case.live / "x").write_bytes(b"by another program")
    with pytest.raises(RollbackFailed, match="could not be"):
        case.updater.update()
    assert phase_of(state) is not None
    case.updater.repair()
    assert phase_of(state) is None
    assert case.updater.verify(full=True).whole
    case.leads_on()


def test_a_trial_in_an_install_that_is_a_mount_leads_back(case: Case) -> None:
    case.fails({"d/f": b"2", "link": Link("d")})
    with mounted(case.live, case.live):
        assert case.launch() == 0
        case.check(OLD, "1.0")
        case.leads_on()


def test_a_file_that_is_a_mount_is_named_before_anything_changes_and_stays_in_force(
    case: Case, tmp_path: Path
) -> None:
    case.publisher.release("3.0", GOOD, release=PLAIN)
    (tmp_path / "own x").write_bytes(b"the administrator's")
    with mounted(tmp_path / "own x", case.live / "x"):
        before = read_tree(case.live)
        with pytest.raises(InstallError, match="is a mount") as caught:
            case.updater.update()
        assert not caught.value.rolled_back, "nothing was begun"
        assert str(case.live / "x") in str(caught.value)
        assert read_tree(case.live) == before
        assert (case.live / "x").samefile(tmp_path / "own x")
    case.leads_on()


def test_a_version_below_a_mount_is_not_taken_back_half_way(case: Case, tmp_path: Path) -> None:
    case.fails({"d/f": b"2"})
    (tmp_path / "own x").write_bytes(b"the administrator's")
    with mounted(tmp_path / "own x", case.live / "x"):
        with pytest.raises(InstallError, match="is a mount"):
            case.updater.rollback()
        assert phase_of(case.state) is None
    case.updater.rollback()
    case.check(OLD, "1.0")


@pytest.fixture
def latin(tmp_path: Path) -> dict[str, str]:
    """The environment of a locale that has no Cyrillic letters."""
    place = tmp_path / "locales" / "en_US.ISO-8859-1"
    place.parent.mkdir()
    try:
        made = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(place)]
        subprocess.run(made, check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no localedef here")
    environment = os.environ | {"LOCPATH": str(place.parent), "LC_ALL": place.name}
    environment.pop("PYTHONUTF8", None)
    asked = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    if "8859" not in said.stdout:
        pytest.skip("no such locale here")
    return environment


NAMED: Tree = {**GOOD, "файл": b"3", "папка/файл.txt": b"3"}
UPDATE = "import sys\nfrom updater.client import Updater\nUpdater(sys.argv[1]).update()"


def test_commands_and_launcher_bring_any_name_whatever_the_locale(
    case: Case, latin: dict[str, str]
) -> None:
    case.publisher.release("3.0", NAMED, release=PLAIN)
    words = [sys.executable, "-m", "updater", "update", "--no-restart", "--dir", str(case.live)]
    subprocess.run(words, env=latin, check=True, timeout=60, capture_output=True)
    case.check(NAMED, "3.0")
    start = [case.state.launcher / "start"]
    said = subprocess.run(start, env=latin, check=True, timeout=60, capture_output=True, text=True)
    assert said.stdout == "3.0\n"


def test_an_application_that_cannot_spell_a_name_is_told_before_anything_changes(
    case: Case, latin: dict[str, str]
) -> None:
    case.publisher.release("3.0", NAMED, release=PLAIN)
    before = read_tree(case.live)
    words = [sys.executable, "-c", UPDATE, str(case.live)]
    said = subprocess.run(words, env=latin, check=False, timeout=60, capture_output=True, text=True)
    assert "CannotSpell" in said.stderr
    assert "rolled" not in said.stderr
    assert read_tree(case.live) == before
    case.leads_on()


@pytest.mark.parametrize("is_mixed", [False, True])
def test_an_install_whose_folder_was_removed_is_installed_again(case: Case, is_mixed: bool) -> None:
    case.fails({})
    shutil.rmtree(case.live)
    if is_mixed:
        named(case.state, Phase.SWAPPING).write_bytes(b"")
    with pytest.raises(InstallError, match="is not there") as caught:
        Updater(case.live)
    assert "updater install" in caught.value.hint
    for _ in range(2):
        assert case.launch() == InstallError.exit_code
    case.publisher.release("3.0", GOOD, release=PLAIN)
    case.install()
    case.check(GOOD, "3.0")
    case.leads_on()


def test_a_version_is_not_blamed_for_a_folder_that_is_not_there(case: Case) -> None:
    case.fails({})
    case.live.rename(case.live.with_name("elsewhere"))
    assert case.launch() == InstallError.exit_code
    case.live.with_name("elsewhere").rename(case.live)
    status = case.updater.status()
    assert (status.version, status.state, status.bad) == ("2.0", "unconfirmed", ())


def test_a_state_that_was_renamed_or_linked_to_is_no_version_s_fault(case: Case) -> None:
    case.fails({})
    state, elsewhere = case.state.folder, case.live.parent / "elsewhere"
    before = read_tree(state)
    state.rename(elsewhere)
    start = [elsewhere / "launcher/start"]
    done = subprocess.run(start, check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode == InstallError.exit_code
    assert "is not the State of an install" in done.stderr
    assert read_tree(elsewhere) == before
    state.symlink_to(elsewhere)
    assert case.launch() == 0
    assert sorted(path.name for path in elsewhere.iterdir() if path.name in OLD) == []
    state.unlink()
    elsewhere.rename(state)
    case.check(OLD, "1.0")


def test_the_application_starts_in_a_working_folder_that_is_gone(
    case: Case, tmp_path: Path
) -> None:
    case.publisher.release("2.0", {**OLD, "app": program("2.0")}, release=TRIED)
    assert case.updater.update()
    gone = tmp_path / "gone"
    for _ in range(2):
        gone.mkdir()
        line = f"cd {gone} && rmdir {gone} && exec {case.state.launcher}/start"
        done = subprocess.run(["sh", "-c", line], check=False, timeout=60, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == b"2.0\n"
