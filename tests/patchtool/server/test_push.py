"""Fetch, push and promote over a real connection: a runner that dies, a server that lies."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patchtool.cli.parser import main
from patchtool.keys.signing_keys import Keys
from patchtool.release.add_release import Added
from patchtool.release.recall import recall
from patchtool.repository.repository import Repository
from patchtool.repository.writer import name_writer, writer_of
from patchtool.server import server_client as api
from patchtool.server.fetch import Fetched, fetch
from patchtool.server.push import Pushed, push
from patchtool.server.server_client import TRIES, Behind, Server, check_server, token_of

from tests.support.repository.publisher import NOW, PASSWORD, Publisher, publish
from tests.support.repository.seen_by_clients import look, offered
from tests.support.repository.sessions import quick_session
from tests.support.servers.api_server import ApiServer, Handler, api_served
from tests.support.trees.trees import Tree, noise, write_tree
from updater.disk.durable import Disk
from updater.errors import FormatError, InstallError, TransportError, TrustError
from updater.net.http import HttpTransport
from updater.transport import Reply

pytestmark = pytest.mark.slow  # hundreds of pushes, each to a real server
BIG = noise(6_000)


class Killed(BaseException):
    """The runner is gone."""


def tree(n: int) -> Tree:
    return {"app": b"%d" % n, "data": BIG, "more": noise(2_500, n)}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(api, "PIECE", 1_000)


@pytest.fixture
def server(publisher: Publisher, tmp_path: Path) -> Iterator[ApiServer]:
    """It has 1.0, and alone the online key."""
    publisher.release("1.0", tree(1))
    online = tmp_path / "online"
    online.mkdir(mode=0o700)
    (publisher.keys.folder / "online.pem").rename(online / "online.pem")
    with api_served(
        ApiServer(publisher.folder, Keys(online, PASSWORD), NOW, writes=True)
    ) as server:
        yield server


class Runner:
    """A CI runner with a folder, a token and the release key."""

    def __init__(self, folder: Path, server: ApiServer, keys: Path) -> None:
        self.folder = folder
        self.session = quick_session(lambda: NOW)
        self.server = Server(server.url, server.token, HttpTransport(), sleep=lambda _: None)
        self.keys = Keys(keys, PASSWORD)

    def repository(self) -> Repository:
        return Repository(self.folder, self.keys, NOW)

    def fetch(self, **options: Any) -> Fetched:
        return fetch(self.session, self.server.url, self.folder, **options)

    def add(self, version: str, n: int) -> Added:
        place = write_tree(self.folder.parent / f"{self.folder.name}-{version}-{n}", tree(n))
        added = publish(self.repository(), version, place)
        assert added is not None
        return added

    def push(self, *, signing: bool = True) -> Pushed | None:
        keys = self.keys if signing else None
        return push(self.session, self.server, self.repository(), keys=keys)


@pytest.fixture
def runner(tmp_path: Path, server: ApiServer, publisher: Publisher) -> Runner:
    """A fresh one, that has fetched."""
    runner = Runner(tmp_path / "runner", server, publisher.keys.folder)
    runner.fetch()
    return runner


@pytest.fixture
def other(tmp_path: Path, server: ApiServer, publisher: Publisher) -> Runner:
    """Another one, at the same time."""
    runner = Runner(tmp_path / "other", server, publisher.keys.folder)
    runner.fetch()
    return runner


def published(server: ApiServer) -> set[str]:
    names = server.repository().look().targets("app.notes")
    return {name.split("/")[2] for name in names if name.endswith("/manifest")}


def metadata(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "metadata").iterdir()}


def says(status: int, *, method: str = "POST", **headers: str) -> Callable[[Handler], bool]:
    def answer(handler: Handler) -> bool:
        if handler.command == method:
            handler.answer(status, {"error": "because", "hint": "so"}, **headers)
        return handler.command == method

    return answer


class TestFetch:
    def test_makes_a_copy_that_releases_can_be_added_to(
        self, server: ApiServer, runner: Runner, tmp_path: Path
    ) -> None:
        assert writer_of(runner.folder) == "server"
        assert list(runner.add("2.0", 2).patches) == ["1.0"]
        sees = look(
            server.folder, tmp_path / "client", server.repository().look().roots()[0].to_bytes()
        )
        assert offered(server.folder, sees)

    def test_takes_the_bundles_that_patches_are_made_from_and_no_others(
        self, runner: Runner, other: Runner
    ) -> None:
        for n in range(2, 6):
            runner.add(f"{n}.0", n)
        runner.push()
        done = other.fetch()
        assert done.releases == {"notes": ("5.0", "4.0", "3.0")}
        assert list(other.add("6.0", 6).patches) == ["5.0", "4.0", "3.0"]
        with pytest.raises(InstallError, match=r"bundle of notes 2\.0 is not here") as caught:
            other.add("2.1", 7)
        assert "patchtool fetch" in caught.value.hint

    def test_again_fetches_what_is_new_alone(self, runner: Runner, other: Runner) -> None:
        assert runner.fetch() == Fetched({"notes": ("1.0",)}, 0, 0)
        other.add("2.0", 2)
        other.push()
        again = runner.fetch()
        assert again.releases == {"notes": ("2.0", "1.0")}
        assert again.bytes > 0

    def test_none_of_the_bundles(self, tmp_path: Path, server: ApiServer, runner: Runner) -> None:
        bare = Runner(tmp_path / "bare", server, runner.keys.folder)
        assert bare.fetch(bundles=0).releases == {"notes": ()}

    def test_refuses_what_was_rolled_back(
        self, server: ApiServer, runner: Runner, tmp_path: Path
    ) -> None:
        shutil.copytree(server.folder, tmp_path / "backup")
        runner.add("2.0", 2)
        runner.push()
        before = metadata(runner.folder)
        shutil.rmtree(server.folder)
        shutil.copytree(tmp_path / "backup", server.folder)
        for action in (runner.fetch, runner.push):
            with pytest.raises(TransportError, match="older state"):
                action()
        runner.session = quick_session(lambda: NOW + 2 * 86_400)  # no cache is behind for so long
        for action in (runner.fetch, runner.push):
            with pytest.raises(TrustError, match="rolled back"):
                action()
        assert metadata(runner.folder) == before

    def test_refuses_another_repository(
        self, runner: Runner, server: ApiServer, tmp_path: Path
    ) -> None:
        stranger = Publisher(tmp_path / "stranger")
        stranger.release("1.0", tree(9))
        shutil.rmtree(server.folder)
        shutil.copytree(stranger.folder, server.folder)
        with pytest.raises(TrustError):
            runner.fetch()
        with pytest.raises(TrustError):
            Runner(tmp_path / "new", server, runner.keys.folder).fetch(
                root=metadata(runner.folder)["1.root.json"]
            )

    def test_refuses_metadata_that_nobody_signed(
        self, server: ApiServer, runner: Runner, tmp_path: Path
    ) -> None:
        for path in (server.folder / "metadata").glob("*.app.notes.json"):
            path.write_bytes(path.read_bytes().replace(b'"length":', b'"length":1'))
        with pytest.raises(TrustError):
            Runner(tmp_path / "new", server, runner.keys.folder).fetch()

    def test_refuses_a_bundle_with_other_bytes(
        self, server: ApiServer, runner: Runner, tmp_path: Path
    ) -> None:
        for path in server.folder.rglob("*.bundle"):
            path.write_bytes(b"x" * path.stat().st_size)
        new = Runner(tmp_path / "new", server, runner.keys.folder)
        with pytest.raises(TrustError, match="other bytes"):
            new.fetch()

    def test_loses_nothing_that_was_signed_and_not_pushed(
        self, server: ApiServer, runner: Runner, other: Runner
    ) -> None:
        runner.add("2.0", 2)
        runner.fetch()
        other.add("3.0", 3)
        other.push()
        with pytest.raises(InstallError, match="signed here and not pushed") as caught:
            runner.fetch()
        assert "patchtool push" in caught.value.hint
        runner.push()
        runner.fetch()
        assert published(server) == {"1.0", "2.0", "3.0"}

    def test_refuses_a_folder_that_is_something_else(
        self, server: ApiServer, publisher: Publisher, tmp_path: Path
    ) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "diary").write_bytes(b"dear diary")
        with pytest.raises(InstallError, match="is not empty"):
            Runner(tmp_path / "full", server, publisher.keys.folder).fetch()
        name_writer(Disk(), publisher.folder, "local")
        with pytest.raises(InstallError, match="written here"):
            Runner(publisher.folder, server, publisher.keys.folder).fetch()


class TestPush:
    def test_lets_clients_see_it_and_the_copy_is_what_they_see(
        self, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)
        done = runner.push()
        assert done is not None
        assert done.apps == {"notes": 3}
        assert published(server) == {"1.0", "2.0"}
        names = {"timestamp.json", "3.app.notes.json"}
        one, other = metadata(runner.folder), metadata(server.folder)
        assert {name: one[name] for name in names} == {name: other[name] for name in names}

    def test_of_nothing_is_nothing(self, server: ApiServer, runner: Runner) -> None:
        assert runner.push() is None
        runner.add("2.0", 2)
        runner.push()
        assert runner.push() is None
        assert len(server.asked("POST")) == 2

    def test_of_several_releases_publishes_all(self, server: ApiServer, runner: Runner) -> None:
        for n in (2, 3, 4):
            runner.add(f"{n}.0", n)
        recall(runner.repository(), "notes", "3.0", now=NOW)
        done = runner.push()
        assert done is not None
        assert done.apps == {"notes": 6}
        assert published(server) == {"1.0", "2.0", "3.0", "4.0"}

    def test_that_is_killed_anywhere_goes_on_and_sends_nothing_twice(
        self,
        server: ApiServer,
        runner: Runner,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(api, "PIECE", 3_000)
        runner.add("2.0", 2)
        for name in ("runner", "publisher/repository"):
            shutil.copytree(tmp_path / name, tmp_path / "kept" / name)
        for count in itertools.count(1):
            for name in ("runner", "publisher/repository"):
                shutil.rmtree(tmp_path / name)
                shutil.copytree(tmp_path / "kept" / name, tmp_path / name)
            server.forget()
            calm, deadly = runner.server, Deadly(runner.server.sender, count)
            runner.server = replace(calm, sender=deadly)
            try:
                runner.push()
                break
            except Killed:
                assert published(server) <= {"1.0", "2.0"}
            runner.server = calm
            runner.push()
            assert published(server) == {"1.0", "2.0"}
            lost = 1  # whose answer the runner did not live to see
            assert len(server.pieces) <= len(set(server.pieces)) + lost
        assert count > 5

    def test_that_is_killed_while_it_writes_goes_on(
        self,
        server: ApiServer,
        runner: Runner,
        other: Runner,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The hardest: ours must be put on top of what another has published."""
        other.add("3.0", 3)
        other.add("4.0", 4)
        other.push()
        for n in (5, 6, 7):
            runner.add(f"{n}.0", n)
        shutil.copytree(tmp_path / "publisher/repository", tmp_path / "kept/server")
        shutil.copytree(runner.folder, tmp_path / "kept/runner")
        for count in itertools.count(1):
            for kept, folder in (("server", server.folder), ("runner", runner.folder)):
                shutil.rmtree(folder)
                shutil.copytree(tmp_path / "kept" / kept, folder)
            server.forget()
            with monkeypatch.context() as patch, suppressed_kill() as lived:
                dies_at(patch, runner.folder, count)
                runner.push()
                lived.append(True)
            runner.push()
            assert published(server) == {f"{n}.0" for n in (1, 3, 4, 5, 6, 7)}
            assert runner.push() is None
            if lived:
                break
        assert count > 5

    def test_on_top_of_what_others_published_is_signed_again(
        self, server: ApiServer, runner: Runner, other: Runner
    ) -> None:
        other.add("2.0", 2)
        other.push()
        runner.add("3.0", 3)
        recall(runner.repository(), "notes", "1.0", now=NOW)
        before = metadata(runner.folder)
        with pytest.raises(InstallError, match="somebody else has published or promoted") as caught:
            runner.push(signing=False)
        assert "--keys" in caught.value.hint
        assert metadata(runner.folder) == before
        done = runner.push()
        assert done is not None
        assert done.rebased == ("notes",)
        assert published(server) == {"1.0", "2.0", "3.0"}
        custom = (
            server.repository().look().targets("app.notes")["notes/releases/1.0/manifest"].custom
        )
        assert custom == {"recalled": {"floor": "1.0"}}
        assert runner.push() is None

    def test_of_what_others_published_alike_needs_no_key(
        self, server: ApiServer, runner: Runner, other: Runner
    ) -> None:
        runner.add("2.0", 2)
        shutil.copytree(runner.folder, runner.folder.with_name("twin"))
        runner.push()
        runner.add("3.0", 3)
        runner.push()
        twin = Runner(runner.folder.with_name("twin"), server, runner.keys.folder)
        assert twin.push(signing=False) is None
        assert published(server) == {"1.0", "2.0", "3.0"}
        assert other.push() is None

    def test_of_one_version_with_other_content_is_refused(
        self, server: ApiServer, runner: Runner, other: Runner
    ) -> None:
        other.add("2.0", 2)
        other.push()
        runner.add("2.0", 3)
        with pytest.raises(FormatError, match=r"notes/.*2\.0.* was changed on the server too"):
            runner.push()
        assert published(server) == {"1.0", "2.0"}

    def test_that_comes_second_in_a_race_follows(
        self, server: ApiServer, runner: Runner, other: Runner
    ) -> None:
        runner.add("2.0", 2)
        other.add("3.0", 3)

        def races(handler: Handler) -> bool:
            if handler.command == "POST":
                server.misbehave = lambda _: False
                other.push()
            return False

        server.misbehave = races
        runner.push()
        assert published(server) == {"1.0", "2.0", "3.0"}

    def test_where_others_are_always_faster_ends(self, server: ApiServer, runner: Runner) -> None:
        runner.add("2.0", 2)

        def changed(handler: Handler) -> bool:
            if handler.command == "POST":
                handler.answer(409, {"error": "changed", "version": 99})
            return handler.command == "POST"

        server.misbehave = changed
        with pytest.raises(Behind, match="changed") as caught:
            runner.push()
        assert caught.value.retryable

    def test_that_is_served_from_a_cache_waits_for_it(
        self, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)
        old, waits = metadata(server.folder)["timestamp.json"], list[float]()
        runner.server = replace(runner.server, sleep=waits.append)

        def cached(handler: Handler) -> bool:
            stale = handler.path.endswith("timestamp.json") and len(waits) < 2
            if stale:
                handler.answer(200, old)
            return stale

        server.misbehave = cached
        assert runner.push() is not None
        assert waits == [1, 2]
        server.misbehave = lambda _: False
        assert runner.push() is None

    def test_that_is_never_shown_is_told(self, server: ApiServer, runner: Runner) -> None:
        runner.add("2.0", 2)
        old = metadata(server.folder)["timestamp.json"]

        def cached(handler: Handler) -> bool:
            stale = handler.path.endswith("timestamp.json")
            if stale:
                handler.answer(200, old)
            return stale

        server.misbehave = cached
        with pytest.raises(InstallError, match="does not show"):
            runner.push()
        server.misbehave = lambda _: False
        assert runner.push() is None

    def test_of_a_repository_that_is_written_here_is_refused(self, runner: Runner) -> None:
        name_writer(Disk(), runner.folder, "local")
        with pytest.raises(InstallError, match="written by this tool"):
            runner.push()

    def test_of_a_release_whose_files_are_gone_is_refused_before_it_begins(
        self, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)
        for path in runner.folder.rglob("2.0/*.bundle"):
            path.unlink()
        with pytest.raises(InstallError, match="is not here either"):
            runner.push()
        assert server.asked("PATCH") == []


class TestTheServer:
    @pytest.mark.parametrize(
        ("status", "error", "words"),
        [
            (401, InstallError, "does not know this token"),
            (403, InstallError, "may not do that: because"),
            (404, InstallError, "because"),
            (507, InstallError, "because"),
            (413, FormatError, r"refuses it \(HTTP 413\): because"),
            (422, FormatError, "because"),
            (302, TransportError, "redirect refused"),
        ],
    )
    def test_that_refuses_is_asked_once_and_quoted(
        self,
        status: int,
        error: type[Exception],
        words: str,
        server: ApiServer,
        runner: Runner,
    ) -> None:
        runner.add("2.0", 2)
        server.misbehave = says(status, Location=f"{server.url}/elsewhere")
        with pytest.raises(error, match=words) as caught:
            runner.push()
        assert len(server.asked("POST")) == 1
        assert server.token not in str(caught.value)
        server.misbehave = lambda _: False
        runner.push()
        assert published(server) == {"1.0", "2.0"}

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_that_is_in_trouble_for_ever_is_asked_a_few_times(
        self, status: int, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)
        waits: list[float] = []
        runner.server = replace(runner.server, sleep=waits.append)
        server.misbehave = says(status, Retry_After="5")
        with pytest.raises(TransportError, match=str(status)):
            runner.push()
        assert len(server.asked("POST")) == TRIES
        assert waits == [5, 5, 5, 8, 16]

    def test_that_asks_for_too_much_patience_gets_a_minute(
        self, server: ApiServer, runner: Runner
    ) -> None:
        waits: list[float] = []
        runner.server = replace(runner.server, sleep=waits.append)
        runner.add("2.0", 2)
        server.misbehave = says(429, Retry_After="9" * 50)
        with pytest.raises(TransportError):
            runner.push()
        assert set(waits) == {60}

    def test_that_recovers_gets_all_of_it(self, server: ApiServer, runner: Runner) -> None:
        runner.add("2.0", 2)
        turns = itertools.count()

        def stumbles(handler: Handler) -> bool:
            trouble = handler.command != "GET" and next(turns) % 2 == 0
            if trouble:
                handler.answer(503)
            return trouble

        server.misbehave = stumbles
        runner.push()
        assert published(server) == {"1.0", "2.0"}

    @pytest.mark.parametrize("offset", ["0", "-1", "99999999999", "many", ""])
    def test_that_lies_about_what_it_received_is_left(
        self, offset: str, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)
        server.misbehave = says(204, method="PATCH", Upload_Offset=offset)
        with pytest.raises((TransportError, FormatError)):
            runner.push()
        assert len(server.asked("PATCH")) <= TRIES
        assert published(server) == {"1.0"}

    def test_that_forgets_what_it_received_is_left(self, server: ApiServer, runner: Runner) -> None:
        runner.add("2.0", 2)
        server.misbehave = says(422, method="PATCH")
        with pytest.raises(TransportError, match="does not keep what it is sent"):
            runner.push()
        assert len(server.asked("PATCH")) == TRIES

    def test_that_has_less_than_we_thought_is_sent_the_rest(
        self, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)
        turns = itertools.count()

        def forgets(handler: Handler) -> bool:
            if handler.command == "PATCH" and next(turns) == 2:
                server.forget_received()
            return False

        server.misbehave = forgets
        runner.push()
        assert published(server) == {"1.0", "2.0"}

    def test_that_never_has_all_of_it_is_left(self, server: ApiServer, runner: Runner) -> None:
        runner.add("2.0", 2)

        def lacks(handler: Handler) -> bool:
            if handler.path.endswith("/publish"):
                handler.answer(409, {"error": "no", "missing": []})
            return handler.path.endswith("/publish")

        server.misbehave = lacks
        with pytest.raises(InstallError, match="does not keep"):
            runner.push()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"[" * 100_000,
            b'{"id": 1}',
            b'{"id": "../x", "published": false, "missing": []}',
            b'{"id": "0", "published": false, "missing": [{"sha256": "../x"}]}',
            b"\xff",
        ],
    )
    def test_that_talks_nonsense_is_told_so(
        self, body: bytes, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)

        def babbles(handler: Handler) -> bool:
            if handler.command == "POST":
                handler.answer(200, body)
            return handler.command == "POST"

        server.misbehave = babbles
        with pytest.raises(FormatError):
            runner.push()

    def test_that_says_too_much_is_not_believed(self, server: ApiServer, runner: Runner) -> None:
        runner.add("2.0", 2)

        def floods(handler: Handler) -> bool:
            if handler.command == "POST":
                handler.answer(200, b" " * (5 << 20))
            return handler.command == "POST"

        server.misbehave = floods
        with pytest.raises(TransportError, match="more than"):
            runner.push()

    def test_whose_words_would_play_with_the_terminal_is_tamed(
        self, server: ApiServer, runner: Runner
    ) -> None:
        runner.add("2.0", 2)

        def paints(handler: Handler) -> bool:
            if handler.command == "POST":
                handler.answer(422, {"error": "\x1b[2J" + "a" * 9_000})
            return handler.command == "POST"

        server.misbehave = paints
        with pytest.raises(FormatError) as caught:
            runner.push()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500


class TestTheToken:
    def test_is_sent_nowhere_by_http_but_on_this_machine(self) -> None:
        for url in ("http://127.0.0.1:8000/", "http://localhost", "http://[::1]:1"):
            assert check_server(url, insecure=False) == url.rstrip("/")
        assert check_server("https://example.org/repo/", insecure=False)
        assert check_server("http://example.org", insecure=True)
        with pytest.raises(InstallError, match="could read the token"):
            check_server("http://example.org", insecure=False)

    @pytest.mark.parametrize(
        "url",
        [
            *("", "example.org", "ftp://example.org", "https://", "https://a b@c", "http://[::1"),
            *("https://token@example.org", "https://example.org/?token=1", "https://x/#y"),
        ],
    )
    def test_is_sent_to_no_strange_url(self, url: str) -> None:
        with pytest.raises(InstallError):
            check_server(url, insecure=True)

    @pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "tök"])
    def test_must_be_one(self, token: str) -> None:
        with pytest.raises(InstallError) as caught:
            token_of({"NAME": token}, "NAME")
        assert not token.strip() or token not in str(caught.value)

    def test_shows_in_no_repr(self, server: ApiServer, runner: Runner) -> None:
        assert server.token not in repr(runner.server)


class TestCommands:
    @pytest.fixture(autouse=True)
    def _environment(self, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CI_TOKEN", server.token)
        for name, value in PASSWORD.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("time.time", lambda: float(NOW))

    def test_push_and_fetch_speak_as_all_do(
        self, server: ApiServer, runner: Runner, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runner.add("2.0", 2)
        keys = runner.keys.folder
        line = f"push {runner.folder} --to {server.url} --token-env CI_TOKEN --keys {keys} --quiet"
        assert main([*line.split(), "--json"]) == 0
        out, err = capsys.readouterr()
        document = json.loads(out)
        assert (document["apps"], document["rebased"], err) == ({"notes": 3}, [], "")
        assert main(line.split()) == 10
        assert main(["fetch", server.url, str(runner.folder), "--quiet", "--json"]) == 0
        out, err = capsys.readouterr()
        assert "the server has all of it" in out
        assert server.token not in out + err

    def test_promote_pause_and_resume_ask_the_server(
        self, server: ApiServer, runner: Runner, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runner.add("2.0", 2)
        runner.push()
        rest = f"--app notes --version 2.0 --to {server.url} --token-env CI_TOKEN".split()
        assert main(["promote", "-", *rest, "--ramp", "10@now,100@+24h"]) == 0
        assert "to 10 % of its installs, to 100 % from" in capsys.readouterr().out
        assert main(["pause", str(runner.folder), *rest, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["entries"][0]["paused"]
        assert main(["resume", "-", *rest]) == 0
        assert main(["promote", "-", *rest, "--rollout", "50"]) == 0

    def test_a_repository_that_is_written_here_asks_no_server(
        self, server: ApiServer, publisher: Publisher, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rest = f"--app notes --version 1.0 --to {server.url} --token-env CI_TOKEN".split()
        name_writer(Disk(), publisher.folder, "local")
        for verb in ("promote", "pause", "resume"):
            assert main([verb, str(publisher.folder), *rest]) == 7
        assert "is written by this tool" in capsys.readouterr().err
        assert server.asked("POST") == []

    def test_a_wrong_token_is_not_repeated(
        self,
        server: ApiServer,
        runner: Runner,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("CI_TOKEN", "some-other-secret")
        runner.add("2.0", 2)
        line = f"push {runner.folder} --to {server.url} --token-env CI_TOKEN"
        assert main(line.split()) == 7
        out, err = capsys.readouterr()
        assert "does not know this token" in err
        assert "some-other-secret" not in out + err
        assert main([*line.replace("CI_TOKEN", "NO_TOKEN").split()]) == 7
        assert "NO_TOKEN" in capsys.readouterr().err


@contextmanager
def suppressed_kill() -> Iterator[list[bool]]:
    """What is killed says nothing in the list."""
    lived: list[bool] = []
    with suppress(Killed):
        yield lived


def dies_at(patch: pytest.MonkeyPatch, folder: Path, count: int) -> None:
    """Nothing in ``folder`` is renamed or removed from the n-th time on."""
    left = itertools.count(count, -1)
    replace_, unlink = Disk.replace, Disk.unlink

    def check(path: Path) -> None:
        if path.is_relative_to(folder) and next(left) <= 0:
            raise Killed

    def replaced(self: Disk, source: Path, path: Path) -> None:
        check(path)
        replace_(self, source, path)

    def unlinked(self: Disk, path: Path) -> None:
        check(path)
        unlink(self, path)

    patch.setattr(Disk, "replace", replaced)
    patch.setattr(Disk, "unlink", unlinked)


class Deadly:
    """A sender that is killed at its n-th request: before it is sent, or before its answer."""

    def __init__(self, sender: Any, count: int) -> None:
        self._sender = sender
        self._left = count

    def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Reply:
        self._left -= 1
        if self._left == 0:
            raise Killed
        reply: Reply = self._sender.send(method, url, body, headers)
        self._left -= 1
        if self._left == 0:
            raise Killed
        return reply
