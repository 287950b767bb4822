"""The outbox: who agreed is heard, who did not is silent, and no command suffers from either."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.repository.publisher import NOW, Publisher
from tests.support.servers.api_server import ApiServer, Handler, api_served
from tests.support.trees.trees import Exe, Tree, noise
from updater.cli import commands
from updater.cli.commands import main
from updater.client import Updater
from updater.errors import TransportError
from updater.format.reports import ERROR_MOST, REPORT_BYTES
from updater.launch.commit.rollback import rollback
from updater.launch.failure_report import Report
from updater.local.session import Session
from updater.local.settings import find_install
from updater.reports import sending
from updater.reports.sending import DAY, platform_name
from updater.update.install_new import install
from updater.version import __version__

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


OLD: Tree = {"app": Exe(b"1"), "data": noise(3_000, 1)}
NEW: Tree = {"app": Exe(b"2"), "data": noise(3_000, 2)}
FAILED = Report(identity="0" * 32, step="stage", error="boom", old="1.0", new="2.0")


@pytest.fixture
def server(publisher: Publisher) -> Iterator[ApiServer]:
    publisher.release("1.0", OLD)
    with api_served(ApiServer(publisher.folder, publisher.keys, NOW)) as server:
        yield server


@pytest.fixture
def updater(tmp_path: Path, publisher: Publisher, server: ApiServer, session: Session) -> Updater:
    """An install of 1.0 that tells its publisher."""
    folder = tmp_path / "app"
    install(folder, server.url, publisher.root, "notes", session=session, reports=True)
    return Updater(folder, session)


def queue(updater: Updater, **fields: Any) -> Path:
    """A report that waits."""
    document = {**vars(FAILED), **fields}
    Report(**document).write(updater._state)
    return updater._state.reports / f"{document['identity']}.json"


def says(status: int, **headers: str) -> Callable[[Handler], bool]:
    """A server that answers everything it is told like that."""

    def answer(handler: Handler) -> bool:
        if handler.command == "POST":
            handler.answer(status, b"no", **headers)
        return handler.command == "POST"

    return answer


class TestWhoDidNotAgree:
    def test_tells_nothing_ever(
        self, tmp_path: Path, publisher: Publisher, server: ApiServer, session: Session
    ) -> None:
        install(tmp_path / "app", server.url, publisher.root, "notes", session=session)
        updater = Updater(tmp_path / "app", session)
        queue(updater)
        updater.check()
        publisher.release("2.0", NEW)
        updater.check()
        updater.update()
        updater.verify()
        updater.rollback()
        assert not updater.reports
        assert server.asked("POST") == []

    def test_any_more_tells_nothing_even_after_a_rollback(
        self, updater: Updater, publisher: Publisher, server: ApiServer
    ) -> None:
        publisher.release("2.0", NEW)
        updater.update()
        told = len(server.asked("POST"))
        updater.reports = False
        updater.rollback()
        updater.check()
        assert len(server.asked("POST")) == told


class TestACheckIn:
    def test_says_what_works_here_and_names_nobody(
        self, updater: Updater, server: ApiServer
    ) -> None:
        updater.check()
        (said,) = server.checkins.values()
        assert re.fullmatch("[0-9a-f]{32}", said.pop("id"))
        install = said.pop("install")
        assert re.fullmatch("[0-9a-f]{32}", install)
        assert install == updater.identity
        assert install not in updater._state.identity.read_text()
        assert said == {
            "app": "notes",
            "channel": "stable",
            "version": "1.0",
            "platform": platform_name(),
            "state": "clean",
            "updater": __version__,
        }

    def test_comes_once_a_day(
        self, updater: Updater, server: ApiServer, publisher: Publisher
    ) -> None:
        for now in (NOW, NOW + DAY - 1, NOW + DAY, NOW + DAY + 9):
            publisher.now = now
            updater.check()
        assert len(server.checkins) == len(server.asked("POST")) == 2

    def test_comes_again_when_something_changed(
        self, updater: Updater, server: ApiServer, publisher: Publisher
    ) -> None:
        updater.check()
        publisher.release("2.0", NEW)
        updater.update()
        updater.rollback()
        updater.check()
        assert [said["version"] for said in server.checkins.values()] == ["1.0", "2.0", "1.0"]

    def test_is_the_same_one_until_it_was_taken(self, updater: Updater, server: ApiServer) -> None:
        server.misbehave = says(500)
        updater.check()
        server.misbehave = lambda _: False
        updater.check()
        first, second = (json.loads(body) for body in server.bodies if body)
        assert first == second

    def test_whose_memory_is_lost_or_damaged_is_made_again(
        self, updater: Updater, server: ApiServer
    ) -> None:
        for damage in (b"", b"{}", b"\xff", b'{"at":1,"format":2}\n'):
            updater.check()
            updater._state.last_sent.write_bytes(damage)
        updater._state.last_sent.unlink()
        updater.check()
        assert len(server.asked("POST")) == 5
        assert len(server.checkins) == 1


class TestAReport:
    def test_goes_when_it_was_taken(self, updater: Updater, server: ApiServer) -> None:
        path = queue(updater, changed=("data",))
        updater.check()
        (report,) = server.reports.values()
        who = ("install", "app", "channel", "platform", "updater")
        (said,) = server.checkins.values()
        assert {key: report.pop(key) for key in who} == {key: said[key] for key in who}
        assert report == {
            "id": "0" * 32,
            "step": "stage",
            "error": "boom",
            "from": "1.0",
            "to": "2.0",
            "changed": ["data"],
        }
        assert not path.exists()

    def test_of_a_version_that_was_rolled_back_is_sent_by_the_next_check(
        self, updater: Updater, server: ApiServer, publisher: Publisher
    ) -> None:
        publisher.release("2.0", NEW)
        updater.update()
        rollback(updater._state, "exited with 1")
        updater.check()
        (report,) = server.reports.values()
        assert (report["step"], report["from"], report["to"]) == ("confirm", "1.0", "2.0")

    def test_of_what_fails_now_is_sent_at_once(
        self, updater: Updater, server: ApiServer, publisher: Publisher
    ) -> None:
        publisher.release("2.0", NEW)
        for path in publisher.folder.rglob("*.bundle"):
            path.write_bytes(b"x" * path.stat().st_size)
        for path in publisher.folder.glob("targets/notes/patches/*"):
            path.write_bytes(b"x" * path.stat().st_size)
        with pytest.raises(Exception, match="other bytes"):
            updater.update()
        (report,) = server.reports.values()
        assert report["error"].startswith("TrustError")

    @pytest.mark.parametrize("status", [400, 413])
    def test_that_will_never_be_taken_goes_too(
        self, status: int, updater: Updater, server: ApiServer
    ) -> None:
        path = queue(updater)
        server.misbehave = says(status)
        updater.check()
        assert not path.exists()

    @pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 429, 500, 503])
    def test_that_was_not_taken_stays(
        self, status: int, updater: Updater, server: ApiServer
    ) -> None:
        path = queue(updater)
        server.misbehave = says(status, Location=f"{server.url}/elsewhere")
        updater.check()
        assert path.exists()
        assert len(server.asked("POST")) == 1, "who does not take one takes no other now"

    @pytest.mark.parametrize(
        ("status", "header", "seconds"),
        [(404, "", DAY), (429, "60", 60), (503, "999999999", DAY), (429, "soon", 0)],
    )
    def test_waits_as_long_as_the_server_asked_but_a_day_at_most(
        self,
        status: int,
        header: str,
        seconds: int,
        updater: Updater,
        server: ApiServer,
        publisher: Publisher,
    ) -> None:
        server.misbehave = says(status, Retry_After=header)
        updater.check()
        server.misbehave = lambda _: False
        if seconds:
            publisher.now = NOW + seconds - 1
            updater.check()
            assert server.checkins == {}
        publisher.now = NOW + seconds
        updater.check()
        assert len(server.checkins) == 1

    def test_that_is_too_large_names_fewer_files(self, updater: Updater, server: ApiServer) -> None:
        queue(updater, error="x" * 9_000, changed=tuple(f"{n}{'y' * 1_000}" for n in range(100)))
        updater.check()
        assert max(len(body) for body in server.bodies) <= REPORT_BYTES
        (report,) = server.reports.values()
        assert (len(report["error"]), len(report["changed"])) == (ERROR_MOST, 50)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{}",
            b"\xff" * 100,
            b"x" * (1 << 20),
            b"[" * 10_000,
            json.dumps({"id": "1" * 32}).encode(),
        ],
    )
    def test_that_is_damaged_is_dropped_and_hurts_nobody(
        self, data: bytes, updater: Updater, server: ApiServer
    ) -> None:
        good, bad = queue(updater), queue(updater, identity="1" * 32)
        bad.write_bytes(data)
        updater.check()
        assert list(server.reports) == ["0" * 32]
        assert not good.exists()
        assert not bad.exists()

    def test_that_is_no_file_is_not_followed(
        self, updater: Updater, server: ApiServer, tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        queue(updater).rename(secret)
        (updater._state.reports / f"{'0' * 32}.json").symlink_to(secret)
        os.mkfifo(updater._state.reports / f"{'2' * 32}.json")
        updater.check()
        assert server.reports == {}
        assert len(server.checkins) == 1
        assert secret.exists()

    def test_folder_that_leads_elsewhere_is_not_followed(
        self, updater: Updater, server: ApiServer, tmp_path: Path
    ) -> None:
        queue(updater)
        updater._state.reports.rename(tmp_path / "elsewhere")
        updater._state.reports.symlink_to(tmp_path / "elsewhere")
        updater.check()
        assert server.reports == {}


class TestTheCommand:
    def test_ends_as_it_would_have_and_in_time(
        self, updater: Updater, server: ApiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sending, "SECONDS", 0.3)

        def sleeps(handler: Handler) -> bool:
            if handler.command == "POST":
                time.sleep(2)
            return handler.command == "POST"

        server.misbehave = sleeps
        began = time.monotonic()
        assert updater.check() is None
        assert time.monotonic() - began < 1.5

    def test_is_not_kept_by_a_sender_that_breaks(self, updater: Updater) -> None:
        class Broken:
            def send(self, *_: object) -> Any:
                raise RuntimeError

        session = Session(transport=updater._session.transport, clock=lambda: NOW, sender=Broken())
        assert Updater(updater._state.install, session).check() is None

    def test_does_not_ask_a_server_it_could_not_reach_before(
        self, updater: Updater, server: ApiServer
    ) -> None:

        def breaks(handler: Handler) -> bool:
            handler.answer(500)
            return True

        server.misbehave = breaks
        with pytest.raises(TransportError):
            updater.check()
        assert server.asked("POST") == []

    def test_reports_says_and_sets_whether_it_tells(
        self, updater: Updater, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = str(updater._state.install)
        assert main(["reports", "--dir", folder, "--json"]) == 0
        assert main(["reports", "--dir", folder, "off", "--json"]) == 0
        assert main(["reports", "--dir", folder, "on"]) == 0
        out = capsys.readouterr().out.splitlines()
        assert [json.loads(line) for line in out[:2]] == [{"reports": True}, {"reports": False}]
        assert out[2].startswith("this install sends reports")


def test_who_installs_or_adopts_may_agree_at_once(
    tmp_path: Path,
    publisher: Publisher,
    server: ApiServer,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "Session", lambda **_: session)
    (tmp_path / "root.json").write_bytes(publisher.root)
    source = f"--url {server.url} --root {tmp_path}/root.json --app notes --reports --quiet".split()
    folder = tmp_path / "app"
    assert main(["install", *source, str(folder)]) == 0
    assert Updater(folder, session).reports
    find_install(folder).folder.rename(tmp_path / "gone")
    assert main(["adopt", *source, "--version", "1.0", "--dir", str(folder)]) == 0
    assert Updater(folder, session).reports
    assert server.asked("POST") == []
