"""The tree swap in a whole update, over real sockets."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from publisher import Publisher
from serving import served
from trees import Exe, noise, read_tree
from trees import Tree as Contents

from updater.cli import main
from updater.client import Updater
from updater.config import Swap
from updater.errors import InstallError
from updater.format.release import Release
from updater.installation import install
from updater.launch.disk import Disk
from updater.launch.launcher import Launcher
from updater.launch.listing import Listing
from updater.launch.running import share
from updater.launch.state import find
from updater.session import Session

BIG = noise((1 << 20) + 1, 1)
OLD: Contents = {"app": Exe(b"#!/bin/sh\necho 1\n"), "big": BIG, "lib/a": b"1", "same": b"same"}
NEW: Contents = {"app": Exe(b"#!/bin/sh\necho 2\n"), "big": BIG, "lib/b": b"2", "same": b"same"}
RELEASE = Release(entry=("app",))


@dataclass
class Case:
    """1.0 is installed, 2.0 is offered."""

    folder: Path
    session: Session

    @property
    def place(self) -> Path:
        return self.folder / "app"

    @property
    def kept(self) -> Path:
        return self.folder / "app.old"

    def updater(self, swap: Swap) -> Updater:
        config = replace(self.session.config, swap=swap)
        return Updater(self.place, replace(self.session, config=config))


@pytest.fixture
def case(tmp_path: Path, publisher: Publisher, session: Session) -> Iterator[Case]:
    """1.0 is installed, 2.0 is offered."""
    publisher.release("1.0", OLD, release=RELEASE)
    folder = tmp_path / "here"
    with served(publisher.folder) as url:
        install(folder / "app", url, publisher.root, "notes", session=session)
        publisher.release("2.0", NEW, release=RELEASE)
        yield Case(folder, session)


@pytest.mark.parametrize("swap", ["auto", "tree"])
def test_an_update_exchanges_the_folder_and_a_rollback_exchanges_it_back(
    swap: str, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    inode = case.place.stat().st_ino
    done = case.updater("auto" if swap == "auto" else "tree").update()
    assert done is not None
    assert (done.new, done.state, done.kept) == ("2.0", "updated", ())
    assert done.written_bytes == len(b"#!/bin/sh\necho 2\n") + 1
    assert read_tree(case.place) == NEW
    assert case.kept.stat().st_ino == inode
    with (case.place / "big").open("r+b") as file:
        file.write(b"mine")
    assert main(["rollback", "--json", "--dir", str(case.place)]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["kept"] == ["big"]
    assert "your own version is kept as big" in said.err
    assert read_tree(case.place) == {**OLD, "big": b"mine" + BIG[4:]}
    assert not case.kept.exists()


def test_an_update_that_was_made_is_told_though_the_folder_cannot_be_listed_any_more(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(folder: Path) -> Listing:
        raise OSError(errno.EIO, "input/output error", str(folder))

    class FailsLater(Disk):
        """Folders cannot be read from the moment the commit is done."""

        def replace(self, source: Path, path: Path) -> None:
            super().replace(source, path)
            if path.name == "journal" and path.parent.name == "old":
                monkeypatch.setattr("updater.launch.treeswap.list_tree", failing)

    updater = Updater(case.place, replace(case.session, disk=FailsLater()))
    done = updater.update()
    assert done is not None
    assert (done.new, done.kept) == ("2.0", ())
    assert case.kept.exists()


def test_a_file_swap_can_be_asked_for(case: Case) -> None:
    assert case.updater("file").update()
    assert read_tree(case.place) == NEW
    assert not case.kept.exists()


def test_a_file_of_the_user_is_left_alone_by_a_file_swap_and_refuses_a_tree_swap(
    case: Case,
) -> None:
    (case.place / "mine").write_bytes(b"mine")
    with pytest.raises(InstallError, match="cannot be exchanged: no release knows 'mine'"):
        case.updater("tree").update()
    assert read_tree(case.place) == {**OLD, "mine": b"mine"}
    state = find(case.place)
    assert state is not None
    assert not state.stage.exists()
    assert case.updater("auto").update()
    assert read_tree(case.place) == {**NEW, "mine": b"mine"}
    assert not case.kept.exists()


def test_an_update_staged_under_a_running_application_comes_with_its_next_launch(
    case: Case,
) -> None:
    state = find(case.place)
    assert state is not None
    lock = share(state, 1)
    assert lock is not None
    done = case.updater("tree").update()
    assert done is not None
    assert done.state == "staged"
    assert read_tree(case.place) == OLD
    with pytest.raises(InstallError, match="the application runs"):
        case.updater("tree").update("force")
    os.close(lock)
    assert done.written_bytes > 0
    Launcher(state)._make_ready()
    assert read_tree(case.place) == NEW
    assert case.kept.exists()


@pytest.mark.parametrize("staged", [False, True])
def test_a_forced_update_under_a_running_application_is_made_by_files(
    staged: bool, case: Case
) -> None:
    state = find(case.place)
    assert state is not None
    lock = share(state, 1)
    assert lock is not None
    if staged:
        case.updater("auto").update()
    assert case.updater("auto").update("force")
    os.close(lock)
    assert read_tree(case.place) == NEW
    assert not case.kept.exists()


@pytest.mark.parametrize(("first", "then"), [("file", "tree"), ("tree", "file"), ("tree", "auto")])
def test_what_waits_is_made_as_is_asked_for_now(first: Swap, then: Swap, case: Case) -> None:
    state = find(case.place)
    assert state is not None
    lock = share(state, 1)
    assert lock is not None
    case.updater(first).update()
    os.close(lock)
    assert case.updater(then).update()
    assert read_tree(case.place) == NEW
    assert case.kept.exists() == (then != "file")
