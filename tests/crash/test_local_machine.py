"""What this machine can do to an update (section F of the fault list), with nothing simulated.

docs/reliability.md lists each fault and the test it has, here or elsewhere.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.crash.crash_process import AFTER, BEFORE, NEW, UPDATE, Shelf, Site
from tests.support.crash.syscalls import calls, refusal, strace
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import QUICK, quick_session
from tests.support.servers.serving import misserved
from tests.support.trees.trees import Exe, read_tree
from updater.client import Updater
from updater.errors import InstallError, TrustError
from updater.local.session import Session
from updater.update.install_new import install

DAY = 86_400


def update(site: Site, *before: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The real command behind the words ``before``, with more environment ``variables``."""
    process = site.process("update", "--no-restart", "--dir", site.state.install)
    assigned = [f"{name}={value}" for name, value in variables.items()]
    return process.run(*before, *(["env", *assigned] if assigned else []))


def check_good_update(site: Site) -> None:
    """The old version was there, whole; now the new one is."""
    assert site.tree == BEFORE
    assert site.command("update", "--no-restart").code == 0
    assert site.tree == AFTER


@pytest.mark.parametrize("limit", range(4, 9))
def test_too_few_file_handles_are_an_error_or_enough(site: Site, limit: int) -> None:
    run_limited = f'ulimit -n {limit} && exec "$0" "$@"'
    done = update(site, "sh", "-c", run_limited)
    if done.returncode == 0:
        assert site.tree == AFTER
    else:
        assert site.tree == BEFORE
        assert site.command("recover").code == 0
        check_good_update(site)


@pytest.mark.parametrize("megabytes", [30, 60, 90])
def test_too_little_memory_leaves_the_old_version_whole(site: Site, megabytes: int) -> None:
    done = update(site, "sh", "-c", f'ulimit -v {megabytes * 1024} && exec "$0" "$@"')
    if done.returncode == 0:
        assert site.tree == AFTER
    else:
        check_good_update(site)


@pytest.mark.parametrize("limit", [0, 1, 2, 4])
def test_a_file_that_may_not_grow_leaves_the_old_version_whole(site: Site, limit: int) -> None:
    done = update(site, "sh", "-c", f'ulimit -f {limit} && exec "$0" "$@"')
    assert done.returncode == 7, done.stderr
    assert "file too large" in done.stderr
    check_good_update(site)


@pytest.mark.skipif(bool(refusal()), reason=refusal())
def test_calls_that_signals_interrupt_are_repeated(
    shelf: Shelf, site: Site, tmp_path: Path
) -> None:
    with shelf.copy(site) as probe:
        found = calls(UPDATE.process(shelf, probe), tmp_path / "log")
    first = {call.name: call.number for call in reversed(found)}
    names = {"read", "write", "fsync", "flock"} & first.keys()
    faults = [f"{name}:error=EINTR:when={first[name]}+2" for name in names]
    done = UPDATE.process(shelf, site).run(*strace(tmp_path / "log", faults))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log").read_text(errors="replace").count("(INJECTED)") > 20
    assert site.tree == AFTER


def test_a_program_that_runs_is_replaced_and_goes_on_running(
    tmp_path: Path, publisher: Publisher, session: Session
) -> None:
    cat = Path(shutil.which("cat") or "/bin/cat").read_bytes()
    publisher.release("1.0", {"app": Exe(cat), "lib": b"1"})
    with misserved(publisher.folder, lambda *_: False) as url:
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
        publisher.release("2.0", {"app": Exe(cat + b"2"), "lib": b"2"})
        with subprocess.Popen(
            [tmp_path / "app/app"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as running:
            with pytest.raises(OSError, match="Text file busy"):
                (tmp_path / "app/app").open("r+b").close()
            assert Updater(tmp_path / "app", session).update()
            assert running.communicate(b"still here", timeout=60)[0] == b"still here"
    assert read_tree(tmp_path / "app") == {"app": Exe(cat + b"2"), "lib": b"2"}


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A file system of its own on ``folder``, with what was in it; skips where not permitted."""
    with TemporaryDirectory() as aside:
        inside = shutil.copytree(folder, Path(aside, "inside"))
        command = ["mount", "-t", "tmpfs", "-o", "mode=0755,size=1m", "none", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting is not permitted here")
        try:
            shutil.copytree(inside, folder, dirs_exist_ok=True)
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_of_the_install_on_another_disk_is_updated_too(site: Site) -> None:
    with mounted(site.state.install / "data"):
        check_good_update(site)


def test_a_folder_on_another_disk_that_has_to_go_leaves_one_version_whole(site: Site) -> None:
    """A mount point can be neither renamed nor removed."""
    with mounted(site.state.install / "folder"):
        done = update(site)
        assert done.returncode == 7, done.stderr
        assert "is a mount" in done.stderr
        assert site.tree == BEFORE
        assert site.command("status").out.count("state: clean") == 1
    check_good_update(site)


def test_a_clock_two_days_ahead_stops_no_update(site: Site) -> None:
    clock = quick_session(lambda: time.time() + 2 * DAY)
    assert Updater(site.state.install, clock).update()
    assert site.tree == AFTER


def test_a_clock_years_behind_is_put_right_by_what_is_signed(site: Site) -> None:
    clock = quick_session(lambda: time.time() - 3650 * DAY)
    assert Updater(site.state.install, clock).update()
    assert site.tree == AFTER


def test_a_clock_years_ahead_is_told_as_that(site: Site) -> None:
    clock = quick_session(lambda: time.time() + 730 * DAY)
    with pytest.raises(TrustError, match="expired") as caught:
        Updater(site.state.install, clock).update()
    assert "clock" in caught.value.hint
    check_good_update(site)


def test_a_clock_that_jumps_during_the_update_does_no_harm(site: Site) -> None:
    jumps = [time.time() + years * 365 * DAY for years in (0, -10, 10)]
    clock = iter([*jumps] * 10)
    assert Updater(site.state.install, quick_session(lambda: next(clock))).update()
    assert site.tree == AFTER


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "nowhere"])
def test_the_time_zone_is_of_no_account(site: Site, zone: str) -> None:
    assert update(site, TZ=zone).returncode == 0
    assert site.tree == AFTER


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # its own name may be too long
        os.close(folder)


def make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o20600, os.makedev(1, 7))  # /dev/full
    except PermissionError:
        pytest.skip("only root makes devices")


SPECIAL: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "socket": make_socket,
    "device": make_device,
}


@pytest.mark.parametrize("path", ["lib/core", "lib/gone", "same", "folder/f"])
@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_file_hangs_nobody(site: Site, make: Callable[[Path], None], path: str) -> None:
    place = site.state.install / path
    place.unlink()
    make(place)
    done = update(site)
    assert done.returncode == 0, done.stderr
    for kept in site.state.install.rglob("*"):
        if not (kept.is_file() or kept.is_dir()):
            assert kept.name.endswith(".old"), "what the user made is kept"
            kept.unlink()
    assert {path: site.tree.get(path) for path in NEW} == NEW


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_file_and_no_release_knows_is_left_alone(
    site: Site, make: Callable[[Path], None]
) -> None:
    place = site.state.install / "lib/extra"
    make(place)
    before = place.lstat()
    assert update(site).returncode == 0
    after = place.lstat()
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)


def test_an_install_behind_a_symlink_is_the_same_install(site: Site) -> None:
    other = site.folder / "elsewhere/way"
    other.symlink_to(site.folder)
    done = site.process("update", "--no-restart", "--dir", other / "app").run()
    assert done.returncode == 0, done.stderr
    assert site.tree == AFTER
    assert {path.name for path in (site.folder / "elsewhere").iterdir()} == {"linked", "way"}


EVIL = "import pathlib; pathlib.Path(__file__).with_name('ran').touch(); raise SystemExit(99)\n"
MODULES = ("updater", "requests", "tuf", "json", "sitecustomize", "usercustomize", "_upswap")


def test_what_is_planted_where_the_command_runs_is_never_run(site: Site) -> None:
    script = Path(sys.executable).with_name("updater")
    if not script.exists():
        pytest.skip("the updater command is not installed beside this interpreter")
    planted = site.folder / "elsewhere"
    for name in MODULES:
        (planted / f"{name}.py").write_text(EVIL)
    for name in ("sh", "python", "python3", "uname", "cp", "mount"):
        (planted / name).write_text(f"#!/bin/sh\ntouch {planted}/ran\n")
        (planted / name).chmod(0o755)
    for folder in (site.folder / "tmp", site.state.install / "lib"):
        (folder / "requests.py").write_text(EVIL)
        (folder / "evil.pth").write_text(EVIL)
    process = site.process()
    done = subprocess.run(
        [sys.executable, script, "update", "--no-restart", "--dir", site.state.install],
        cwd=planted,
        env={**process.environment, "PATH": f"{planted}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(site.folder.rglob("ran")) == []


def test_nothing_is_written_to_the_folder_for_temporary_files(site: Site) -> None:
    """Names there can be guessed, and made beforehand by anybody."""
    tmp = site.folder / "tmp"
    tmp.rmdir()
    tmp.symlink_to("/proc/nowhere")
    assert update(site).returncode == 0
    assert site.tree == AFTER


@pytest.mark.parametrize("with_state", [True, False], ids=["with its state", "alone"])
def test_an_uninstallation_during_the_update_is_not_undone_by_it(
    shelf: Shelf, site: Site, with_state: bool
) -> None:
    reached, gone = threading.Event(), threading.Event()

    def hold(_handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if path.suffix == ".bundle":
            reached.set()
            assert gone.wait(100)
        return False

    def uninstall() -> None:
        assert reached.wait(100)
        shutil.rmtree(site.state.install)
        if with_state:
            shutil.rmtree(site.state.folder)
        gone.set()

    with misserved(shelf.folder / "current", hold) as url:
        settings = site.state.settings.read_text()
        site.state.settings.write_text(settings.replace(shelf.url, url))
        thread = threading.Thread(target=uninstall)
        thread.start()
        done = update(site)
        thread.join()
    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr
    assert not site.state.install.exists()
    assert site.state.folder.exists() != with_state


def test_an_update_needs_no_room_for_what_is_refused_beforehand(site: Site) -> None:
    session = replace(quick_session(time.time), config=replace(QUICK, disk_reserve=1 << 60))
    with pytest.raises(InstallError, match="free disk are needed"):
        Updater(site.state.install, session).update()
    check_good_update(site)
