"""The first keys, and the kits to put away: enough to recover, in hands that can read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from patchtool.ceremonies.recovery_kit import first_root_of, new_keys
from patchtool.ceremonies.rotation import revoke, rotate
from patchtool.keys.root_documents import read_root
from patchtool.keys.signing_keys import Keys, Role
from patchtool.repository.repository import Repository

from tests.support.repository.publisher import NOW, PASSWORD
from tests.support.repository.seen_by_clients import files
from updater.disk.durable import WINDOWS
from updater.errors import InstallError


def keys_in(folder: Path) -> Keys:
    return Keys(folder, PASSWORD)


@pytest.mark.parametrize(("threshold", "root_keys"), [(1, None), (2, None), (2, 5), (3, 3), (1, 1)])
def test_as_many_root_keys_are_made_as_were_asked_for(
    threshold: int, root_keys: int | None, tmp_path: Path
) -> None:
    keys = keys_in(tmp_path / "keys")
    made = new_keys(keys, NOW, threshold=threshold, root_keys=root_keys, kits=tmp_path / "kits")
    count = root_keys or threshold + 1
    assert len(keys.paths("root")) == len(made.kits) == count
    assert len(made.keys) == count + 3
    root = read_root(made.root.read_bytes())
    assert root.signed.roles["root"].threshold == threshold
    assert len(root.signed.roles["root"].keyids) == count
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)


def test_a_kit_holds_one_root_key_the_root_and_words(tmp_path: Path) -> None:
    made = new_keys(keys_in(tmp_path / "keys"), NOW, threshold=2, kits=tmp_path / "kits")
    for number, kit in enumerate(made.kits, start=1):
        held = {f"root-{number}.pem", "root.json", "README.txt"}
        assert set(files(kit)) == held | ({"targets.pem"} if number == 1 else set())
        assert (kit / "root.json").read_bytes() == made.root.read_bytes()
        words = (kit / "README.txt").read_text()
        assert f"Recovery kit {number} of 3" in words
        assert "one of 3 root keys, encrypted; 2 of them must sign together" in words
        assert PASSWORD["UPSWAP_KEY_PASSWORD"] not in words
        (signer,) = keys_in(kit).signers("root")
        assert f"Its id begins with {signer.public_key.keyid[:8]}" in words


@pytest.mark.skipif(WINDOWS, reason="no mode bits")
def test_a_kit_is_readable_by_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = new_keys(keys_in(tmp_path / "keys"), NOW, threshold=1, kits=tmp_path / "kits")
    finally:
        os.umask(before)
    assert {kit.stat().st_mode & 0o777 for kit in made.kits} == {0o700}
    secrets = list(tmp_path.rglob("*.pem"))
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    assert all(b"ENCRYPTED" in path.read_bytes() for path in secrets)


def test_two_kits_of_three_are_all_it_takes_to_replace_every_other_key(tmp_path: Path) -> None:
    """The machine with all other keys, and one of the kits, burnt down."""
    keys = keys_in(tmp_path / "keys")
    made = new_keys(keys, NOW, threshold=2, kits=tmp_path / "kits")
    repository = tmp_path / "repository"
    Repository(repository, keys, NOW).create("notes", 0, first_root_of(keys.folder))
    shutil.rmtree(keys.folder)
    shutil.rmtree(made.kits[0])
    saved = tmp_path / "saved"
    for kit in made.kits[1:]:
        shutil.copytree(kit, saved, dirs_exist_ok=True)
    lost: tuple[Role, ...] = ("targets", "online", "release")
    for role in lost:
        rotate(Repository(repository, keys_in(saved), NOW), role)
    for role in lost:
        revoke(Repository(repository, keys_in(saved), NOW), role)
    burnt = read_root((saved / "root.json").read_bytes()).signed.roles["root"].keyids[0]
    rotate(Repository(repository, keys_in(saved), NOW), "root")
    revoke(Repository(repository, keys_in(saved), NOW), "root", key=burnt)
    left = Repository(repository, keys_in(saved), NOW)
    assert all(left.look().is_signed(standing.role) for standing in left.statuses())


def test_a_repository_is_made_without_any_root_key_at_hand(tmp_path: Path) -> None:
    keys = keys_in(tmp_path / "keys")
    made = new_keys(keys, NOW, threshold=2)
    for path in keys.paths("root"):
        path.unlink()
    Repository(tmp_path / "r", keys, NOW).create("notes", 0, first_root_of(keys.folder))
    assert (tmp_path / "r/metadata/1.root.json").read_bytes() == made.root.read_bytes()


def test_a_first_root_of_other_keys_is_refused(tmp_path: Path) -> None:
    new_keys(keys_in(tmp_path / "keys"), NOW, threshold=1)
    other = new_keys(keys_in(tmp_path / "other"), NOW, threshold=1)
    with pytest.raises(InstallError, match="does not name the targets key at hand"):
        Repository(tmp_path / "r", keys_in(tmp_path / "keys"), NOW).create(
            "notes", 0, other.root.read_bytes()
        )
    assert not (tmp_path / "r/metadata/timestamp.json").exists()


def test_what_was_begun_is_finished_by_running_it_again(tmp_path: Path) -> None:
    keys = keys_in(tmp_path / "keys")
    keys.make_missing(threshold=2)
    (tmp_path / "keys/online.pem").unlink()
    before = files(keys.folder)
    made = new_keys(keys, NOW, threshold=2)
    assert [path.name for path in made.keys] == ["online.pem"]
    assert before.items() <= files(keys.folder).items()


def test_what_is_there_is_not_made_over(tmp_path: Path) -> None:
    keys = keys_in(tmp_path / "keys")
    new_keys(keys, NOW, threshold=1, kits=tmp_path / "kits")
    before = files(tmp_path)
    with pytest.raises(InstallError, match=r"root\.json is there already"):
        new_keys(keys, NOW, threshold=1)
    with pytest.raises(InstallError, match="kits is not empty"):
        new_keys(keys_in(tmp_path / "new"), NOW, threshold=1, kits=tmp_path / "kits")
    assert files(tmp_path) == before


def test_fewer_keys_than_signatures_needed_are_refused_before_any_is_made(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="2 root keys cannot meet a threshold of 3"):
        new_keys(keys_in(tmp_path / "keys"), NOW, threshold=3, root_keys=2)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("place", ["keys", "kits"])
def test_neither_keys_nor_kits_are_made_inside_a_repository(place: str, tmp_path: Path) -> None:
    keys = keys_in(tmp_path / "keys")
    new_keys(keys, NOW, threshold=1)
    Repository(tmp_path / "r", keys, NOW).create("notes", 0, first_root_of(keys.folder))
    before = files(tmp_path)
    places = {"keys": tmp_path / "k", "kits": tmp_path / "s"} | {place: tmp_path / "r/metadata/x"}
    with pytest.raises(InstallError, match="lies inside the repository"):
        new_keys(keys_in(places["keys"]), NOW, threshold=1, kits=places["kits"])
    assert files(tmp_path) == before
