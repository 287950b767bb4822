"""``patchtool sync``: clients of the copy see the old repository or the new, never a mix."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patchtool.ceremonies.rotation import revoke, rotate
from patchtool.cli.parser import main
from patchtool.keys.signing_keys import Role
from patchtool.release.recall import recall
from patchtool.release.refresh import refresh
from patchtool.repository.leftovers import PATIENCE
from patchtool.repository.stored_files import needed
from patchtool.upkeep.prune import prune
from patchtool.upkeep.sync import Synced

from tests.support.repository.copies import synced
from tests.support.repository.dying import NEW, DyingDisk, Killed
from tests.support.repository.publisher import PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from updater.disk.durable import Disk
from updater.errors import FormatError, InstallError, MachineError, UpdateInProgress

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def publisher(released: Publisher) -> Publisher:
    return released


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "host" / "updates"


def sees(publisher: Publisher, dest: Path, memory: Path) -> set[str]:
    return offered(dest, look(dest, memory, publisher.root, publisher.now))


def same(publisher: Publisher, dest: Path) -> bool:
    """Whether the copy has all that clients ask for, as it is."""
    names = needed(publisher.repository().look())
    return all((dest / n).read_bytes() == (publisher.folder / n).read_bytes() for n in names)


def test_a_copy_is_what_clients_need_and_no_more(publisher: Publisher, dest: Path) -> None:
    publisher.release("2.0", NEW)
    done = synced(publisher, dest)
    assert same(publisher, dest)
    assert set(files(dest)) == set(needed(publisher.repository().look()))
    assert done.copied == len(files(dest))
    assert not (dest / ".lock").exists()


def test_what_is_there_is_not_copied_again(publisher: Publisher, dest: Path) -> None:
    synced(publisher, dest)
    assert synced(publisher, dest) == Synced(0, 0, (), ())
    publisher.release("2.0", NEW)
    done = synced(publisher, dest)
    assert 0 < done.copied < len(files(dest))
    assert same(publisher, dest)


class Watching(Disk):
    """Writes down in which order files come to be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names: list[str] = []

    def replace(self, source: Path, path: Path) -> None:
        super().replace(source, path)
        name = path.relative_to(self._folder).as_posix()
        self.names += [] if name.startswith(".") else [name]


def test_content_comes_first_and_the_timestamp_last(publisher: Publisher, dest: Path) -> None:
    for disk in (Watching(dest), Watching(dest)):
        synced(publisher, dest, disk)
        kinds = [name.partition("/")[0] for name in disk.names]
        assert kinds == sorted(kinds, reverse=True)
        assert disk.names[-1] == "metadata/timestamp.json"
        publisher.release("2.0", NEW)


def release(publisher: Publisher) -> None:
    publisher.release("2.0", NEW)


def withdraw(publisher: Publisher) -> None:
    publisher.release("2.0", NEW)
    recall(publisher.repository(), "notes", "2.0", now=publisher.now)


def shrink(publisher: Publisher) -> None:
    publisher.release("2.0", NEW)
    prune(publisher.repository())


def change_key(role: Role) -> Callable[[Publisher], None]:
    def ceremony(publisher: Publisher) -> None:
        rotate(publisher.repository(), role)
        revoke(publisher.repository(), role)

    return ceremony


EVENTS: dict[str, Callable[[Publisher], None]] = {
    "release": release,
    "recall": withdraw,
    "prune": shrink,
    "online key": change_key("online"),
    "targets key": change_key("targets"),
    "release key": change_key("release"),
}


@pytest.mark.crash
@pytest.mark.parametrize("name", EVENTS)
def test_a_sync_that_is_killed_anywhere_leaves_what_clients_accept(
    name: str, publisher: Publisher, dest: Path, tmp_path: Path
) -> None:
    synced(publisher, dest)
    old = tmp_path / "an old client"
    sees(publisher, dest, old)
    before = shutil.copytree(dest, tmp_path / "before")
    EVENTS[name](publisher)
    steps, lived, seen = 0, False, []
    while not lived:
        shutil.rmtree(dest)
        shutil.copytree(before, dest)
        try:
            synced(publisher, dest, DyingDisk(steps))
            lived = True
        except Killed:
            steps += 1
        shutil.copytree(old, tmp_path / f"{steps}-{lived}", symlinks=True)
        seen.append(sees(publisher, dest, tmp_path / f"{steps}-{lived}"))
        assert seen[-1] == sees(publisher, dest, tmp_path / f"fresh-{steps}-{lived}")
        synced(publisher, dest)
        assert same(publisher, dest)
    assert steps > 5
    assert seen == sorted(seen, key=len)


def test_what_is_gone_is_deleted_a_month_after_it_went(
    publisher: Publisher, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchtool.upkeep.prune.KEPT", 1)
    synced(publisher, dest)
    (dest / "index.html").write_text("the host's own")
    (dest / "metadata/notes.part").write_text("left by a killed sync")
    publisher.release("2.0", NEW)
    publisher.now += 1
    publisher.promote("2.0")
    prune(publisher.repository())
    done = synced(publisher, dest)
    assert done.deleted == ()
    assert not (dest / "metadata/notes.part").exists(), "half a file is nobody's"
    publisher.now += PATIENCE
    refresh(publisher.repository())
    last = synced(publisher, dest)
    assert set(done.waiting) <= set(last.deleted)
    assert (dest / "index.html").exists()
    assert same(publisher, dest)


def test_a_copy_that_is_newer_is_not_overwritten(
    publisher: Publisher, dest: Path, tmp_path: Path
) -> None:
    backup = shutil.copytree(publisher.folder, tmp_path / "backup")
    publisher.release("2.0", NEW)
    synced(publisher, dest)
    before = files(dest)
    shutil.rmtree(publisher.folder)
    shutil.copytree(backup, publisher.folder)
    with pytest.raises(InstallError, match=r"is newer: .* there, .* here") as caught:
        synced(publisher, dest)
    assert "--at-least" in caught.value.hint
    assert files(dest) == before
    refresh(publisher.repository(), 1000)
    synced(publisher, dest)
    assert same(publisher, dest)


def test_two_that_went_apart_are_not_mixed(
    publisher: Publisher, dest: Path, tmp_path: Path
) -> None:
    backup = shutil.copytree(publisher.folder, tmp_path / "backup")
    publisher.promote("1.0", basis_points=100)
    synced(publisher, dest)
    shutil.rmtree(publisher.folder)
    shutil.copytree(backup, publisher.folder)
    publisher.promote("1.0", basis_points=200)
    with pytest.raises(InstallError, match=r"another way: it has another .*channels\.notes"):
        synced(publisher, dest)


def test_another_repository_is_not_overwritten(
    publisher: Publisher, dest: Path, tmp_path: Path
) -> None:
    other = Publisher(tmp_path / "other")
    synced(other, dest)
    before = files(dest)
    with pytest.raises(InstallError, match="is another repository"):
        synced(publisher, dest)
    (dest / "metadata/1.root.json").unlink()
    with pytest.raises(InstallError, match="is another repository"):
        synced(publisher, dest)
    assert before.items() >= files(dest).items()


def test_a_copy_whose_root_cannot_be_read_is_not_called_another(
    publisher: Publisher, dest: Path
) -> None:
    synced(publisher, dest)
    (dest / "metadata/1.root.json").unlink()
    (dest / "metadata/1.root.json").mkdir()
    with pytest.raises(MachineError, match=r"^reading .*1\.root\.json: is a directory"):
        synced(publisher, dest)


def test_two_timestamps_of_one_version_are_not_one(publisher: Publisher, dest: Path) -> None:
    synced(publisher, dest)
    path = dest / "metadata/timestamp.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InstallError, match=r"it has another metadata/timestamp\.json"):
        synced(publisher, dest)


@pytest.mark.parametrize("where", [".", "copy", "metadata", ".."])
def test_a_copy_inside_of_the_repository_or_around_it_is_refused(
    where: str, publisher: Publisher
) -> None:
    before = files(publisher.folder)
    with pytest.raises(InstallError, match="lie in one another"):
        synced(publisher, publisher.folder / where)
    assert files(publisher.folder) == before


def test_a_repository_that_is_not_whole_is_not_copied(publisher: Publisher, dest: Path) -> None:
    (bundle,) = (publisher.folder / "targets/notes/releases/1.0").glob("*.bundle")
    bundle.unlink()
    with pytest.raises(InstallError, match="is not whole") as caught:
        synced(publisher, dest)
    assert "backup" in caught.value.hint
    assert not dest.exists()


def test_a_damaged_copy_is_told(publisher: Publisher, dest: Path) -> None:
    synced(publisher, dest)
    (dest / "metadata/timestamp.json").write_bytes(b"{")
    with pytest.raises(FormatError, match="timestamp"):
        synced(publisher, dest)


def test_nobody_writes_while_it_is_copied(publisher: Publisher, dest: Path) -> None:
    with publisher.repository().writing(), pytest.raises(UpdateInProgress):
        synced(publisher, dest)
    assert not dest.exists()


def test_the_command_tells_people_and_programs(
    tmp_path: Path,
    dest: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(*next(iter(PASSWORD.items())))
    publisher = Publisher(tmp_path, now=int(time.time()))
    line = ["sync", str(publisher.folder), str(dest)]
    assert main([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "copied": len(files(dest)),
        "bytes": sum(map(len, files(dest).values())),
        "deleted": [],
        "waiting": [],
    }
    assert main(line) == 10
    assert "0 files copied" in capsys.readouterr().out
    assert main(["sync", str(tmp_path / "nothing"), str(dest)]) == 7
