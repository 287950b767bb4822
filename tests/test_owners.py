"""Whose files they are and who may use them: root for others, readers, private installs, odd disks.

Other users are real processes: they may read everything (the interpreter may lie in a folder of
root's), and write what is theirs.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from processes import environment
from publisher import Publisher
from serving import served
from trees import Content, Exe, write_tree

from updater.client import Updater
from updater.errors import InstallError
from updater.installation import install
from updater.launch.state import find

SOMEBODY = 45678
OLD: dict[str, Content] = {"app": Exe(b"1"), "conf": b"a", "gone/file": b"g", "lib/same": b"s"}
NEW: dict[str, Content] = {"app": Exe(b"2"), "conf": b"b", "lib/more": b"m", "lib/same": b"s"}
NEXT: dict[str, Content] = {**NEW, "conf": b"c"}
AS_SOMEBODY = [
    "setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip

two_users = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv",
)


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    """One whose releases commands of today take."""
    publisher = Publisher(tmp_path / "publisher", now=int(time.time()))
    publisher.release("1.0", OLD)
    return publisher


@pytest.fixture
def url(publisher: Publisher) -> Iterator[str]:
    with served(publisher.folder) as url:
        yield url


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        yield Path(home)


@pytest.fixture
def folder(home: Path, url: str, publisher: Publisher) -> Path:
    """An install of 1.0."""
    install(home / "app", url, publisher.root, "notes")
    return home / "app"


def run(who: list[str], *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command of ours, which ends with ``code``."""
    done = subprocess.run(
        [*who, sys.executable, "-m", "updater", *words],
        env=environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def everything(*places: Path) -> list[Path]:
    return [path for place in places for path in (place, *place.rglob("*"))]


def owners(*places: Path) -> dict[Path, int]:
    return {path: path.lstat().st_uid for path in everything(*places)}


def looks(*places: Path) -> dict[Path, tuple[int, ...]]:
    """All that changes if something is written."""
    infos = {path: path.lstat() for path in everything(*places)}
    return {path: (i.st_mode, i.st_uid, i.st_size, i.st_ctime_ns) for path, i in infos.items()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def give(user: int, *places: Path) -> None:
    for path in everything(*places):
        os.chown(path, user, user, follow_symlinks=False)


class TestReaders:
    """Who may only read an install can look at it, ask for updates, and changes nothing."""

    @two_users
    def test_they_see_what_its_owner_sees(self, publisher: Publisher, folder: Path) -> None:
        publisher.release("2.0", NEW)
        before = looks(folder.parent)
        for words in (["status"], ["check"], ["verify"], ["reports"]):
            run(AS_SOMEBODY, *words, "--dir", str(folder))
        offer = json.loads(run(AS_SOMEBODY, "check", "--json", "--dir", str(folder)).stdout)
        assert offer["available"] == "2.0"
        assert looks(folder.parent) == before

    @two_users
    def test_metadata_that_only_its_owner_may_read_is_fetched_again(
        self, publisher: Publisher, folder: Path
    ) -> None:
        publisher.release("2.0", NEW)
        trust = folder.parent / ".app.upswap" / "trust"
        for path in (trust, trust / "timestamp.json"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        who = AS_SOMEBODY[:4]
        probe = subprocess.run([*who, sys.executable, "-c", ""], check=False, capture_output=True)
        if probe.returncode:
            pytest.skip("another user may not use this interpreter")
        run(who, "check", "--dir", str(folder))

    def test_a_disk_that_is_read_only_can_be_asked_about_too(
        self, publisher: Publisher, folder: Path, request: pytest.FixtureRequest
    ) -> None:
        publisher.release("2.0", NEW)
        home = folder.parent
        if subprocess.run(["mount", "--bind", home, home], check=False).returncode:
            pytest.skip("mounting is not permitted here")
        request.addfinalizer(lambda: subprocess.run(["umount", home], check=True))
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        assert json.loads(run([], "check", "--json", "--dir", str(folder)).stdout)["available"]
        run([], "verify", "--dir", str(folder))


class TestTheStateIsBelieved:
    """Unless somebody can have planted it who could not change the install itself."""

    @pytest.fixture
    def state(self, folder: Path) -> Path:
        return folder.parent / ".app.upswap"

    @two_users
    def test_if_it_is_roots(self, folder: Path) -> None:
        give(SOMEBODY, folder)
        assert find(folder) is not None
        run([], "verify", "--dir", str(folder))

    @two_users
    def test_if_it_is_of_whoever_asks(self, folder: Path, state: Path) -> None:
        give(SOMEBODY, state)
        run(AS_SOMEBODY, "status", "--dir", str(folder))
        with pytest.raises(InstallError, match="only the owner") as caught:
            find(folder)
        assert "chown" in caught.value.hint

    def test_if_whoever_may_write_it_may_write_the_install(self, folder: Path, state: Path) -> None:
        state.chmod(0o775)
        with pytest.raises(InstallError, match="only the owner") as caught:
            find(folder)
        assert f"chmod go-w {state}" in caught.value.hint
        folder.chmod(0o775)
        assert find(folder) is not None

    @two_users
    def test_not_if_another_group_may_write_it(self, folder: Path, state: Path) -> None:
        for path in (state, folder):
            path.chmod(0o775)
        os.chown(state, -1, SOMEBODY)
        with pytest.raises(InstallError, match="only the owner"):
            find(folder)

    def test_of_a_copy_of_both(self, publisher: Publisher, folder: Path, state: Path) -> None:
        publisher.release("2.0", NEW)
        for source, name in ((folder, "other"), (state, ".other.upswap")):
            shutil.copytree(source, folder.parent / name, symlinks=True)
        copy = Updater(folder.parent / "other")
        assert copy.verify(full=True).whole
        assert copy.update()
        assert Updater(folder).status().version == "1.0"
        assert copy.rollback().new == "1.0"


class TestADiskThatKeepsNoModes:
    """Everything on it may be written by everybody, as on many a stick."""

    @pytest.fixture
    def disk(self, home: Path, tmp_path: Path) -> Iterator[Path]:
        back = tmp_path / "back"
        back.mkdir()
        if not os.access("/dev/fuse", os.W_OK) or shutil.which("bindfs") is None:
            pytest.skip("bindfs is not there")
        how = ["--perms=0777", "--chmod-deny", "--chown-deny"]
        if subprocess.run(["bindfs", *how, back, home], check=False).returncode:
            pytest.skip("mounting is not permitted here")
        yield home
        subprocess.run(["umount", home], check=True)

    def test_an_install_there_is_one_for_every_later_command(
        self, disk: Path, publisher: Publisher, url: str
    ) -> None:
        install(disk / "app", url, publisher.root, "notes")
        updater = Updater(disk / "app")
        assert updater.verify(full=True).whole
        publisher.release("2.0", NEW)
        assert updater.update()
        assert updater.verify(full=True).whole
        assert updater.rollback().new == "1.0"
        assert updater.repair() is None


class TestAPrivateInstall:
    @pytest.mark.parametrize("bits", [0o700, 0o750, 0o755, 0o777])
    def test_its_state_is_no_wider_and_nobody_else_may_write_it(
        self, home: Path, url: str, publisher: Publisher, bits: int
    ) -> None:
        place = home / "app"
        place.mkdir()
        place.chmod(bits)
        install(place, url, publisher.root, "notes")
        assert mode(home / ".app.upswap") == bits & 0o755
        assert mode(place) == bits

    @two_users
    def test_its_state_belongs_to_the_owner_of_the_folder(
        self, home: Path, url: str, publisher: Publisher
    ) -> None:
        write_tree(home / "app", {})
        give(SOMEBODY, home / "app")
        install(home / "app", url, publisher.root, "notes")
        assert set(owners(home / "app", home / ".app.upswap").values()) == {SOMEBODY}
