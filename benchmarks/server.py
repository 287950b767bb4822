"""``python -m benchmarks.server``: load on the server, side by side with nginx alone.

The three serve the same files at the same time, and take turns for a second each; so what
else the machine does meanwhile meets all of them.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import deployment
from benchmarks.load import Load, Rate, save
from benchmarks.measure import ROOT
from benchmarks.report import write_page
from benchmarks.results import load as load_results
from benchmarks.results import machine

DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results.json"
SERVER = ROOT / "benchmarks" / "server.json"
CONNECTIONS = 32
MIB = 1024 * 1024
TIMESTAMP = "/metadata/timestamp.json"
BUNDLE = f"/targets/bench/releases/1.0.0/{'0123456789abcdef' * 4}.bundle"
BUNDLE_BYTES = 64 * MIB
TIMESTAMP_BYTES = 900  # that of a repository with three apps

_PLAIN = """\
pid {folder}/plain.pid; error_log {folder}/plain.log; daemon off; worker_processes 2;
{user}events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{ listen 127.0.0.1:{port}; root {repository}; }}
}}
"""


@dataclass(frozen=True)
class Kind:
    """One kind of request."""

    what: str
    path: str
    headers: Mapping[str, str]


def main() -> int:
    """Measure, and write the page."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="upswap-bench-") as scratch:
        rates = measure(Path(scratch), options.rounds, options.seconds)
    save(Load(options.date, machine(), CONNECTIONS, rates), options.results)
    write_page(load_results(RESULTS), DOCS)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=15, help="turns of each server; default: %(default)s")
    add("--seconds", type=int, default=1, help="length of a turn; default: %(default)s")
    add("--date", default=f"{datetime.now(timezone.utc):%Y-%m-%d}", help="default: today")
    add("--results", type=Path, default=SERVER, help="default: %(default)s")
    return parser


def measure(folder: Path, rounds: int, seconds: int) -> list[Rate]:
    """Requests a second of each kind to each server, the median of all rounds."""
    repository = _repository(folder / "repository")
    counts: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(server(repository, folder))
            for name, server in SERVERS.items()
        }
        turns = [(kind, name) for name, port in ports.items() for kind in _kinds(port)]
        turns.sort(key=lambda turn: turn[0].what)  # all servers, kind by kind
        for kind, name in turns * rounds:
            rate = _run(ports[name], kind, seconds)
            counts.setdefault((kind.what, name), []).append(rate)
    return [Rate(what, name, statistics.median(found)) for (what, name), found in counts.items()]


def _repository(folder: Path) -> Path:
    for path, content in (
        (TIMESTAMP, b"x" * TIMESTAMP_BYTES),
        (BUNDLE, os.urandom(MIB) * (BUNDLE_BYTES // MIB)),
    ):
        (folder / path[1:]).parent.mkdir(parents=True)
        (folder / path[1:]).write_bytes(content)
    return folder


def _kinds(port: int) -> list[Kind]:
    """The kinds of requests; each server is asked with the tag that it gave itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", TIMESTAMP)
    tag = connection.getresponse().headers["ETag"]
    connection.close()
    block = f"bytes={8 * MIB}-{9 * MIB - 1}"
    return [
        Kind("update check", TIMESTAMP, {}),
        Kind("update check, conditional", TIMESTAMP, {"If-None-Match": tag}),
        Kind("block of 1 MiB", BUNDLE, {"Range": block}),
    ]


def _run(port: int, kind: Kind, seconds: int) -> float:
    """Requests a second."""
    headers = [word for name, value in kind.headers.items() for word in ("-H", f"{name}: {value}")]
    url = f"http://127.0.0.1:{port}{kind.path}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", *headers, url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told:
        raise OSError(f"{kind.what}: {told}")
    found = re.search(r"Requests/sec:\s+([0-9.]+)", told)
    if found is None:
        raise OSError(told)
    return float(found[1])


@contextmanager
def _plain(repository: Path, folder: Path) -> Iterator[int]:
    """Nginx alone, as one would set it up for static files."""
    port = deployment.free_port()
    user = "user root;\n" if os.geteuid() == 0 else ""
    text = _PLAIN.format(folder=folder, port=port, repository=repository, user=user)
    (folder / "plain.conf").write_text(text)
    command = ["nginx", "-e", str(folder / "plain.log"), "-p", str(folder)]
    command += ["-c", str(folder / "plain.conf")]
    with deployment.running(command, port, dict(os.environ), None):
        yield port


@contextmanager
def _embedded(repository: Path, _: Path) -> Iterator[int]:
    with deployment.running_server(repository) as port:
        yield port


@contextmanager
def _behind(repository: Path, folder: Path) -> Iterator[int]:
    with deployment.deployed(repository, folder / "deployed") as port:
        yield port


SERVERS = {"nginx": _plain, "patchserver serve": _embedded, "nginx + gunicorn": _behind}

if __name__ == "__main__":
    sys.exit(main())
