"""Building a patch: proven before anybody sees it, or not there at all."""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path
from typing import get_args

import pytest
from patchtool.diff.diff import Built, build_patch
from patchtool.diff.options import Effort, Options
from patchtool.diff.pair_entries import Alike, describe

from tests.support.trees.tree_strategies import manifest_of
from tests.support.trees.trees import Exe, Tree, noise, write_tree
from updater.errors import FormatError, InstallError, PatchError
from updater.format.changes import Change
from updater.format.encoding.limits import MIB
from updater.format.manifest import Manifest
from updater.patch.apply import PatchFile, apply_patch, nothing, tree_at
from updater.patch.apply import Tree as Placed

OLD_EDIT = noise(2000, 2)
NEW_EDIT = noise(2000, 2) + noise(50, 3)
OLD: Tree = {"same": noise(500, 1), "edit": OLD_EDIT, "mode": b"m", "gone": b"gone"}
NEW: Tree = {"moved": noise(500, 1), "edit": NEW_EDIT, "mode": Exe(b"m"), "new": b"new"}


def placed(folder: Path, tree: Tree, version: str = "1") -> Placed:
    return tree_at(write_tree(folder, tree), manifest_of(tree, version))


@pytest.fixture
def old(tmp_path: Path) -> Placed:
    return placed(tmp_path / "old", OLD, "1")


@pytest.fixture
def new(tmp_path: Path) -> Placed:
    return placed(tmp_path / "new", NEW, "2")


def build(old: Placed | None, new: Placed, out: Path, effort: Effort = "fast") -> Built:
    return build_patch(old, new, out, Options(effort=effort, jobs=1))


def left(folder: Path) -> list[str]:
    """What is in ``folder`` besides the trees."""
    return sorted(path.name for path in folder.iterdir() if path.name not in {"old", "new"})


@pytest.mark.parametrize("effort", get_args(Effort))
def test_every_effort_gives_the_new_tree(
    effort: Effort, old: Placed, new: Placed, tmp_path: Path
) -> None:
    build(old, new, tmp_path / "p", effort)
    (tmp_path / "out").mkdir()
    applied = apply_patch(PatchFile(tmp_path / "p"), old, tmp_path / "out")
    assert applied.manifest == new.manifest


def test_more_effort_makes_smaller_patches(tmp_path: Path) -> None:
    chance = random.Random(1)
    words = [noise(chance.randint(2, 9), n).hex() for n in range(500)]
    text = " ".join(chance.choices(words, range(500), k=30_000))
    tree = placed(tmp_path / "new", {"text": text.encode()})
    sizes = [build(None, tree, tmp_path / e, e).bytes for e in get_args(Effort)]
    assert sizes[0] > sizes[1] >= sizes[2]


def test_what_is_told_of_a_patch_is_so(old: Placed, new: Placed, tmp_path: Path) -> None:
    ticks = count(100)
    options = Options(effort="fast", jobs=1, monotonic=lambda: next(ticks))
    built = build_patch(old, new, tmp_path / "p", options)
    assert built.bytes == (tmp_path / "p").stat().st_size
    assert (tmp_path / "p").read_bytes().startswith(built.header_bytes)
    assert built.changes == {"add": 1, "delete": 1, "mode": 1, "modify": 1, "rename": 1}
    assert built.write_bytes == 500 + len(NEW_EDIT) + len(b"m") + len(b"new")
    assert built.seconds == 1
    assert built.header == PatchFile(tmp_path / "p").header


def test_a_bundle_needs_nothing_and_reads_nothing(new: Placed, tmp_path: Path) -> None:
    built = build(None, new, tmp_path / "b")
    assert built.header.old is None
    assert set(built.changes) == {"add"}
    assert not any(block.old for block in built.header.blocks)
    (tmp_path / "out").mkdir()
    applied = apply_patch(PatchFile(tmp_path / "b"), nothing("app"), tmp_path / "out")
    assert applied.manifest == new.manifest


def test_a_bundle_has_small_blocks_so_that_a_repair_fetches_little(tmp_path: Path) -> None:
    tree = placed(tmp_path / "new", {f"{n}": bytes([n]) * (MIB // 2 + 1) for n in range(6)})
    built = build(None, tree, tmp_path / "b")
    assert [[e.file for e in block.new] for block in built.header.blocks] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]


def test_an_older_patch_of_the_name_is_replaced(old: Placed, new: Placed, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"older")
    build(old, new, tmp_path / "p")
    assert PatchFile(tmp_path / "p").header.new.digest == new.manifest.digest
    assert left(tmp_path) == ["p"]


@pytest.mark.parametrize("path", ["edit", "moved", "new"])
def test_a_new_file_that_changes_meanwhile_is_found(
    path: str, old: Placed, new: Placed, tmp_path: Path
) -> None:
    place = new.places[path]
    place.write_bytes(place.read_bytes()[:-1] + b"!")
    if path == "moved":  # carried over: the patch is right, whatever became of this copy
        build(old, new, tmp_path / "p")
        return
    with pytest.raises(PatchError, match="does not give the new release"):
        build(old, new, tmp_path / "p")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "data", [b"", b"other", OLD_EDIT[:-1], b"!" + OLD_EDIT[1:], OLD_EDIT + b"!"]
)
def test_an_old_file_that_changes_meanwhile_never_makes_a_wrong_patch(
    data: bytes, old: Placed, new: Placed, tmp_path: Path
) -> None:
    old.places["edit"].write_bytes(data)
    try:
        build(old, new, tmp_path / "p")
    except PatchError:
        assert left(tmp_path) == []
        return
    assert len(data) < 10, "it cannot be of use, so the patch does not read it"
    old.places["edit"].write_bytes(OLD_EDIT)
    (tmp_path / "out").mkdir()
    applied = apply_patch(PatchFile(tmp_path / "p"), old, tmp_path / "out")
    assert applied.manifest == new.manifest


@pytest.mark.parametrize("data", [b"", NEW_EDIT[:100], NEW_EDIT + b"more"])
def test_a_new_file_that_gets_longer_or_shorter_meanwhile_is_found(
    data: bytes, old: Placed, new: Placed, tmp_path: Path
) -> None:
    new.places["edit"].write_bytes(data)
    if len(data) > len(NEW_EDIT):  # its beginning is what was looked at
        build(old, new, tmp_path / "p")
        return
    with pytest.raises((PatchError, FormatError)):
        build(old, new, tmp_path / "p")
    assert left(tmp_path) == []


def test_a_file_that_vanishes_meanwhile_is_the_disks_fault(
    old: Placed, new: Placed, tmp_path: Path
) -> None:
    new.places["edit"].unlink()
    with pytest.raises(InstallError, match="no such file"):
        build(old, new, tmp_path / "p")
    assert left(tmp_path) == []


def test_a_patch_that_does_not_give_the_new_tree_is_never_seen(
    old: Placed, new: Placed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours: the description forgets a change."""

    def forgetful(old: Manifest, new: Manifest, _: Alike) -> tuple[Change, ...]:
        return describe(old, new)[1:]

    monkeypatch.setattr("patchtool.diff.diff.describe", forgetful)
    with pytest.raises(PatchError):
        build(old, new, tmp_path / "p")
    assert left(tmp_path) == []


class Shown:
    """Keeps what it is told; ``fail`` is raised at the first advance."""

    def __init__(self, fail: BaseException | None = None) -> None:
        self.events: list[tuple[str, object]] = []
        self._fail = fail

    def start(self, task: str, total: int) -> None:
        self.events.append((task, total))

    def advance(self, done: int) -> None:
        self.events.append(("advance", done))
        if self._fail is not None:
            raise self._fail

    def finish(self) -> None:
        self.events.append(("finish", None))


def test_progress_counts_the_new_content(old: Placed, new: Placed, tmp_path: Path) -> None:
    shown = Shown()
    build_patch(old, new, tmp_path / "p", Options(effort="fast", jobs=1, progress=shown))
    size = len(NEW_EDIT) + len(b"new")
    assert shown.events == [
        *(("match", len(NEW_EDIT)), ("advance", len(NEW_EDIT)), ("finish", None)),
        *(("search", 53), ("advance", 53), ("finish", None)),
        *(("pack", size), ("advance", size), ("finish", None)),
    ]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "full"), RuntimeError()])
def test_whatever_stops_a_build_leaves_nothing_behind(
    fault: BaseException, old: Placed, new: Placed, tmp_path: Path
) -> None:
    shown = Shown(fault)
    expected = InstallError if isinstance(fault, OSError) else type(fault)
    with pytest.raises(expected):
        build_patch(old, new, tmp_path / "p", Options(effort="fast", jobs=2, progress=shown))
    assert left(tmp_path) == []
    assert shown.events[-1] == ("finish", None)
