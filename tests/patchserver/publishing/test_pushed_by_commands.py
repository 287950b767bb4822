"""Our commands against our server, over a real connection: what one sends the other takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import select

from patchserver.accounts.users import Scope
from patchserver.database.tables import Failure, Install
from tests.support.repository.publisher import PASSWORD
from tests.support.repository.sessions import quick_session
from tests.support.servers.runner import Runner
from tests.support.servers.served import Server
from updater.client import Updater
from updater.errors import FormatError, InstallError
from updater.launch.commit.rollback import rollback
from updater.update.install_new import install


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr("patchtool.server.server_client.PIECE", 1_000)
    for name, value in PASSWORD.items():
        monkeypatch.setenv(name, value)


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
    rollback(updater._state, "exited with 1")
    updater.check()
    with server.services.database.reading() as database:
        failures = database.scalars(select(Failure)).all()
        installs = database.scalars(select(Install)).all()
    assert [(one.step, one.old, one.new) for one in failures] == [("confirm", "1.0", "2.0")]
    assert [(one.version, one.state) for one in installs] == [("1.0", "clean")]
    assert list(updater._state.reports.iterdir()) == []
