"""Servers as processes of their own, to be asked, killed and started again."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tests.support.paths import ROOT

KEY_PASSWORD = {"UPSWAP_KEY_PASSWORD": "correct horse"}


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """What a command of ours is run with."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "tools")))
    return {**os.environ, "PYTHONPATH": path, **KEY_PASSWORD, **more}


@dataclass
class ServerProcess:
    """``patchserver serve`` on folders of this machine."""

    repository: Path
    data: Path
    keys: Path
    database: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    """0: any free one; the same one again after a kill."""
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None
    serving: ClassVar[re.Pattern[str]] = re.compile(r"serving .* at (http://\S+)/")
    """What it says once it listens."""

    def start(self) -> None:
        """Start it, and wait until it serves."""
        log = self.data.parent / f"serve-{secrets.token_hex(4)}.log"
        places = {"REPO": self.repository, "DATA": self.data, "KEYS": self.keys}
        named = {f"UPSWAP_{name}": str(place) for name, place in places.items()}
        more = {**named, "UPSWAP_DATABASE": self.database, **self.more}
        with log.open("w") as file:
            self._process = subprocess.Popen(self._words(), env=environment(more), stderr=file)
        self.url = self._wait(log)
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL: nothing is put in order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def end(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(60)

    def _words(self) -> list[str]:
        return [sys.executable, "-m", "patchserver", "serve", "--port", str(self.port)]

    def _wait(self, log: Path) -> str:
        assert self._process is not None
        until = time.monotonic() + 60
        while not (match := self.serving.search(log.read_text())):
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < until, "it does not serve"
            time.sleep(0.02)
        return match[1]


class GunicornProcess(ServerProcess):
    """gunicorn with two processes, by the file of ``deploy/``."""

    serving = re.compile(r"Listening at: (http://[0-9.:]+)")

    def _words(self) -> list[str]:
        config = ROOT / "deploy/gunicorn.conf.py"
        words = ["--config", str(config), "--workers", "2", "--bind", f"127.0.0.1:{self.port}"]
        return [sys.executable, "-m", "gunicorn", *words]


@contextmanager
def running(server: ServerProcess) -> Iterator[ServerProcess]:
    """A server for as long as the body runs."""
    server.start()
    try:
        yield server
    finally:
        assert server.end() == 0
