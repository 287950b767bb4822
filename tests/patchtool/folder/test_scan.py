"""What a release folder may hold, and what is left out of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from patchtool.folder.scan import scan

from tests.support.trees.tree_strategies import manifest_of
from tests.support.trees.trees import Exe, Link, Tree, noise, write_tree
from updater.errors import FormatError, InstallError
from updater.format.manifest import Manifest
from updater.format.release_description import Release

TREE: Tree = {
    "app": Exe(b"#!/bin/sh\n"),
    "lib/core.py": noise(3 << 20),
    "lib/__pycache__/core.pyc": b"compiled",
    "lib/empty": None,
    "zero": b"",
    "link": Link("lib/core.py"),
    "to a folder": Link("lib"),
    "dangling": Link("nowhere"),
    "größe": b"1",
}


def manifest(folder: Path, *, portable: bool = True) -> Manifest:
    return Manifest.of("app", "1", scan(folder), Release(portable=portable))


def names(folder: Path, *patterns: str) -> set[str]:
    return {entry.path for entry in scan(folder, patterns)}


def test_everything_in_the_folder_is_found_as_it_is(tmp_path: Path) -> None:
    assert manifest(write_tree(tmp_path / "r", TREE)) == manifest_of(TREE)


def test_an_empty_folder_is_a_release_of_nothing(tmp_path: Path) -> None:
    assert scan(tmp_path) == []


def test_a_folder_is_not_entered_through_a_symlink(tmp_path: Path) -> None:
    write_tree(tmp_path / "r", {"real/f": b"1", "loop": Link("."), "real/up": Link("../real")})
    assert names(tmp_path / "r") == {"real/f", "real/up", "loop"}


def test_only_the_owners_executable_bit_counts(tmp_path: Path) -> None:
    write_tree(tmp_path / "r", {"f": b"1", "g": b"1"})
    (tmp_path / "r/f").chmod(0o611)
    (tmp_path / "r/g").chmod(0o700)
    assert manifest(tmp_path / "r") == manifest_of({"f": b"1", "g": Exe(b"1")})


def make_fifo(place: Path) -> None:
    os.mkfifo(place)


def make_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(place))  # a socket's name must be short


def mode(bits: int, *, folder: bool = False) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.mkdir() if folder else place.write_bytes(b"1")
        place.chmod(bits)

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_fifo, "neither file, folder nor symlink"),
        (make_socket, "neither file, folder nor symlink"),
        (mode(0o4755), "setuid, setgid or sticky"),
        (mode(0o2755), "setuid, setgid or sticky"),
        (mode(0o1644), "setuid, setgid or sticky"),
        (mode(0o2755, folder=True), "setuid, setgid or sticky"),
        (mode(0o1777, folder=True), "setuid, setgid or sticky"),
    ],
    ids=["fifo", "socket", "setuid", "setgid", "sticky", "setgid-folder", "sticky-folder"],
)
def test_what_cannot_be_carried_is_refused_with_its_name(
    make: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    write_tree(tmp_path / "r", {"in/fine": b"1"})
    make(tmp_path / "r/in/bad")
    with pytest.raises(FormatError, match=f"'in/bad' .*{reason}"):
        scan(tmp_path / "r")
    assert names(tmp_path / "r", "bad") == {"in/fine"}, "it may be excluded"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"caf\xe9", "not valid Unicode"),
        (b"back\\slash", "backslash"),
        (b"new\nline", "control character"),
        ("e\u0301".encode(), "NFC"),
        (b"con.txt", "Windows device"),
        (b"what?", "Windows does not allow"),
        (b"ends.", "trailing dot"),
        (b".upswap", "state folder"),
    ],
)
def test_a_name_other_systems_cannot_hold_is_refused(
    name: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(b"1")
    with pytest.raises(FormatError, match=reason):
        manifest(tmp_path)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "in/../../out", "caf\udce9"])
def test_a_symlink_that_may_leave_the_release_is_refused(target: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FormatError, match="symlink target"):
        manifest(tmp_path)


@pytest.mark.parametrize(
    "tree",
    [
        {"readme": b"1", "README": b"2"},
        {"Lib/a": b"1", "lib/b": b"2"},
        {"stra\u00dfe": b"1", "strasse": b"2"},
        {"a": None, "A": b"1"},
    ],
)
def test_names_one_where_letter_case_is_ignored_are_refused_unless_not_portable(
    tree: Tree, tmp_path: Path
) -> None:
    folder = write_tree(tmp_path / "r", tree)
    with pytest.raises(FormatError, match="letter case"):
        manifest(folder)
    assert len(manifest(folder, portable=False).entries) == len(tree)


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        ([], set[str]()),
        (["__pycache__/"], {"lib/__pycache__/core.pyc"}),
        (["*.py"], {"lib/core.py"}),
        (["/core.py"], set[str]()),
        (["lib/*", "!lib/core.py"], {"lib/__pycache__/core.pyc", "lib/empty"}),
        (["# a comment", "", "link"], {"link"}),
        (["empty/"], {"lib/empty"}),
        (["größe"], {"größe"}),
        (["to a folder/"], set[str]()),
    ],
)
def test_what_is_excluded_is_not_in_the_release(
    patterns: list[str], gone: set[str], tmp_path: Path
) -> None:
    write_tree(tmp_path / "r", TREE)
    assert names(tmp_path / "r", *patterns) == TREE.keys() - gone


def test_a_folder_all_of_whose_content_is_excluded_stays_as_an_empty_one(tmp_path: Path) -> None:
    write_tree(tmp_path / "r", {"logs/today": b"1", "f": b"1"})
    assert names(tmp_path / "r", "logs/*") == {"f", "logs"}


@pytest.mark.parametrize("pattern", ["!", "\\"])
def test_a_pattern_that_is_none_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"exclude: .*pattern"):
        scan(tmp_path, [pattern])


@pytest.mark.parametrize("name", ["missing", "file"])
def test_only_a_folder_is_a_release(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(InstallError, match="is not a folder"):
        scan(tmp_path / name)


def test_folders_deeper_than_any_path_are_refused_by_name(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(550):  # more, and pytest itself could not remove them again
        os.mkdir("a", dir_fd=folder)
        inner = os.open("a", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(FormatError, match="1024 bytes"):
        scan(tmp_path)
