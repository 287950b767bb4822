"""Files that names do not tell are known again by what they hold."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from patchtool.diff.diff import diff_folders
from patchtool.diff.matching.fingerprints import LENGTH, anchors, sketch
from patchtool.diff.options import Options
from patchtool.diff.pair_entries import blanked, describe
from patchtool.diff.similar_content import CROWD, pair_up, reader
from patchtool.folder.apply_to_folder import apply_to_folder

from tests.support.trees.tree_strategies import manifest_of
from tests.support.trees.trees import Tree, noise, read_tree, write_tree
from updater.format.changes import Change, Kind
from updater.patch.apply import tree_at


def prose(seed: int, lines: int = 80) -> list[str]:
    """Lines nothing else has."""
    chance = random.Random(seed)
    return [f"{chance.getrandbits(64):x} = call({chance.getrandbits(64):x})" for _ in range(lines)]


def text(*parts: list[str]) -> bytes:
    return "\n".join(line for part in parts for line in part).encode()


def changes(folder: Path, old: Tree, new: Tree) -> set[tuple[Kind, str, str]]:
    trees = [
        tree_at(write_tree(folder / version, tree), manifest_of(tree, version))
        for version, tree in (("1", old), ("2", new))
    ]
    alike = reader(*trees)
    told = describe(trees[0].manifest, trees[1].manifest, alike)
    return {tell(change) for change in told}


def tell(change: Change) -> tuple[Kind, str, str]:
    return change.kind, change.source, change.path


def test_a_file_moved_renamed_and_edited_is_told_as_a_rename(tmp_path: Path) -> None:
    old = {"lib/parser.py": text(prose(1)), "lib/other.py": text(prose(2))}
    new = {"src/reader.py": text(prose(1)[:60], prose(9)), "src/others.py": text(prose(2))}
    assert changes(tmp_path, old, new) == {
        (Kind.RENAME, "lib/parser.py", "src/reader.py"),
        (Kind.RENAME, "lib/other.py", "src/others.py"),
    }


def test_names_with_hashes_are_matched_by_what_the_files_hold(tmp_path: Path) -> None:
    old = {f"assets/chunk.{n}a1b2c3.js": text(prose(n)) for n in range(4)}
    new = {f"assets/chunk.{9 - n}f0e1d2.js": text(prose(n)[5:], prose(40 + n)) for n in range(4)}
    assert changes(tmp_path, old, new) == {
        (Kind.RENAME, f"assets/chunk.{n}a1b2c3.js", f"assets/chunk.{9 - n}f0e1d2.js")
        for n in range(4)
    }


def test_a_folder_with_the_version_in_its_name_is_one_move(tmp_path: Path) -> None:
    old = {f"tool-1.2.3.data/lib/m{n}.py": text(prose(n)) for n in range(5)}
    new = {f"tool-1.3.0.data/lib/m{n}.py": text(prose(n)) for n in range(5)}
    assert changes(tmp_path, old, new) == {
        (Kind.MOVE_DIRECTORY, "tool-1.2.3.data", "tool-1.3.0.data")
    }


def test_files_with_nothing_in_common_are_not_called_the_same(tmp_path: Path) -> None:
    old, new = {"a.bin": noise(9000, 1)}, {"b.dat": noise(9000, 2)}
    assert {kind for kind, _, _ in changes(tmp_path, dict(old), dict(new))} == {
        Kind.DELETE,
        Kind.ADD,
    }


def test_what_stands_in_every_file_tells_nothing() -> None:
    license_text = prose(0, 40)
    gone = {f"old{n}": sketch(text(license_text, prose(n + 1, 3))) for n in range(CROWD + 1)}
    assert pair_up(gone, {"new": sketch(text(license_text, prose(999, 3)))}) == {}


def test_of_several_candidates_the_most_similar_one_is_taken() -> None:
    base = prose(1)
    gone = {"a": sketch(text(base[:50], prose(2))), "b": sketch(text(base[:70], prose(3, 10)))}
    assert pair_up(gone, {"new": sketch(text(base))}) == {"b": "new"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app.3f2a91.js", "app.#.js"),
        ("index-B3x9Kq2Z.js", "index-#.js"),
        ("chunk-7XQ2ABCD.css", "chunk-#.css"),
        ("libfoo.so.3.1", "libfoo.so.#.#"),
        ("ruff-0.17.4.data", "ruff-#.#.#.data"),
        ("base64.py", "base#.py"),
        ("facade.py", "facade.py"),
        ("README", "README"),
        ("", ""),
    ],
)
def test_numbers_and_hashes_are_blanked_and_words_are_not(name: str, expected: str) -> None:
    assert blanked(name) == expected


def test_anchors_move_with_the_content() -> None:
    data = text(prose(1))
    names = [name for name, _ in anchors(data)]
    shifted = [name for name, _ in anchors(b"something before\n" + data)]
    assert shifted[-len(names) :] == names
    assert len(names) > 60


def test_fewer_anchors_are_a_sample_of_all() -> None:
    data = noise(200_000)
    every, some = list(anchors(data)), list(anchors(data, 16))
    assert set(some) <= set(every)
    assert len(every) / 32 < len(some) < len(every) / 8


@pytest.mark.parametrize("data", [b"", b"\n", b"\n" * (LENGTH - 1), bytes(5000)])
def test_content_without_anchors_has_an_empty_sketch(data: bytes) -> None:
    assert sketch(data) == frozenset()


def test_a_file_made_from_one_that_stays_costs_only_its_difference(tmp_path: Path) -> None:
    library, bundle = noise(60_000, 1), text(prose(1, 400))
    old: Tree = {
        "lib/it.so.1": library,
        "assets/main-1a2b3c.js": bundle,
        "z.so.9": noise(60_000, 9),
    }
    new: Tree = {
        **old,
        "lib/it.so.2": library[:30_000] + b"edited" + library[30_000:],
        "assets/main-9f8e7d.js": bundle + b"\nedited();",
    }
    folders = [write_tree(tmp_path / v, tree) for v, tree in (("old", old), ("new", new))]
    built = diff_folders(folders[0], folders[1], tmp_path / "p", Options(effort="fast", jobs=1))
    assert built.bytes < 1000
    assert built.header.sources == ("assets/main-1a2b3c.js", "lib/it.so.1")
    apply_to_folder(tmp_path / "p", folders[0], tmp_path / "out")
    assert read_tree(tmp_path / "out") == read_tree(folders[1])
