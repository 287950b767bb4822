"""Whatever becomes of standard streams, commands do their work and say by exit code how it went."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import patchtool.cli.parser
import pytest
import requests

import patchserver.run.cli
import updater.cli.commands
from benchmarks.deployment import free_port
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import quick_session
from tests.support.servers.processes import environment
from tests.support.servers.serving import served
from tests.support.trees.trees import Exe, Tree, write_tree
from updater.client import Updater
from updater.exit_codes import NOTHING_TO_DO, PIPE_CLOSED
from updater.format.release_description import Release
from updater.update.install_new import install

LIMIT = 120
"""Seconds after which a command counts as one that never ends."""
NAME = "файл-é"
ONE: Tree = {"run": Exe(b"#!/bin/sh\n: 1\n"), NAME: b"1"}
TWO: Tree = {"run": Exe(b"#!/bin/sh\n: 2\n"), NAME: b"2"}
FULL = Path("/dev/full")
needs_posix = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")

SIGN = "--app notes --keys keys"
PLACES = "--repo repository --data data --keys online"
COMMANDS = {
    "updater install": "updater install --url {url} --root root.json --app notes new",
    "updater adopt": "updater adopt --url {url} --root root.json --app notes --version 1 --dir a",
    "updater status": "updater status --dir app",
    "updater check": "updater check --dir app",
    "updater update": "updater update --no-restart --dir app",
    "updater recover": "updater recover --dir app",
    "updater rollback": "updater rollback --dir updated",
    "updater launch": "updater launch --dir app",
    "updater verify": "updater verify --full --dir edited",
    "updater repair": "updater repair --dir edited",
    "updater reports": "updater reports on --dir app",
    "updater identity": "updater identity --dir app new",
    "patchtool diff": "patchtool diff one two -o P",
    "patchtool apply": "patchtool apply patch one out",
    "patchtool inspect": "patchtool inspect patch",
    "patchtool init": "patchtool init r --app notes --keys k",
    "patchtool add-release": f"patchtool add-release repository two --version 3.0 {SIGN}",
    "patchtool recall": f"patchtool recall repository --version 2.0 {SIGN}",
    "patchtool refresh": "patchtool refresh repository --at-least 90 --keys keys",
    "patchtool doctor": "patchtool doctor repository",
    "patchtool prune": "patchtool prune repository --keys keys",
    "patchtool sync": "patchtool sync repository copy",
    "patchtool writer": "patchtool writer repository",
    "patchtool promote": f"patchtool promote repository --version 1 --channel beta {SIGN}",
    "patchtool pause": f"patchtool pause repository --version 2.0 {SIGN}",
    "patchtool resume": f"patchtool resume repository --version 2.0 {SIGN}",
    "patchtool push": "patchtool push repository --to {url}",
    "patchtool fetch": "patchtool fetch {url} fetched",
    "patchtool apps list": "patchtool apps list repository",
    "patchtool apps add": "patchtool apps add repository --app other --keys keys",
    "patchtool apps remove": f"patchtool apps remove repository {SIGN}",
    "patchtool keys new": "patchtool keys new k",
    "patchtool keys list": "patchtool keys list repository",
    "patchtool keys rotate": "patchtool keys rotate repository --role online --keys keys",
    "patchtool keys revoke": "patchtool keys revoke repository --role online --keys keys",
    "patchtool keys sign-root": "patchtool keys sign-root none --keys keys",
    "patchtool keys publish-root": "patchtool keys publish-root repository none --keys keys",
    "patchtool keys drill": "patchtool keys drill repository --keys keys",
    "patchserver user add": f"patchserver user add bob {PLACES}",
    "patchserver user password": f"patchserver user password anna {PLACES}",
    "patchserver user role": f"patchserver user role anna viewer {PLACES}",
    "patchserver user close": f"patchserver user close anna {PLACES}",
    "patchserver user open": f"patchserver user open anna {PLACES}",
    "patchserver user list": f"patchserver user list {PLACES}",
    "patchserver token make": f"patchserver token make t --user anna --scope publish {PLACES}",
    "patchserver token revoke": f"patchserver token revoke 00 {PLACES}",
    "patchserver token list": f"patchserver token list {PLACES}",
    "patchserver refresh": f"patchserver refresh --at-least 90 {PLACES}",
    "patchserver rule": f"patchserver rule --app notes {PLACES}",
    "patchserver check": f"patchserver check {PLACES}",
}
"""A line for every command; `patchserver serve` does not end by itself."""


@dataclass(frozen=True)
class Fault:
    """What becomes of the streams of one run."""

    closed: tuple[int, ...] = ()
    """Descriptors that are closed before it starts."""
    full: tuple[int, ...] = ()
    """Descriptors behind which the disk is full."""
    broken: tuple[int, ...] = ()
    """Descriptors that are pipes whose reader has ended."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Environment."""


FAULTS = {
    "stderr closed, cp1252": Fault(closed=(2,), more={"PYTHONIOENCODING": "cp1252"}),
    "all closed": Fault(closed=(0, 1, 2)),
    "stdout full, stderr broken": Fault(full=(1,), broken=(2,)),
    "stdout broken, stderr full, unbuffered, ascii": Fault(
        broken=(1,), full=(2,), more={"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "ascii"}
    ),
}


THOROUGH = {"updater update", "updater launch", "patchtool add-release", "patchserver check"}
"""Commands that meet every fault: one of each program, and one that leads to another process."""


def faults_of(command: str) -> dict[str, Fault]:
    """The faults that a command meets: one, in turn, for all go through the same streams."""
    if command in THOROUGH:
        return FAULTS
    name = [*FAULTS][[*COMMANDS].index(command) % len(FAULTS)]
    return {name: FAULTS[name]}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str
    files: frozenset[str]
    """What lies in the world after it."""


def leaves(program: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every command below a parser, such as ``patchtool keys list``."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        yield program
    for action in below:
        for name, sub in action.choices.items():
            yield from leaves(f"{program} {name}", sub)


def test_every_command_is_among_those_whose_streams_are_disturbed() -> None:
    found = {
        *leaves("updater", updater.cli.commands._parser()),
        *leaves("patchtool", patchtool.cli.parser._parser()),
        *leaves("patchserver", patchserver.run.cli._parser()),
    }
    assert found - {"patchserver serve"} == set(COMMANDS)


@dataclass(frozen=True)
class World:
    """Folders that every run gets a copy of."""

    folder: Path
    url: str

    def run(
        self, line: str, work: Path, fault: Fault = Fault(), python: Sequence[str] = ("-m",)
    ) -> Ran:
        """Run a command line on a copy; it must end in time."""
        shutil.copytree(self.folder, work, symlinks=True)
        program, *words = line.format(url=self.url).split()
        more = {"UPSWAP_PASSWORD": "a long enough password", "UPSWAP_TOKEN": "ups_x", **fault.more}
        out, err = work.with_suffix(".out"), work.with_suffix(".err")
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}
            files |= {
                1: stack.enter_context(out.open("wb")),
                2: stack.enter_context(err.open("wb")),
            }
            files |= {n: stack.enter_context(FULL.open("wb", buffering=0)) for n in fault.full}
            files |= {n: stack.enter_context(_broken_pipe()) for n in fault.broken}
            closing = "".join(f" {n}>&-" for n in fault.closed)
            done = subprocess.run(
                ["sh", "-c", f'exec "$@"{closing}', "sh", sys.executable, *python, program, *words],
                cwd=work,
                env=environment(more),
                stdin=subprocess.DEVNULL,
                stdout=files[1],
                stderr=files[2],
                timeout=LIMIT,
                check=False,
            )
        found = (path.relative_to(work).as_posix() for path in work.rglob("*"))
        found = (
            re.sub("[0-9a-f]{64}", "DIGEST", name) for name in found
        )  # of what has a time in it
        names = frozenset(n for n in found if "__pycache__" not in n and not n.startswith("data/"))
        return Ran(done.returncode, _text(out), _text(err), names)


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def _broken_pipe() -> BinaryIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb", buffering=0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    publisher = Publisher(folder, now=int(time.time()))
    publisher.release("1", ONE, release=Release(entry=("run",)))
    write_tree(folder / "one", ONE)
    write_tree(folder / "two", TWO)
    write_tree(folder / "a", ONE)
    (folder / "online").mkdir(mode=0o700)
    shutil.copy2(folder / "keys/online.pem", folder / "online")
    (folder / "root.json").write_bytes(publisher.root)
    with served(publisher.folder) as url:
        session = quick_session(time.time)
        for name in ("app", "updated", "edited"):
            install(folder / name, url, publisher.root, "notes", "stable", session)
        publisher.release("2.0", TWO, release=Release(entry=("run",)))
        (folder / "edited" / NAME).unlink()
        Updater(folder / "updated", session).update()
        made = World(folder, url)
        for line in (
            COMMANDS["patchtool diff"].replace(" P", " patch"),
            "patchserver user add anna --role admin " + PLACES,
        ):
            done = subprocess.run(
                [sys.executable, "-m", *line.split()],
                cwd=folder,
                env=environment({"UPSWAP_PASSWORD": "a long enough password"}),
                timeout=LIMIT,
                check=True,
                capture_output=True,
            )
            assert done.returncode == 0
        yield made


@needs_posix
@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_stream_keeps_a_command_from_its_work(
    command: str, world: World, tmp_path: Path
) -> None:
    line = COMMANDS[command]
    well = world.run(line, tmp_path / "well")
    assert "Traceback" not in well.err
    for number, (name, fault) in enumerate(faults_of(command).items()):
        ran = world.run(line, tmp_path / f"{number}", fault)
        assert "Traceback" not in ran.out + ran.err, name
        assert ran.code == expected(well, fault), f"{name}: {ran.err}"
        assert ran.files == well.files, f"{name}: the work is not done"


def expected(well: Ran, fault: Fault) -> int:
    """The exit code of a run, from that of the same without a fault."""
    if not well.out or well.code not in {0, NOTHING_TO_DO}:
        return well.code
    if 1 in fault.full:
        return 7
    return PIPE_CLOSED if 1 in fault.broken else well.code


@needs_posix
def test_a_full_disk_behind_the_result_is_told(world: World, tmp_path: Path) -> None:
    ran = world.run("patchtool inspect patch", tmp_path / "w", Fault(full=(1,)))
    assert ran.code == 7
    assert "error: writing the result: no space left on device" in ran.err
    assert "hint:" in ran.err


@needs_posix
def test_a_closed_pipe_ends_a_command_without_a_word(world: World, tmp_path: Path) -> None:
    ran = world.run("patchtool inspect patch", tmp_path / "w", Fault(broken=(1,)))
    assert (ran.code, ran.err) == (PIPE_CLOSED, "")


@needs_posix
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_a_name_that_a_terminal_cannot_show_is_escaped(
    encoding: str, world: World, tmp_path: Path
) -> None:
    fault = Fault(more={"PYTHONIOENCODING": encoding})
    ran = world.run("patchtool inspect patch", tmp_path / "w", fault)
    assert ran.code == 0
    assert ("\\u0444" in ran.out) == (encoding != "utf-8")


@needs_posix
def test_no_file_of_ours_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Else the first message to stderr would end up in it."""
    code = (
        "import os, sys\n"
        "from updater.launch.standard_streams import run_command\n"
        "def command():\n"
        "    file = open('data', 'wb')\n"
        "    print('a message', file=sys.stderr)\n"
        "    os.write(2, b'another')\n"
        "    return file.fileno() < 3\n"
        "sys.exit(run_command(command))\n"
    )
    words = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", sys.executable, "-c", code]
    subprocess.run(words, cwd=tmp_path, env=environment(), timeout=LIMIT, check=True)
    assert (tmp_path / "data").read_bytes() == b""


def test_the_application_gets_streams_that_are_open(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys\n"
        "from updater.launch.standard_streams import run_command\n"
        "show = 'import os; [os.fstat(n) for n in range(3)]'\n"
        "sys.exit(run_command(lambda: os.execv(sys.executable, [sys.executable, '-c', show])))\n"
    )
    words = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", sys.executable, "-c", code]
    subprocess.run(words, cwd=tmp_path, env=environment(), timeout=LIMIT, check=True)


@needs_posix
def test_a_server_serves_without_any_stream(world: World) -> None:
    port = free_port()
    words = [sys.executable, "-m", "patchserver", "serve", "--repo", "repository"]
    with subprocess.Popen(
        ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *words, "--port", str(port)],
        cwd=world.folder,
        env=environment(),
    ) as server:
        until = time.monotonic() + LIMIT
        while time.monotonic() < until and not _answers(port):
            time.sleep(0.1)
        assert _answers(port)
        server.terminate()
        assert server.wait(LIMIT) == 0


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/metadata/timestamp.json", timeout=5).ok
    except requests.ConnectionError:
        return False


NO_THREADS = (
    "import runpy, sys, threading\n"
    "threading.stack_size(1 << 46)  # more than there is: no thread can start\n"
    "sys.argv[:] = sys.argv[1:]\n"
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
)


@needs_posix
@pytest.mark.parametrize(
    "command", ["install", "check", "update", "verify", "repair", "rollback", "adopt", "launch"]
)
def test_a_client_works_without_a_thread_to_spare(
    command: str, world: World, tmp_path: Path
) -> None:
    well = world.run(COMMANDS[f"updater {command}"], tmp_path / "well")
    ran = world.run(COMMANDS[f"updater {command}"], tmp_path / "none", python=["-c", NO_THREADS])
    assert (ran.code, ran.files, "Traceback" in ran.err) == (well.code, well.files, False)


@needs_posix
@pytest.mark.parametrize("command", ["patchtool diff", "patchtool add-release"])
def test_what_needs_a_thread_says_so_where_there_is_none(
    command: str, world: World, tmp_path: Path
) -> None:
    ran = world.run(COMMANDS[command], tmp_path / "none", python=["-c", NO_THREADS])
    assert ran.code == 7
    assert "error: this machine gives this process no more thread" in ran.err
    assert "hint:" in ran.err
    assert "Traceback" not in ran.err
