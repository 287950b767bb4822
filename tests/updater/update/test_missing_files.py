"""A patch that lacks something of the installed tree gets just that, and not the whole release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from tests.support.attacks.hostile import (
    block_of,
    named,
    newest,
    publish_patch,
    rewrite,
    right_signer,
)
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import served
from tests.support.trees.trees import Content, Link, noise, read_tree
from updater.check.catalogue import Catalogue
from updater.client import Updater
from updater.errors import PatchError
from updater.format.changes import Change, Kind
from updater.format.patch_header.header import encode_header
from updater.format.patch_header.patch import Extent, Header
from updater.format.release_description import Release
from updater.launch.state import State
from updater.local.session import Session
from updater.local.settings import Settings
from updater.update.install_new import install
from updater.update.job import Updated

BIG = noise(1_500_000, 1)
OLD: dict[str, Content] = {
    "big": BIG,
    "carried": noise(1_500_000, 2),
    "copied": noise(300_000, 3),
    "edited": noise(300_000, 4),
    "gone": noise(1_500_000, 5),
    "link": Link("big"),
    "own.cfg": noise(300_000, 6),
    "replaced": noise(1_500_000, 7),
    "moved": noise(300_000, 8),
}
NEW: dict[str, Content] = {
    "big": BIG[:700_000] + b"2" + BIG[700_000:],
    "carried": OLD["carried"],
    "copied": OLD["copied"],
    "copy": OLD["copied"],
    "edited": OLD["edited"],
    "link": Link("big"),
    "own.cfg": noise(300_000, 6) + b"2",
    "replaced": noise(400, 9),
    "there/moved": OLD["moved"],
}
THIRD: dict[str, Content] = {**NEW, "big": BIG + b"3", "own.cfg": noise(300_000, 6) + b"3"}
POLICY = Release(policy=(("*.cfg", "keep"),))
BLOCK = 2_500_000
"""More than the largest block of a bundle and all metadata, less than two blocks."""


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    publisher = Publisher(tmp_path_factory.mktemp("sources"))
    publisher.add("1.0", OLD, release=POLICY)
    publisher.add("2.0", NEW, release=POLICY, bases=["1.0"])
    publisher.add("3.0", THIRD, release=POLICY, bases=["2.0"])
    return publisher


class Case:
    """An install of 1.0."""

    def __init__(self, folder: Path, url: str, publisher: Publisher, session: Session) -> None:
        self.live = folder / "app"
        self._publisher = publisher
        self._session = session
        publisher.promote("1.0")
        install(self.live, url, publisher.root, "notes", session=session)

    def update(self, version: str = "2.0", *, without: str = "") -> Updated:
        """Update to ``version``; bundles of the versions in ``without`` are not there."""

        class Pruned(Session):
            def refresh(self, state: State, settings: Settings, now: int) -> Catalogue:
                catalogue = super().refresh(state, settings, now)
                left = {
                    version: replace(release, bundle=None if version in without.split() else bundle)
                    for version, release in catalogue.releases.items()
                    for bundle in [release.bundle]
                }
                return replace(catalogue, releases=left)

        self._publisher.promote(version)
        done = Updater(self.live, Pruned(**vars(self._session))).update()
        assert done is not None
        assert done.new == version
        return done

    @property
    def tree(self) -> dict[str, Content]:
        return dict(read_tree(self.live))


@pytest.fixture
def case(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Case:
    return Case(tmp_path, url, publisher, session)


def test_the_whole_release_is_much_more_than_what_these_tests_allow(case: Case) -> None:
    done = case.update()
    assert done.fetched_bytes < 20_000
    assert done.full_bytes > 4_000_000
    assert case.tree == NEW


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        *((path, "missing") for path in ("big", "carried", "copied", "moved")),
        *((path, "edited") for path in ("big", "carried", "copied", "moved")),
        *((path, "rotten") for path in ("big", "carried", "copied", "moved")),
    ],
)
def test_only_the_damaged_file_is_fetched(case: Case, path: str, damage: str) -> None:
    place = case.live / path
    size = place.stat().st_size
    content = {"missing": b"", "edited": b"user", "rotten": bytes(size)}[damage]
    place.write_bytes(content) if content else place.unlink()
    done = case.update(without="2.0")
    assert done.fetched_bytes < BLOCK
    assert done.changes["modify"] >= 1
    tree = case.tree
    assert tree.pop(path + ".old", content) == content
    assert tree == NEW


@pytest.mark.parametrize("path", ["gone", "replaced"])
def test_a_damaged_file_that_nothing_is_made_of_is_not_fetched(case: Case, path: str) -> None:
    (case.live / path).write_bytes(b"user")
    (case.live / "edited").unlink()
    done = case.update(without="2.0")
    assert done.fetched_bytes < BLOCK
    assert case.tree == NEW | {path + ".old": b"user"}


def test_a_link_that_is_missing_costs_nothing(case: Case) -> None:
    (case.live / "link").unlink()
    assert case.update(without="1.0 2.0").fetched_bytes < 20_000
    assert case.tree == NEW


def test_a_kept_file_is_had_from_the_bundle_again_and_again(case: Case) -> None:
    """The manifest says what the release has, the user's file is another: every patch sees that."""
    (case.live / "own.cfg").write_bytes(b"mine")
    for version, new in (("2.0", NEW), ("3.0", THIRD)):
        done = case.update(version, without=version)
        assert done.fetched_bytes < BLOCK
        assert case.tree == new | {"own.cfg": b"mine"}


def test_over_two_patches_too(case: Case) -> None:
    (case.live / "own.cfg").write_bytes(b"mine")
    (case.live / "big").unlink()
    done = case.update("3.0", without="2.0 3.0")
    assert done.changes["modify"] >= 3
    assert case.tree == THIRD | {"own.cfg": b"mine"}


def test_an_edited_file_that_stays_is_not_fetched_for_others(case: Case) -> None:
    publisher = case._publisher
    same = NEW | {"own.cfg": OLD["own.cfg"]}
    publisher.add("2.1", same, release=POLICY, bases=["1.0"])
    (case.live / "own.cfg").write_bytes(b"mine")
    (case.live / "link").unlink()
    assert case.update("2.1", without="1.0").fetched_bytes < 20_000
    assert case.tree == same | {"own.cfg": b"mine"}


def test_without_the_bundle_of_the_installed_release_the_new_one_is_taken_whole(
    case: Case,
) -> None:
    (case.live / "big").unlink()
    done = case.update(without="1.0")
    assert done.fetched_bytes > 4_000_000
    assert done.changes == {}
    assert case.tree == NEW


def test_without_any_bundle_there_is_no_way_and_nothing_is_touched(case: Case) -> None:
    (case.live / "big").unlink()
    before = case.tree
    with pytest.raises(PatchError, match="'big' is missing"):
        case.update(without="1.0 2.0")
    assert case.tree == before


class TestWrongTree:
    """A patch, signed, that gives other bytes than the release has."""

    @pytest.fixture
    def lies(self, tmp_path: Path) -> Publisher:
        """A publisher whose patch makes another ``b``, and whose bundle is right."""
        publisher = Publisher(tmp_path / "liar")
        publisher.release("1.0", {"a": b"a", "b": b"b" * 100})
        publisher.add("2.0", {"a": b"a", "b": b"2" * 100, "c": noise(1_200_000)}, bases=[])
        old, new = named(publisher, "1.0"), named(publisher, "2.0")
        parts = (
            block_of(b"WRONG" * 20, Extent(0, 0, 100)),
            block_of(noise(1_200_000), Extent(1, 0, 1_200_000)),
        )
        changes = (
            Change(Kind.REPLACE, "b", size=100),
            Change(Kind.ADD, "c", size=1_200_000),
        )
        header = Header("notes", old, new, changes, (), (), (), tuple(b for b, _ in parts))
        data = encode_header(header)
        publish_patch(
            publisher, "notes/patches/1.0_2.0", data + b"".join(d for _, d in parts), len(data)
        )
        return publisher

    def update(self, lies: Publisher, folder: Path, session: Session) -> Updated:
        with served(lies.folder) as url:
            lies.promote("1.0")
            install(folder, url, lies.root, "notes", session=session)
            lies.promote("2.0")
            done = Updater(folder, session).update()
        assert done is not None
        return done

    def test_gets_the_wrong_files_alone_from_the_bundle(
        self, lies: Publisher, tmp_path: Path, session: Session
    ) -> None:
        done = self.update(lies, tmp_path / "app", session)
        tree = read_tree(tmp_path / "app")
        assert tree == {"a": b"a", "b": b"2" * 100, "c": noise(1_200_000)}
        assert done.changes == {"replace": 1, "add": 1}

    def test_is_told_with_the_names_of_the_files_if_there_is_no_bundle(
        self, lies: Publisher, tmp_path: Path, session: Session
    ) -> None:
        def drop(metadata: Metadata[Any]) -> None:
            del metadata.signed.targets["notes/releases/2.0/bundle"]

        rewrite(newest(lies, "app.notes"), drop, right_signer(lies, "app.notes"))
        lies.promote("1.0")
        with pytest.raises(PatchError, match=r"not notes 2\.0 as its publisher knows it"):
            self.update(lies, tmp_path / "app", session)
        assert read_tree(tmp_path / "app") == {"a": b"a", "b": b"b" * 100}
