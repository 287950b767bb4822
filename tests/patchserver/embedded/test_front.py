"""The embedded server's own parts: its files in memory, its bridge to Flask, its socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.http import http_date

from patchserver import ServerSettings, create_app
from patchserver.embedded import file_cache, listener
from patchserver.embedded.file_cache import SMALL, FileCache
from patchserver.embedded.front import Front
from patchserver.embedded.listener import listen
from patchserver.embedded.wsgi_bridge import Bridge, environ, run
from patchserver.files.public_files import PublicFolder
from patchserver.ops.metrics import Metrics
from tests.support.servers.asking import BUNDLE, DIGEST, MTIME, TIMESTAMP, write
from updater.errors import InstallError

BODY = bytes(range(256)) * 2048


@dataclass
class Headers:
    lines: list[tuple[str, str]]

    def get(self, key: str, default: str | None = None, /) -> str | None:
        return next((value for name, value in self.lines if name == key), default)

    def items(self) -> list[tuple[str, str]]:
        return self.lines


@dataclass
class Request:
    """What granian gives, as far as we ask."""

    method: str
    path: str
    headers: Headers
    query_string: str = ""
    http_version: str = "1.1"
    scheme: str = "http"
    server: str = "[::1]:8080"
    client: str = "[2001:db8::1]:50000"


@dataclass
class Wire:
    """What granian takes, and what was given to it."""

    pieces: list[bytes] = field(default_factory=list)
    sent: list[tuple[Any, ...]] = field(default_factory=list)

    def __aiter__(self) -> Wire:
        return self

    async def __anext__(self) -> bytes:
        if not self.pieces:
            await asyncio.sleep(3600)
        return self.pieces.pop(0)

    def response_empty(self, status: int, headers: list[tuple[str, str]], /) -> None:
        self.sent.append((status, headers, b""))

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None:
        self.sent.append((status, headers, body))

    def response_file_range(
        self, status: int, headers: list[tuple[str, str]], file: str, start: int, end: int, /
    ) -> None:
        self.sent.append((status, headers, Path(file).read_bytes()[start:end]))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write(folder / TIMESTAMP[1:], b'{"version":1}')
    write(folder / "metadata/1.root.json", b'{"root":1}')
    write(folder / BUNDLE[1:], BODY)
    return folder


def answered(repository: Path, request: Request, wire: Wire | None = None) -> tuple[Any, ...]:
    wire = wire or Wire()
    app = create_app(ServerSettings(repository))
    front = Front(PublicFolder(repository), app.wsgi_app, Metrics())
    asyncio.run(front.__rsgi__(request, wire))
    (sent,) = wire.sent
    return sent


# --- the front answers as the application does ---


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        BUNDLE,
        TIMESTAMP,
        "/metadata/1.root.json",
        "/metadata/2.root.json",
        "/metadata/",
        "/targets/x",
        "/healthz",
        "/nothing",
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"range": "bytes=5-9"},
        {"range": "bytes=9999999-"},
        {"range": "bytes=0-1,3-4"},
        {"range": "bytes=5-9", "if-range": f'"{DIGEST}"'},
        {"range": "bytes=5-9", "if-range": http_date(MTIME)},
        {"range": "bytes=5-9", "if-range": "x" * 1000},
        {"if-none-match": f'"{DIGEST}"'},
        {"if-none-match": "*"},
        {"if-modified-since": http_date(MTIME)},
        {"if-match": '"other"'},
        {"if-match": f'"{DIGEST}"'},
    ],
)
def test_front_and_application_answer_alike(
    repository: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    status, sent, body = answered(repository, Request(method, path, Headers(list(headers.items()))))
    client = create_app(ServerSettings(repository)).test_client()
    with client.open(path, method=method, headers=headers) as direct:
        if method == "HEAD":
            body = b""  # granian sends none
        assert (status, body) == (direct.status_code, direct.data)
        found = {name.lower(): value for name, value in sent if name != "X-Request-Id"}
        assert found.pop("server") == "patchserver"
        expected = {name.lower(): v for name, v in direct.headers if name != "X-Request-Id"}
        assert found == expected


def test_trouble_of_the_disk_is_503_and_a_bug_is_500(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise PermissionError(13, "no")

    def bug(*_: object) -> None:
        raise ZeroDivisionError("private detail")

    request = Request("GET", TIMESTAMP, Headers([]))
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        assert answered(repository, request)[0] == 503
    monkeypatch.setattr("patchserver.embedded.front.answer", bug)
    status, _, body = answered(repository, request)
    assert (status, body) == (500, b'{"error": "internal server error"}\n')


# --- files in memory ---


def test_a_file_is_read_once_and_again_as_soon_as_it_is_another(repository: Path) -> None:
    files = FileCache(PublicFolder(repository))
    first = files.get("metadata/timestamp.json")
    assert files.get("metadata/timestamp.json") is first
    write(repository / TIMESTAMP[1:], b'{"version":2}')  # of the same size and time
    assert files.get("metadata/timestamp.json").body == b'{"version":2}'
    (repository / TIMESTAMP[1:]).unlink()
    with pytest.raises(FileNotFoundError):
        files.get("metadata/timestamp.json")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_name_that_becomes_a_link_to_what_is_private_is_gone(repository: Path) -> None:
    files = FileCache(PublicFolder(repository))
    assert files.get("metadata/1.root.json").body == b'{"root":1}'
    write(repository / "keys/online.pem", b"private")
    (repository / "metadata/1.root.json").unlink()
    (repository / "metadata/1.root.json").symlink_to(repository / "keys/online.pem")
    with pytest.raises(FileNotFoundError):
        files.get("metadata/1.root.json")


def test_big_files_are_not_kept_and_what_may_change_is_never_left_to_its_path(
    repository: Path,
) -> None:
    files = FileCache(PublicFolder(repository))
    assert files.get(BUNDLE[1:]).body is None
    write(repository / TIMESTAMP[1:], b"x" * (SMALL + 1))
    assert files.get("metadata/timestamp.json").body == b"x" * (SMALL + 1)
    assert files._kept == {}


def test_only_so_much_is_kept(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_cache, "CAPACITY", 25)
    files = FileCache(PublicFolder(repository))
    for number in (1, 2, 3):
        write(repository / f"metadata/{number}.root.json", b"0123456789")
        files.get(f"metadata/{number}.root.json")
    assert list(files._kept) == ["metadata/2.root.json", "metadata/3.root.json"]
    assert files._size == 20


def test_a_file_that_changes_while_it_is_read_is_not_sent(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rewriting(file: Any) -> bytes:
        os.utime(file.path, (MTIME, MTIME + 1))
        return b'{"version":1}'

    monkeypatch.setattr(file_cache, "_body", rewriting)
    with pytest.raises(OSError, match="changed while it was read"):
        FileCache(PublicFolder(repository)).get("metadata/timestamp.json")


# --- the bridge ---


def test_a_request_as_wsgi_has_it() -> None:
    lines = [
        ("host", "example.org"),
        ("content-type", "application/json"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("accept", "x"),
        ("accept", "y"),
        ("x_forwarded_for", "8.8.8.8"),
        ("proxy", "http://evil.example"),
        ("content-length", "99"),
    ]
    found = environ(Request("POST", "/ä", Headers(lines), query_string="q=1"), b"body")
    assert found["PATH_INFO"] == "/ä".encode().decode("latin-1")
    assert found["REMOTE_ADDR"] == "2001:db8::1"
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("::1", "8080")
    assert found["CONTENT_LENGTH"] == "4"
    assert found["wsgi.input"].read() == b"body"
    assert found["HTTP_COOKIE"] == "a=1; b=2"
    assert found["HTTP_ACCEPT"] == "x,y"
    assert "HTTP_X_FORWARDED_FOR" not in found
    assert "HTTP_PROXY" not in found


def test_an_application_that_writes_and_closes() -> None:
    closed = []

    class Result(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(_: dict[str, Any], start_response: Any) -> Result:
        start_response("201 Created", [("X", "y")])(b"a")
        return Result([b"b", b"c"])

    answer = run(app, {})
    assert (answer.status, answer.headers, answer.body) == (201, (("X", "y"),), b"abc")
    assert closed == [True]


def upload(pieces: list[bytes], length: int) -> Coroutine[Any, Any, tuple[int, Bridge]]:
    """Send ``pieces`` of a body of ``length`` to an application; the status of the answer."""

    def app(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    async def sent() -> tuple[int, Bridge]:
        bridge = Bridge(app)
        headers = Headers([("content-length", str(length))])
        answer = await bridge.handle(Request("POST", "/api/x", headers), Wire(pieces))
        return answer.status, bridge

    return sent()


@pytest.mark.parametrize(
    ("pieces", "length", "status"),
    [
        ([b"ab", b"cd"], 4, 200),
        ([b"ab", b""], 4, 400),
        ([b"abcde"], 4, 400),
        ([], 0, 200),
        ([], 9_000_000, 413),
    ],
)
def test_bodies_are_as_long_as_they_say(pieces: list[bytes], length: int, status: int) -> None:
    found, bridge = asyncio.run(upload(pieces, length))
    assert found == status
    assert (bridge._load.bytes, bridge._load.requests) == (0, 0)


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchserver.embedded.wsgi_bridge.GRACE", 0.05)
    status, bridge = asyncio.run(upload([b"ab"], 4))
    assert status == 408
    assert bridge._load.bytes == 0


def test_bodies_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchserver.embedded.wsgi_bridge.BUFFERED", 3)
    status, bridge = asyncio.run(upload([b"ab", b"cd"], 4))
    assert status == 503
    assert bridge._load.bytes == 0


def test_only_so_many_wait_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchserver.embedded.wsgi_bridge.WAITING", 0)
    assert asyncio.run(upload([], 0))[0] == 503


# --- the socket ---


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_a_client_that_takes_nothing_is_dropped_by_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "STALLED_SECONDS", 1)
    with listen("127.0.0.1", 0) as bound:
        address = bound.getsockname()
        with socket.create_connection(address), bound.accept()[0] as accepted:
            accepted.settimeout(30)
            with pytest.raises(TimeoutError, match="timed out"):
                accepted.sendall(bytes(64 * 1024 * 1024))


def test_a_port_that_others_would_share_is_taken_all_the_same() -> None:
    with socket.socket() as sharing:
        if hasattr(socket, "SO_REUSEPORT"):
            sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sharing.bind(("127.0.0.1", 0))
        sharing.listen()
        with pytest.raises(InstallError, match="cannot listen"):
            listen("127.0.0.1", sharing.getsockname()[1])
