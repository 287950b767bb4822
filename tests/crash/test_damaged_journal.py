"""A journal the disk has spoilt: no update is blocked by it for good, no tree stays mixed."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import CountingDisk, FaultyDisk, Killed, World, copy_world
from tests.support.crash.crash_runs import every, tell
from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Content, Exe, Tree, noise, read_tree
from updater.cli.commands import main
from updater.client import Updater
from updater.errors import DamagedJournal, InstallError, TransportError
from updater.launch.commit.journal import Phase, enter, named, phase_of
from updater.launch.commit.recover import Outcome
from updater.launch.state import State
from updater.local.session import Session
from updater.local.settings import read_settings
from updater.update.install_new import install

OLD: Tree = {"app": Exe(b"1"), "gone": b"gone", "lib/core": noise(3_000, 1), "same": b"same"}
NEW: Tree = {"app": Exe(b"2"), "lib/added": b"new", "lib/core": noise(3_000, 2), "same": b"same"}
ASIDE = re.compile(r"\.(old|new)(-\d+)?$")
MIXING = (Phase.SWAPPING, Phase.UNDOING, Phase.REVERTING)


THIRD: Tree = {**OLD, "app": Exe(b"3"), "lib/core": noise(3_000, 3)}


@pytest.fixture
def publisher(publisher: Publisher) -> Publisher:
    """Version 1.0 offered, 2.0 there."""
    publisher.release("1.0", OLD)
    publisher.add("2.0", NEW)
    return publisher


class DiesBefore(CountingDisk):
    """The process dies when a file is to be renamed to ``name``, outside the stage."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._dead = False

    def _begin(self, what: str, path: Path) -> None:
        is_it = what == "replace" and path.name == self._name and path.parent.name != "stage"
        self._dead = self._dead or is_it
        if self._dead:
            raise Killed
        super()._begin(what, path)


class Case:
    """An install of 1.0 that is offered 2.0."""

    def __init__(self, folder: Path, url: str, publisher: Publisher, session: Session) -> None:
        self.session = session
        folder.mkdir()
        install(folder / "app", url, publisher.root, "notes", session=session)
        publisher.promote("2.0")
        self.live = folder / "app"

    @property
    def updater(self) -> Updater:
        return Updater(self.live, self.session)

    @property
    def state(self) -> State:
        return self.updater._state

    def killed(self, name: str) -> None:
        """Update, until just before ``name`` takes its place."""
        session = replace(self.session, disk=DiesBefore(name))
        with pytest.raises(Killed):
            Updater(self.live, session).update()

    @property
    def released(self) -> dict[str, Content]:
        """What is there but for what had to make way."""
        return {p: c for p, c in read_tree(self.live).items() if not ASIDE.search(p)}


@pytest.fixture
def case(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Case:
    return Case(tmp_path / "here", url, publisher, session)


def spoil(state: State, phase: Phase) -> None:
    enter(state, phase)
    named(state, phase).write_bytes(bytes(500))


def test_of_an_update_that_was_made_only_the_way_back_is_lost(case: Case) -> None:
    case.killed("0")  # the first file to be parked
    assert phase_of(case.state) is Phase.COMMITTED
    spoil(case.state, Phase.COMMITTED)
    assert case.updater.recover() is Outcome.FINISHED
    assert case.released == NEW
    assert case.updater.verify(full=True).whole
    assert not case.updater.update()
    assert case.updater.status().state == "clean"


def test_what_is_kept_for_a_rollback_and_spoilt_stops_no_later_update(
    case: Case, publisher: Publisher
) -> None:
    assert case.updater.update()
    case.state.parked.write_bytes(bytes(500))
    publisher.release("3.0", THIRD)
    done = case.updater.update()
    assert done is not None
    assert done.new == "3.0"
    assert case.updater.rollback().new == "2.0"
    assert case.released == NEW


@pytest.mark.parametrize("phase", MIXING, ids=lambda phase: phase.name)
@pytest.mark.parametrize("name", ["core", "app", "manifest", "install.json"])
def test_a_mixed_tree_is_told_and_repaired_to_one_release(
    case: Case, name: str, phase: Phase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.killed(name)
    spoil(case.state, phase)
    for command in ("recover", "update"):
        assert main([command, "--dir", str(case.live)]) == 7
        assert "updater repair" in capsys.readouterr().err
    assert case.updater.status().state == "interrupted"
    case.updater.repair()
    assert case.updater.status().state == "clean"
    assert case.updater.verify(full=True).whole
    assert {"app": case.released["app"], "same": b"same"}.items() <= case.released.items()
    if case.updater.status().version == "1.0":
        case.updater.update()
    assert {p: c for p, c in case.released.items() if p != "gone"} == NEW
    assert not list(case.state.folder.glob("journal*"))


def test_until_it_is_repaired_a_mixed_tree_is_known_to_be_mixed(case: Case) -> None:
    case.killed("manifest")
    spoil(case.state, Phase.UNDOING)
    settings = case.state.settings.read_bytes()
    offline = replace(read_settings(case.state), url="http://127.0.0.1:9")
    case.state.settings.write_bytes(offline.data)
    with pytest.raises(TransportError):
        case.updater.repair()
    assert case.updater.status().state == "interrupted"
    with pytest.raises(DamagedJournal):
        case.updater.update()
    case.state.settings.write_bytes(settings)
    case.updater.repair()
    assert case.updater.status().state == "clean"


def damaged(case: Case, publisher: Publisher, *, before: bool) -> World:
    """A mixed install with one file damaged besides; ``before``: with an older way back."""
    if before:
        assert case.updater.update()
        publisher.release("3.0", THIRD)
    case.killed("manifest")
    spoil(case.state, Phase.SWAPPING)
    (case.live / "same").write_bytes(b"SAME")
    return World(case.live.parent)


def check_told(updater: Updater, what: str) -> None:
    """An install that is called whole is."""
    if updater.status().state != "interrupted":
        assert updater.verify(full=True).whole, what


def check_repaired(updater: Updater, what: str) -> None:
    """The next repair makes it one release, and no older one can come back over it."""
    updater.repair()
    assert updater.status().state == "clean", what
    check_told(updater, what)
    version = updater.status().version
    with pytest.raises(InstallError, match="no previous version"):
        updater.rollback()
    assert updater.status().version == version, what


@pytest.mark.crash
@pytest.mark.parametrize("before", [False, True], ids=["first update", "second update"])
@pytest.mark.parametrize("code", [None, errno.EIO], ids=["killed", "failed"])
def test_a_repair_of_a_mixed_tree_may_be_interrupted_anywhere(
    tmp_path_factory: pytest.TempPathFactory,
    publisher: Publisher,
    case: Case,
    code: int | None,
    before: bool,
) -> None:
    world = damaged(case, publisher, before=before)
    folder = tmp_path_factory.mktemp("copies")

    def run(at: int) -> bool:
        what = f"disturbed at {at}"
        copy = copy_world(world, folder / str(at))
        disk = FaultyDisk(kill=at) if code is None else FaultyDisk(fail=at, code=code)
        with suppress(Killed, InstallError):
            Updater(copy.state.install, replace(case.session, disk=disk)).repair()
        updater = Updater(copy.state.install, case.session)
        check_told(updater, what)
        with suppress(DamagedJournal):
            updater.recover()
        check_told(updater, what)
        check_repaired(updater, what)
        return disk.dead or disk.faults > 0

    tell(every(run), "repairs of a mixed tree")
