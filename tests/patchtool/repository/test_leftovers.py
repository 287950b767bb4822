"""What a command that failed or was killed has left: nothing, at the latest after the next one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patchtool.diff.diff import diff_folders
from patchtool.diff.options import Options
from patchtool.folder.temporary import LOCK, PREFIX, clear_dead, staging
from patchtool.keys.signing_keys import Keys
from patchtool.release.recall import recall
from patchtool.repository import unfinished
from patchtool.repository.repository import Repository
from patchtool.upkeep.sync import sync

from tests.support.repository.dying import NEW, OLD, DyingDisk, Killed, full, killed_everywhere
from tests.support.repository.litter import litter
from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.trees.trees import noise, write_tree
from updater.disk.durable import PART, Disk
from updater.errors import InstallError, NotEnoughSpace

Command = Callable[[Publisher], object]
COMMANDS: dict[str, Command] = {
    "add-release": lambda p: p.add("2.0", NEW),
    "promote": lambda p: p.promote("1.0", basis_points=100),
    "recall": lambda p: recall(p.repository(), "notes", "1.0", now=NOW),
}


@pytest.mark.crash
@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_killed_command_wrote_is_gone_after_the_next(
    command: str, released: Publisher, tmp_path: Path
) -> None:
    runs = killed_everywhere(released, tmp_path, lambda: COMMANDS[command](released))
    for _ in runs:
        with released.repository().held():
            """The next command, whichever it is."""
        assert litter(released.folder) == []


@pytest.mark.crash
@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_wrote_before_a_disk_error_is_gone_at_once(
    command: str, released: Publisher, tmp_path: Path
) -> None:
    shutil.copytree(released.folder, tmp_path / "before")
    for step in range(200):
        shutil.rmtree(released.folder)
        shutil.copytree(tmp_path / "before", released.folder)
        released.disk = FailingOnce(step)
        try:
            COMMANDS[command](released)
        except (InstallError, OSError):
            assert litter(released.folder) == [], step
        else:
            assert litter(released.folder) == []
        if not released.disk.failed:
            return
    pytest.fail("it never ends")


class FailingOnce(DyingDisk):
    """A disk that is full for one step; then there is room again, as when a part was removed."""

    def __init__(self, step: int) -> None:
        super().__init__(step, full)
        self.failed = False

    def _step(self, half: Callable[[], object] = lambda: None) -> None:
        if not self.failed:
            try:
                super()._step(half)
            except OSError:
                self.failed = True
                raise


# Whole processes


def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return {**os.environ, **PASSWORD, "TMPDIR": str(tmp_path / "tmp")}


def command(publisher: Publisher, tmp_path: Path, line: str) -> subprocess.Popen[bytes]:
    """``patchtool`` on the repository, in a process of its own."""
    name, _, rest = line.partition(" ")
    words = [name, str(publisher.folder), *rest.split(), "--app", "notes"]
    return subprocess.Popen(
        [sys.executable, "-m", "patchtool", *words, "--keys", str(publisher.keys.folder)],
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_build_that_is_killed_at_a_random_moment_leaves_nothing_for_the_next_command(
    seed: int, tmp_path: Path
) -> None:
    publisher = Publisher(tmp_path / "publisher", now=int(time.time()))
    publisher.release("1.0", {"f": noise(300_000)})
    folder = write_tree(tmp_path / "release", {"f": noise(300_000) + noise(4_000_000, 1)})
    build = command(publisher, tmp_path, f"add-release {folder} --version 2.0 --quiet --jobs 1")
    time.sleep(random.Random(seed).uniform(0.8, 6))
    build.send_signal(signal.SIGKILL)
    build.communicate(timeout=60)
    after = command(publisher, tmp_path, "promote --version 1.0")
    _, said = after.communicate(timeout=60)
    assert (after.returncode, said) == (0, b"")
    assert litter(publisher.folder) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_two_releases_that_are_added_at_once_are_both_there(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "publisher", now=int(time.time()))
    publisher.release("1.0", {"f": noise(300_000)})
    lines = []
    for n, version in enumerate(["1.1", "1.2"]):
        folder = write_tree(tmp_path / version, {"f": noise(300_000) + noise(1000, n)})
        lines.append(f"add-release {folder} --version {version} --quiet --jobs 1")
    builds = [command(publisher, tmp_path, line) for line in lines]
    said = [build.communicate(timeout=120)[1] for build in builds]
    assert ([build.returncode for build in builds], said) == ([0, 0], [b"", b""])
    targets = publisher.repository().look().targets("app.notes")
    assert {"notes/releases/1.1/bundle", "notes/releases/1.2/bundle"} <= targets.keys()
    assert litter(publisher.folder) == []


@pytest.mark.slow
def test_urgent_commands_are_done_while_a_build_runs_and_the_build_ends_well(
    tmp_path: Path,
) -> None:
    publisher = Publisher(tmp_path / "publisher", now=int(time.time()))
    for n, version in enumerate(["1.0", "1.1"]):
        publisher.release(version, {"f": b"%d" % n})
    folder = write_tree(tmp_path / "release", {"f": noise(12_000_000)})
    build = command(publisher, tmp_path, f"add-release {folder} --version 1.2 --quiet --jobs 1")
    while not list(publisher.folder.glob(f"{PREFIX}*")) and build.poll() is None:
        time.sleep(0.05)
    for line in ("pause --version 1.1 --wait 0", "recall --version 1.1 --wait 0"):
        urgent = command(publisher, tmp_path, line)
        assert (urgent.communicate(timeout=250)[1], urgent.returncode) == (b"", 0)
        assert build.poll() is None, "the build is over already"
    assert (build.communicate(timeout=290)[1], build.returncode) == (b"", 0)
    assert "notes/releases/1.2/bundle" in publisher.repository().look().targets("app.notes")
    assert litter(publisher.folder) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2.6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2600k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_a_release_has_filled_has_room_again(small_disk: Path, tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "publisher")
    shutil.move(publisher.folder, small_disk / "repository")
    publisher.folder = small_disk / "repository"
    publisher.add("1.0", {"x": noise(1_500_000, 1)})
    with pytest.raises(NotEnoughSpace):
        publisher.add("1.1", {"x": noise(1_500_000, 2)})
    assert litter(publisher.folder) == []
    publisher.promote("1.0")


# Staging


def test_a_folder_of_the_living_is_left_alone_and_one_of_the_dead_is_not(tmp_path: Path) -> None:
    for name in ("dead", "half"):
        (tmp_path / f"{PREFIX}{name}{LOCK}").touch()
    (tmp_path / f"{PREFIX}dead/deep").mkdir(parents=True)
    (tmp_path / f"{PREFIX}dead/deep/file").write_bytes(b"1")
    with staging(tmp_path) as folder:
        assert {path.name for path in tmp_path.iterdir()} == {folder.name, folder.name + LOCK}
        clear_dead(tmp_path)
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_that_name_that_is_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"1")
    (tmp_path / f"{PREFIX}x{LOCK}").symlink_to("mine")
    clear_dead(tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"1"


def test_a_diff_removes_what_a_killed_one_left_beside_its_patch(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}dead{LOCK}").touch()
    (tmp_path / f"{PREFIX}dead").mkdir()
    old, new = (write_tree(tmp_path / name, {"f": name.encode()}) for name in ("old", "new"))
    diff_folders(old, new, tmp_path / "patch", Options(effort="fast", jobs=1))
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new", "patch"}


# The note


@pytest.mark.parametrize(
    "line", ["../keys/root.pem", "metadata/../../x", "/etc/passwd", "metadata", "", ".lock"]
)
def test_a_note_removes_nothing_outside_of_metadata_and_targets(
    line: str, publisher: Publisher, tmp_path: Path
) -> None:
    (publisher.folder / unfinished.NAME).write_text(f"{line}\n")
    keys = sorted(publisher.keys.folder.iterdir())
    with publisher.repository().held():
        assert not (publisher.folder / unfinished.NAME).exists()
    assert sorted(publisher.keys.folder.iterdir()) == keys
    assert (publisher.folder / "metadata/timestamp.json").exists()


def test_a_note_never_removes_what_clients_see(publisher: Publisher) -> None:
    publisher.release("1.0", OLD)
    paths = [path for path in publisher.folder.rglob("*") if path.is_file()]
    names = [path.relative_to(publisher.folder).as_posix() for path in paths]
    public = [name for name in names if name.startswith(("metadata/2.", "targets/"))]
    (publisher.folder / unfinished.NAME).write_text("".join(f"{name}\n" for name in public))
    publisher.promote("1.0", basis_points=1)
    assert "notes/releases/1.0/bundle" in publisher.repository().look().targets("app.notes")
    assert litter(publisher.folder) == []


def test_half_a_copy_on_a_full_disk_goes_away(tmp_path: Path, publisher: Publisher) -> None:
    class Full(Disk):
        def settle(self, path: Path, **how: bool) -> None:
            super().settle(path, **how)
            raise full()

    publisher.release("1.0", OLD)
    copy = Repository(tmp_path / "copy", Keys(tmp_path, {}), NOW, Full())
    with pytest.raises(NotEnoughSpace):
        sync(publisher.repository(), copy)
    assert [path for path in (tmp_path / "copy").rglob("*") if path.is_file()] == []


def test_half_a_file_of_a_killed_sync_goes_with_the_next(
    tmp_path: Path, publisher: Publisher
) -> None:
    publisher.release("1.0", OLD)
    copy = Repository(tmp_path / "copy", Keys(tmp_path, {}), NOW)
    (tmp_path / "copy/targets").mkdir(parents=True)
    (tmp_path / f"copy/targets/gone.bundle{PART}").write_bytes(b"half")
    sync(publisher.repository(), copy)
    assert list((tmp_path / "copy").rglob(f"*{PART}")) == []


def test_a_killed_process_is_not_excused_by_an_exception(released: Publisher) -> None:
    """`Killed` runs the same undoing as an error would; the disk is dead by then."""
    released.disk = DyingDisk(3)
    with pytest.raises(Killed):
        released.add("2.0", NEW)
