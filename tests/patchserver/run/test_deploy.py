"""The files of ``deploy/``: real nginx before two real processes of gunicorn, on loopback."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.http import http_date

from benchmarks.deployment import DEPLOY, deployed, missing
from patchserver import ServerSettings, create_app
from tests.support.servers.asking import BUNDLE, DIGEST, MTIME, TIMESTAMP, ask, write
from tests.support.servers.slow_clients import crowd, longest_wait

BIG = f"/targets/notes/releases/1.3.0/{DIGEST}.bundle"
BODY = bytes(range(256)) * 8192
SECRET = b"private"

slow = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"not installed here: {missing()}"),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed") / "repository"
    write(folder / TIMESTAMP[1:], b'{"version":1}')
    write(folder / BUNDLE[1:], BODY)
    write(folder / BIG[1:], b"")
    os.truncate(folder / BIG[1:], 64 * 1024 * 1024)
    for name in ("keys/online.pem", ".git/config", "metadata/.t.json.tmp", "targets/x"):
        write(folder / name, SECRET)
    linked = folder / f"targets/notes/releases/1.4.0/{DIGEST}.bundle"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(folder / BUNDLE[1:])
    return folder


@pytest.fixture(scope="module")
def port(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with deployed(repository, tmp_path_factory.mktemp("nginx") / "run") as port:
        yield port


class TestBehindNginx:
    pytestmark = slow

    def test_headers_are_those_of_the_application(self, port: int, repository: Path) -> None:
        client = create_app(ServerSettings(repository)).test_client()
        for path in (BUNDLE, TIMESTAMP, "/metadata/7.root.json", "/nothing"):
            status, headers, body = ask(port, path)
            with client.get(path) as direct:
                assert (status, body) == (direct.status_code, direct.data)
                for name, value in direct.headers:
                    if name not in {"X-Request-Id", "Accept-Ranges"}:
                        assert headers.get_all(name) == [value]
            assert headers["Server"] == "nginx"
            assert "X-Accel-Redirect" not in headers

    def test_a_replaced_timestamp_is_seen_within_two_seconds(
        self, port: int, repository: Path
    ) -> None:
        _, headers, body = ask(port, TIMESTAMP)
        assert ask(port, TIMESTAMP, if_none_match=headers["ETag"])[0] == 304
        later = body.replace(b"1", b"2") if b"1" in body else body.replace(b"2", b"1")
        write(repository / TIMESTAMP[1:], later)
        time.sleep(2.1)
        status, renewed, body = ask(port, TIMESTAMP, if_none_match=headers["ETag"])
        assert (status, body) == (200, later)
        assert renewed["Last-Modified"] == headers["Last-Modified"]

    def test_a_missing_root_is_not_remembered(self, port: int, repository: Path) -> None:
        assert ask(port, "/metadata/2.root.json")[0] == 404
        write(repository / "metadata/2.root.json", b"{}")
        assert ask(port, "/metadata/2.root.json")[2] == b"{}"

    @pytest.mark.parametrize(
        ("headers", "status", "body"),
        [
            ({"range": "bytes=5-9"}, 206, BODY[5:10]),
            ({"range": "bytes=-5"}, 206, BODY[-5:]),
            ({"range": "bytes=5-9", "if_range": f'"{DIGEST}"'}, 206, BODY[5:10]),
            ({"range": "bytes=5-9", "if_range": http_date(MTIME)}, 206, BODY[5:10]),
            ({"range": "bytes=5-9", "if_range": '"other"'}, 200, BODY),
            ({"range": "bytes=5-9", "if_range": f'W/"{DIGEST}"'}, 200, BODY),
            ({"range": "bytes=5-9,20-30"}, 200, BODY),
            ({"range": "bytes=" + ",".join(["0-"] * 1000)}, 200, BODY),
            ({"if_none_match": f'"{DIGEST}"'}, 304, b""),
            ({"if_none_match": '"other"', "if_modified_since": http_date(MTIME)}, 200, BODY),
            ({"if_modified_since": http_date(MTIME)}, 304, b""),
            ({"if_match": f'"{DIGEST}"'}, 200, BODY),
        ],
    )
    def test_parts_and_conditions(
        self, port: int, headers: dict[str, str], status: int, body: bytes
    ) -> None:
        answer = ask(port, BUNDLE, **headers)
        assert answer[::2] == (status, body)
        assert answer[1]["ETag"] == f'"{DIGEST}"'

    def test_a_range_behind_the_end_and_head(self, port: int) -> None:
        status, headers, _ = ask(port, BUNDLE, range="bytes=99999999-")
        assert (status, headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")
        status, headers, body = ask(port, BUNDLE, "HEAD")
        assert (status, body, headers["Content-Length"]) == (200, b"", str(len(BODY)))

    def test_links_are_followed_by_the_application_and_not_by_nginx(self, port: int) -> None:
        assert ask(port, f"/targets/notes/releases/1.4.0/{DIGEST}.bundle")[2] == BODY

    @pytest.mark.parametrize(
        "path",
        [
            "/metadata/",
            "/targets/",
            "/targets/notes/",
            "/internal/",
            "/internal/metadata/timestamp.json",
            f"/internal{BUNDLE}",
            "/internal/keys/online.pem",
            "/keys/online.pem",
            "/metadata/../keys/online.pem",
            "/metadata/%2e%2e/keys/online.pem",
            "/metadata/%252e%252e/keys/online.pem",
            "/metadata/..%2fkeys/online.pem",
            "/metadata/..%5ckeys/online.pem",
            "/internal/../keys/online.pem",
            "/metadata/.t.json.tmp",
            "/targets/x",
            "/.git/config",
            "/metadata../keys/online.pem",
            "/targets/..;/keys/online.pem",
        ],
    )
    def test_nothing_else_is_there(self, port: int, path: str) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.split(b" ")[1] in {b"404", b"400"}
        assert SECRET not in answer
        assert b"<a href" not in answer

    @pytest.mark.parametrize(
        ("path", "length", "status"),
        [
            ("/sign-in", 65 * 1024, 413),
            ("/sign-in", 100, 404),
            ("/api/nothing", 8 * 1024 * 1024, 404),
            ("/api/nothing", 9 * 1024 * 1024, 413),
        ],
    )
    def test_bodies_have_limits(self, port: int, path: str, length: int, status: int) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(head.encode())
            if status != 413:
                connection.sendall(b"x" * length)
            assert connection.recv(12) == f"HTTP/1.1 {status}".encode()

    def test_clients_cannot_say_who_they_are(self, port: int) -> None:
        # Were it believed, an address of the internet would see no metrics.
        assert ask(port, "/metrics", x_forwarded_for="8.8.8.8")[0] == 200

    def test_metrics_are_of_all_processes(self, port: int) -> None:
        before = _count(port)
        for _ in range(40):
            ask(port, "/nothing/at/all")
        assert {_count(port) - before for _ in range(10)} == {40}

    @pytest.mark.timeout(120)
    def test_slow_clients_do_not_stop_others(self, port: int) -> None:
        with crowd(port, BIG):
            assert longest_wait(port, [TIMESTAMP, "/healthz", BUNDLE], 10) < 2


def _count(port: int) -> float:
    lines = ask(port, "/metrics")[2].decode().splitlines()
    wanted = 'patchserver_requests_total{method="GET",route="none",status="404"}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))


# --- what can be seen without nginx ---


def test_the_application_names_the_file_and_leaves_out_its_bytes(repository: Path) -> None:
    client = create_app(ServerSettings(repository, accel="/internal")).test_client()
    with client.get(BUNDLE, headers={"Range": "bytes=0-9"}) as response:
        assert (response.status_code, response.data) == (200, b"")
        assert response.headers["X-Accel-Redirect"] == f"/internal{BUNDLE}"
        assert response.headers["ETag"] == f'"{DIGEST}"'
        assert "Content-Range" not in response.headers


def test_a_link_is_named_by_where_it_leads(repository: Path) -> None:
    client = create_app(ServerSettings(repository, accel="/internal")).test_client()
    with client.get(f"/targets/notes/releases/1.4.0/{DIGEST}.bundle") as response:
        assert response.headers["X-Accel-Redirect"] == f"/internal{BUNDLE}"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (TIMESTAMP, {}),
        (BUNDLE, {"If-Match": f'"{DIGEST}"'}),
        (BUNDLE, {"If-None-Match": f'"{DIGEST}"'}),
        (BUNDLE, {"Range": "bytes=99999999-"}),
        ("/keys/online.pem", {}),
        ("/targets/x", {}),
    ],
)
def test_what_nginx_does_not_send(repository: Path, path: str, headers: dict[str, str]) -> None:
    client = create_app(ServerSettings(repository, accel="/internal")).test_client()
    with client.get(path, headers=headers) as response:
        assert "X-Accel-Redirect" not in response.headers
    with client.head(BUNDLE) as response:
        assert "X-Accel-Redirect" not in response.headers
        assert response.headers["Content-Length"] == str(len(BODY))


def test_every_variable_of_the_service_is_one_of_ours() -> None:
    unit = (DEPLOY / "patchserver.service").read_text()
    names = {line.split("=")[1] for line in unit.splitlines() if line.startswith("Environment=")}
    known = (DEPLOY.parent / "patchserver/ops/server_settings.py").read_text()
    known += (DEPLOY / "gunicorn.conf.py").read_text()
    assert names
    assert all(f'"{name}"' in known for name in names)
