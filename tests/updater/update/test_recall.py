"""A recall as clients live it: the way down, its floor, and thieves who would go lower."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from patchtool.ceremonies.rotation import revoke, rotate
from patchtool.diff.options import Options
from patchtool.release.recall import recall
from patchtool.repository.targets import NewTarget
from tuf.api.metadata import Metadata

from tests.support.attacks.hostile import newest, rewrite, right_signer
from tests.support.attacks.hostile import roll_back as rolled_back
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import served
from tests.support.trees.trees import Exe, Tree, noise, read_tree
from updater.check.trust import recalled
from updater.client import Updater
from updater.errors import InstallError, TrustError
from updater.format.encoding.canonical import encode
from updater.format.encoding.limits import DEFAULT
from updater.format.head import EVERYONE, Head, HeadEntry, RolloutStep
from updater.launch.commit.rollback import rollback
from updater.local.session import Session
from updater.local.settings import find_install
from updater.update.install_new import install

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


VERSIONS = ("1.0", "2.0", "3.0")


def tree(version: str) -> Tree:
    return {"app": Exe(b"#!/bin/sh\necho " + version.encode()), "data": noise(20_000)}


@dataclass
class World:
    """A publisher of three releases, and an install of the last."""

    folder: Path
    url: str
    publisher: Publisher
    session: Session

    @property
    def updater(self) -> Updater:
        return Updater(self.folder, self.session)

    @property
    def state(self) -> Path:
        return self.folder.parent / f".{self.folder.name}.upswap"

    def recall(self, version: str, *, floor: str | None = None, patch: bool = False) -> None:
        recall(
            self.publisher.repository(),
            "notes",
            version,
            now=self.publisher.now,
            floor=floor,
            patches=Options(effort="fast", jobs=1) if patch else None,
        )

    def offer(self, *versions: str) -> None:
        """Whatever the online key wants offered: its thief asks nobody."""
        offers = tuple(HeadEntry(version, (RolloutStep(0, EVERYONE),)) for version in versions)
        document = Head("notes", "stable", self.publisher.now, "seed", offers).to_json()
        target = NewTarget.of("notes/channels/stable", encode(document), document)
        self.publisher.repository().publish("channels.notes", [target])

    def goes_to(self, version: str | None) -> None:
        """The next update leads there, whole; None: it changes nothing."""
        before = self.updater.status().version
        done = self.updater.update()
        assert (done.new if done else None) == version
        assert self.updater.status().version == (version or before)
        assert read_tree(self.folder) == tree(version or before)
        assert self.updater.verify(full=True).whole

    def fresh_gets(self, version: str | None) -> None:
        """What somebody who installs now gets."""
        folder = self.folder.with_name(f"fresh-{len(list(self.folder.parent.iterdir()))}")
        if version is None:
            with pytest.raises(InstallError, match="offers nothing"):
                install(folder, self.url, self.publisher.root, "notes", session=self.session)
        else:
            install(folder, self.url, self.publisher.root, "notes", session=self.session)
            assert read_tree(folder) == tree(version)


@pytest.fixture
def world(tmp_path: Path, publisher: Publisher, session: Session) -> Iterator[World]:
    for version in VERSIONS:
        publisher.release(version, tree(version))
    place = tmp_path / "home"
    place.mkdir()
    with served(publisher.folder) as url:
        install(place / "app", url, publisher.root, "notes", session=session)
        yield World(place / "app", url, publisher, session)


def test_installs_of_a_recalled_release_go_back_and_nobody_gets_it_any_more(world: World) -> None:
    world.recall("3.0")
    world.fresh_gets("2.0")
    world.goes_to("2.0")
    world.goes_to(None)
    world.publisher.release("3.1", tree("3.1"))
    world.goes_to("3.1")


@pytest.mark.parametrize("patch", [True, False], ids=["reverse patch", "bundle"])
def test_the_way_back_costs_a_patch_if_one_was_made(patch: bool, world: World) -> None:
    world.recall("3.0", patch=patch)
    done = world.updater.update()
    assert done is not None
    assert (done.new, bool(done.changes)) == ("2.0", patch)
    assert done.fetched_bytes < done.full_bytes if patch else done.fetched_bytes > done.full_bytes
    assert read_tree(world.folder) == tree("2.0")


def test_a_recall_of_the_only_release_offered_leaves_it_until_there_is_another(
    world: World,
) -> None:
    for version in VERSIONS:
        world.recall(version)
    world.fresh_gets(None)
    world.goes_to(None)
    world.publisher.release("3.1", tree("3.1"))
    world.goes_to("3.1")
    world.fresh_gets("3.1")


def test_a_recall_followed_by_a_head_below_the_floor_moves_nobody(world: World) -> None:
    world.recall("3.0", floor="2.0")
    world.offer("1.0")
    world.goes_to(None)
    world.offer("2.0", "1.0")
    world.goes_to("2.0")


def test_whoever_skipped_the_recalled_release_stays_where_it_is(world: World) -> None:
    world.recall("3.0")
    world.goes_to("2.0")
    world.recall("2.0")
    world.offer("3.0", "1.0")
    world.goes_to("1.0")
    world.offer("3.0", "2.0")
    world.goes_to(None)


THEFTS = [("3.0",), ("2.0",), ("1.0",), ("2.0", "1.0"), ("9.0",), ()]


@pytest.mark.parametrize("versions", THEFTS, ids=" ".join)
def test_a_stolen_online_key_brings_nobody_down(versions: tuple[str, ...], world: World) -> None:
    world.offer(*versions)
    world.goes_to(None)
    world.publisher.release("4.0", tree("4.0"))
    world.goes_to("4.0")


def test_a_stolen_online_key_brings_no_recalled_release_back(world: World) -> None:
    world.recall("3.0")
    world.goes_to("2.0")
    world.offer("3.0")
    world.goes_to(None)
    world.fresh_gets(None)
    world.offer("1.0")
    world.goes_to(None)


def test_a_recall_cannot_be_rolled_back_by_a_stolen_online_key(world: World) -> None:
    """python-tuf, once its snapshot is lost, would believe in the release before its recall."""
    world.recall("3.0")
    world.goes_to("2.0")
    honest = shutil.copytree(world.publisher.folder, world.folder.with_name("honest"))
    world.offer("3.0")
    for remembers in (True, False):
        rolled_back(world.publisher)
        if not remembers:
            (world.state / "trust/snapshot.json").unlink()
        with pytest.raises(TrustError):
            world.updater.update()
        assert read_tree(world.folder) == tree("2.0")
    shutil.rmtree(world.publisher.folder)
    shutil.copytree(honest, world.publisher.folder)
    world.publisher.release("3.1", tree("3.1"))
    world.goes_to("3.1")


def test_without_our_memory_the_recalled_release_would_come_back(world: World) -> None:
    """The attack is a real one."""
    world.recall("3.0")
    world.goes_to("2.0")
    world.offer("3.0")
    rolled_back(world.publisher)
    shutil.rmtree(world.state / "trust")
    (world.state / "seen.json").unlink()
    world.goes_to("3.0")


def test_only_the_release_key_recalls(world: World) -> None:
    """Whoever writes the mark himself, even with the online key, is refused."""

    def mark(metadata: Metadata[Any]) -> None:
        target = metadata.signed.targets["notes/releases/3.0/manifest"]
        target.unrecognized_fields["custom"] = {"recalled": {"floor": "1.0"}}

    online = right_signer(world.publisher, "timestamp")
    world.publisher.repository().publish("app.notes", [])
    rewrite(newest(world.publisher, "app.notes"), mark, online)
    world.offer("1.0")
    with pytest.raises(TrustError):
        world.updater.update()
    assert read_tree(world.folder) == tree("3.0")


def test_a_version_that_failed_here_is_not_gone_back_to(world: World) -> None:
    world.recall("3.0", floor="1.0")
    world.goes_to("2.0")
    rollback(find_install(world.folder), "it did not come up")
    assert read_tree(world.folder) == tree("3.0")
    assert world.updater.status().bad == ("2.0",)
    world.goes_to(None)
    world.offer("2.0", "1.0")
    world.goes_to("1.0")


def test_its_user_does_not_go_back_to_what_was_recalled(world: World) -> None:
    world.publisher.release("4.0", tree("4.0"))
    world.goes_to("4.0")
    world.recall("3.0")
    world.goes_to(None)  # which learns of it
    with pytest.raises(InstallError, match=r"3\.0 was recalled by its publisher") as caught:
        world.updater.rollback()
    assert "updater update" in caught.value.hint
    assert read_tree(world.folder) == tree("4.0")
    assert world.updater.status().bad == ()
    world.publisher.release("5.0", tree("5.0"))
    world.goes_to("5.0")
    assert world.updater.rollback().new == "4.0"


def test_a_rollback_asks_nobody_whether_something_was_recalled(world: World) -> None:
    world.publisher.release("4.0", tree("4.0"))
    world.goes_to("4.0")
    world.recall("3.0")
    assert world.updater.rollback().new == "3.0"


def told_of(world: World) -> frozenset[str]:
    """What the disk says, however late it is."""
    return world.session.recalled(find_install(world.folder), "notes")


def test_a_recall_is_known_as_long_as_the_metadata_is_there(world: World) -> None:
    assert told_of(world) == frozenset()
    world.recall("2.0")
    world.recall("3.0")
    world.updater.check()
    assert told_of(world) == {"2.0", "3.0"}
    assert recalled(world.state / "trust", "draw", DEFAULT) == frozenset()
    shutil.rmtree(world.state / "trust")
    assert told_of(world) == frozenset()


@pytest.mark.parametrize("role", ["root", "targets", "app.notes"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"[" * 10_000, None], ids=ascii)
def test_damaged_metadata_recalls_nothing_and_ends_no_command(
    damage: bytes | None, role: str, world: World
) -> None:
    world.publisher.release("4.0", tree("4.0"))
    world.recall("3.0")
    world.goes_to("4.0")
    place = (world.state / "trust" / f"{role}.json").resolve()
    place.write_bytes(read_bytes(world, "timestamp") if damage is None else damage)
    assert not world.updater.status().recalled
    assert world.updater.rollback().new == "3.0"


def read_bytes(world: World, role: str) -> bytes:
    return (world.state / "trust" / f"{role}.json").read_bytes()


def test_what_a_key_that_has_ended_signed_recalls_nothing(world: World) -> None:
    """As a refresh leaves it that came as far as the targets."""
    world.recall("3.0")
    world.updater.check()
    keys = world.publisher.keys
    stolen = keys.signers("release")[0].public_key.keyid
    rotate(world.publisher.repository(), "release")
    revoke(world.publisher.repository(), "release", key=stolen)
    shutil.copy(newest(world.publisher, "targets"), world.state / "trust/targets.json")
    assert told_of(world) == frozenset()
    world.updater.check()
    assert told_of(world) == {"3.0"}
