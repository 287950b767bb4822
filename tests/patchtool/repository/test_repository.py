"""The repository folder: one writer, one commit point, and what clients see of it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from patchtool.keys.roles import LIFETIMES
from patchtool.keys.signing_keys import Keys
from patchtool.repository.repository import Repository
from tuf.api.metadata import Metadata, Root

from tests.support.repository.dying import NEW, OLD, DyingDisk, Killed, full, killed_everywhere
from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from updater.errors import FormatError, InstallError, UpdateInProgress
from updater.format.release_description import Release


@pytest.mark.crash
@pytest.mark.parametrize("fault", [Killed, full], ids=["killed", "disk full"])
def test_a_release_that_is_stopped_anywhere_is_there_whole_or_not_at_all(
    fault: Callable[[], BaseException], released: Publisher, tmp_path: Path
) -> None:
    root = released.root
    look(released.folder, tmp_path / "memory", root)
    seen = []
    for n, lived in enumerate(
        killed_everywhere(released, tmp_path, lambda: released.add("2.0", NEW), fault)
    ):
        shutil.copytree(tmp_path / "memory", tmp_path / f"{n}", symlinks=True)
        known = offered(released.folder, look(released.folder, tmp_path / f"{n}", root))
        assert known == offered(
            released.folder, look(released.folder, tmp_path / f"fresh-{n}", root)
        )
        seen.append(known)
        if not lived:
            released.add("2.0", NEW)  # the command is simply run again
            again = look(released.folder, tmp_path / f"{n}", root)
            assert offered(released.folder, again) == {"1.0", "2.0"}
            assert ("1.0", "2.0") in again.patches
    assert seen == sorted(seen, key=len)
    assert (seen[0], seen[-1]) == ({"1.0"}, {"1.0", "2.0"})
    assert len(seen) > 15, "every write of it was interrupted"


@pytest.mark.crash
def test_a_promotion_that_is_killed_anywhere_is_seen_whole_or_not_at_all(
    released: Publisher, tmp_path: Path
) -> None:
    released.add("2.0", NEW)
    seen = []
    for n, _ in enumerate(killed_everywhere(released, tmp_path, lambda: released.promote("2.0"))):
        head = look(released.folder, tmp_path / f"{n}", released.root).head
        seen.append([offer.version for offer in head.entries])
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (["1.0"], ["2.0", "1.0"])


def test_making_a_repository_that_is_killed_anywhere_may_be_run_again(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "publisher")
    for steps in itertools.count():
        shutil.rmtree(publisher.folder)
        disk = DyingDisk(steps)
        try:
            Repository(publisher.folder, publisher.keys, NOW, disk).create("notes", threshold=1)
            break
        except Killed:
            if not (publisher.folder / "metadata/timestamp.json").exists():
                publisher.repository().create("notes", threshold=1)
        publisher.release("1.0", OLD)
        seen = look(publisher.folder, tmp_path / f"{steps}", publisher.root)
        assert offered(publisher.folder, seen) == {"1.0"}
    assert steps > 10


def test_only_the_timestamp_ever_changes(publisher: Publisher) -> None:
    publisher.release("1.0", OLD)
    before = files(publisher.folder)
    publisher.release("2.0", NEW)
    after = files(publisher.folder)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"metadata/timestamp.json"}


def test_a_second_writer_is_told_at_once_and_readers_are_not_disturbed(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.release("1.0", OLD)
    with publisher.repository().writing():
        with pytest.raises(UpdateInProgress, match="writing the repository"):
            publisher.add("2.0", NEW)
        with pytest.raises(UpdateInProgress):
            publisher.promote("1.0")
        assert offered(publisher.folder, look(publisher.folder, tmp_path, publisher.root))
    assert publisher.add("2.0", NEW) is not None


@pytest.mark.parametrize("role", ["release", "online"])
@pytest.mark.parametrize("fault", ["missing", "of another repository"])
def test_without_the_right_keys_nothing_is_written(
    role: str, fault: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.release("1.0", OLD)
    before = files(publisher.folder)
    key = publisher.keys.folder / f"{role}.pem"
    if fault == "missing":
        key.unlink()
    else:
        Keys(tmp_path / "others", PASSWORD).make_missing(threshold=1)
        (tmp_path / "others" / key.name).replace(key)
    with pytest.raises(InstallError, match=rf"{role} key"):
        publisher.release("2.0", NEW)
    assert files(publisher.folder) == before


def test_publishing_needs_no_offline_key(publisher: Publisher) -> None:
    (publisher.keys.folder / "root.pem").unlink()
    (publisher.keys.folder / "targets.pem").unlink()
    publisher.release("1.0", OLD)


def test_promoting_needs_the_online_key_alone(publisher: Publisher) -> None:
    publisher.add("1.0", OLD)
    for role in ("root", "targets", "release"):
        (publisher.keys.folder / f"{role}.pem").unlink()
    publisher.promote("1.0")


def test_a_threshold_of_two_is_signed_by_all_root_keys(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys", PASSWORD)
    keys.make_missing(threshold=2)
    Repository(tmp_path / "r", keys, NOW).create("notes", threshold=2)
    root = Metadata[Root].from_file(str(tmp_path / "r/metadata/1.root.json"))
    assert root.signed.roles["root"].threshold == 2
    assert len(root.signed.roles["root"].keyids) == 3
    assert set(root.signatures) == set(root.signed.roles["root"].keyids)
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)


def test_a_threshold_that_the_keys_cannot_meet_is_refused(publisher: Publisher) -> None:
    new = publisher.folder.with_name("new")
    with pytest.raises(InstallError, match="1 root key cannot meet a threshold of 2"):
        Repository(new, publisher.keys, NOW).create("notes", threshold=2)
    assert not (new / "metadata/timestamp.json").exists()


def test_a_repository_is_not_made_over_another(publisher: Publisher) -> None:
    before = files(publisher.folder)
    with pytest.raises(InstallError, match="is a repository already"):
        publisher.repository().create("notes", threshold=1)
    assert files(publisher.folder) == before


def test_what_is_no_repository_is_not_written(tmp_path: Path, publisher: Publisher) -> None:
    publisher.folder = tmp_path / "elsewhere"
    with pytest.raises(InstallError, match="is not a repository") as caught:
        publisher.add("1.0", OLD)
    assert "init" in caught.value.hint
    assert not publisher.folder.exists()


def test_an_app_the_repository_does_not_know_is_told(publisher: Publisher) -> None:
    publisher.app = "noets"
    with pytest.raises(InstallError, match=r"does not know app\.noets"):
        publisher.add("1.0", OLD)
    with pytest.raises(InstallError, match=r"does not know app\.noets"):
        publisher.promote("1.0")


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("name", ["timestamp", "1.snapshot", "1.targets", "1.app.notes"])
@pytest.mark.parametrize("damage", [damaged, Path.unlink], ids=["cut", "gone"])
def test_a_damaged_repository_is_told_and_left_alone(
    name: str, damage: Callable[[Path], None], publisher: Publisher
) -> None:
    damage(publisher.folder / "metadata" / f"{name}.json")
    before = files(publisher.folder)
    with pytest.raises((FormatError, InstallError)):
        publisher.add("1.0", OLD)
    assert files(publisher.folder) == before


@pytest.mark.parametrize("damage", [damaged, Path.unlink], ids=["cut", "gone"])
def test_a_damaged_base_is_told_and_clients_see_nothing(
    damage: Callable[[Path], None], publisher: Publisher
) -> None:
    publisher.release("1.0", OLD)
    (bundle,) = (publisher.folder / "targets/notes/releases/1.0").glob("*.bundle")
    damage(bundle)
    before = files(publisher.folder)
    with pytest.raises((FormatError, InstallError)):
        publisher.add("2.0", NEW)
    assert files(publisher.folder) == before


def test_signatures_hold_as_long_as_their_keys_are_out_of_reach(publisher: Publisher) -> None:
    publisher.release("1.0", OLD)
    metadata = publisher.folder / "metadata"
    names: Mapping[str, str] = {
        "root": "1.root",
        "targets": "1.targets",
        "app": "2.app.notes",
        "channels": "2.channels.notes",
        "snapshot": "3.snapshot",
        "timestamp": "timestamp",
    }
    for role, name in names.items():
        signed = Metadata.from_file(str(metadata / f"{name}.json")).signed
        assert signed.expires.timestamp() - NOW == LIFETIMES[role].total_seconds()


def test_clients_learn_what_a_release_demands_before_they_fetch_it(
    publisher: Publisher, tmp_path: Path
) -> None:
    demands = Release(stop=True, required=True, min_updater="0.2", notes="long " * 100)
    publisher.release("1.0", OLD)
    publisher.add("2.0", NEW, release=demands)
    catalogue = look(publisher.folder, tmp_path, publisher.root)
    plain, demanding = catalogue.releases["1.0"], catalogue.releases["2.0"]
    assert (plain.stop, plain.required, plain.min_updater) == (False, False, "")
    assert (demanding.stop, demanding.required, demanding.min_updater) == (True, True, "0.2")


def test_a_release_named_by_the_root_of_another_repository_is_not_trusted(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.release("1.0", OLD)
    other = Publisher(tmp_path / "other")
    with pytest.raises(Exception, match="signed by 0/1 keys"):
        look(publisher.folder, tmp_path / "memory", other.root)
