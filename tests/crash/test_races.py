"""Real processes on one install at once: updaters, those who only look, the application.

Nothing here waits for time to pass: a server that holds an answer back, or a disk that waits
for a word, keeps an updater exactly where the test wants it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.crash.crash_process import AFTER, Shelf, Site
from tests.support.servers.serving import misserved
from tests.support.trees.trees import read_tree
from updater.launch.commit.journal import phase_of

CROWD = 20
UPDATE = ("update", "--no-restart", "--json")
PAUSING = """
import sys
from pathlib import Path
from updater.client import Updater
from updater.disk.durable import Disk
from updater.local.session import Session

class Pausing(Disk):
    def replace(self, source: Path, path: Path) -> None:
        super().replace(source, path)
        if path.name == sys.argv[2] and path.parent.name not in {"stage", "old"}:
            print("paused", flush=True)
            sys.stdin.readline()

Updater(sys.argv[1], Session(disk=Pausing())).update()
"""
READING = """
import os, sys, threading
folder, lines = sys.argv[1], 0
stop = threading.Thread(target=sys.stdin.read, daemon=True)
stop.start()
files = ["app", "edited.cfg", "lib/core", "same"]
seen = {name: set() for name in files}
with open(f"{folder}/mine/notes.txt", "a") as own:
    print("started", flush=True)
    while stop.is_alive():
        for name in files:
            with open(f"{folder}/{name}", "rb") as file:
                seen[name].add(file.read())
        lines += own.write("line\\n") // 5
        own.flush()
print(lines, *(len(seen[name]) for name in files))
"""


@dataclass
class Gate:
    """A server that answers no request for a patch until it is opened."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def hold(self, _handler: BaseHTTPRequestHandler, path: Path) -> bool:
        """Wait before a patch is sent."""
        if "/patches/" in str(path):
            self.reached.set()
            assert self.opened.wait(100)
        return False


@pytest.fixture
def gate(shelf: Shelf, site: Site) -> Iterator[Gate]:
    """The install's server holds patches back."""
    gate = Gate()
    with misserved(shelf.folder / "current", gate.hold) as url:
        settings = site.state.settings.read_text()
        site.state.settings.write_text(settings.replace(shelf.url, url))
        try:
            yield gate
        finally:
            gate.opened.set()


@contextmanager
def paused(site: Site, name: str) -> Iterator[subprocess.Popen[str]]:
    """An updater that stopped in its commit, just after it put ``name`` in place."""
    with subprocess.Popen(
        [sys.executable, "-c", PAUSING, site.state.install, name],
        env=dict(site.process().environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as updater:
        try:
            assert updater.stdout is not None
            assert updater.stdout.readline() == "paused\n"
            yield updater
        finally:
            updater.kill()


def check_updated(site: Site) -> None:
    """Version 2.0, whole, and nothing under way."""
    assert site.tree == AFTER
    assert site.says() == "2.0"
    assert phase_of(site.state) is None


def crowd(site: Site) -> Generator[int, None, None]:
    """The exit codes of twenty updaters started at once, as they end."""
    process = site.process(*UPDATE, "--dir", site.state.install)
    with ThreadPoolExecutor(CROWD) as pool:
        for done in as_completed([pool.submit(process.run) for _ in range(CROWD)]):
            said = done.result()
            assert "Traceback" not in said.stderr
            if said.returncode == 7:
                assert "another updater is at work (updating, process" in said.stderr
            yield said.returncode


def test_of_twenty_updaters_at_once_one_updates_and_the_others_are_told_at_once(
    site: Site, gate: Gate
) -> None:
    codes = crowd(site)
    others = [next(codes) for _ in range(CROWD - 1)]
    assert gate.reached.is_set()
    assert others == [7] * (CROWD - 1)
    gate.opened.set()
    assert next(codes) == 0
    codes.close()
    check_updated(site)


def test_of_twenty_updaters_that_nothing_holds_up_one_updates_once(site: Site) -> None:
    codes = Counter(crowd(site))
    assert codes[0] == 1
    assert codes[7] + codes[10] == CROWD - 1
    check_updated(site)


def test_who_only_looks_is_answered_while_an_update_is_fetched(site: Site, gate: Gate) -> None:
    process = site.process(*UPDATE, "--dir", site.state.install)
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(process.run)
        assert gate.reached.wait(100)
        status, check = site.command("status"), site.command("check")
        assert (status.code, "version: 1.0\n" in status.out) == (0, True)
        assert (check.code, check.out.startswith("1.0 -> 2.0")) == (0, True)
        assert site.command("recover").code == 7
        gate.opened.set()
        assert update.result().returncode == 0
    check_updated(site)


@pytest.mark.parametrize("name", ["journal", "core", "app", "manifest"])
def test_the_application_starts_in_the_middle_of_a_commit(site: Site, name: str) -> None:
    with paused(site, name) as updater:
        assert site.says() in {"1.0", "2.0"}
        status = site.command("status")
        assert (status.code, "state: interrupted" in status.out) == (0, True)
        assert site.command("check").code in {0, 10}
        assert site.command("update").code == 7
        assert updater.communicate("go on\n", timeout=100)[0] == ""
    assert updater.returncode == 0
    check_updated(site)


@pytest.mark.parametrize("name", ["journal", "core", "app", "manifest"])
def test_the_next_updater_goes_on_at_once_where_a_killed_one_stopped(site: Site, name: str) -> None:
    with paused(site, name) as updater:
        updater.kill()
        updater.wait()
        begun = time.monotonic()
        assert site.command("recover").code == 0
        assert time.monotonic() - begun < 5
    check_updated(site)


@pytest.mark.parametrize("process", [1, os.getpid()], ids=["the first one", "one of this user"])
def test_a_lock_file_naming_a_process_that_lives_but_holds_it_not_stops_nobody(
    site: Site, process: int
) -> None:
    site.state.lock.write_text(f"updating, process {process}")
    assert site.command("update", "--no-restart").code == 0
    check_updated(site)


def test_an_application_at_work_finds_its_files_and_keeps_its_own_during_an_update(
    site: Site,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READING, site.state.install],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as application:
        assert application.stdout is not None
        assert application.stdout.readline() == "started\n"
        process = site.process(*UPDATE, "--dir", site.state.install)
        with ThreadPoolExecutor(1) as pool:
            update = pool.submit(process.run)
            starts = [site.says() for _ in iter(update.done, True)]
            assert update.result().returncode == 0
        out, errors = application.communicate(timeout=100)
    assert errors == ""
    assert set(starts) <= {"1.0", "2.0"}
    lines, *seen = map(int, out.split())
    assert all(count <= 2 for count in seen), "each file was old or new"
    assert read_tree(site.state.install)["mine/notes.txt"] == b"user: own" + b"line\n" * lines
