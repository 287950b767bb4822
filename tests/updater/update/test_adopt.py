"""Adopt: what another installer placed becomes an install of ours, or stays as it was."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.crash.crash_disk import CountingDisk, FaultyDisk, Killed, World
from tests.support.crash.crash_runs import failed
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import quick_session
from tests.support.servers.serving import misserved, send, served
from tests.support.trees.trees import Content, Exe, Link, noise, read_tree, write_tree
from updater.client import Updater
from updater.disk.durable import Disk
from updater.disk.lock import locked
from updater.errors import (
    InstallError,
    NotEnoughSpace,
    TransportError,
    TrustError,
    UpdateInProgress,
    UpdaterError,
)
from updater.format.release_description import Release
from updater.launch.commit.journal import Phase, named
from updater.launch.commit.recover import recover
from updater.launch.state import State
from updater.local.session import Session
from updater.stage.inspect import NotWhole
from updater.update.adopt import adopt
from updater.update.repair import Repaired

TREE: dict[str, Content] = {
    "app": Exe(b"1"),
    "conf/own.cfg": b"as released",
    "dir/in/file": b"file",
    "empty": None,
    "lib/core.py": noise(200_000, 1),
    "link": Link("app"),
}
NEXT: dict[str, Content] = {**TREE, "lib/core.py": noise(200_000, 1) + b"2"}
USERS: dict[str, Content] = {"mine.txt": b"mine", "dir/mine": Link("nowhere")}
RELEASE = Release(policy=(("own.*", "keep"),))


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    publisher = Publisher(tmp_path_factory.mktemp("adopt"))
    publisher.add("1.0", TREE, release=RELEASE)
    publisher.release("2.0", NEXT, release=RELEASE)
    return publisher


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """What another installer has placed, and its user has worked with."""
    return write_tree(tmp_path / "home/app", TREE | USERS)


class Adopter:
    """Adopts; knows what to ask for."""

    def __init__(self, url: str, publisher: Publisher, session: Session) -> None:
        self._url = url
        self._publisher = publisher
        self._session = session

    def __call__(
        self,
        live: Path,
        version: str = "1.0",
        *,
        repair: bool = False,
        disk: Disk | None = None,
        url: str = "",
    ) -> Repaired:
        session = replace(self._session, disk=disk or Disk())
        root = self._publisher.root
        return adopt(live, url or self._url, root, "notes", version, repair=repair, session=session)

    def refused(
        self,
        live: Path,
        kind: type[UpdaterError],
        match: str = ".",
        *,
        version: str = "1.0",
        repair: bool = False,
        url: str = "",
    ) -> None:
        """Nothing is changed, and there is no State."""
        before = read_tree(live.parent)
        with pytest.raises(kind, match=match):
            self(live, version, repair=repair, url=url)
        assert read_tree(live.parent) == before


@pytest.fixture
def adopter(url: str, publisher: Publisher, session: Session) -> Adopter:
    return Adopter(url, publisher, session)


def test_what_is_whole_is_taken_over_and_updated_from_then_on(
    adopter: Adopter, live: Path, session: Session
) -> None:
    before = sorted((p.name, p.lstat().st_ino) for p in live.rglob("*"))
    done = adopter(live)
    assert (done.version, done.repaired, done.kept, done.written_bytes) == ("1.0", (), (), 0)
    assert sorted((p.name, p.lstat().st_ino) for p in live.rglob("*")) == before
    updater = Updater(live, session)
    status = updater.status()
    assert (status.app, status.version, status.channel) == ("notes", "1.0", "stable")
    assert (status.state, status.previous) == ("clean", "")
    findings = updater.verify()
    assert findings.whole
    assert findings.extra == ("dir/mine", "mine.txt")
    updated = updater.update()
    assert updated is not None
    assert updated.fetched_bytes < 20_000
    assert read_tree(live) == NEXT | USERS


def test_what_is_not_whole_is_refused_with_all_that_differs(adopter: Adopter, live: Path) -> None:
    (live / "app").chmod(0o644)
    (live / "dir/in/file").unlink()
    (live / "lib/core.py").write_bytes(b"edited")
    with pytest.raises(NotWhole, match="1 missing, 1 changed, 1 mode changed") as caught:
        adopter(live)
    assert caught.value.findings.damaged == ("app", "dir/in/file", "lib/core.py")
    assert caught.value.exit_code == 6
    assert "--repair" in caught.value.hint
    adopter.refused(live, NotWhole)


def test_with_repair_it_is_made_whole_and_the_users_versions_are_kept(
    adopter: Adopter, live: Path, session: Session
) -> None:
    (live / "app").chmod(0o644)
    (live / "dir/in/file").unlink()
    (live / "lib/core.py").write_bytes(b"edited")
    done = adopter(live, repair=True)
    assert done.repaired == ("app", "dir/in/file", "lib/core.py")
    assert done.kept == ("lib/core.py.old",)
    assert read_tree(live) == TREE | USERS | {"lib/core.py.old": b"edited"}
    assert Updater(live, session).verify(full=True).whole


def test_an_edited_file_whose_policy_is_keep_is_no_obstacle(adopter: Adopter, live: Path) -> None:
    (live / "conf/own.cfg").write_bytes(b"mine")
    assert adopter(live).repaired == ()
    assert (live / "conf/own.cfg").read_bytes() == b"mine"


def test_another_version_than_is_there_is_refused(adopter: Adopter, live: Path) -> None:
    adopter.refused(live, NotWhole, "lib/core.py", version="2.0")


def test_a_version_nobody_published_is_refused(adopter: Adopter, live: Path) -> None:
    adopter.refused(live, InstallError, "notes 9.9 is not published", version="9.9")


def test_an_install_is_not_adopted(adopter: Adopter, live: Path) -> None:
    adopter(live)
    before = read_tree(live.parent)
    with pytest.raises(InstallError, match="an install already"):
        adopter(live)
    assert read_tree(live.parent) == before


def garbage(state: State) -> None:
    state.settings.write_bytes(b"garbage")


def nothing_at_all(state: State) -> None:
    for path in state.folder.iterdir():
        if path.is_file():
            path.write_bytes(b"")


def no_root(state: State) -> None:
    state.root.write_bytes(b"<html>")


def no_root_file(state: State) -> None:
    state.root.unlink()


def no_address(state: State) -> None:
    state.access.write_bytes(b"")


DAMAGES = [garbage, nothing_at_all, no_root, no_root_file, no_address]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_install_whose_state_is_useless_is_taken_over_by_one_command(
    adopter: Adopter, live: Path, session: Session, damage: Callable[[State], None]
) -> None:
    adopter(live)
    state = World(live.parent).state
    damage(state)
    with pytest.raises(UpdaterError) as caught:
        Updater(live, session).update()
    assert "adopt --repair" in caught.value.hint
    with pytest.raises(InstallError, match=r"damaged|root") as refused:
        adopter(live)
    assert "adopt --repair" in refused.value.hint
    assert adopter(live, repair=True).version == "1.0"
    assert Updater(live, session).update()
    assert read_tree(live) == NEXT | USERS


def test_what_starts_the_application_stays_until_it_is_taken_over(
    adopter: Adopter, live: Path
) -> None:
    adopter(live)
    state = World(live.parent).state
    garbage(state)
    before = read_tree(state.launcher), state.release.read_bytes()
    for _ in range(2):
        with pytest.raises(TransportError):
            adopter(live, repair=True, url="http://127.0.0.1:9")
        assert (read_tree(state.launcher), state.release.read_bytes()) == before
    adopter(live, repair=True)


def test_a_useless_state_of_a_tree_between_two_versions_is_led_out_of_too(
    adopter: Adopter, live: Path, session: Session
) -> None:
    adopter(live)
    state = World(live.parent).state
    garbage(state)
    (live / "lib/core.py").write_bytes(b"of which version?")
    named(state, Phase.SWAPPING).write_bytes(b"")
    with pytest.raises(InstallError, match="journal"):
        adopter(live)
    assert adopter(live, repair=True).repaired == ("lib/core.py",)
    assert Updater(live, session).status().state == "clean"
    assert Updater(live, session).update()


def test_a_disk_that_fails_for_a_moment_makes_no_state_useless(
    adopter: Adopter, live: Path
) -> None:
    adopter(live)
    state = World(live.parent).state
    before, settings = read_tree(state.folder), state.settings.read_bytes()
    state.settings.unlink()
    state.settings.symlink_to(state.settings.name)  # ELOOP
    with pytest.raises(InstallError):
        adopter(live, repair=True)
    state.settings.unlink()
    state.settings.write_bytes(settings)
    assert read_tree(state.folder) == before


def test_while_another_process_installs_there_it_is_left_alone(
    adopter: Adopter, live: Path
) -> None:
    state = live.parent / ".app.upswap"
    state.mkdir()
    with locked(state / "lock", "installing"), pytest.raises(UpdateInProgress):
        adopter(live)
    assert (state / "lock").exists()


@pytest.mark.parametrize("place", ["missing", "file"])
def test_a_place_that_is_no_folder_is_refused(adopter: Adopter, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InstallError, match="is not a folder"):
        adopter(tmp_path / place)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs two users")
def test_an_application_of_another_user_is_refused(
    adopter: Adopter, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(live, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    adopter.refused(live, InstallError, "belongs to another user")


def test_a_server_that_is_not_there_is_told_and_nothing_is_left(
    adopter: Adopter, live: Path
) -> None:
    adopter.refused(live, TransportError, url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (TrustError, lambda data: data[:-2] + b"#\n"),
        (TrustError, lambda data: data + b"more"),
        (TransportError, lambda data: data[:-1]),
        (TransportError, lambda data: b"<html>" + data[6:]),
    ],
    ids=["changed", "longer", "cut", "login page"],
)
@pytest.mark.parametrize("bundle", ["", "missing"])
def test_a_manifest_that_is_not_as_signed_is_never_used(
    bundle: str,
    adopter: Adopter,
    live: Path,
    publisher: Publisher,
    kind: type[UpdaterError],
    answer: Callable[[bytes], bytes],
) -> None:
    def lie(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if path.name.endswith(".bundle") and bundle:
            send(handler, 404, b"")
            return True
        if not path.name.endswith(".manifest"):
            return False
        send(handler, 200, answer(path.read_bytes()))
        return True

    with misserved(publisher.folder, lie) as url:
        if bundle:
            adopter.refused(live, kind, url=url)
        else:
            assert adopter(live, url=url).version == "1.0", "the bundle gives it too"


def test_a_manifest_that_was_cut_once_is_fetched_again(
    adopter: Adopter, live: Path, publisher: Publisher
) -> None:
    cuts = iter([True])

    def cut(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if not path.name.endswith(".manifest") or not next(cuts, False):
            return False
        data = path.read_bytes()
        send(handler, 200, data[:-9], Content_Length=str(len(data)))
        return True

    with misserved(publisher.folder, cut) as url:
        assert adopter(live, url=url).version == "1.0"


def test_a_release_for_a_newer_updater_is_refused(
    tmp_path: Path, live: Path, session: Session
) -> None:
    publisher = Publisher(tmp_path / "newer")
    publisher.release("1.0", TREE, release=Release(min_updater="99"))
    with served(publisher.folder) as url:
        adopter = Adopter(url, publisher, session)
        adopter.refused(live, InstallError, "needs updater 99")


def test_what_cannot_be_had_leaves_everything_as_it_was(
    adopter: Adopter, live: Path, publisher: Publisher
) -> None:
    (live / "lib/core.py").write_bytes(b"edited")

    def gone(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if path.name.endswith(".bundle"):
            send(handler, 404, b"")
        return path.name.endswith(".bundle")

    with misserved(publisher.folder, gone) as url:
        adopter.refused(live, TransportError, url=url, repair=True)


def test_a_state_inside_the_folder_is_no_part_of_the_application(
    adopter: Adopter, publisher: Publisher, url: str
) -> None:
    """Where everybody may write to the parent folder, it lies inside."""
    with TemporaryDirectory() as home:
        Path(home).chmod(0o1777)
        live = write_tree(Path(home) / "app", TREE)
        adopter(live)
        assert (live / ".upswap/manifest").exists()
        session = quick_session(lambda: publisher.now)
        assert Updater(live, session).verify(full=True).extra == ()
        assert Updater(live, session).update()
        shutil.rmtree(live / ".upswap")
        assert read_tree(live) == NEXT


@pytest.mark.crash
class TestInterrupted:
    """At every change to the disk: as it was, or adopted and whole."""

    BROKEN = TREE | USERS | {"lib/core.py": b"edited", "app": b"1"}
    MENDED = TREE | USERS | {"lib/core.py.old": b"edited"}

    @pytest.fixture
    def count(self, adopter: Adopter, tmp_path: Path) -> int:
        disk = CountingDisk()
        adopter(write_tree(tmp_path / "count/app", self.BROKEN), repair=True, disk=disk)
        return disk.count

    def test_by_a_kill(
        self, adopter: Adopter, tmp_path: Path, session: Session, count: int, runs: list[int]
    ) -> None:
        runs.append(count)
        for at in range(1, count + 1):
            what = f"killed at {at}"
            live = write_tree(tmp_path / f"{at}/app", self.BROKEN)
            with pytest.raises(Killed):
                adopter(live, repair=True, disk=FaultyDisk(kill=at))
            state = World(live.parent).state
            if state.folder.exists():
                recover(state.on(CountingDisk()))
            adopted = state.manifest.exists()
            assert read_tree(live) == (self.MENDED if adopted else self.BROKEN), what
            if adopted:
                with pytest.raises(InstallError, match="an install already"):
                    adopter(live, repair=True)
            else:
                adopter(live, repair=True)
            assert read_tree(live) == self.MENDED, what
            assert Updater(live, session).verify(full=True).whole, what
            assert Updater(live, session).status().state == "clean", what

    @pytest.mark.parametrize(
        "code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get
    )
    def test_by_a_fault(
        self,
        adopter: Adopter,
        tmp_path: Path,
        session: Session,
        count: int,
        code: int,
        runs: list[int],
    ) -> None:
        runs.append(count)
        for at in range(1, count + 1):
            what = f"failed at {at}"
            live = write_tree(tmp_path / f"{at}/app", self.BROKEN)
            disk = FaultyDisk(fail=at, code=code)
            error = failed(partial(adopter, live, repair=True, disk=disk))
            if error is None:
                recover(World(live.parent).state.on(CountingDisk()))
                assert read_tree(live) == self.MENDED, what
                assert Updater(live, session).verify(full=True).whole, what
            else:
                assert isinstance(error, NotEnoughSpace) == (code == errno.ENOSPC), what
                assert [path.name for path in live.parent.iterdir()] == ["app"], what
                assert read_tree(live) == self.BROKEN, what
