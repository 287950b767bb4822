"""Our commands against our server, over a real connection: what one sends the other takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from patchtool.keys.signing_keys import Keys
from patchtool.repository.repository import Repository
from patchtool.server.fetch import fetch
from patchtool.server.push import Pushed, push
from patchtool.server.server_client import Server as Remote
from publisher import NOW, PASSWORD, publish
from served import Server, server_at
from serving import application_served
from sessions import quick_session
from sqlalchemy import select
from trees import Exe, Tree, noise, write_tree

from patchserver.accounts.users import Scope
from patchserver.database.tables import Failure, Install
from updater.client import Updater
from updater.disk.durable import Disk
from updater.errors import FormatError, InstallError
from updater.format.head import EVERYONE, Step
from updater.launch.commit.rollback import roll_back
from updater.local.session import Session
from updater.net.http import HttpTransport
from updater.update.install_new import install

DAY = 86_400


def tree(n: int) -> Tree:
    return {"app": Exe(b"%d" % n), "data": noise(6_000)}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr("patchtool.server.server_client.PIECE", 1_000)
    for name, value in PASSWORD.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with server_at(tmp_path) as server:
        yield server


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with application_served(server.app) as url:
        yield url


class Runner:
    """A CI runner that speaks with the server."""

    def __init__(self, folder: Path, url: str, server: Server, *scopes: Scope) -> None:
        token = server.token(*scopes)["Authorization"].removeprefix("Bearer ")
        self.folder = folder
        self.server = Remote(url, token, HttpTransport(), sleep=lambda _: None)
        self.session: Session = quick_session(server.clock)
        self._keys = Keys(server.publisher.keys.folder, PASSWORD)
        fetch(self.session, url, folder)

    def add(self, version: str, n: int) -> None:
        place = write_tree(self.folder.with_name(f"{self.folder.name}-{version}"), tree(n))
        publish(Repository(self.folder, self._keys, NOW), version, place)

    def push(self) -> Pushed | None:
        repository = Repository(self.folder, self._keys, NOW)
        return push(self.session, self.server, repository, keys=self._keys)

    def promote(self, version: str) -> None:
        self.server.promote("notes", "stable", version, (Step(NOW, EVERYONE),))


@pytest.fixture
def runner(tmp_path: Path, url: str, server: Server) -> Runner:
    """One that has released 1.0."""
    runner = Runner(tmp_path / "runner", url, server, Scope.PUBLISH, Scope.PROMOTE)
    runner.add("1.0", 1)
    runner.push()
    runner.promote("1.0")
    return runner


def test_a_release_that_is_pushed_and_promoted_is_installed(
    tmp_path: Path, url: str, runner: Runner, server: Server
) -> None:
    session = quick_session(server.clock)
    done = install(tmp_path / "app", url, server.publisher.root, "notes", session=session)
    assert done.new == "1.0"
    runner.add("2.0", 2)
    assert runner.push() is not None
    assert runner.push() is None
    runner.promote("2.0")
    updated = Updater(tmp_path / "app", session).update()
    assert updated is not None
    assert updated.new == "2.0"


def test_who_comes_second_signs_again_on_top(
    tmp_path: Path, url: str, runner: Runner, server: Server
) -> None:
    other = Runner(tmp_path / "other", url, server, Scope.PUBLISH)
    runner.add("2.0", 2)
    other.add("3.0", 3)
    runner.push()
    done = other.push()
    assert done is not None
    assert done.rebased == ("notes",)
    assert {"notes/releases/2.0/manifest", "notes/releases/3.0/manifest"} <= set(
        server.services.signer.look().targets("app.notes")
    )


def test_a_version_with_two_contents_is_refused(
    tmp_path: Path, url: str, runner: Runner, server: Server
) -> None:
    other = Runner(tmp_path / "other", url, server, Scope.PUBLISH)
    runner.add("2.0", 2)
    other.add("2.0", 3)
    runner.push()
    with pytest.raises(FormatError):
        other.push()


def test_pause_and_resume_reach_clients(runner: Runner) -> None:
    assert runner.server.pause("notes", "stable", "1.0").entries[0].paused
    assert not runner.server.resume("notes", "stable", "1.0").entries[0].paused


def test_a_token_for_one_thing_is_not_for_another(
    tmp_path: Path, url: str, runner: Runner, server: Server
) -> None:
    other = Runner(tmp_path / "other", url, server, Scope.PUBLISH)
    with pytest.raises(InstallError, match="may not do that"):
        other.promote("1.0")
    with pytest.raises(InstallError, match="not published"):
        runner.promote("9.0")


def test_what_an_install_tells_is_stored(
    tmp_path: Path, url: str, runner: Runner, server: Server
) -> None:
    session = quick_session(server.clock)
    install(tmp_path / "app", url, server.publisher.root, "notes", session=session, reports=True)
    updater = Updater(tmp_path / "app", session)
    updater.check()
    runner.add("2.0", 2)
    runner.push()
    runner.promote("2.0")
    updater.update()
    roll_back(Disk(), updater._state, "exited with 1")
    updater.check()
    with server.services.database.reading() as database:
        failures = database.scalars(select(Failure)).all()
        installs = database.scalars(select(Install)).all()
    assert [(one.step, one.old, one.new) for one in failures] == [("confirm", "1.0", "2.0")]
    assert [(one.version, one.state) for one in installs] == [("1.0", "clean")]
    assert list(updater._state.reports.iterdir()) == []
