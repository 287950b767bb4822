"""The files of ``deploy/`` put to work on loopback, for benchmarks and for tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"

_MAIN = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
daemon off;
{user}worker_processes 2;
events {{ worker_connections 2048; }}
http {{
    include {folder}/mime.types;
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/patchserver.conf;
}}
"""


def missing() -> str:
    """Which programs are not here, e.g. ``nginx``."""
    return " ".join(name for name in ("nginx",) if shutil.which(name) is None)


@contextmanager
def deployed(repository: Path, folder: Path) -> Iterator[int]:
    """The port of nginx in front of two processes of gunicorn."""
    folder.mkdir()
    bind, port = free_port(), free_port()
    with behind(repository, bind, folder), nginx(repository, bind, port, folder):
        yield port


@contextmanager
def behind(repository: Path, port: int, folder: Path) -> Iterator[None]:
    """Gunicorn with our configuration."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")]),
        "UPSWAP_REPO": str(repository),
        "UPSWAP_ACCEL": "/internal",
        "UPSWAP_PROXIES": "1",
        "UPSWAP_WORKERS": "2",
        "UPSWAP_BIND": f"127.0.0.1:{port}",
    }
    command = [sys.executable, "-m", "gunicorn", "--config", str(DEPLOY / "gunicorn.conf.py")]
    with (
        (folder / "gunicorn.log").open("wb") as log,
        running(command, port, environment, log.fileno()),
    ):
        yield


@contextmanager
def nginx(repository: Path, bind: int, port: int, folder: Path) -> Iterator[None]:
    """Nginx with our configuration, its words in capitals replaced."""
    text = (DEPLOY / "nginx.conf").read_text()
    for word, value in (
        ("BIND", f"127.0.0.1:{bind}"),
        ("LISTEN", f"127.0.0.1:{port}"),
        ("REPOSITORY", str(repository)),
        ("CACHE", str(folder / "cache")),
    ):
        text = text.replace(word, value)
    (folder / "patchserver.conf").write_text(text)
    (folder / "mime.types").write_text("types { }\n")
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    command = ["nginx", "-e", str(folder / "error.log"), "-p", str(folder)]
    with running([*command, "-c", str(folder / "nginx.conf")], port, dict(os.environ), None):
        yield


@contextmanager
def running(
    command: list[str], port: int, environment: dict[str, str], log: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process from the moment its port is open; ended in the end."""
    with subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            _await_port(port, process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def running_server(repository: Path) -> Iterator[int]:
    """The port of ``patchserver serve`` in a process of its own."""
    command = [sys.executable, "-m", "patchserver", "serve", "--repo", str(repository)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")])}
    port = free_port()
    with running([*command, "--port", str(port)], port, environment, subprocess.DEVNULL):
        yield port


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
        return number


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"{process.args!r} does not listen on {port}")
