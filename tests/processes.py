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

from syscalls import ROOT

_SERVING = re.compile(r"serving .* at (http://\S+)/")
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

    def start(self) -> None:
        """Start it, and wait until it serves."""
        words = ["--repo", self.repository, "--data", self.data, "--keys", self.keys]
        words += ["--port", self.port, *(["--database", self.database] if self.database else [])]
        log = self.data.parent / f"serve-{secrets.token_hex(4)}.log"
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "patchserver", "serve", *map(str, words)],
                env=environment(self.more),
                stderr=file,
            )
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

    def _wait(self, log: Path) -> str:
        assert self._process is not None
        until = time.monotonic() + 60
        while not (match := _SERVING.search(log.read_text())):
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < until, "it does not serve"
            time.sleep(0.02)
        return match[1]


@contextmanager
def running(server: ServerProcess) -> Iterator[ServerProcess]:
    """A server for as long as the body runs."""
    server.start()
    try:
        yield server
    finally:
        assert server.end() == 0
