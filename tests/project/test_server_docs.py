"""docs/server.md as a test: its commands lead from nothing to a recalled release."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from benchmarks.deployment import free_port
from tests.support.paths import ROOT
from updater.disk.durable import WINDOWS
from updater.exit_codes import NOTHING_TO_DO

TEXT = (ROOT / "docs/server.md").read_text("utf-8")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WINDOWS, reason="the commands are for a POSIX shell"),
]


class Reader:
    """Somebody who does what the page says, in one shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        programs = folder / ".bin"
        programs.mkdir()
        for name in ("patchtool", "patchserver", "updater"):
            line = shlex.join([sys.executable, "-m", name])
            (programs / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            (programs / name).chmod(0o755)
        self.said: dict[str, str] = {}
        paths = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(folder),
        }
        self._environment = {**os.environ, **paths}

    def follow(self, title: str) -> str:
        """Run the commands of a section; what they said. Variables stay for the next one."""
        return self.run("\n".join(blocks(title)).replace("8080", str(self.port)))

    def run(self, commands: str) -> str:
        """Run commands; what they said."""
        keep = self.folder / ".environment"
        before = f". {keep}" if keep.exists() else ":"
        after = AWAIT if "&\n" in commands else ""
        script = "\n".join((before, commands, after, f"export -p > {keep}"))
        log = self.folder / "log"
        with log.open("w") as out:
            done = subprocess.run(
                ["/bin/sh", "-euc", script.replace("PORT", str(self.port))],
                cwd=self.folder,
                env=self._environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=200,
                check=False,
            )
        text = log.read_text()
        assert done.returncode in {0, NOTHING_TO_DO}, f"{commands}: {text}"
        return text

    def offers(self) -> list[tuple[str, bool]]:
        """What the channel offers: versions, and whether they are paused."""
        token = (self.folder / "publisher/token").read_text().strip()
        answer = requests.get(
            f"http://127.0.0.1:{self.port}/api/v1/apps/notes/channels",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        head = answer.json()["channels"]["stable"]
        return [(entry["version"], entry["paused"]) for entry in head["entries"]]

    def end(self) -> None:
        """Stop the server, whichever process of the shell it became."""
        pid = self.folder / ".server"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)
            pid.unlink()
            while self._is_listening():
                time.sleep(0.1)

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


AWAIT = """
echo $! > .server
for i in $(seq 300); do
    if python3 -c 'import socket; socket.create_connection(("127.0.0.1", PORT))' 2>/dev/null
    then break; fi
    sleep 0.2
done
"""


def blocks(title: str) -> list[str]:
    """The shell blocks of one section."""
    (section,) = re.findall(rf"^### {title}\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    found = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found
    return found


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.end()


def test_the_page_leads_from_nothing_to_a_recalled_release(reader: Reader) -> None:
    reader.follow("The keys and the repository")
    assert "all is well" in reader.follow("The server")
    assert "release metadata" in reader.follow("A release, from CI")
    assert reader.offers() == [("1.0", False)]
    reader.follow("The next one, in steps")
    assert reader.offers() == [("2.0", False), ("1.0", False)]
    said = reader.follow("It halts by itself")
    assert "version: 1.0" in said
    assert "bad: 2.0" in said
    events = json.loads(log_of(reader))
    assert [event for event in events if event[1] == "halt"] == [
        ["server", "halt", "stable 2.0: 1 of 1 failed", "done"]
    ]
    assert reader.offers() == [("2.0", True), ("1.0", False)]
    assert "release metadata" in reader.follow("It is recalled")
    assert (reader.folder / "installed/notes").read_text().endswith("this is 1.0\n")
    reader.follow("Backup")
    reader.end()
    reader.follow("Restore")
    assert reader.offers() == [("2.0", True), ("1.0", False)]
    said = reader.run("updater update --dir installed")
    assert "1.0 is up to date" in said


def log_of(reader: Reader) -> str:
    """The audit log, oldest first."""
    program = """
import json, sqlite3
database = sqlite3.connect("server/repository.server/patchserver.db")
rows = database.execute("select actor, action, subject, outcome from events order by id")
print(json.dumps(rows.fetchall()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=reader.folder, capture_output=True, check=True
    )
    return done.stdout.decode()
