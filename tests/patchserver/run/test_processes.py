"""Several server processes on one database and one repository: nothing is lost, nothing twice."""

from __future__ import annotations

import itertools
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from patchserver.accounts.audit import SERVER
from patchserver.accounts.users import Scope
from patchserver.database.engine import Database
from patchserver.database.tables import Failure, Install, Policy
from tests.support.servers.databases import KINDS, fresh_database
from tests.support.servers.processes import GunicornProcess, ServerProcess, environment, running
from tests.support.servers.pusher import Pusher
from tests.support.servers.served import checkin, report, server_at
from tests.support.trees.trees import noise, write_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TELL = 60
"""Installs that tell, of each process."""
SECONDS = 12
"""How long installs tell, while processes are killed."""


@dataclass
class Site:
    """Folders of a server whose repository offers 1.0, and a token that may do everything."""

    folder: Path
    database: str
    headers: dict[str, str]

    def process(self, kind: type[ServerProcess] = ServerProcess) -> ServerProcess:
        return kind(
            repository=self.folder / "repository",
            data=self.folder / "data",
            keys=self.folder / "server-keys",
            database=self.database,
            more={"UPSWAP_RATE": "100000/second"},
        )

    def command(self, *words: str | Path) -> dict[str, Any]:
        """A command of patchtool, as CI runs it."""
        token = self.headers["Authorization"].removeprefix("Bearer ")
        done = subprocess.run(
            [sys.executable, "-m", "patchtool", *map(str, words), "--quiet", "--json"],
            env=environment({"UPSWAP_TOKEN": token}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with fresh_database(request.param, tmp_path) as url:
        with server_at(tmp_path, url) as server:
            server.clock.now = int(time.time())
            server.publisher.now = server.clock.now
            headers = server.token(Scope.PUBLISH, Scope.PROMOTE)
            pusher = Pusher(server, Scope.PUBLISH)
            assert pusher.push(server.add("1.0", {"app": noise(3000, 1)})).status_code == 200
            server.services.rollouts.promote(SERVER, "notes", "stable", "1.0")
        yield Site(tmp_path, url, headers)


def together(*jobs: Callable[[], None]) -> None:
    """Do all of it at the same time; an error of one is one of all."""
    errors: list[BaseException] = []

    def kept(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=kept, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_two_processes_publish_promote_and_ingest_at_once(site: Site) -> None:
    told: list[list[str]] = [[], []]
    with running(site.process()) as one, running(site.process()) as two:
        jobs: list[Callable[[], None]] = []
        for number, server in enumerate((one, two)):
            jobs += [
                partial(releases, site, server, number),
                partial(promotes, site, server, number),
                partial(tells, server, number, told[number]),
            ]
        together(*jobs)
        copy = site.folder / "copy"
        site.command("fetch", one.url, copy, "--bundles", "20")
    assert stored(site) == sorted(told[0] + told[1])
    names = [path.name for path in (copy / "targets/notes/releases").iterdir()]
    assert {f"2.{job + 1}{number}" for job in range(2) for number in range(3)} <= set(names)
    doctor = site.command("doctor", site.folder / "repository")
    assert doctor["missing"] == doctor["damaged"] == doctor["unsigned"] == []
    assert doctor["refused"] == ""


def releases(site: Site, server: ServerProcess, job: int) -> None:
    """A CI job that publishes three releases, on top of whatever the other one does."""
    for number in range(3):
        version = f"2.{job + 1}{number}"
        copy, tree = site.folder / f"copy-{version}", site.folder / f"tree-{version}"
        site.command("fetch", server.url, copy, "--bundles", "20")
        write_tree(tree, {"app": noise(3000, 1) + version.encode()})
        keys = ("--keys", site.folder / "publisher/keys")
        site.command("add-release", copy, tree, "--app", "notes", "--version", version, *keys)
        site.command("push", copy, "--to", server.url, *keys)


def promotes(site: Site, server: ServerProcess, job: int) -> None:
    """Somebody who changes their own channel; it is what they said last."""
    channel = f"{server.url}/api/v1/apps/notes/channels/team{job}"

    def ask(verb: str) -> dict[str, Any]:
        answer = requests.post(
            f"{channel}/{verb}", json={"version": "1.0"}, headers=site.headers, timeout=60
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["head"]
        return found

    ask("promote")
    for _ in range(5):
        assert ask("pause")["entries"][0]["paused"] is True
        assert ask("resume")["entries"][0]["paused"] is False


def tells(server: ServerProcess, job: int, acknowledged: list[str]) -> None:
    """Installs that report; the ids that were acknowledged."""
    for number in range(TELL):
        identity = secrets.token_hex(16)
        install = job * 1000 + number
        body = report(install, id=identity)
        for _ in range(2):  # the second time it is the same
            assert posted(server, "reports", body) == 204
        assert posted(server, "checkins", checkin(install)) == 204
        acknowledged.append(identity)


def posted(server: ServerProcess, kind: str, body: bytes) -> int:
    return requests.post(f"{server.url}/api/v1/{kind}", body, timeout=60).status_code


def stored(site: Site) -> list[str]:
    database = Database(site.database)
    with database.reading() as session:
        found = sorted(session.scalars(select(Failure.id)))
        assert len(set(session.scalars(select(Install.install)))) == 2 * TELL or not found
    database.close()
    return found


def test_every_acknowledged_report_is_there_once_however_often_a_process_is_killed(
    site: Site,
) -> None:
    server = site.process()
    server.start()
    acknowledged: list[str] = []
    until = time.monotonic() + SECONDS
    numbers = itertools.count()

    def tell() -> None:
        while time.monotonic() < until:
            identity = secrets.token_hex(16)
            send(server, report(next(numbers), id=identity))
            acknowledged.append(identity)

    def kill() -> None:
        while time.monotonic() < until - 2:
            time.sleep(2)
            server.kill()
            server.start()

    together(kill, *[tell] * 6)
    assert server.end() == 0
    database = Database(site.database)
    with database.reading() as session:
        found = list(session.scalars(select(Failure.id)))
    database.close()
    assert len(acknowledged) > 50
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found)) == len(set(acknowledged))


def send(server: ServerProcess, body: bytes) -> None:
    """As an install does: until it is acknowledged, always the same report."""
    status = 0
    while status != 204:
        with suppress(requests.ConnectionError):  # it was killed, and will be back
            status = posted(server, "reports", body)
        time.sleep(0.01)


@pytest.mark.parametrize("kind", [ServerProcess, GunicornProcess])
def test_a_rollout_that_fails_is_halted_by_whichever_server_runs(
    site: Site, kind: type[ServerProcess]
) -> None:
    with running(site.process(kind)) as server:
        channel = f"{server.url}/api/v1/apps/notes/channels"
        headers, database = site.headers, Database(site.database)
        with database.writing() as session:
            session.add(Policy(app="notes", channel="stable", threshold=0, sample=1))
        database.close()
        assert posted(server, "reports", report(1, to="1.0")) == 204
        until = time.monotonic() + 60
        while not is_paused(requests.get(channel, headers=headers, timeout=60)):
            assert time.monotonic() < until, "it is not halted"
            time.sleep(0.5)


def is_paused(answer: requests.Response) -> bool:
    found: bool = answer.json()["channels"]["stable"]["entries"][0]["paused"]
    return found
