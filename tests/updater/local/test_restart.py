"""Starting the application: in place of this process, or beside it, with none of its streams."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from updater.errors import InstallError
from updater.launch.start.environment import for_application, handed_on, unfrozen
from updater.local.restart import replace_process, start_beside

Start = Callable[[list[str], Mapping[str, str]], object]


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        place = tmp_path / "start me"
        place.write_text(f"#!/bin/sh\n{text}\n")
        place.chmod(0o755)
        return place

    return write


def eventually(path: Path) -> str:
    """What is in ``path`` once it is there."""
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)
    return path.read_text()


INSTALL = Path("/opt/app")
GIVEN = {
    "HOME": "/home/me",
    "LD_LIBRARY_PATH": "/opt/mine",
    "PATH": "/usr/bin",
    "PYTHONPATH": "/srv/plugins/\udcff",
}


@pytest.mark.parametrize("given", [GIVEN, {"HOME": "/home/me"}])
def test_each_start_finds_the_environment_the_first_one_found(given: dict[str, str]) -> None:
    """What the application sets for itself meanwhile leads no later version astray."""
    environment = given
    for version in ("1.0", "2.0", "3.0"):
        environment = for_application(environment, INSTALL, version, "", None)
        told = {name for name in environment if name.startswith("UPSWAP_")}
        assert {n: v for n, v in environment.items() if n not in told} == given
        environment |= {
            "LD_LIBRARY_PATH": f"{INSTALL}/lib",
            "LD_PRELOAD": f"{INSTALL}/lib/hook.so",
            "PYTHONHOME": f"{INSTALL}/python",
            "PYTHONPATH": f"{INSTALL}/lib",
            "_PYI_ARCHIVE_FILE": f"{INSTALL}/app",
        }
        environment = handed_on(environment, INSTALL)


def test_a_start_by_another_program_has_that_ones_environment() -> None:
    assert handed_on(GIVEN, INSTALL) == GIVEN
    others = for_application({}, Path("/opt/other"), "1.0", "", None) | GIVEN
    assert handed_on(others, INSTALL).items() >= GIVEN.items()


@pytest.mark.parametrize("text", ["", "[1]", '{"PYTHONPATH": 1}', "\ud800"])
def test_what_nobody_of_us_wrote_down_is_of_no_account(text: str) -> None:
    assert handed_on({**GIVEN, "UPSWAP_DIR": str(INSTALL), "UPSWAP_FIRST": text}, INSTALL) == {
        **GIVEN,
        "UPSWAP_DIR": str(INSTALL),
    }


def test_a_frozen_launcher_leads_the_application_to_none_of_its_own_files() -> None:
    users = {"LD_LIBRARY_PATH": "/opt/mine", "PYTHONPATH": "/home/me/lib"}
    assert unfrozen(users) == users
    frozen = {"LD_LIBRARY_PATH": "/tmp/_MEI1", "_PYI_ARCHIVE_FILE": "/x", "HOME": "/home/me"}
    assert unfrozen(frozen) == {"HOME": "/home/me"}


REPLACE = """
import os, sys
from updater.local.restart import replace_process
print("before", os.getpid())
print("said", file=sys.stderr, end="")
replace_process(sys.argv[1:], os.environ)
print("after")
"""


def test_the_application_takes_the_place_of_this_process(script: Callable[[str], Path]) -> None:
    """Same process id, arguments as given, exit code of its own, and nothing of ours is lost."""
    place = script('echo "now $$ $1 $#"; cat; echo heard >&2; exit 42')
    arguments = [sys.executable, "-c", REPLACE, str(place), "a b;$(id)", ""]
    done = subprocess.run(
        arguments,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        input="typed",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    first, *rest = done.stdout.splitlines()
    pid = first.removeprefix("before ")
    assert rest == [f"now {pid} a b;$(id) 2", "typed"]
    assert done.stderr == "saidheard\n"
    assert done.returncode == 42


@pytest.mark.parametrize("damage", ["missing", "not executable", "folder", "no program"])
@pytest.mark.parametrize("start", [replace_process, start_beside])
def test_what_cannot_be_started_is_told_and_this_process_goes_on(
    start: Start,
    damage: str,
    script: Callable[[str], Path],
) -> None:
    place = script("exit 0")
    if damage == "not executable":
        place.chmod(0o644)
    elif damage == "no program":
        place.write_bytes(b"\x7fELF, but not really")
    else:
        place.unlink()
        place.mkdir() if damage == "folder" else None
    with pytest.raises(InstallError, match="starting") as caught:
        start([str(place)], os.environ)
    assert str(place) in str(caught.value)
    assert caught.value.hint


def test_a_program_without_standard_streams_can_be_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Windows a program without a console has none."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda _, line, __: became.append(line))
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    start: Start = replace_process
    start(["/x"], {})
    assert became == [["/x"]]


BESIDE = """
import os, sys
from updater.local.restart import start_beside
start_beside(sys.argv[1:], os.environ)
print("ours")
"""


def test_what_is_started_beside_outlives_us_and_keeps_none_of_our_streams(
    tmp_path: Path, script: Callable[[str], Path]
) -> None:
    out = tmp_path / "out"
    place = script(
        f'echo noise; echo noise >&2; read line; sleep 0.3; echo "$$ $line $1" > "{out}.part"; '
        f'ps -o sid= -p $$ >> "{out}.part"; mv "{out}.part" "{out}"'
    )
    done = subprocess.run(
        [sys.executable, "-c", BESIDE, str(place), "x"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="typed",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert not out.exists()
    assert (done.stdout, done.stderr) == ("ours\n", "")
    pid, argument, session = eventually(out).split()  # nothing was typed: its line is empty
    assert argument == "x"
    assert session == pid
