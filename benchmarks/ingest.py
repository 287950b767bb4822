"""``python -m benchmarks.ingest``: reports a second that are stored and acknowledged.

Every database and server takes turns; in every other turn the processes are killed (SIGKILL) and
started again while reports come. What was acknowledged must be in the database then.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from patchtool.keys.signing_keys import Keys
from patchtool.repository.repository import Repository
from patchtool.repository.writer import name_writer
from sqlalchemy import func, select

from benchmarks import deployment
from benchmarks.databases import new_postgresql
from benchmarks.measure import ROOT
from benchmarks.report import INGEST, write_page
from benchmarks.results import load as load_results
from benchmarks.results import machine
from patchserver.database.engine import Database
from patchserver.database.tables import Failure
from updater.disk.durable import Disk

CONNECTIONS = 32
KILLS = 3
"""In one turn."""
PASSWORD = {"UPSWAP_KEY_PASSWORD": "benchmark"}
POSTGRESQL = "UPSWAP_TEST_DATABASE_URL"
_WRK = """\
local a, b, c, d = io.open("/dev/urandom", "rb"):read(4):byte(1, 4)
math.randomseed(((a * 256 + b) * 256 + c) * 256 + d)
local body = '{"app":"bench","channel":"stable","changed":["lib/core"],"error":"Crash: no word",' ..
  '"from":"1.0","id":"%s","install":"%s","platform":"linux-x86_64","step":"confirm","to":"2.0",' ..
  '"updater":"1.0"}'
local function id()
  local parts = {}
  for i = 1, 8 do parts[i] = string.format("%04x", math.random(0, 65535)) end
  return table.concat(parts)
end
request = function()
  return wrk.format("POST", "/api/v1/reports", nil, string.format(body, id(), id()))
end
"""


@dataclass(frozen=True)
class Ingested:
    """One database and server."""

    database: str
    server: str
    per_second: float
    """Acknowledged reports, the median of the turns without a kill."""
    acknowledged: int
    """In the turns with kills."""
    stored: int
    """Of these turns; more than acknowledged, as answers were cut off."""
    kills: int


@dataclass(frozen=True)
class Site:
    """One server's folders, and where it listens."""

    folder: Path
    database: str
    server: str
    port: int

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The server."""
        command = [sys.executable, "-m", "patchserver", "serve", "--port", str(self.port)]
        if self.server == "gunicorn":
            config = str(deployment.DEPLOY / "gunicorn.conf.py")
            bind = ["--workers", "2", "--bind", f"127.0.0.1:{self.port}"]
            command = [sys.executable, "-m", "gunicorn", "--config", config, *bind]
        names = {"REPO": "repository", "DATA": "data", "KEYS": "keys"}
        places = {f"UPSWAP_{name}": str(self.folder / place) for name, place in names.items()}
        environment = {
            **os.environ,
            **places,
            **PASSWORD,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")]),
            "UPSWAP_DATABASE": self.database,
            "UPSWAP_RATE": "1000000/second",
        }
        with (
            (self.folder / "log").open("ab") as log,
            deployment.running(command, self.port, environment, log.fileno()) as process,
        ):
            yield process

    def stored(self) -> int:
        """Reports in the database."""
        database = Database(self.database)
        with database.reading() as session:
            count = session.scalar(select(func.count()).select_from(Failure)) or 0
        database.close()
        return count


def main() -> int:
    """Measure, and write the page."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="upswap-bench-") as scratch, ExitStack() as stack:
        sites = [
            stack.enter_context(_site(Path(scratch), kind, server))
            for kind in ("sqlite", "postgresql")
            for server in ("patchserver serve", "gunicorn")
        ]
        found = [_measured(site, options.rounds, options.seconds) for site in sites]
    document = {"date": options.date, "machine": machine(), "ingested": [asdict(f) for f in found]}
    INGEST.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    write_page(load_results(ROOT / "benchmarks/results.json"), ROOT / "docs")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="turns of each kind; default: %(default)s")
    add("--seconds", type=int, default=4, help="length of a turn; default: %(default)s")
    add("--date", default=f"{datetime.now(timezone.utc):%Y-%m-%d}", help="default: today")
    return parser


def _measured(site: Site, rounds: int, seconds: int) -> Ingested:
    rates, acknowledged, stored = [], 0, 0
    for _ in range(rounds):
        with site.running():
            rates.append(_load(site, seconds) / seconds)
        before = site.stored()
        acknowledged += _killed(site, seconds)
        stored += site.stored() - before
    if stored < acknowledged:
        raise AssertionError(f"{acknowledged} acknowledged, {stored} stored: {site}")
    kind = site.database.partition(":")[0]
    rate = statistics.median(rates)
    return Ingested(kind, site.server, rate, acknowledged, stored, KILLS * rounds)


def _load(site: Site, seconds: int) -> int:
    """Reports that were acknowledged."""
    script = site.folder / "reports.lua"
    script.write_text(_WRK)
    url = f"http://127.0.0.1:{site.port}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "-s", str(script), url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told:
        raise OSError(told)
    (count,) = re.findall(r"(\d+) requests in", told)
    return int(count)


def _killed(site: Site, seconds: int) -> int:
    """The same, of a server that is killed and started again meanwhile."""
    counts: list[int] = []
    with ExitStack() as last:
        process = last.enter_context(site.running())
        thread = threading.Thread(target=lambda: counts.append(_load(site, seconds)))
        thread.start()
        for _ in range(KILLS):
            thread.join(seconds / (KILLS + 1))
            subprocess.run(["pkill", "-9", "-P", str(process.pid)], check=False)
            process.kill()
            process.wait()
            process = last.enter_context(site.running())
        thread.join()
    return counts[0]


@contextmanager
def _site(folder: Path, kind: str, server: str) -> Iterator[Site]:
    own = folder / f"{kind}-{server.replace(' ', '-')}"
    (own / "data").mkdir(parents=True, mode=0o700)
    now = int(datetime.now(timezone.utc).timestamp())
    keys = Keys(own / "keys", PASSWORD)
    keys.make_missing(1)
    Repository(own / "repository", keys, now).create("bench", 1)
    name_writer(Disk(), own / "repository", "server")
    with _database(own, kind) as url:
        yield Site(own, url, server, deployment.free_port())


@contextmanager
def _database(folder: Path, kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'data/server.db'}"
        return
    with new_postgresql(os.environ[POSTGRESQL]) as url:
        yield url


if __name__ == "__main__":
    sys.exit(main())
