"""Repair: what is damaged is put back, for little, without a moment in which more is broken."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import CountingDisk, FaultyDisk, Killed, World, copy_world
from tests.support.crash.crash_runs import failed
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import misserved, send, served
from tests.support.trees.trees import Content, Exe, Link, Tree, data_of, noise, read_tree
from updater.check.catalogue import Catalogue
from updater.client import Updater
from updater.disk.durable import Disk
from updater.disk.lock import locked
from updater.errors import (
    InstallError,
    NotEnoughSpace,
    PatchError,
    TransportError,
    UpdateInProgress,
)
from updater.format.release_description import Release
from updater.launch.commit.journal import phase_of
from updater.launch.commit.recover import recover
from updater.launch.state import State
from updater.local.session import Session
from updater.local.settings import Settings, read_settings
from updater.stage.inspect import Findings
from updater.update.install_new import install

TREE: Tree = {
    "app": Exe(b"#!/bin/sh\necho 1\n"),
    "conf/own.cfg": b"as released",
    "empty": None,
    "lib/core.py": b"VERSION = 1\n" * 50,
    "lib/zero": b"",
    "link": Link("app"),
    **{f"data/{n}": noise(1_100_000, n) for n in range(3)},
}
RELEASE = Release(policy=(("own.*", "keep"),))


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    """One release, some megabytes of it."""
    publisher = Publisher(tmp_path_factory.mktemp("mend"))
    publisher.release("1.0", TREE, release=RELEASE)
    return publisher


@pytest.fixture
def updater(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Updater:
    """An install of 1.0 that once was another version."""
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    updater = Updater(tmp_path / "app", session)
    settings = replace(read_settings(updater._state), previous="0.9", bad=("0.8",))
    updater._state.settings.write_bytes(settings.data)
    return updater


def offline(updater: Updater) -> Updater:
    """The same install with no server to ask."""
    state = updater._state
    settings = replace(read_settings(state), url="http://127.0.0.1:9")
    state.settings.write_bytes(settings.data)
    return updater


def test_a_whole_install_needs_no_repair_and_no_network(updater: Updater) -> None:
    assert offline(updater).repair() is None
    assert updater.verify(full=True).whole


def test_what_is_damaged_is_put_back_and_what_was_there_is_kept(updater: Updater) -> None:
    live = updater._state.install
    before = updater._state.settings.read_bytes()
    (live / "lib/core.py").write_bytes(b"edited")
    (live / "lib/zero").unlink()
    (live / "link").unlink()
    (live / "app").chmod(0o644)
    (live / "empty").rmdir()
    done = updater.repair()
    assert done is not None
    assert done.repaired == ("app", "empty", "lib/core.py", "lib/zero", "link")
    assert done.kept == ("lib/core.py.old",)
    assert done.version == "1.0"
    assert read_tree(live) == {**TREE, "lib/core.py.old": b"edited"}
    assert updater.verify(full=True) == Findings(
        version="1.0", full=True, extra=("lib/core.py.old",)
    )
    assert updater._state.settings.read_bytes() == before
    assert updater.repair() is None
    names = {child.name for child in updater._state.folder.iterdir()}
    assert not names & {"stage", "scratch", "downloads", "journal"}


def test_only_the_blocks_that_hold_damaged_files_are_fetched(updater: Updater) -> None:
    (updater._state.install / "data/1").unlink()
    done = updater.repair()
    assert done is not None
    assert done.written_bytes == 1_100_000
    assert 1_100_000 < done.fetched_bytes < 1_300_000
    assert read_tree(updater._state.install) == TREE


@pytest.mark.parametrize("damage", ["mode", "link", "folder"])
def test_what_needs_no_bytes_is_mended_without_network(updater: Updater, damage: str) -> None:
    live = updater._state.install
    if damage == "mode":
        (live / "app").chmod(0o644)
        (live / "data/1").chmod(0o755)
    elif damage == "link":
        (live / "link").unlink()
        (live / "link").symlink_to("elsewhere")
    else:
        (live / "empty").rmdir()
    done = offline(updater).repair()
    assert done is not None
    assert done.fetched_bytes == 0
    tree = read_tree(live)
    assert tree.pop("link.old", Link("elsewhere")) == Link("elsewhere")
    assert tree == TREE


def test_a_kept_file_is_not_repaired_unless_it_is_gone(updater: Updater) -> None:
    own = updater._state.install / "conf/own.cfg"
    own.write_bytes(b"mine")
    assert offline(updater).verify(full=True).kept == ("conf/own.cfg",)
    assert updater.repair() is None
    assert own.read_bytes() == b"mine"


def test_a_kept_file_that_is_gone_comes_back_and_others_stay(updater: Updater) -> None:
    live = updater._state.install
    (live / "conf/own.cfg").unlink()
    assert updater.repair() is not None
    assert read_tree(live) == TREE


def test_a_kept_file_stays_while_others_are_repaired(updater: Updater) -> None:
    live = updater._state.install
    (live / "conf/own.cfg").write_bytes(b"mine")
    (live / "lib/core.py").unlink()
    assert updater.repair() is not None
    assert read_tree(live) == {**TREE, "conf/own.cfg": b"mine"}


def test_a_folder_in_the_place_of_a_file_makes_way_with_all_that_is_in_it(
    updater: Updater,
) -> None:
    live = updater._state.install
    (live / "lib/core.py").unlink()
    (live / "lib/core.py").mkdir()
    (live / "lib/core.py/mine").write_bytes(b"mine")
    done = updater.repair()
    assert done is not None
    assert done.kept == ("lib/core.py.old",)
    assert read_tree(live) == {**TREE, "lib/core.py.old/mine": b"mine"}


def test_a_link_in_the_place_of_a_folder_makes_way_and_what_is_behind_it_stays(
    updater: Updater,
) -> None:
    live = updater._state.install
    elsewhere = live.parent / "elsewhere"
    (live / "lib").rename(elsewhere)
    (live / "lib").symlink_to(elsewhere)
    (elsewhere / "core.py").write_bytes(b"mine")
    behind = read_tree(elsewhere)
    done = updater.repair()
    assert done is not None
    assert done.kept == ("lib.old",)
    assert updater.verify(full=True).whole
    assert not (live / "lib").is_symlink()
    assert (live / "lib.old").readlink() == elsewhere
    assert read_tree(elsewhere) == behind


OWN = {
    "folders.json",
    "identity.json",
    "install.json",
    "known",
    "lock",
    "manifest",
    "release.json",
    "root.json",
    "run.lock",
    "seen.json",
    "trust",
}
"""What is in the State of an install that nobody disturbs."""


class TestState:
    """The State does not know any more what is installed."""

    @pytest.mark.parametrize("damage", [b"", b"garbage", None])
    def test_is_asked_of_the_repository_if_the_tree_is_whole(
        self, updater: Updater, damage: bytes | None
    ) -> None:
        manifest = updater._state.manifest
        good = manifest.read_bytes()
        manifest.unlink() if damage is None else manifest.write_bytes(damage)
        with pytest.raises(InstallError) as caught:
            updater.verify()
        assert caught.value.hint == "run updater repair"
        (updater._state.install / "conf/own.cfg").write_bytes(b"an edit that may be")
        done = updater.repair()
        assert done is not None
        assert (done.version, done.repaired, done.kept) == ("1.0", (), ())
        assert manifest.read_bytes() == good
        assert updater.verify(full=True).whole

    def test_is_not_guessed_if_the_tree_is_damaged_too(self, updater: Updater) -> None:
        updater._state.manifest.unlink()
        (updater._state.install / "lib/core.py").write_bytes(b"VERSION = 2\n" * 50)
        with pytest.raises(InstallError, match="no published release") as caught:
            updater.repair()
        assert "adopt" in caught.value.hint
        assert not updater._state.manifest.exists()

    def test_with_a_digest_that_flipped_is_believed_less_than_the_signed_one(
        self, updater: Updater
    ) -> None:
        manifest = updater._state.manifest
        good = manifest.read_bytes()
        digest = re.findall(rb'"sha256":"(\w+)"', good)[0]
        manifest.write_bytes(good.replace(digest, bytes(reversed(digest))))
        assert not updater.verify(full=True).whole
        assert updater.repair() is not None
        assert manifest.read_bytes() == good
        assert read_tree(updater._state.install) == TREE


def test_a_release_without_bundle_cannot_be_repaired_and_is_left_alone(
    updater: Updater, session: Session
) -> None:
    class Pruned(Session):
        def refresh(self, state: State, settings: Settings, now: int) -> Catalogue:
            catalogue = super().refresh(state, settings, now)
            kept = {v: replace(r, bundle=None) for v, r in catalogue.releases.items()}
            return replace(catalogue, releases=kept)

    core = updater._state.install / "lib/core.py"
    core.write_bytes(b"edited")
    with pytest.raises(PatchError, match="no bundle"):
        Updater(core.parent.parent, Pruned(**vars(session))).repair()
    assert core.read_bytes() == b"edited"
    assert phase_of(updater._state) is None


def test_a_release_that_is_published_no_more_is_told(updater: Updater, session: Session) -> None:
    class Gone(Session):
        def refresh(self, state: State, settings: Settings, now: int) -> Catalogue:
            return replace(super().refresh(state, settings, now), releases={})

    (updater._state.install / "app").unlink()
    with pytest.raises(PatchError, match="not published any more") as caught:
        Updater(updater._state.install, Gone(**vars(session))).repair()
    assert "update" in caught.value.hint


def test_what_came_before_the_network_went_is_kept_for_the_next_repair(
    updater: Updater, publisher: Publisher
) -> None:
    for n in range(3):
        (updater._state.install / f"data/{n}").unlink()

    def cut(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if not path.name.endswith(".bundle"):
            return False
        data = path.read_bytes()
        send(handler, 200, data[: len(data) // 2], Content_Length=str(len(data)))
        return True

    state = updater._state
    good = read_settings(state)
    with misserved(publisher.folder, cut) as url:
        state.settings.write_bytes(replace(good, url=url).data)
        with pytest.raises(TransportError):
            updater.repair()
    state.settings.write_bytes(good.data)
    assert len(list(state.downloads.iterdir())) == 1
    done = updater.repair()
    assert done is not None
    assert done.fetched_bytes < 2_500_000
    assert read_tree(state.install) == TREE


def test_a_full_disk_is_known_before_anything_is_fetched(
    updater: Updater, session: Session
) -> None:
    class Full(Disk):
        def free_bytes(self, folder: Path) -> int:  # noqa: ARG002
            return 1000

    (updater._state.install / "data/1").unlink()
    before = session.transport.received
    with pytest.raises(NotEnoughSpace):
        Updater(updater._state.install, replace(session, disk=Full())).repair()
    assert session.transport.received < before + 10_000  # metadata


def test_a_repair_waits_for_nobody_and_verify_needs_no_lock(updater: Updater) -> None:
    with locked(updater._state.lock, "updating"):
        assert updater.verify().whole
        with pytest.raises(UpdateInProgress):
            updater.repair()


SMALL: dict[str, Content] = {
    "app": Exe(b"1"),
    "dir/in/file": b"file",
    "edited": b"as released",
    "link": Link("app"),
    "mode": Exe(b"mode"),
    "same": b"same",
}
BROKEN: dict[str, Content] = {
    "app": Exe(b"X"),
    "edited": b"user",
    "edited.old": b"user's own copy",
    "link": Link("same"),
    "mode": b"mode",
    "same": b"same",
}
MENDED: dict[str, Content] = {
    **SMALL,
    "app.old": Exe(b"X"),
    "edited.old": b"user's own copy",
    "edited.old-1": b"user",
    "link.old": Link("same"),
}


@pytest.mark.crash
class TestInterrupted:
    """At every change to the disk: the tree is as it was found or as released, then released."""

    @pytest.fixture
    def broken(self, tmp_path: Path, session: Session) -> Iterator[World]:
        """A small install that BROKEN lies in."""
        publisher = Publisher(tmp_path / "publisher")
        publisher.release("1.0", SMALL)
        with served(publisher.folder) as url:
            first = tmp_path / "first"
            install(first / "app", url, publisher.root, "notes", session=session)
            self.break_it(first / "app")
            yield World(first)

    def break_it(self, live: Path) -> None:
        for path in ("app", "edited"):
            (live / path).write_bytes(data_of(BROKEN[path]))
        (live / "edited.old").write_bytes(b"user's own copy")
        (live / "dir/in/file").unlink()
        (live / "dir/in").rmdir()
        (live / "dir").rmdir()
        (live / "link").unlink()
        (live / "link").symlink_to("same")
        (live / "mode").chmod(0o644)

    def repair(self, world: World, session: Session, disk: Disk) -> None:
        Updater(world.state.install, replace(session, disk=disk)).repair()

    def check(self, world: World, session: Session, what: str) -> None:
        """As it was found or as released; the next repair makes it released, and leaves no rest."""
        recover(world.state.on(CountingDisk()))
        assert world.tree in (BROKEN, MENDED), what
        settings = world.state.settings.read_bytes()
        assert Settings.parse(settings).previous == "", what
        self.repair(world, session, CountingDisk())
        assert world.tree == MENDED, what
        assert world.state.settings.read_bytes() == settings, what
        names = {child.name for child in world.state.folder.iterdir()}
        assert names == OWN, what

    def test_by_a_kill(
        self, broken: World, session: Session, tmp_path: Path, runs: list[int]
    ) -> None:
        count = CountingDisk()
        self.repair(copy_world(broken, tmp_path / "count"), session, count)
        found = set()
        for at in range(1, count.count + 1):
            world = copy_world(broken, tmp_path / f"kill-{at}")
            with pytest.raises(Killed):
                self.repair(world, session, FaultyDisk(kill=at))
            for again in range(1, 40, 3):  # and the recovery as well
                second = copy_world(world, tmp_path / f"kill-{at}-{again}")
                runs.append(1)
                disk = FaultyDisk(kill=again)
                try:
                    recover(second.state.on(disk))
                except Killed:
                    recover(second.state.on(CountingDisk()))
                    assert second.tree in (BROKEN, MENDED), f"killed at {at}, then {again}"
                else:
                    break
            recover(world.state.on(CountingDisk()))
            found.add(world.tree == MENDED)
            self.check(world, session, f"killed at {at}")
        assert found == {False, True}
        runs.append(count.count)

    @pytest.mark.parametrize(
        "code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get
    )
    def test_by_a_fault(
        self, broken: World, session: Session, tmp_path: Path, code: int, runs: list[int]
    ) -> None:
        count = CountingDisk()
        self.repair(copy_world(broken, tmp_path / "count"), session, count)
        for at in range(1, count.count + 1):
            world = copy_world(broken, tmp_path / f"fail-{at}")
            what = f"failed at {at}: {count.log[at - 1]}"
            disk = FaultyDisk(fail=at, code=code)
            error = failed(partial(self.repair, world, session, disk))
            if error is None:
                recover(world.state.on(CountingDisk()))
            else:
                assert isinstance(error, NotEnoughSpace) == (code == errno.ENOSPC), what
            assert world.tree == (MENDED if error is None else BROKEN), what
            self.check(world, session, what)
        runs.append(count.count)
