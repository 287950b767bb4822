"""Policies: what becomes of managed files the user changed, when a new release comes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.crash.crash_disk import CountingDisk, manifest_of, prepare, settings, world_of
from tests.support.trees.trees import Content, Exe, Link
from updater.errors import PatchError
from updater.format.manifest import Manifest
from updater.format.release_description import Policy
from updater.launch.commit.file_swap import FileSwap
from updater.launch.commit.journal import Journal
from updater.launch.commit.recover import commit
from updater.patch.apply import tree_at
from updater.progress import Silent
from updater.stage.inspect import inspect
from updater.stage.stage import Stage

RULES: tuple[tuple[str, Policy], ...] = (
    ("keep/", "keep"),
    ("dist/", "keep-if-changed"),
    ("**", "replace"),
)


class Case:
    """One install and its next releases, all with RULES."""

    def __init__(self, folder: Path, old: Mapping[str, Content]) -> None:
        self._folder = folder
        self.world = world_of(folder / "world", manifest_of(folder, "1.0", old, policy=RULES), old)
        self.live = self.world.state.install

    def update(
        self,
        version: str,
        new: Mapping[str, Content],
        *,
        rules: tuple[tuple[str, Policy], ...] = RULES,
        repair: bool = False,
    ) -> tuple[str, ...]:
        """Install ``new``; where the user's work lies that had to make way."""
        manifest = manifest_of(self._folder, version, new, policy=rules)
        state = self.world.state
        journal = self._fetched(manifest) if repair else self._patched(manifest, new)
        commit(state.on(CountingDisk()), journal)
        return FileSwap(state.on(CountingDisk()), journal).kept()

    def _patched(self, manifest: Manifest, new: Mapping[str, Content]) -> Journal:
        return prepare(CountingDisk(), self.world, manifest, new, repair=False)

    def _fetched(self, manifest: Manifest) -> Journal:
        """Every file is new, as from a bundle; no live one is believed."""
        release = self._folder / f"release-{manifest.version}"
        stage = Stage(self.world.state.on(CountingDisk()))
        stage.clear()
        tree = tree_at(release, manifest)
        return stage.fill(self.world.manifest, tree, settings("1.0"), repair=True)

    @property
    def findings(self) -> dict[str, tuple[str, ...]]:
        found = inspect(self.world.state, self.world.manifest, Silent(), full=True)
        assert found.whole
        return {"kept": found.kept, "extra": found.extra}


OLD: dict[str, Content] = {
    "keep/edited": b"1",
    "keep/same": b"1",
    "dist/edited": b"1",
    "dist/same": b"1",
    "edited": b"1",
}
NEW: dict[str, Content] = dict.fromkeys(OLD, b"22")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An install whose user has edited what is called so."""
    case = Case(tmp_path, OLD)
    for path in ("keep/edited", "dist/edited", "edited"):
        (case.live / path).write_bytes(b"user")
    return case


@pytest.mark.parametrize("repair", [False, True], ids=["patched", "from the bundle"])
def test_an_edited_file_follows_its_policy(case: Case, repair: bool) -> None:
    kept = case.update("2.0", NEW, repair=repair)
    assert kept == ("edited.old",)
    assert case.world.tree == {
        **NEW,
        "keep/edited": b"user",
        "dist/edited": b"user",
        "dist/edited.dist": b"22",
        "edited.old": b"user",
    }
    assert case.findings == {
        "kept": ("dist/edited", "keep/edited"),
        "extra": ("dist/edited.dist", "edited.old"),
    }


def test_a_file_that_was_not_edited_is_replaced_whatever_its_policy(tmp_path: Path) -> None:
    case = Case(tmp_path, OLD)
    assert case.update("2.0", NEW) == ()
    assert case.world.tree == NEW


def test_a_file_with_what_the_new_release_has_is_no_edited_one(case: Case) -> None:
    for path in ("keep/edited", "dist/edited"):
        (case.live / path).write_bytes(b"22")
    case.update("2.0", NEW)
    assert {p: c for p, c in case.world.tree.items() if p in NEW} == NEW
    assert not [p for p in case.world.tree if ".dist" in p]
    assert case.findings["kept"] == ()


def test_what_is_missing_is_delivered_whatever_its_policy(case: Case) -> None:
    for path in ("keep/edited", "dist/edited"):
        (case.live / path).unlink()
    case.update("2.0", NEW)
    assert case.world.tree == NEW | {"edited.old": b"user"}


def test_ours_of_the_release_before_makes_way_for_the_newer_one(case: Case) -> None:
    case.update("2.0", NEW)
    case.update("3.0", dict.fromkeys(OLD, b"333"))
    assert case.world.tree["dist/edited"] == b"user"
    assert case.world.tree["dist/edited.dist"] == b"333"
    assert {p for p in case.world.tree if ".dist" in p} == {"dist/edited.dist"}


def test_a_file_of_the_user_with_that_name_is_not_touched(case: Case) -> None:
    (case.live / "dist/edited.dist").write_bytes(b"user's own")
    case.update("2.0", NEW)
    assert case.world.tree["dist/edited.dist"] == b"user's own"
    assert case.world.tree["dist/edited.dist-1"] == b"22"


def test_a_file_of_the_release_with_that_name_is_not_touched(case: Case) -> None:
    old = OLD | {"dist/edited.dist": b"1"}
    case.update("2.0", old, repair=True)
    case.update("3.0", NEW | {"dist/edited.dist": b"1"})
    assert case.world.tree["dist/edited.dist"] == b"1"
    assert case.world.tree["dist/edited.dist-1"] == b"22"


def test_ours_is_not_laid_there_twice(case: Case) -> None:
    (case.live / "dist/edited.dist").write_bytes(b"22")
    case.update("2.0", NEW)
    assert "dist/edited.dist-1" not in case.world.tree


def test_a_release_that_did_not_change_ours_lays_nothing_there(case: Case) -> None:
    case.update("2.0", OLD, repair=True)
    kept = {"keep/edited": b"user", "dist/edited": b"user", "edited.old": b"user"}
    assert case.world.tree == OLD | kept


def test_an_edited_file_the_new_release_has_unchanged_is_not_taken_for_ours(case: Case) -> None:
    with pytest.raises(PatchError, match="'edited' is missing or not as released"):
        case.update("2.0", OLD)
    (case.live / "edited").write_bytes(b"1")
    case.update("2.1", OLD)
    assert case.world.tree == OLD | {"keep/edited": b"user", "dist/edited": b"user"}


def test_an_edited_file_the_new_release_has_no_more_stays_if_kept(case: Case) -> None:
    kept = case.update("2.0", {})
    assert kept == ("edited.old",)
    assert case.world.tree == {
        "keep/edited": b"user",
        "dist/edited": b"user",
        "edited.old": b"user",
    }
    assert case.findings["extra"] == ("dist/edited", "edited.old", "keep/edited")


def test_it_stays_too_if_its_policy_goes_with_it(case: Case) -> None:
    case.update("2.0", {}, rules=())
    assert {"keep/edited", "dist/edited"} <= case.world.tree.keys()


def test_the_new_release_says_what_becomes_of_its_files(case: Case) -> None:
    kept = case.update("2.0", NEW, rules=(("edited", "keep"),))
    assert kept == ()
    assert {p: c for p, c in case.world.tree.items() if p in NEW} == {
        **NEW,
        "keep/edited": b"user",
        "dist/edited": b"user",
        "edited": b"user",
    }


def test_a_kept_file_makes_way_for_a_folder_and_is_not_lost(case: Case) -> None:
    kept = case.update("2.0", {"keep/edited/inner": b"folder"})
    assert "keep/edited.old" in kept
    assert case.world.tree["keep/edited.old"] == b"user"
    assert case.world.tree["keep/edited/inner"] == b"folder"


def test_a_link_the_user_put_in_the_place_of_a_kept_file_stays(case: Case) -> None:
    place = case.live / "keep/edited"
    place.unlink()
    place.symlink_to("../edited")
    case.update("2.0", NEW)
    assert case.world.tree["keep/edited"] == Link("../edited")


def test_a_folder_in_the_place_of_a_kept_file_makes_way(case: Case) -> None:
    place = case.live / "keep/edited"
    place.unlink()
    place.mkdir()
    (place / "mine").write_bytes(b"mine")
    case.update("2.0", NEW)
    assert case.world.tree["keep/edited"] == b"22"
    assert case.world.tree["keep/edited.old/mine"] == b"mine"


def test_a_file_of_the_user_where_a_new_one_comes_follows_the_policy_too(case: Case) -> None:
    for path in ("keep/new", "dist/new", "new"):
        (case.live / path).write_bytes(b"mine")
    case.update("2.0", NEW | dict.fromkeys(("keep/new", "dist/new", "new"), b"ours"))
    tree = {p: c for p, c in case.world.tree.items() if "new" in p}
    assert tree == {
        "keep/new": b"mine",
        "dist/new": b"mine",
        "dist/new.dist": b"ours",
        "new": b"ours",
        "new.old": b"mine",
    }


def test_ours_beside_the_users_is_as_executable_as_ours(case: Case) -> None:
    case.update("2.0", NEW | {"dist/edited": Exe(b"22")})
    assert case.world.tree["dist/edited.dist"] == Exe(b"22")
    assert case.world.tree["dist/edited"] == b"user"


def test_bytecode_of_a_kept_module_stays(tmp_path: Path) -> None:
    case = Case(tmp_path, {"keep/m.py": b"1"})
    (case.live / "keep/m.py").write_bytes(b"user")
    (case.live / "keep/__pycache__").mkdir()
    compiled = "keep/__pycache__/m.cpython-312.pyc"
    (case.live / compiled).write_bytes(b"of the user's")
    case.update("2.0", {"keep/m.py": b"22"})
    assert case.world.tree == {"keep/m.py": b"user", compiled: b"of the user's"}
