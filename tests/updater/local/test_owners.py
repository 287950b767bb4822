"""Whose files they are and who may use them: root for others, readers, private installs, odd disks.

Other users are real processes: they may read everything (the interpreter may lie in a folder of
root's), and write what is theirs.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest

from tests.support.repository.publisher import Publisher
from tests.support.servers.processes import environment
from tests.support.trees.trees import Content, Exe, Link, read_tree, write_tree
from updater.client import Updater
from updater.errors import InstallError
from updater.format.release_description import Policy, Release
from updater.launch.state import State, find
from updater.local.launcher_files import launcher_command
from updater.update.adopt import adopt
from updater.update.install_new import install

SOMEBODY = 45678
OLD: dict[str, Content] = {"app": Exe(b"1"), "conf": b"a", "gone/file": b"g", "lib/same": b"s"}
NEW: dict[str, Content] = {"app": Exe(b"2"), "conf": b"b", "lib/more": b"m", "lib/same": b"s"}
NEXT: dict[str, Content] = {**NEW, "conf": b"c"}
STRICT = ["env", "PYTHONIOENCODING=utf-8:strict"]
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service, as `setcap` writes it down."""
AS_SOMEBODY = [
    "setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip

two_users = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv",
)


@pytest.fixture
def publisher(publisher_of_today: Publisher) -> Publisher:
    publisher_of_today.release("1.0", OLD)
    return publisher_of_today


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


def update(publisher: Publisher, folder: Path, tree: dict[str, Content]) -> None:
    publisher.release("2.0", tree)
    assert Updater(folder).update()


def give(user: int, *places: Path) -> None:
    for path in everything(*places):
        os.chown(path, user, user, follow_symlinks=False)


class TestReaders:
    """Who may only read an install can look at it, ask for updates, and changes nothing."""

    @two_users
    @pytest.mark.slow
    def test_they_see_what_its_owner_sees(self, publisher: Publisher, folder: Path) -> None:
        publisher.release("2.0", NEW)
        before = looks(folder.parent)
        for words in (["status"], ["verify"], ["reports"]):
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


class TestPermissions:
    """What takes the place of a file is for those whom the file was for; nothing gets wider."""

    @pytest.mark.parametrize("bits", [0o600, 0o640, 0o604, 0o444, 0o664])
    def test_a_changed_file_keeps_its_mode(
        self, publisher: Publisher, folder: Path, bits: int
    ) -> None:
        (folder / "conf").chmod(bits)
        update(publisher, folder, NEW)
        assert ((folder / "conf").read_bytes(), mode(folder / "conf")) == (b"b", bits)

    @pytest.mark.parametrize(
        ("before", "after"), [(0o750, 0o750), (0o700, 0o700), (0o744, 0o744), (0o4755, 0o4755)]
    )
    def test_an_executable_keeps_its_mode(
        self, publisher: Publisher, folder: Path, before: int, after: int
    ) -> None:
        (folder / "app").chmod(before)
        update(publisher, folder, NEW)
        assert ((folder / "app").read_bytes(), mode(folder / "app")) == (b"2", after)

    @pytest.mark.parametrize(
        ("content", "before", "after"),
        [
            (Exe(b"b"), 0o640, 0o750),
            (Exe(b"b"), 0o600, 0o700),
            (b"b", 0o640, 0o640),
        ],
    )
    def test_whether_it_is_executable_is_for_the_release_to_say(
        self, publisher: Publisher, folder: Path, content: Content, before: int, after: int
    ) -> None:
        (folder / "conf").chmod(before)
        update(publisher, folder, {**NEW, "conf": content, "app": b"2"})
        assert mode(folder / "conf") == after
        assert mode(folder / "app") == 0o644

    def test_a_repair_keeps_them_too(self, folder: Path) -> None:
        (folder / "conf").chmod(0o600)
        (folder / "conf").write_bytes(b"damaged")
        (folder / "app").chmod(0o640)
        assert Updater(folder).repair()
        assert (mode(folder / "conf"), mode(folder / "app")) == (0o600, 0o750)

    def test_a_rollback_brings_the_old_file_back_with_its_own(
        self, publisher: Publisher, folder: Path
    ) -> None:
        (folder / "conf").chmod(0o600)
        update(publisher, folder, NEW)
        (folder / "conf").chmod(0o640)
        assert Updater(folder).rollback().new == "1.0"
        assert ((folder / "conf").read_bytes(), mode(folder / "conf")) == (b"a", 0o600)

    def test_they_are_kept_where_the_disk_has_no_links(
        self, publisher: Publisher, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "no links")

        (folder / "conf").chmod(0o600)
        (folder / "conf").write_bytes(b"mine")
        monkeypatch.setattr(os, "link", refuse)
        update(publisher, folder, NEW)
        assert mode(folder / "conf.old") == mode(folder / "conf") == 0o600
        assert Updater(folder).rollback().new == "1.0"
        assert ((folder / "conf").read_bytes(), mode(folder / "conf")) == (b"mine", 0o600)

    @pytest.mark.parametrize(
        ("bits", "file", "executable"),
        [
            (0o700, 0o600, 0o700),
            (0o750, 0o640, 0o750),
            (0o755, 0o644, 0o755),
            (0o711, 0o644, 0o755),
        ],
    )
    def test_a_new_file_is_for_those_who_can_reach_it(
        self, publisher: Publisher, folder: Path, bits: int, file: int, executable: int
    ) -> None:
        (folder / "lib").chmod(bits)
        update(publisher, folder, {**NEW, "lib/sub/deep": b"d", "lib/run": Exe(b"r")})
        assert mode(folder / "lib") == bits
        assert mode(folder / "lib/more") == file
        assert mode(folder / "lib/run") == mode(folder / "lib/sub") == executable
        assert mode(folder / "lib/sub/deep") == file

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
    def test_a_umask_changes_nothing(self, publisher: Publisher, folder: Path) -> None:
        before = os.umask(0o077)
        try:
            update(publisher, folder, NEW)
        finally:
            os.umask(before)
        assert {mode(folder / path) for path in ("conf", "lib/more", "lib/same")} == {0o644}
        assert mode(folder) == mode(folder / "lib") == 0o755

    def test_a_removed_folder_comes_back_for_the_same_people(
        self, publisher: Publisher, folder: Path
    ) -> None:
        (folder / "gone").chmod(0o700)
        (folder / "gone/file").chmod(0o600)
        update(publisher, folder, NEW)
        assert not (folder / "gone").exists()
        assert Updater(folder).rollback().new == "1.0"
        assert (mode(folder / "gone"), mode(folder / "gone/file")) == (0o700, 0o600)

    def test_so_does_one_that_made_way_for_a_file(self, publisher: Publisher, folder: Path) -> None:
        (folder / "gone").chmod(0o2750)
        update(publisher, folder, {**NEW, "gone": b"a file now"})
        assert (folder / "gone").is_file()
        assert Updater(folder).rollback().new == "1.0"
        assert mode(folder / "gone") == 0o2750

    def test_what_is_kept_for_a_way_back_is_for_the_owner_alone(
        self, publisher: Publisher, folder: Path
    ) -> None:
        state = folder.parent / ".app.upswap"
        (folder / "conf").write_bytes(b"password")
        update(publisher, folder, NEW)
        assert mode(state / "old") == 0o700
        assert mode(state / "old/journal") == 0o600

    @two_users
    def test_owner_and_group_are_kept(self, publisher: Publisher, folder: Path) -> None:
        os.chown(folder / "conf", SOMEBODY, 4711)
        update(publisher, folder, NEW)
        info = (folder / "conf").stat()
        assert (info.st_uid, info.st_gid) == (SOMEBODY, 4711)

    @two_users
    def test_a_folder_gives_its_group(self, publisher: Publisher, folder: Path) -> None:
        os.chown(folder / "lib", -1, 4711)
        (folder / "lib").chmod(0o2750)
        update(publisher, folder, {**NEW, "lib/sub/deep": b"d"})
        assert mode(folder / "lib/sub") == 0o2750
        groups = {(folder / "lib" / path).stat().st_gid for path in ("more", "sub", "sub/deep")}
        assert groups == {4711}

    @two_users
    def test_a_group_that_may_not_be_given_is_replaced_by_nobody(
        self, publisher: Publisher, folder: Path
    ) -> None:
        give(SOMEBODY, folder, folder.parent / ".app.upswap")
        os.chown(folder / "conf", -1, 4711)
        (folder / "conf").chmod(0o660)
        publisher.release("2.0", NEW)
        run(AS_SOMEBODY, "update", "--dir", str(folder))
        info = (folder / "conf").stat()
        assert (info.st_gid, mode(folder / "conf")) == (SOMEBODY, 0o600)


@two_users
@pytest.mark.slow
def test_a_file_that_its_owner_may_not_read_is_no_dead_end(
    publisher: Publisher, folder: Path
) -> None:
    somebody = AS_SOMEBODY[:4]
    probe = subprocess.run([*somebody, sys.executable, "-c", ""], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("another user may not use this interpreter")
    give(SOMEBODY, folder.parent)
    (folder / "conf").write_bytes(b"mine")
    (folder / "conf").chmod(0)
    publisher.release("2.0", NEW)
    run(somebody, "update", "--dir", str(folder))
    assert ((folder / "conf").read_bytes(), mode(folder / "conf")) == (b"b", 0o400)
    assert (folder / "conf.old").read_bytes() == b"mine"
    run(somebody, "rollback", "--dir", str(folder))
    assert (folder / "conf").read_bytes() == b"mine"
    (folder / "app").chmod(0)
    run(somebody, "repair", "--dir", str(folder))
    assert mode(folder / "app") == 0o500


@pytest.mark.skipif(sys.platform != "linux", reason="extended attributes of Linux")
class TestAttributes:
    @pytest.fixture(autouse=True)
    def _disk_with_attributes(self, folder: Path) -> None:
        try:
            os.setxattr(folder / "conf", "user.note", b"mine")
        except OSError:
            pytest.skip("this disk keeps no attributes")

    def test_those_of_the_user_stay(self, publisher: Publisher, folder: Path) -> None:
        update(publisher, folder, NEW)
        assert (folder / "conf").read_bytes() == b"b"
        assert os.getxattr(folder / "conf", "user.note") == b"mine"

    @two_users
    def test_capabilities_stay(self, publisher: Publisher, folder: Path) -> None:
        try:
            os.setxattr(folder / "app", "security.capability", CAPABILITY)
        except OSError:
            pytest.skip("capabilities may not be given here")
        update(publisher, folder, NEW)
        assert os.getxattr(folder / "app", "security.capability") == CAPABILITY

    @two_users
    def test_root_gives_an_owner_no_right_that_they_could_not_give(
        self, publisher: Publisher, folder: Path
    ) -> None:
        """They choose what is installed: with the right of the file before it would be root's."""
        give(SOMEBODY, folder, folder.parent / ".app.upswap")
        try:
            os.setxattr(folder / "app", "security.capability", CAPABILITY)
        except OSError:
            pytest.skip("capabilities may not be given here")
        os.chown(folder / "conf", 0, 0)
        (folder / "conf").chmod(0o4755)
        update(publisher, folder, {**NEW, "conf": Exe(b"b")})
        assert "security.capability" not in os.listxattr(folder / "app")
        assert mode(folder / "conf") == 0o755

    @pytest.mark.skipif(shutil.which("setfacl") is None, reason="needs setfacl")
    def test_access_lists_stay_and_are_inherited(self, publisher: Publisher, folder: Path) -> None:
        def acl(path: str) -> set[str]:
            words = ["getfacl", "--omit-header", "--numeric", str(folder / path)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            return {line.partition("\t")[0] for line in done.stdout.split("\n") if line}

        subprocess.run(["setfacl", "-m", "u:4711:r,g::-", folder / "conf"], check=True)
        subprocess.run(["setfacl", "-d", "-m", "u:4711:rx,o::-", folder / "lib"], check=True)
        before = acl("conf")
        update(publisher, folder, {**NEW, "lib/sub/deep": b"d"})
        assert acl("conf") == before
        assert {"user:4711:r-x", "mask::r--", "other::---"} <= acl("lib/more")
        assert {"user:4711:r-x", "mask::r-x", "other::---"} <= acl("lib/sub")
        assert "user:4711:r-x" in acl("lib/sub/deep")

    @pytest.mark.skipif(shutil.which("setfacl") is None, reason="needs setfacl")
    def test_a_file_gets_no_access_list_from_the_state(
        self, publisher: Publisher, folder: Path
    ) -> None:
        """Its parent's default is for what is made there, and is not what the install had."""
        state = folder.parent / ".app.upswap"
        subprocess.run(["setfacl", "-d", "-m", "u:4711:rwx", state], check=True)
        update(publisher, folder, NEW)
        for path in ("conf", "lib/more", "app"):
            assert "system.posix_acl_access" not in os.listxattr(folder / path)


@two_users
class TestRootForAnother:
    """What root's command makes belongs to the owner of the install, who goes on alone."""

    @pytest.fixture
    def theirs(self, folder: Path) -> Path:
        give(SOMEBODY, folder.parent)
        return folder

    @pytest.mark.slow
    def test_every_command_of_root_leaves_everything_to_them(
        self, publisher: Publisher, theirs: Path
    ) -> None:
        def command(*words: str) -> None:
            run([], *words, "--dir", str(theirs))
            assert set(owners(theirs.parent).values()) == {SOMEBODY}

        publisher.release("2.0", NEW)
        command("status")
        command("check")
        command("update")
        command("rollback")
        (theirs / "app").write_bytes(b"damaged")
        command("repair")
        command("reports", "on")
        command("recover")
        publisher.release("3.0", NEXT)
        command("update")
        run(AS_SOMEBODY, "rollback", "--dir", str(theirs))
        publisher.release("4.0", OLD)
        run(AS_SOMEBODY, "update", "--dir", str(theirs))
        assert Updater(theirs).verify(full=True).whole

    def test_a_download_that_root_left_is_no_obstacle(
        self, publisher: Publisher, theirs: Path
    ) -> None:
        publisher.release("2.0", NEW)
        downloads = theirs.parent / ".app.upswap" / "downloads"
        downloads.mkdir()
        for blob in publisher.folder.rglob("*"):
            if blob.suffix in {".patch", ".bundle"}:
                (downloads / blob.name.partition(".")[0]).write_bytes(b"begun")
        os.chown(downloads, SOMEBODY, SOMEBODY)
        run(AS_SOMEBODY, "update", "--dir", str(theirs))

    def test_adopting_too(self, home: Path, url: str, publisher: Publisher) -> None:
        write_tree(home / "placed", OLD)
        give(SOMEBODY, home)
        adopt(home / "placed", url, publisher.root, "notes", "1.0")
        assert set(owners(home).values()) == {SOMEBODY}
        publisher.release("2.0", NEW)
        run(AS_SOMEBODY, "update", "--dir", str(home / "placed"))

    def test_an_install_that_root_makes_in_their_folder_is_roots(
        self, home: Path, url: str, publisher: Publisher
    ) -> None:
        give(SOMEBODY, home)
        install(home / "app", url, publisher.root, "notes")
        assert set(owners(home / "app", home / ".app.upswap").values()) == {0}


class TestAFolderWhoseNameIsNoUtf8:
    @pytest.fixture
    def odd(self, home: Path) -> Path:
        place = home / os.fsdecode(b"caf\xe9")
        try:
            place.mkdir()
        except OSError:
            pytest.skip("this disk has no such names")
        return place

    @pytest.mark.slow
    def test_every_command_works_there(
        self, odd: Path, publisher: Publisher, url: str, tmp_path: Path
    ) -> None:
        (tmp_path / "root.json").write_bytes(publisher.root)
        folder = os.fsdecode(os.fsencode(odd / odd.name))
        source = ("--url", url, "--root", str(tmp_path / "root.json"), "--app", "notes")
        run(STRICT, "install", *source, folder)
        (Path(folder) / odd.name).write_bytes(b"mine")
        (Path(folder) / "conf").write_bytes(b"edited")
        publisher.release("2.0", NEW)
        for words in ("check", "update", "verify", "rollback", "recover", "reports", "repair"):
            run(STRICT, words, "--dir", folder)
        run(STRICT, "status", "--json", "--dir", folder)
        assert "is not an install" in run(STRICT, "status", "--dir", str(odd), code=7).stderr
        assert (Path(folder) / odd.name).read_bytes() == b"mine"

    def test_a_launcher_may_have_its_interpreter_there(
        self, odd: Path, publisher: Publisher, home: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        python = odd / "python"
        python.symlink_to(sys.executable)
        monkeypatch.setattr(sys, "executable", str(python))
        runs = {**OLD, "app": Exe(b"#!/bin/sh\nexit 0\n")}
        publisher.release("1.1", runs, release=Release(entry=("app",)))
        install(home / "app", url, publisher.root, "notes")
        noted = home / ".app.upswap/launcher/1/python"
        assert noted.read_bytes() == os.fsencode(python) + b"\n"
        command = launcher_command(State(home / "app", home / ".app.upswap"))
        assert command is not None
        assert subprocess.run(command, check=False, timeout=60).returncode == 0


@two_users
@pytest.mark.slow
def test_an_update_that_only_root_can_bring_is_told_of_at_the_update_and_at_every_start(
    publisher: Publisher, home: Path, url: str
) -> None:
    program = Exe(b"#!/bin/sh\necho runs\nexec sleep ${NAP:-0}\n")
    release = Release(entry=("app",))
    publisher.release("1.1", {**OLD, "app": program}, release=release)
    folder = home / "app"
    install(folder, url, publisher.root, "notes")
    publisher.release("2.0", {**NEW, "app": program}, release=release)
    launch = (sys.executable, "-m", "updater", "launch", "--dir", str(folder))
    more = environment({"NAP": "60"})
    with subprocess.Popen([*AS_SOMEBODY, *launch], stdout=subprocess.PIPE, env=more) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == b"runs\n"
            done = run([], "update", "--dir", str(folder))
        finally:
            running.kill()
    assert "the next start" in done.stdout
    assert "by root" in done.stderr
    for _ in range(2):
        told = run(AS_SOMEBODY, "launch", "--dir", str(folder))
        assert told.stdout == "runs\n"
        assert "waits: this user may not change" in told.stderr
    run([], "launch", "--dir", str(folder))
    assert run(AS_SOMEBODY, "launch", "--dir", str(folder)).stderr == ""
    assert Updater(folder).status().version == "2.0"


class TestAnExchangedFolder:
    """The install is another one than the State says: restored from a backup, copied over."""

    NEW: ClassVar[dict[str, Content]] = {
        "app": Exe(b"2"), "conf": b"b", "lib/same": b"s", "lib/core": b"core 2",
    }  # fmt: skip
    OLD: ClassVar[dict[str, Content]] = {**OLD, "lib/core": b"core 1"}

    @pytest.fixture
    def folder(self, home: Path, url: str, publisher: Publisher) -> Path:
        """2.0 is installed, and the folder is that of 1.1, with times of before."""
        publisher.release("1.1", self.OLD)
        install(home / "app", url, publisher.root, "notes")
        shutil.copytree(home / "app", home / "backup")
        publisher.release("2.0", self.NEW)
        assert Updater(home / "app").update()
        assert Updater(home / "app").status().state == "clean"
        (home / "app").rename(home / "gone")
        (home / "backup").rename(home / "app")
        return home / "app"

    def test_is_told_by_status_and_verify(self, folder: Path) -> None:
        done = run([], "status", "--dir", str(folder))
        assert "state: damaged" in done.stdout
        assert "restored" in done.stderr
        findings = Updater(folder).verify()
        assert findings.changed == findings.earlier == ("app", "conf", "lib/core")
        assert "restored" in run([], "verify", "--dir", str(folder), code=6).stderr

    def test_so_is_one_of_its_folders(self, folder: Path) -> None:
        gone = folder.parent / "gone"
        folder.rename(folder.parent / "backup")
        gone.rename(folder)
        assert Updater(folder).status().state == "clean"
        (folder / "lib").rename(folder.parent / "lib")
        (folder.parent / "backup" / "lib").rename(folder / "lib")
        assert Updater(folder).status().state == "damaged"
        assert Updater(folder).verify().changed == ("lib/core",)

    @pytest.mark.parametrize("command", ["repair", "update"])
    def test_is_put_right_and_released_files_are_no_work_of_the_users(
        self, publisher: Publisher, folder: Path, command: str
    ) -> None:
        (folder / "conf").write_bytes(b"mine")
        if command == "update":
            publisher.release("3.0", {**self.NEW, "app": Exe(b"3"), "conf": b"c"})
        run([], command, "--dir", str(folder))
        assert Updater(folder).verify(full=True).whole
        assert Updater(folder).status().state == "clean"
        assert {path.name for path in folder.rglob("*.old*")} == {"conf.old"}
        assert (folder / "conf.old").read_bytes() == b"mine"

    @pytest.mark.parametrize("policy", ["keep", "keep-if-changed"])
    def test_released_files_are_no_work_of_the_users_where_a_policy_keeps_that(
        self, home: Path, url: str, publisher: Publisher, policy: Policy
    ) -> None:
        rules = Release(policy=(("*", policy),))
        old: dict[str, Content] = {"app": Exe(b"1"), "conf": b"a", "a": b"1", "b": Link("app")}
        new: dict[str, Content] = {"app": Exe(b"2"), "conf": b"b", "a": Link("app"), "b": b"2"}
        publisher.release("1.1", old, release=rules)
        install(home / "app", url, publisher.root, "notes")
        shutil.copytree(home / "app", home / "backup", symlinks=True)
        publisher.release("2.0", new, release=rules)
        assert Updater(home / "app").update()
        shutil.rmtree(home / "app")
        (home / "backup").rename(home / "app")
        (home / "app" / "conf").write_bytes(b"mine")
        assert Updater(home / "app").repair()
        assert read_tree(home / "app") == {**new, "conf": b"mine"}

    def test_work_of_the_users_alone_is_no_exchange(self, folder: Path) -> None:
        assert Updater(folder).repair()
        (folder / "conf").write_bytes(b"mine")
        (folder / "lib/core").unlink()
        assert Updater(folder).status().state == "clean"

    def test_one_with_hardly_anything_of_it_is_damaged(self, folder: Path) -> None:
        for path in ("app", "conf", "lib/core"):
            (folder / path).unlink()
        assert Updater(folder).status().state == "damaged"
        assert Updater(folder).repair()
        assert Updater(folder).status().state == "clean"

    @pytest.mark.parametrize("lost", ["known", "folders.json"])
    @pytest.mark.parametrize("how", ["gone", "garbage"])
    def test_what_it_is_known_by_is_harmless_to_lose(
        self, publisher: Publisher, folder: Path, lost: str, how: str
    ) -> None:
        place = folder.parent / ".app.upswap" / lost
        place.unlink()
        if how == "garbage":
            place.write_bytes(b"no document, and no marks")
        publisher.release("3.0", {**self.NEW, "app": Exe(b"3")})
        assert Updater(folder).verify(full=True).changed
        assert Updater(folder).update()
        assert Updater(folder).verify(full=True).whole
