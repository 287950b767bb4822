"""Named trees, from each to each: the patch gives the whole tree, by the fewest changes."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from patchtool.diff.diff import Built, diff_folders
from patchtool.diff.options import Options
from patchtool.folder.apply_to_folder import apply_to_folder

from tests.support.trees.trees import Exe, Link, Tree, noise, read_tree, write_tree
from updater.format.encoding.limits import MIB

pytestmark = pytest.mark.slow

PLAIN: Tree = {
    "app": Exe(b"#!/bin/sh\nexec lib/main.py\n"),
    "lib/main.py": b"import core\n" * 30,
    "lib/core.py": b"VERSION = 1\n" * 60,
    "lib/util/text.py": b"def text(): ...\n" * 20,
    "lib/util/__init__.py": b"",
    "lib/data/table.bin": noise(3000, 1),
    "docs/a.txt": noise(1000, 2),
    "docs/b.txt": noise(1000, 3),
    "readme": b"read me\n",
}


def moved(tree: Tree, source: str, to: str) -> Tree:
    """``tree`` with all paths that begin with ``source`` beginning with ``to`` instead."""
    return {
        to + path[len(source) :] if path.startswith(source) else path: content
        for path, content in tree.items()
    }


def without(tree: Tree, *gone: str) -> Tree:
    """``tree`` without the paths that begin with any of ``gone``."""
    return {path: content for path, content in tree.items() if not path.startswith(gone)}


TREES: dict[str, Tree] = {
    "plain": PLAIN,
    "edited": {
        **PLAIN,
        "lib/core.py": b"VERSION = 1\n" * 59 + b"VERSION = 2\n",
        "lib/data/table.bin": noise(3000, 1)[:1500] + b"!" + noise(3000, 1)[1500:],
        "readme": b"",
    },
    "renamed": moved(moved(PLAIN, "readme", "README.txt"), "lib/data/table", "lib/data/grid"),
    "moved directory": moved(PLAIN, "lib/", "source/of/"),
    "moved and edited": {
        **moved(PLAIN, "lib/", "source/"),
        "source/core.py": b"VERSION = 1\n" * 60 + b"MORE = 1\n",
    },
    "merged directories": moved(moved(PLAIN, "lib/", "all/"), "docs/", "all/"),
    "swapped names": {
        **PLAIN,
        "docs/a.txt": PLAIN["docs/b.txt"],
        "docs/b.txt": PLAIN["docs/a.txt"],
    },
    "names handed round": {
        **PLAIN,
        "lib/core.py": PLAIN["lib/main.py"],
        "lib/util/text.py": PLAIN["lib/core.py"],
        "lib/main.py": PLAIN["lib/util/text.py"],
    },
    "folders where files were": {
        **without(PLAIN, "readme", "app"),
        "readme/first": b"read me\n",
        "readme/second": b"more\n",
        "app/start": PLAIN["app"],
    },
    "files where folders were": {
        **without(PLAIN, "docs/", "lib/data/"),
        "docs": b"see the web\n",
        "lib/data": noise(3000, 1),
    },
    "empty files and folders": {
        "app": Exe(b""),
        "lib/main.py": b"",
        "lib/util": None,
        "docs": None,
        "cache/of/nothing": None,
    },
    "symlinks": {
        **without(PLAIN, "docs/", "readme"),
        "app": Link("lib/main.py"),
        "docs": Link("lib/data"),
        "lib/util/data": Link("../data"),
        "dangling": Link("not/there"),
    },
    "other symlinks": {
        **without(PLAIN, "docs/", "readme"),
        "app": Link("lib/core.py"),
        "docs": Link("lib/util"),
        "readme": Link("dangling"),
        "dangling": b"no longer\n",
    },
    "executable bits": {
        **PLAIN,
        "app": b"#!/bin/sh\nexec lib/main.py\n",
        "lib/main.py": Exe(b"import core\n" * 30),
        "lib/util/__init__.py": Exe(b""),
    },
    "duplicates": {
        **PLAIN,
        "readme": PLAIN["docs/a.txt"],
        "docs/b.txt": PLAIN["docs/a.txt"],
        "more/a.txt": PLAIN["docs/a.txt"],
        "more/table.bin": Exe(noise(3000, 1)),
    },
    "other alphabets": {
        "größe/straße.txt": b"GROESSE\n" * 20,
        "日本語/ファイル": noise(500, 4),
        "emoji \U0001f600": b":-)",
        "Ελλάδα": Link("日本語/ファイル"),
        "lib/core.py": PLAIN["lib/core.py"],
    },
    "one large file": {
        "lib/core.py": PLAIN["lib/core.py"],
        "large": b"all work and no play\n" * (17 * MIB // 21 + 1),
    },
    "all gone but one": {"lib/util/text.py": PLAIN["lib/util/text.py"]},
    "nothing": {},
}

CHANGES: dict[tuple[str, str], dict[str, int]] = {
    ("plain", "edited"): {"modify": 3},
    ("edited", "plain"): {"modify": 2, "replace": 1},
    ("plain", "renamed"): {"rename": 2},
    ("renamed", "plain"): {"rename": 2},
    ("plain", "moved directory"): {"move_directory": 1},
    ("moved directory", "plain"): {"move_directory": 1},
    ("plain", "moved and edited"): {"modify": 1, "move_directory": 1},
    ("moved directory", "moved and edited"): {"modify": 1, "move_directory": 1},
    ("merged directories", "plain"): {"move_directory": 1, "rename": 2},
    ("plain", "swapped names"): {"rename": 2},
    ("swapped names", "plain"): {"rename": 2},
    ("plain", "names handed round"): {"rename": 3},
    ("names handed round", "plain"): {"rename": 3},
    ("plain", "folders where files were"): {"add": 1, "rename": 2},
    ("folders where files were", "plain"): {"delete": 1, "rename": 2},
    ("plain", "files where folders were"): {"add": 1, "delete": 2, "rename": 1},
    ("plain", "executable bits"): {"mode": 3},
    ("executable bits", "plain"): {"mode": 3},
    ("plain", "duplicates"): {"copy": 4, "delete": 2},
    ("duplicates", "plain"): {"delete": 2, "modify": 2},
    ("symlinks", "other symlinks"): {"add": 1, "delete": 2, "symlink": 3},
    ("plain", "all gone but one"): {"delete": 8},
    ("plain", "nothing"): {"delete": 9},
    ("nothing", "plain"): {"add": 9},
}
"""Changes by kind, for the pairs whose fewest changes are plain to see."""

NOTHING_SENT = {
    ("plain", "renamed"),
    ("plain", "moved directory"),
    ("plain", "merged directories"),
    ("plain", "swapped names"),
    ("plain", "names handed round"),
    ("plain", "executable bits"),
    ("plain", "duplicates"),
    ("plain", "all gone but one"),
}


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every tree, as a folder of its name."""
    shelf = tmp_path_factory.mktemp("scenarios")
    for name, tree in TREES.items():
        write_tree(shelf / name, tree)
    return shelf


def there_and_whole(shelf: Path, old: str, new: str, here: Path) -> Built:
    built = diff_folders(shelf / old, shelf / new, here / "p", Options(effort="fast", jobs=1))
    apply_to_folder(here / "p", shelf / old, here / "out")
    assert read_tree(here / "out") == TREES[new]
    return built


@pytest.mark.parametrize(
    ("old", "new"), list(permutations(TREES, 2)), ids=lambda name: name.replace(" ", "-")
)
def test_from_each_tree_to_each(old: str, new: str, shelf: Path, tmp_path: Path) -> None:
    built = there_and_whole(shelf, old, new, tmp_path)
    if (old, new) in CHANGES:
        assert built.changes == CHANGES[old, new]
    if (old, new) in NOTHING_SENT:
        assert built.header.blocks == ()


@pytest.mark.parametrize("name", TREES)
def test_from_a_tree_to_itself_there_is_no_change(name: str, shelf: Path, tmp_path: Path) -> None:
    built = there_and_whole(shelf, name, name, tmp_path)
    assert (built.changes, built.header.blocks) == ({}, ())
