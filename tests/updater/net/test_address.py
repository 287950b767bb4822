"""What is secret of a repository's URL is sent where it belongs, and told and shown to nobody."""

from __future__ import annotations

import base64
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from patchtool.cli.parser import main as patchtool

from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import misserved, send
from tests.support.trees.trees import noise, read_tree
from updater.cli.commands import main
from updater.client import Updater
from updater.errors import InstallError, TransportError
from updater.local.session import Session
from updater.local.settings import Settings, find_install, read_settings
from updater.net.address import Address, without_secrets
from updater.net.http import HttpTransport
from updater.update.install_new import install

USER, PASSWORD, TOKEN = "me", "s3cret/pw", "sig=T0kEn%2Fx&se=2030"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    ("text", "url", "login", "query"),
    [
        ("https://host/dir/", "https://host/dir", None, ""),
        ("http://me:p%40w@host:8080", "http://host:8080", ("me", "p@w"), ""),
        ("https://me@[::1]:1/a", "https://[::1]:1/a", ("me", ""), ""),
        ("https://host/dir?sig=a%2Fb&x=1", "https://host/dir", None, "sig=a%2Fb&x=1"),
    ],
)
def test_a_url_is_taken_apart(
    text: str, url: str, login: tuple[str, str] | None, query: str
) -> None:
    address = Address.parse(text)
    assert address == Address(url, login, query)
    assert Address(url).with_secrets(address.data) == address
    for secret in (*(login or ())[1:], query):
        assert not secret or secret not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "ftp://me:s3cret@host",
        "http://",
        "http://[::1",
        "http://me:s3cret@host:x/",
        "https://me:s3cret@host/#s3cret",
        "http://host/?s3cret\n",
    ],
)
def test_what_is_no_url_of_a_repository_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(InstallError, match="not the URL") as caught:
        Address.parse(text)
    assert "s3cret" not in str(caught.value).partition("#")[0]


def test_secrets_are_sent_to_no_other_place() -> None:
    address = Address("https://host/dir", (USER, PASSWORD))
    assert address.covers("https://host/dir/metadata/timestamp.json")
    for other in ("https://host/director", "https://host.evil/dir/x", "http://host/dir/x"):
        assert not address.covers(other)


class Guarded:
    """A host that lets nobody in without password and token, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    def __call__(self, handler: BaseHTTPRequestHandler, path: Path) -> bool:  # noqa: ARG002
        self.asked.append(handler.path)
        plain, _, query = handler.path.partition("?")
        if handler.headers.get("Authorization") != BASIC or query != TOKEN:
            send(handler, 401, b"")
            return True
        place = self.folder / plain.lstrip("/")
        send(
            handler, 200 if place.is_file() else 404, place.read_bytes() if place.is_file() else b""
        )
        return True

    folder: Path

    @property
    def whole(self) -> str:
        """The URL with all that is secret."""
        login = f"{USER}:s3cret%2Fpw"
        return self.url.replace("://", f"://{login}@") + f"?{TOKEN}"


@pytest.fixture
def guarded(publisher: Publisher) -> Iterator[Guarded]:
    publisher.release("1.0", {"f": noise(50_000)})
    host = Guarded()
    host.folder = publisher.folder
    with misserved(publisher.folder, host) as url:
        host.url = url
        yield host


def secrets_in(text: str) -> list[str]:
    words = (PASSWORD, "s3cret", "T0kEn", BASIC.partition(" ")[2])
    return [word for word in words if word in text]


def test_an_install_from_a_guarded_host_updates_and_keeps_its_secrets(
    tmp_path: Path, publisher: Publisher, session: Session, guarded: Guarded
) -> None:
    install(tmp_path / "app", guarded.whole, publisher.root, "notes", session=session)
    publisher.release("2.0", {"f": noise(50_000) + b"2"})
    # Another process knows nothing but the State.
    again = Session(config=session.config, clock=session.clock)
    updater = Updater(tmp_path / "app", again)
    assert updater.check() is not None
    assert updater.update()
    assert read_tree(tmp_path / "app")["f"] == noise(50_000) + b"2"
    updater.rollback()
    (tmp_path / "app/f").unlink()
    assert updater.repair() is not None
    state = find_install(tmp_path / "app")
    holders = [
        path
        for path in state.folder.rglob("*")
        if path.is_file() and secrets_in(path.read_bytes().decode(errors="replace"))
    ]
    assert holders == [state.access]
    assert stat.S_IMODE(state.access.stat().st_mode) == 0o600
    assert read_settings(state).url == guarded.url


Spoil = Callable[[Guarded, pytest.MonkeyPatch], None]


def gone(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    (guarded.folder / "metadata/timestamp.json").unlink()


def nonsense(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    (guarded.folder / "metadata/timestamp.json").write_bytes(b'{"signed": 1}')


def behind_a_proxy(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:s3cret@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://me:s3cret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")


@pytest.mark.parametrize("spoil", [gone, nonsense, behind_a_proxy])
@pytest.mark.parametrize("command", ["check", "update", "install", "doctor", "fetch"])
def test_no_message_names_them(
    command: str,
    spoil: Spoil,
    tmp_path: Path,
    publisher: Publisher,
    session: Session,
    guarded: Guarded,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    install(tmp_path / "app", guarded.whole, publisher.root, "notes", session=session, reports=True)
    root = tmp_path / "root.json"
    root.write_bytes(publisher.root)
    spoil(guarded, monkeypatch)
    words = {
        "check": ["--dir", str(tmp_path / "app"), "--json"],
        "update": ["--dir", str(tmp_path / "app"), "--json"],
        "install": [
            "--url",
            guarded.whole,
            "--root",
            str(root),
            "--app",
            "notes",
            str(tmp_path / "new"),
        ],
        "doctor": [guarded.whole, "--json"],
        "fetch": [guarded.whole, str(tmp_path / "copy")],
    }[command]
    run = patchtool if command in {"doctor", "fetch"} else main
    assert run([command, *words]) not in {0, 10}
    said = capsys.readouterr()
    assert guarded.url in said.err
    assert "/tmp/upswap-" not in said.err
    assert not secrets_in(said.err + said.out + caplog.text)
    for path in tmp_path.rglob("reports/*"):
        assert not secrets_in(path.read_text())


def test_who_may_not_read_them_is_told_and_nobody_is_asked_without(
    tmp_path: Path, publisher: Publisher, session: Session, guarded: Guarded
) -> None:
    install(tmp_path / "app", guarded.whole, publisher.root, "notes", session=session)
    state = find_install(tmp_path / "app")
    state.access.write_bytes(b"{}")
    guarded.asked.clear()
    with pytest.raises(InstallError, match="damaged"):
        Updater(tmp_path / "app", session).check()
    assert not guarded.asked


def test_a_wrong_password_is_told_as_that(
    tmp_path: Path, publisher: Publisher, session: Session, guarded: Guarded
) -> None:
    with pytest.raises(TransportError, match="401") as caught:
        install(tmp_path / "app", guarded.url, publisher.root, "notes", session=session)
    assert "password" in caught.value.hint
    assert not (tmp_path / ".app.upswap").exists()


def test_settings_hold_no_secret(tmp_path: Path) -> None:
    document = json.loads(Settings(app="a", channel="stable", url="https://host").data)
    assert document["url"] == "https://host"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ALL_PROXY": "socks5h://me:s3cret@127.0.0.1:9"}, "proxy socks5h://127.0.0.1:9"),
        ({"HTTP_PROXY": "http://me:s3cret@127.0.0.1:9"}, "through the proxy http://127.0.0.1:9"),
    ],
)
def test_a_proxy_in_the_way_is_named_without_its_password(
    environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    transport = HttpTransport(session.config)
    with pytest.raises(TransportError, match=words) as caught, transport.get("http://host.test/x"):
        pass
    assert "s3cret" not in str(caught.value)
    assert environment.keys() & {"ALL_PROXY"} or "PROXY" in caught.value.hint


def test_a_socks_proxy_says_what_it_needs_where_that_is_not_installed() -> None:
    script = """
import sys
sys.modules["socks"] = None  # as where PySocks is not installed
from updater.net.http import HttpTransport
with HttpTransport().get("http://host.test/x"):
    pass
"""
    environment = {**os.environ, "ALL_PROXY": "socks5h://me:s3cret@127.0.0.1:9"}
    environment = {k: v for k, v in environment.items() if k.lower() != "http_proxy"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "TransportError" in last
    assert "the proxy socks5h://127.0.0.1:9 speaks SOCKS" in last
    assert "s3cret" not in done.stderr


def test_a_proxy_that_asks_for_a_password_is_told_as_that(session: Session, tmp_path: Path) -> None:
    def refuse(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        send(handler, 407, b"")
        return True

    with misserved(tmp_path, refuse) as url:
        transport = HttpTransport(session.config)
        with pytest.raises(TransportError, match="407") as caught, transport.get(f"{url}/x"):
            pass
    assert "the proxy wants a user name" in caught.value.hint


def test_where_a_redirect_leads_is_told_without_what_is_secret(
    session: Session, tmp_path: Path
) -> None:
    def move(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        send(handler, 302, b"", Location="https://me:s3cret@new.test/there?sig=s3cret")
        return True

    with misserved(tmp_path, move) as url:
        transport = HttpTransport(session.config)
        with pytest.raises(TransportError, match="leads to") as caught, transport.get(f"{url}/x"):
            pass
    assert "https://new.test/there" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_what_is_secret_of_a_text_is_left_out() -> None:
    said = without_secrets("see http://me:pw@host/a?b=c and //x@y")
    assert said == "see http://host/a?... and //y"
