"""Pruning what a server writes: signed in a copy, pushed, and the server deletes the files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from patchtool.release.recall import recall
from patchtool.repository.leftovers import PATIENCE
from patchtool.repository.releases import Releases
from patchtool.repository.repository import Repository
from patchtool.repository.stored_files import missing
from patchtool.server.fetch import fetch
from patchtool.server.push import push
from patchtool.upkeep.prune import Pruned, prune
from patchtool.upkeep.unpublished import signed_since

from patchserver.accounts.users import Scope
from patchserver.run.jobs import Jobs
from tests.support.repository.publisher import NOW
from tests.support.repository.sessions import quick_session
from tests.support.servers.runner import DAY, Runner, tree
from tests.support.servers.served import Server
from tests.support.trees.trees import read_tree
from updater.client import Updater
from updater.errors import FormatError, InstallError
from updater.update.install_new import install

RELEASES = 6


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world where two releases are kept and patches to one."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr("patchtool.upkeep.prune.KEPT", 2)
    monkeypatch.setattr("patchtool.upkeep.prune.PATCHED", 1)


class Pruner(Runner):
    """A CI runner that prunes, too."""

    def repository(self, now: int = NOW) -> Repository:
        return Repository(self.folder, self._keys, now)

    def prune(self, now: int = NOW) -> Pruned:
        return prune(self.repository(now))


def pruner(folder: Path, url: str, server: Server) -> Pruner:
    return Pruner(folder, url, server, Scope.PUBLISH, Scope.PROMOTE)


@pytest.fixture
def runner(tmp_path: Path, url: str, server: Server) -> Pruner:
    """One that has released 1.0 to 6.0, of which the last is offered."""
    runner = pruner(tmp_path / "runner", url, server)
    for n in range(1, RELEASES + 1):
        runner.add(f"{n}.0", n)
    runner.push()
    runner.promote("1.0")
    runner.promote(f"{RELEASES}.0")
    runner.promote(f"{RELEASES}.0")
    fetch(runner.session, url, runner.folder)
    return runner


def versions(server: Server) -> set[str]:
    return Releases.of(server.services.signer.look(), "notes").versions


def content(server: Server) -> set[str]:
    return {path.name for path in (server.settings.repository / "targets").rglob("*.bundle")}


def test_what_a_server_publishes_is_pruned_where_the_release_key_is(
    server: Server, runner: Pruner
) -> None:
    done = runner.prune()
    assert "notes/releases/3.0/bundle" in done.removed
    assert (done.deleted, done.waiting) == ((), ()), "the push may still need the files"
    assert versions(server) == {f"{n}.0" for n in range(1, RELEASES + 1)}
    assert runner.push() is not None
    assert versions(server) == {"1.0", "5.0", "6.0"}, "1.0 is offered as the fallback"
    assert runner.push() is None
    assert runner.prune().removed == ()


def test_the_server_deletes_the_files_a_month_later(
    server: Server, runner: Pruner, url: str
) -> None:
    Jobs(server.services).work()
    before = content(server)
    assert len(before) == RELEASES
    runner.prune()
    runner.push()
    Jobs(server.services).work()
    assert content(server) == before
    server.clock.now += PATIENCE - DAY
    Jobs(server.services).work()
    assert content(server) == before
    server.clock.now += DAY
    Jobs(server.services).work()
    assert len(content(server)) == 3
    assert missing(server.services.signer.look()) == []
    old = [p.name for p in (server.settings.repository / "metadata").glob("*.app.notes.json")]
    assert len(old) == 1, "old metadata goes too"
    assert fetch(quick_session(server.clock), url, runner.folder.with_name("late")).releases


def test_installs_of_what_was_pruned_go_on(
    tmp_path: Path, server: Server, runner: Pruner, url: str
) -> None:
    session = quick_session(server.clock)
    runner.promote("3.0")
    install(tmp_path / "app", url, server.publisher.root, "notes", session=session)
    assert read_tree(tmp_path / "app") == tree(3)
    runner.promote("6.0")
    fetch(runner.session, url, runner.folder)
    for _ in range(2):
        runner.prune()
        runner.push()
        server.clock.now += 20 * DAY
        Jobs(server.services).work()
        fetch(quick_session(server.clock), url, runner.folder)
    done = Updater(tmp_path / "app", session).update()
    assert done is not None
    assert done.new == "6.0"


def test_a_patch_may_start_from_a_release_that_was_pruned(server: Server, runner: Pruner) -> None:
    """3.0 is gone; the way from it to what is kept is not."""
    runner.prune()
    runner.push()
    entries = server.services.signer.look().targets("app.notes")
    assert "notes/releases/3.0/manifest" not in entries
    assert "notes/patches/3.0_6.0" in entries


def test_a_copy_that_was_not_fetched_for_days_is_not_pruned(runner: Pruner) -> None:
    before = signed_since(runner.folder, 0, "notes")
    with pytest.raises(InstallError, match="not fetched for days") as caught:
        runner.prune(NOW + 4 * DAY)
    assert "patchtool fetch" in caught.value.hint
    assert signed_since(runner.folder, 0, "notes") == before


def test_what_is_offered_between_prune_and_push_is_not_lost(server: Server, runner: Pruner) -> None:
    runner.prune()
    runner.promote("2.0")
    done = runner.push()
    assert done is not None
    assert done.rebased == ("notes",)
    assert versions(server) >= {"2.0", "5.0", "6.0"}
    assert "3.0" not in versions(server)
    assert "notes/releases/2.0/bundle" in server.services.signer.look().targets("app.notes")
    assert runner.push() is None


def test_what_is_offered_while_a_push_is_under_way_is_not_lost(
    server: Server, runner: Pruner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment: the push was found good, and is about to be published."""
    runner.prune()
    place = runner.folder / "metadata"
    document = max(place.glob("*.app.notes.json"), key=lambda p: int(p.name.split(".")[0]))
    signer = server.services.signer
    pushes = server.services.pushes
    push = pushes.announce("notes", signer.look().version("app.notes"), document.read_bytes())
    good = type(pushes.signer).announced
    first = iter([True])

    def announced(self: object, app: str, data: bytes) -> object:
        found = good(pushes.signer, app, data)
        if next(first, False):
            runner.promote("2.0")
        return found

    monkeypatch.setattr(type(pushes.signer), "announced", announced)
    with pytest.raises(FormatError, match="is offered by a channel"):
        pushes.publish("notes", push.id)
    assert "2.0" in versions(server)


def test_what_is_recalled_between_prune_and_push_stays_recalled(
    tmp_path: Path, server: Server, runner: Pruner, url: str
) -> None:
    runner.prune()
    other = pruner(tmp_path / "other", url, server)
    recall(other.repository(), "notes", "3.0", now=NOW)
    other.push()
    runner.push()
    releases = Releases.of(server.services.signer.look(), "notes")
    assert releases.floor("3.0") == "2.0"
    assert "2.0" not in releases.versions
    assert runner.push() is None


def test_two_that_prune_and_one_that_releases_do_not_meet(
    tmp_path: Path, server: Server, runner: Pruner, url: str
) -> None:
    other, third = (pruner(tmp_path / name, url, server) for name in ("other", "third"))
    third.add("7.0", 7)
    runner.prune()
    other.prune()
    for one in (other, third, runner):
        one.push()
    assert versions(server) == {"1.0", "5.0", "6.0", "7.0"}


def test_what_was_pruned_in_vain_needs_the_key_to_be_signed_again(
    server: Server, runner: Pruner
) -> None:
    runner.prune()
    runner.promote("2.0")
    with pytest.raises(InstallError, match="published or promoted") as caught:
        push(runner.session, runner.server, runner.repository())
    assert "--keys" in caught.value.hint
    assert "2.0" in versions(server)


def test_a_file_that_is_pushed_again_is_not_deleted_under_the_push(
    tmp_path: Path, server: Server, runner: Pruner, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was pruned a month ago, and is settled already when the server tidies up."""
    runner.prune()
    runner.push()
    Jobs(server.services).work()
    server.clock.now += PATIENCE
    signer = server.services.signer
    signer.refresh()
    fetch(quick_session(server.clock), url, runner.folder)
    runner.session = quick_session(server.clock)
    shutil.rmtree(tmp_path / "runner-3.0")
    runner.add("3.0", 3)
    tidy = type(signer).publish

    def publish(self: object, *arguments: Any) -> None:
        assert signer.clear().deleted
        tidy(signer, *arguments)

    monkeypatch.setattr(type(signer), "publish", publish)
    runner.push()
    assert "3.0" in versions(server)
    assert missing(server.services.signer.look()) == []


def test_a_copy_deletes_its_own_old_files_when_nothing_waits(
    server: Server, runner: Pruner, url: str
) -> None:
    runner.prune()
    runner.push()
    assert runner.prune().waiting
    server.clock.now += PATIENCE
    server.services.signer.refresh()
    fetch(quick_session(server.clock), url, runner.folder)
    done = runner.prune(server.clock.now)
    assert done.deleted
    assert runner.push() is None
