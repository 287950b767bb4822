"""Locks between real processes: they vanish with their holder, however it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import read_tree
from updater.cli.commands import main
from updater.client import Updater
from updater.disk.lock import locked
from updater.errors import UpdateInProgress
from updater.local.session import Session
from updater.update.install_new import install

HOLDER = """
import sys
from pathlib import Path
from updater.disk.lock import locked
with locked(Path(sys.argv[1]), "updating"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock ``path`` until its input ends."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_at_once_who_holds_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as process:
        begun = time.monotonic()
        with pytest.raises(UpdateInProgress) as caught, locked(tmp_path / "lock", "checking"):
            pass
        assert time.monotonic() - begun < 1
    assert f"updating, process {process.pid}" in str(caught.value)
    assert caught.value.retryable
    assert caught.value.exit_code == 7
    assert caught.value.hint


def test_a_holder_that_has_not_written_its_name_yet_is_waited_for(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as process:
        (tmp_path / "lock").write_text("")
        naming = threading.Timer(0.2, (tmp_path / "lock").write_text, ["updating, process 7"])
        naming.start()
        with pytest.raises(UpdateInProgress, match="updating, process 7"):
            locked(tmp_path / "lock", "checking").__enter__()
        naming.join()
        (tmp_path / "lock").write_text("")
        with pytest.raises(UpdateInProgress, match=r"\(another updater\)"):
            locked(tmp_path / "lock", "checking").__enter__()
        assert process.poll() is None


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as process:
        process.kill()
        process.wait()
        with locked(tmp_path / "lock", "recovering"):
            assert (tmp_path / "lock").read_text() == f"recovering, process {os.getpid()}"


def test_the_lock_of_a_stopped_process_is_held(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as process:
        process.send_signal(19)  # SIGSTOP: a suspended laptop looks like that
        with pytest.raises(UpdateInProgress), locked(tmp_path / "lock", "checking"):
            pass


def test_a_patient_process_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as process:
        with pytest.raises(UpdateInProgress), locked(tmp_path / "lock", "waiting", timeout=0.1):
            pass
        assert process.stdin is not None
        process.stdin.close()
        with locked(tmp_path / "lock", "waiting", timeout=30):
            pass


def test_a_child_of_the_holder_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock", "updating"),
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child,
    ):
        descriptors = Path(f"/proc/{child.pid}/fd")
        if not descriptors.exists():
            pytest.skip("no /proc here")
        open_files = {os.path.realpath(path) for path in descriptors.iterdir()}
        assert str(tmp_path / "lock") not in open_files
        child.kill()


def test_the_lock_file_stays_and_can_be_taken_again(tmp_path: Path) -> None:
    for what in ("a long description of what is done", "short"):
        with locked(tmp_path / "lock", what):
            assert (tmp_path / "lock").read_text() == f"{what}, process {os.getpid()}"
        assert (tmp_path / "lock").read_text() == "", "who holds it next is not called by this name"


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "failing"):
        raise ZeroDivisionError
    with locked(tmp_path / "lock", "again"):
        pass


def test_a_full_disk_does_not_keep_the_lock_from_being_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with locked(tmp_path / "lock", "recovering"):
        assert (tmp_path / "lock").read_text() == ""


def test_no_command_changes_an_install_another_process_updates(
    tmp_path: Path,
    publisher: Publisher,
    session: Session,
    capsys: pytest.CaptureFixture[str],
    url: str,
) -> None:
    place = tmp_path / "app"
    publisher.release("1.0", {"f": b"1"})
    install(place, url, publisher.root, "notes", session=session)
    publisher.release("2.0", {"f": b"2"})
    with holder(tmp_path / ".app.upswap" / "lock"):
        updater = Updater(place, session)
        for change in (updater.update, updater.recover):
            with pytest.raises(UpdateInProgress):
                change()
        assert main(["recover", "--dir", str(place)]) == 7
        assert "another updater is at work" in capsys.readouterr().err
        assert updater.check() is not None, "asking needs no lock"
        assert updater.status().version == "1.0"
    assert read_tree(place) == {"f": b"1"}
    updater.update()
    assert read_tree(place) == {"f": b"2"}


@pytest.mark.parametrize("begun", [{}, {"root.json": b"root"}], ids=["just now", "before"])
def test_an_install_leaves_alone_what_another_install_has_begun(
    tmp_path: Path, publisher: Publisher, session: Session, begun: dict[str, bytes], url: str
) -> None:
    place, state = tmp_path / "app", tmp_path / ".app.upswap"
    publisher.release("1.0", {"f": b"1"})
    place.mkdir()
    state.mkdir()
    for name, data in begun.items():
        (state / name).write_bytes(data)
    with holder(state / "lock"):
        with pytest.raises(UpdateInProgress):
            install(place, url, publisher.root, "notes", session=session)
        left = read_tree(state)
        assert str(left.pop("lock")).startswith("b'updating")
        assert left == begun
    install(place, url, publisher.root, "notes", session=session)
    assert read_tree(place) == {"f": b"1"}
