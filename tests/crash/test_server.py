"""A server that is killed at any system call while it publishes: old or new, and it goes on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from patchtool.repository.local_transport import URL, SnapshotTransport
from patchtool.repository.snapshot import Snapshot

from patchserver.accounts.audit import SERVER
from patchserver.accounts.users import Scope
from tests.support.crash.crash_process import sampled
from tests.support.crash.crash_runs import tell
from tests.support.crash.syscalls import Call, Fault, Process, calls, inject, refusal
from tests.support.paths import ROOT
from tests.support.repository.publisher import NOW
from tests.support.repository.publisher import PASSWORD as KEY_PASSWORD
from tests.support.servers.pusher import Pusher
from tests.support.servers.served import Server, server_at
from tests.support.trees.trees import Tree
from updater.check.trust import Trust

pytestmark = [pytest.mark.crash, pytest.mark.timeout(3600)]
OLD: Tree = {"app": b"one"}
NEW: Tree = {"app": b"two"}
STATES = {("1.0", ("1.0",)), ("1.0", ("1.0", "2.0")), ("2.0", ("1.0", "2.0"))}
"""What a channel offers, and what is published: before, between the two steps, and after."""


@dataclass(frozen=True)
class Site:
    """A server's folders, and a push that is whole and not published."""

    folder: Path
    push: str

    def copy(self, folder: Path) -> Site:
        shutil.copytree(self.folder, folder)
        return Site(folder, self.push)

    @property
    def process(self) -> Process:
        places = [self.folder / name for name in ("repository", "data")]
        words = (*map(str, places), str(self.folder / "server-keys"), self.push, "2.0", str(NOW))
        return Process(
            words,
            self.folder / "elsewhere",
            tuple(places),
            parent=self.folder,
            program=(str(ROOT / "tests/support/servers/publishing.py"),),
            secrets=KEY_PASSWORD,
        )

    def seen(self, work: Path) -> tuple[str, tuple[str, ...]]:
        """What a client that comes for the first time sees; every file it may ask for is there."""
        repository = self.folder / "repository"
        root = (repository / "metadata/1.root.json").read_bytes()
        work.mkdir(exist_ok=True)
        transport = SnapshotTransport(Snapshot.read(repository))
        trust = Trust(work / "trust", URL, root, transport, seen=work / "seen")
        catalogue = trust.refresh("notes", "stable", NOW)
        return catalogue.head.entries[0].version, tuple(sorted(catalogue.releases))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    if refusal():
        pytest.skip(refusal())
    folder = tmp_path_factory.mktemp("site")
    with server_at(folder / "first", _database(folder / "first")) as server:
        push = _prepared(server)
    for name in ("home", "tmp", "elsewhere"):
        (folder / "first" / name).mkdir()
    return Site(folder / "first", push)


def _database(folder: Path) -> str:
    return f"sqlite:///{folder / 'data' / 'patchserver.db'}"


def _prepared(server: Server) -> str:
    """1.0 is offered; 2.0 was sent. Its id."""
    pusher = Pusher(server, Scope.PUBLISH)
    assert pusher.push(server.add("1.0", OLD)).status_code == 200
    server.services.rollouts.promote(SERVER, "notes", "stable", "1.0")
    announced = pusher.announce(server.add("2.0", NEW), base=2).json
    assert announced is not None
    pusher.send_all(announced)
    return str(announced["id"])


@pytest.mark.parametrize(
    "fault", [Fault("KILL"), Fault("ENOSPC"), Fault("EIO")], ids=lambda fault: fault.name
)
def test_clients_see_the_old_release_or_the_new_and_the_push_goes_on(
    site: Site, tmp_path: Path, fault: Fault
) -> None:
    points = [call for call in _points(site, tmp_path) if fault.meets(call) and call.changes]
    seen, chosen = set(), sampled(points)
    for number, call in enumerate(chosen):
        here = site.copy(tmp_path / f"run-{number}")
        what = f"{fault.name} at {call.name} {call.number} ({call.text})"
        met = inject(here.process, fault, call, tmp_path / "log")
        assert met.hit, what
        state = here.seen(tmp_path / f"eyes-{number}")
        assert state in STATES, f"{what}: {state}"
        seen.add(state)
        again = here.process.run()
        assert again.returncode == 0, f"{what}: {again.stderr}"
        assert here.seen(tmp_path / f"eyes-{number}") == ("2.0", ("1.0", "2.0")), what
        shutil.rmtree(here.folder)
    assert seen <= STATES
    words = f"{fault.name} at each system call of a server that publishes"
    tell(len(chosen), words, of=len(points))


def _points(site: Site, folder: Path) -> list[Call]:
    """The calls of a run; the one before it compiles our modules."""
    assert site.copy(folder / "first").process.run().returncode == 0
    here = site.copy(folder / "undisturbed")
    found = calls(here.process, folder / "log")
    assert here.seen(folder / "eyes") == ("2.0", ("1.0", "2.0"))
    return found
