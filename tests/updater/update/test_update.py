"""The main job, over real sockets: install, check, update."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Exe, Link, Tree, noise, read_tree
from updater.client import Updater
from updater.disk.durable import Disk
from updater.errors import InstallError, UpdateInProgress
from updater.format.release_description import Confirm, Release
from updater.local.session import Session
from updater.progress import Silent
from updater.update.install_new import install

OLD: Tree = {
    "app": Exe(b"#!/bin/sh\necho 1\n"),
    "lib/core.py": b"VERSION = 1\n" * 50,
    "lib/gone.py": b"gone\n",
    "docs/a.txt": noise(3000, 1),
    "docs/b.txt": noise(3000, 2),
    "empty": None,
    "link": Link("app"),
}
NEW: Tree = {
    "app": Exe(b"#!/bin/sh\necho 2\n"),
    "lib/core.py": b"VERSION = 2\n" * 50,
    "manual/a.txt": noise(3000, 1),
    "manual/b.txt": noise(3000, 2),
    "zero": b"",
    "link": Link("lib/core.py"),
}


def test_an_install_is_the_release_and_an_update_is_the_next(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", OLD)
    done = install(tmp_path / "app", url, publisher.root, "notes", session=session)
    assert (done.old, done.new) == ("", "1.0")
    assert read_tree(tmp_path / "app") == OLD
    updater = Updater(tmp_path / "app", session)
    assert updater.check() is None
    assert not updater.update()

    publisher.release("2.0", NEW)
    offer = updater.check()
    assert offer is not None
    assert (offer.installed, offer.available) == ("1.0", "2.0")
    updated = updater.update()
    assert updated is not None
    assert (updated.old, updated.new) == ("1.0", "2.0")
    assert updated.changes["move_directory"] == 1
    assert offer.fetch_bytes <= updated.fetched_bytes < session.transport.received
    assert done.fetched_bytes + updated.fetched_bytes < session.transport.received
    assert read_tree(tmp_path / "app") == NEW
    status = updater.status()
    assert (status.version, status.previous, status.state) == ("2.0", "1.0", "clean")


def test_an_update_may_go_over_several_patches(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    big = noise(100_000)
    trees = [{"data": big + bytes([n]), "name": b"%d" % n} for n in range(4)]
    for n, tree in enumerate(trees):
        publisher.add(f"{n}.0", tree, bases=[f"{n - 1}.0"] if n else [])
        if n == 0:
            publisher.promote("0.0")
            install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.promote("3.0")
    updated = Updater(tmp_path / "app", session).update()
    assert updated is not None
    assert updated.new == "3.0"
    assert updated.changes == {"modify": 6}
    assert read_tree(tmp_path / "app") == trees[3]


def test_no_update_jumps_over_a_stop(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", {"f": b"1"})
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.add("2.0", {"f": b"2"}, release=Release(stop=True))
    publisher.release("3.0", {"f": b"3"})
    updater = Updater(tmp_path / "app", session)
    versions = [done.new for done in (updater.update(), updater.update()) if done]
    assert versions == ["2.0", "3.0"]


@pytest.mark.parametrize("damage", ["edited", "deleted", "replaced by a folder"])
def test_a_patch_that_does_not_fit_gives_way_to_the_bundle(
    damage: str, tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", OLD)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", NEW)
    core = tmp_path / "app/lib/core.py"
    core.write_bytes(b"edited") if damage == "edited" else core.unlink()
    if damage == "replaced by a folder":
        core.mkdir()
        (core / "mine").write_bytes(b"mine")
    done = Updater(tmp_path / "app", session).update()
    assert done is not None
    tree = read_tree(tmp_path / "app")
    users = {path: tree.pop(path) for path in list(tree) if path.startswith("lib/core.py.old")}
    assert tree == NEW
    assert (
        list(users.values())
        == {
            "edited": [b"edited"],
            "deleted": [],
            "replaced by a folder": [b"mine"],
        }[damage]
    )


def test_a_patch_the_server_has_no_more_gives_way_to_the_bundle(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", OLD)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", NEW)
    (patch,) = publisher.folder.glob("targets/notes/patches/*.1.0_2.0")
    patch.unlink()
    assert Updater(tmp_path / "app", session).update()
    assert read_tree(tmp_path / "app") == NEW


def test_a_file_somebody_removed_is_there_after_the_update_though_no_release_changed_it(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    same = noise(2000, 7)
    publisher.release("1.0", {"f": noise(3000), "same": same})
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", {"f": noise(3000)[:-1], "same": same})
    (tmp_path / "app/same").unlink()
    assert Updater(tmp_path / "app", session).update()
    assert read_tree(tmp_path / "app") == {"f": noise(3000)[:-1], "same": same}


def test_ctrl_c_after_the_commit_leaves_a_complete_install(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    class Interrupted(Disk):
        def unlink(self, path: Path) -> None:
            if path.parent.name == "downloads":
                raise KeyboardInterrupt
            super().unlink(path)

    publisher.release("1.0", OLD)
    with pytest.raises(KeyboardInterrupt):
        install(
            tmp_path / "app",
            url,
            publisher.root,
            "notes",
            session=replace(session, disk=Interrupted()),
        )
    assert read_tree(tmp_path / "app") == OLD
    assert Updater(tmp_path / "app", session).status().version == "1.0"


def test_an_update_in_the_middle_of_verify_is_told_and_no_damage(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    class Meanwhile(Silent):
        def start(self, task: str, total: int) -> None:  # noqa: ARG002
            assert Updater(tmp_path / "app", session).update()

    publisher.release("1.0", OLD)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", NEW)
    updater = Updater(tmp_path / "app", replace(session, progress=Meanwhile()))
    with pytest.raises(UpdateInProgress, match="updated meanwhile"):
        updater.verify()
    assert Updater(tmp_path / "app", session).verify(full=True).whole


def test_an_interrupted_update_is_not_verified_but_told(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", OLD)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    (tmp_path / ".app.upswap/journal").write_bytes(b"an update begins")
    with pytest.raises(InstallError, match="interrupted") as caught:
        Updater(tmp_path / "app", session).verify()
    assert "recover" in caught.value.hint


def test_a_rollback_leaves_edited_files_to_their_user_and_takes_ours_away(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    rules = Release(policy=(("keep", "keep"), ("dist", "keep-if-changed")))
    old: Tree = {"f": b"1", "keep": b"1", "dist": b"1"}
    publisher.release("1.0", old, release=rules)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", dict.fromkeys(old, b"22"), release=rules)
    for path in ("keep", "dist"):
        (tmp_path / "app" / path).write_bytes(b"user")
    updater = Updater(tmp_path / "app", session)
    assert updater.update()
    users = {"keep": b"user", "dist": b"user"}
    assert read_tree(tmp_path / "app") == {"f": b"22", "dist.dist": b"22", **users}
    updater.rollback()
    assert read_tree(tmp_path / "app") == {"f": b"1", **users}
    assert updater.verify(full=True).kept == ("dist", "keep")


def test_a_version_on_trial_is_verified_and_repaired_as_any(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    rules = Release(entry=("app",), confirm=Confirm(mode="app"))
    publisher.release("1.0", OLD)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", NEW, release=rules)
    updater = Updater(tmp_path / "app", session)
    assert updater.update()
    assert updater.verify(full=True).whole
    assert updater.repair() is None, "nothing is wrong with it"
