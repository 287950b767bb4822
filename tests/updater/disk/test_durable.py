"""The primitives every change to a user's disk is made of."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import CountingDisk, FaultyDisk, Killed
from updater.disk import durable as module
from updater.disk.durable import (
    NO_LINKS,
    SHARING_TRIES,
    Disk,
    is_executable,
    machine_errors,
    mode_of,
    present,
    remove_tree,
    same,
)
from updater.errors import InstallError, MachineError, NotEnoughSpace

DISK = Disk()


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """A umask that takes everything from others."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def refuse(code: int) -> Callable[..., None]:
    """A system call that fails."""

    def call(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("before", [b"old", None])
def test_write_puts_all_bytes_or_leaves_what_was_there(
    tmp_path: Path, at: int, before: bytes | None
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(Killed):
        FaultyDisk(kill=at).write(path, b"new content")
    after = path.read_bytes() if path.exists() else None
    assert after == (b"new content" if at == 4 else before)


def test_write_makes_the_bytes_durable_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path,
) -> None:
    disk = CountingDisk()
    disk.write(tmp_path / "file", b"new")
    assert [line.split()[0] for line in disk.log] == ["create", "sync", "replace", "sync"]
    assert disk.log[1].endswith("file.part")
    assert disk.log[3] == f"sync {tmp_path}"


@pytest.mark.parametrize("at", range(1, 4))
def test_copy_makes_the_whole_file_or_none(tmp_path: Path, at: int) -> None:
    (tmp_path / "source").write_bytes(b"content")
    with pytest.raises(Killed):
        FaultyDisk(kill=at).copy(tmp_path / "source", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_copy_makes_bytes_durable_and_a_file_of_its_own(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "file"
    source.write_bytes(b"content")
    disk = CountingDisk()
    disk.copy(source, path)
    assert [line.split()[0] for line in disk.log] == ["copy", "sync", "replace"]
    assert path.read_bytes() == b"content"
    assert not same(source, path)
    assert sorted(tmp_path.iterdir()) == [path, source]


@pytest.mark.usefixtures("strict_umask")
@pytest.mark.parametrize("executable", [False, True])
def test_files_have_the_mode_of_a_release_whatever_the_umask(
    tmp_path: Path, executable: bool
) -> None:
    for name in ("written", "created"):
        make = DISK.write if name == "written" else DISK.create
        make(tmp_path / name, b"x", executable=executable)
    DISK.copy(tmp_path / "written", tmp_path / "copied", executable=executable)
    modes = {mode(path) for path in tmp_path.iterdir()}
    assert modes == {0o755 if executable else 0o644} == {mode_of(executable)}
    assert is_executable(tmp_path / "copied") is executable


@pytest.mark.usefixtures("strict_umask")
def test_folders_have_the_mode_of_a_release_whatever_the_umask(tmp_path: Path) -> None:
    DISK.mkdir(tmp_path / "new")
    (tmp_path / "half made").mkdir()
    DISK.mkdir(tmp_path / "half made")
    assert {mode(path) for path in tmp_path.iterdir()} == {0o755}


def test_mkdir_takes_no_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(FileExistsError):
        DISK.mkdir(tmp_path / "file")


def test_keep_gives_a_second_name_and_copies_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    DISK.keep(tmp_path / "file", tmp_path / "aside")
    assert same(tmp_path / "file", tmp_path / "aside")


@pytest.mark.parametrize("code", sorted(NO_LINKS), ids=errno.errorcode.get)
def test_keep_copies_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path, aside = tmp_path / "file", tmp_path / "aside"
    path.write_bytes(b"content")
    path.chmod(0o755)
    monkeypatch.setattr(os, "link", refuse(code))
    DISK.keep(path, aside)
    assert (path.read_bytes(), aside.read_bytes()) == (b"content", b"content")
    assert not same(path, aside)
    assert mode(aside) == 0o755


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_keep_does_not_take_a_failing_disk_for_one_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    monkeypatch.setattr(os, "link", refuse(code))
    with pytest.raises(OSError, match=os.strerror(code)):
        DISK.keep(tmp_path / "file", tmp_path / "aside")
    assert not present(tmp_path / "aside")


def test_keep_keeps_the_symlink_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    DISK.keep(tmp_path / "link", tmp_path / "aside")
    assert (tmp_path / "aside").readlink() == Path("nowhere")
    assert present(tmp_path / "link")


def test_unlink_removes_the_link_and_minds_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    DISK.unlink(tmp_path / "link")
    DISK.unlink(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("what", ["empty", "full", "file", "missing"])
def test_rmdir_removes_empty_folders_and_leaves_all_else(tmp_path: Path, what: str) -> None:
    path = tmp_path / "path"
    if what in {"empty", "full"}:
        path.mkdir()
    if what == "full":
        (path / "users").write_bytes(b"x")
    if what == "file":
        path.write_bytes(b"x")
    DISK.rmdir(path)
    assert present(path) is (what in {"full", "file"})


def test_rmdir_tells_of_other_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "rmdir", refuse(errno.EACCES))
    with pytest.raises(PermissionError):
        DISK.rmdir(tmp_path)


def test_remove_tree_follows_no_symlink(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    (outside / "deep").mkdir(parents=True)
    (outside / "file").write_bytes(b"precious")
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(b"x")
    (tree / "sub" / "folder").symlink_to(outside)
    (tree / "link").symlink_to(outside / "file")
    (tmp_path / "whole").symlink_to(outside)
    remove_tree(DISK, tree)
    remove_tree(DISK, tmp_path / "whole")
    remove_tree(DISK, tmp_path / "never there")
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "file").read_bytes() == b"precious"


def test_free_bytes_is_what_the_disk_says(tmp_path: Path) -> None:
    assert 0 < DISK.free_bytes(tmp_path) < 1 << 60


def test_a_file_held_for_a_moment_on_windows_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    tries = iter([PermissionError(), PermissionError()])

    def held(source: Path, path: Path) -> None:
        for error in tries:
            raise error
        source.rename(path)

    monkeypatch.setattr(module, "WINDOWS", True)
    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr("time.sleep", waits.append)
    (tmp_path / "a").write_bytes(b"x")
    DISK.replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").exists()
    assert len(waits) == 2


@pytest.mark.parametrize(("windows", "tries"), [(True, SHARING_TRIES), (False, 1)])
def test_a_file_held_for_good_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: bool, tries: int
) -> None:
    calls: list[Path] = []

    def held(source: Path, path: Path) -> None:
        calls.append(path)
        raise PermissionError(errno.EACCES, "held")

    monkeypatch.setattr(module, "WINDOWS", windows)
    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(PermissionError):
        DISK.replace(tmp_path / "a", tmp_path / "b")
    assert len(calls) == tries


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (errno.ENOSPC, NotEnoughSpace, "free some disk space"),
        (errno.EDQUOT, NotEnoughSpace, "free some disk space"),
        (errno.EACCES, MachineError, "run as the owner"),
        (errno.EPERM, MachineError, "run as the owner"),
        (errno.EROFS, MachineError, "writable disk"),
        (errno.EIO, MachineError, "check the disk"),
        (errno.EMFILE, MachineError, "check the disk"),
    ],
)
def test_a_fault_of_the_disk_is_told_with_what_to_do(
    code: int, kind: type[InstallError], hint: str
) -> None:
    with pytest.raises(InstallError) as caught, machine_errors("reading notes"):
        raise OSError(code, os.strerror(code), "/some/file")
    error = caught.value
    assert type(error) is kind
    assert str(error).startswith(f"reading notes: {os.strerror(code).lower()}")
    assert "/some/file" in str(error)
    assert hint in error.hint
    assert error.exit_code == 7


def test_errors_that_speak_for_themselves_pass_untouched() -> None:
    with pytest.raises(InstallError, match=r"^mine$"), machine_errors("reading notes"):
        raise InstallError("mine")
    with suppress(KeyError), machine_errors("reading notes"):
        raise KeyError
