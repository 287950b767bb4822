"""What became of each entry, told in the fewest changes."""

from __future__ import annotations

import time

import pytest
from patchtool.diff.pair_entries import describe

from tests.support.trees.tree_strategies import manifest_of
from tests.support.trees.trees import Exe, Link, Tree
from updater.format.changes import Change, Kind

Told = set[tuple[str, ...]]


def text(name: str) -> bytes:
    """Content nothing else has."""
    return f"the content of {name}\n".encode()


def package(folder: str, count: int = 4) -> Tree:
    return {f"{folder}/m{n}.py": text(f"m{n}") for n in range(count)}


def told(old: Tree, new: Tree) -> Told:
    """The changes: kind, source if there is one, path; with ``edited`` where content is sent."""
    return {tell(change) for change in describe(manifest_of(old), manifest_of(new))}


def tell(change: Change) -> tuple[str, ...]:
    edited = ("edited",) if change.kind == Kind.RENAME and change.size is not None else ()
    source = (change.source,) if change.source else ()
    return (change.kind.name.lower(), *source, change.path, *edited)


TABLE: dict[str, tuple[Tree, Tree, Told]] = {
    "a moved directory": (package("a"), package("b"), {("move_directory", "a", "b")}),
    "a moved directory, one file edited": (
        package("a"),
        {**package("b"), "b/m0.py": b"other"},
        {("move_directory", "a", "b"), ("modify", "b/m0.py")},
    ),
    "a moved directory, one file gone, one new, one that stays": (
        package("a", 6),
        {
            **{path: data for path, data in package("b", 6).items() if "m0" not in path},
            "b/new.py": b"new",
            "a/m1.py": text("m1"),
            "b/m1.py": b"another of its name",
        },
        {
            ("move_directory", "a", "b"),
            ("delete", "a/m0.py"),
            ("rename", "a/m1.py", "a/m1.py"),
            ("add", "b/m1.py"),
            ("add", "b/new.py"),
        },
    ),
    "a moved directory, one file elsewhere": (
        package("a"),
        {**{p: d for p, d in package("b").items() if "m0" not in p}, "c/x.py": text("m0")},
        {("move_directory", "a", "b"), ("rename", "a/m0.py", "c/x.py")},
    ),
    "moves inside a move": (
        {**package("a/in"), "a/x": text("x"), "a/y": text("y"), "a/z": text("z")},
        {**package("b/out"), "b/x": text("x"), "b/y": text("y"), "b/z": text("z")},
        {("move_directory", "a", "b"), ("move_directory", "a/in", "b/out")},
    ),
    "a directory that leaves one that moves": (
        {**package("a/in"), "a/x": text("x"), "a/y": text("y"), "a/z": text("z")},
        {**package("in"), "b/x": text("x"), "b/y": text("y"), "b/z": text("z")},
        {("move_directory", "a", "b"), ("move_directory", "a/in", "in")},
    ),
    "a directory moved below itself": (
        package("a"),
        package("a/deeper/a"),
        {("move_directory", "a", "a/deeper/a")},
    ),
    "a directory moved to above itself": (
        package("a/b/c"),
        package("a"),
        {("move_directory", "a/b/c", "a")},
    ),
    "two directories that swap names": (
        {**package("a"), "b/x": text("x"), "b/y": text("y"), "b/z": text("z")},
        {**package("b"), "a/x": text("x"), "a/y": text("y"), "a/z": text("z")},
        {("move_directory", "a", "b"), ("move_directory", "b", "a")},
    ),
    "two directories that become one": (
        {**package("a"), "b/x": text("x"), "b/y": text("y")},
        {**package("c"), "c/x": text("x"), "c/y": text("y")},
        {("move_directory", "a", "c"), ("rename", "b/x", "c/x"), ("rename", "b/y", "c/y")},
    ),
    "a directory that becomes two": (
        {**package("a", 6), "a/x": text("x"), "a/y": text("y")},
        {**package("b", 6), "c/x": text("x"), "c/y": text("y")},
        {("move_directory", "a", "b"), ("rename", "a/x", "c/x"), ("rename", "a/y", "c/y")},
    ),
    "a moved directory of twins": (
        {f"a/{folder}/LICENSE": b"MIT" for folder in "pqrs"},
        {f"b/{folder}/LICENSE": b"MIT" for folder in "pqrs"},
        {("move_directory", "a", "b")},
    ),
    "a moved directory, a copy of its file added elsewhere": (
        package("b"),
        {**package("c"), "a.py": text("m0")},
        {("move_directory", "b", "c"), ("copy", "b/m0.py", "a.py")},
    ),
    "a moved directory with empty files and folders": (
        {**package("a"), "a/__init__.py": b"", "a/in/__init__.py": b"", "a/cache": None},
        {**package("b"), "b/__init__.py": b"", "b/in/__init__.py": b"", "b/cache": None},
        {("move_directory", "a", "b")},
    ),
    "a moved directory with a symlink that changes too": (
        {**package("a"), "a/link": Link("m0.py")},
        {**package("b"), "b/link": Link("m1.py")},
        {("move_directory", "a", "b"), ("symlink", "b/link")},
    ),
    "a moved directory, one file executable now": (
        package("a"),
        {**package("b"), "b/m0.py": Exe(text("m0"))},
        {("move_directory", "a", "b"), ("mode", "b/m0.py")},
    ),
    "too little moved to speak of a directory": (
        package("a", 1),
        package("b", 1),
        {("rename", "a/m0.py", "b/m0.py")},
    ),
    "renamed": ({"a": text("a")}, {"b": text("a")}, {("rename", "a", "b")}),
    "renamed and executable": ({"a": text("a")}, {"b": Exe(text("a"))}, {("rename", "a", "b")}),
    "moved and edited": (
        {"a/f.py": text("old")},
        {"b/f.py": text("new")},
        {("rename", "a/f.py", "b/f.py", "edited")},
    ),
    "renamed and edited looks like another file": (
        {"a/f.py": text("old")},
        {"a/g.py": text("new")},
        {("delete", "a/f.py"), ("add", "a/g.py")},
    ),
    "edited in place though another file of its name is new": (
        {"a/f.py": text("old")},
        {"a/f.py": text("new"), "b/f.py": text("third")},
        {("modify", "a/f.py"), ("add", "b/f.py")},
    ),
    "identical files, one moved": (
        {"a": b"same", "b": b"same"},
        {"a": b"same", "c": b"same"},
        {("rename", "b", "c")},
    ),
    "one more of a file": (
        {"a": b"same"},
        {"a": b"same", "b": Exe(b"same")},
        {("copy", "a", "b")},
    ),
    "a file overwritten by another": (
        {"a": text("a"), "b": text("b")},
        {"a": text("a"), "b": text("a")},
        {("delete", "b"), ("copy", "a", "b")},
    ),
    "a chain of names": (
        {"a": text("1"), "b": text("2"), "c": text("3")},
        {"b": text("1"), "c": text("2"), "d": text("3")},
        {("rename", "a", "b"), ("rename", "b", "c"), ("rename", "c", "d")},
    ),
    "names handed on, the last one edited": (
        {"a": text("1"), "b": text("2")},
        {"b": text("1"), "a": text("3")},
        {("copy", "a", "b"), ("delete", "b"), ("modify", "a")},
    ),
    "empty files are nobody's match": (
        {"a/x": b"", "b/y": b""},
        {"c/x": b"", "d/y": b""},
        {("delete", "a/x"), ("delete", "b/y"), ("add", "c/x"), ("add", "d/y")},
    ),
    "emptied": ({"a": text("a")}, {"a": b""}, {("modify", "a")}),
    "filled": ({"a": b""}, {"a": text("a")}, {("replace", "a")}),
    "a symlink retargeted": ({"l": Link("a")}, {"l": Link("b")}, {("symlink", "l")}),
    "a symlink renamed": ({"l": Link("a")}, {"m": Link("a")}, {("rename", "l", "m")}),
    "a symlink with a twin before it": (
        {"m": Link("a")},
        {"l": Link("a"), "m": Link("a")},
        {("symlink", "l")},
    ),
    "a symlink with a twin of its name before it": (
        {"m/l": Link("x")},
        {"a/l": Link("x"), "m/l": Link("x")},
        {("symlink", "a/l")},
    ),
    "a file becomes a symlink": (
        {"f": text("f")},
        {"f": Link("g")},
        {("delete", "f"), ("symlink", "f")},
    ),
    "a file moves into a folder of its name": (
        {"f": text("f")},
        {"f/f": text("f")},
        {("rename", "f", "f/f")},
    ),
    "an empty folder gets a file": (
        {"d": None},
        {"d/f": text("f")},
        {("delete", "d"), ("add", "d/f")},
    ),
    "a folder becomes empty": (
        {"d/f": text("f")},
        {"d": None},
        {("delete", "d/f"), ("add_directory", "d")},
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_changes_tell_what_happened(name: str) -> None:
    old, new, changes = TABLE[name]
    assert told(old, new) == changes


def test_changes_come_in_the_order_of_the_header() -> None:
    old = {**package("z"), "b": text("b"), "a": text("a")}
    new = {**package("y"), "c": text("c"), "ä": text("d")}
    keys = [(c.kind, c.path.encode()) for c in describe(manifest_of(old), manifest_of(new))]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    "old",
    [
        {f"a/{n}/__init__.py": b"same" for n in range(5000)},
        {f"a/{n}/__init__.py": text(f"{n}") for n in range(5000)},
    ],
    ids=["one content", "one name"],
)
def test_thousands_of_lookalikes_are_matched_in_seconds(old: dict[str, bytes]) -> None:
    new = {path.replace("a/", "b/"): data + b"!" for path, data in old.items()}
    begin = time.monotonic()
    changes = describe(manifest_of(old), manifest_of(new))
    assert len(changes) == 5001
    assert time.monotonic() - begin < 8
