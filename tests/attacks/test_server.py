"""Section G of the faults: what strangers may try on the server, embedded or behind another."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.deployment import running_server
from tests.support.servers.asking import BUNDLE, DIGEST, TIMESTAMP, ask, send, write
from tests.support.servers.serving import served
from tests.support.servers.slow_clients import crowd, longest_wait, slow_senders

BODY = bytes(range(256)) * 64
SECRET = b"private"
PRIVATE = ("keys/online.pem", ".git/config", "patchserver.db", ".lock", "metadata/.t.json.tmp")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked") / "repository"
    for name in PRIVATE:
        write(folder / name, SECRET)
    write(folder.parent / "secret.json", SECRET)
    write(folder / TIMESTAMP[1:], b'{"version":1}')
    write(folder / BUNDLE[1:], BODY)
    return folder


@pytest.fixture(scope="module", params=["embedded", "application"])
def port(repository: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """The embedded server with its front, and the application alone, as gunicorn runs it."""
    if request.param == "embedded":
        with running_server(repository) as port:
            yield port
    else:
        with served(repository) as url:
            yield int(url.rpartition(":")[2])


@pytest.fixture(scope="module")
def embedded(repository: Path) -> Iterator[int]:
    with running_server(repository) as port:
        yield port


@pytest.mark.parametrize(
    "header",
    [
        "bytes=" + ",".join(f"{n}-{n}" for n in range(1_000)),
        "bytes=" + ",".join(["0-"] * 1_000),
        "bytes=0-9,5-14",
        "bytes=-9-5",
        "bytes=--5",
        "bytes=5--9",
        "bytes=9-5",
        "bytes=-0",
    ],
)
def test_abuse_of_ranges_gets_the_file_once(port: int, header: str) -> None:
    status, headers, body = ask(port, BUNDLE, range=header)
    assert (status, body) == (200, BODY)
    assert "Content-Range" not in headers


def test_a_range_from_behind_the_end_is_told_the_size(port: int) -> None:
    status, headers, _ = ask(port, BUNDLE, range="bytes=18446744073709551616-")
    assert status == 416
    assert headers["Content-Range"] == f"bytes */{len(BODY)}"


def test_a_part_is_sent_only_of_the_same_file(port: int) -> None:
    tag = ask(port, BUNDLE)[1]["ETag"]
    assert ask(port, BUNDLE, range="bytes=1-3", if_range=tag)[0] == 206
    assert ask(port, BUNDLE, range="bytes=1-3", if_range='"other"')[2] == BODY
    assert ask(port, BUNDLE, range="bytes=1-3", if_range=f"W/{tag}")[2] == BODY


# --- 54: names ---


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize(
    "way",
    [
        "/{}",
        "/metadata/../{}",
        "/metadata/%2e%2e/{}",
        "/metadata/%252e%252e/{}",
        "/metadata/..%5c{}",
        "/metadata/..\\{}",
        "/targets/notes/../../{}",
        "/targets/%2e%2e%2f{}",
        "/metadata/{}",
        "/metadata/timestamp.json%00/../{}",
        "/metadata/..%00/{}",
        "/{}%00.json",
        "//{}",
        "/internal/{}",
        "/static/../{}",
    ],
)
def test_keys_databases_and_hidden_files_are_not_there(port: int, way: str, name: str) -> None:
    path = way.format(name)
    answer = send(port, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in {b"404", b"400"}
    assert SECRET not in answer


def test_the_server_cannot_be_told_to_hand_out_files_by_itself(port: int) -> None:
    status, headers, body = ask(port, BUNDLE, x_accel_redirect="/keys/online.pem")
    assert (status, body) == (200, BODY)
    assert "X-Accel-Redirect" not in headers


# --- 28: names of files are the client's own affair ---


def test_no_answer_names_a_file_to_save(port: int) -> None:
    for path in (BUNDLE, TIMESTAMP, "/nothing"):
        assert "Content-Disposition" not in ask(port, path)[1]


# --- 58: HEAD, conditions ---


def test_head_is_get_without_its_body(port: int) -> None:
    for path in (BUNDLE, TIMESTAMP):
        got, asked = ask(port, path), ask(port, path, "HEAD")
        assert asked[0] == 200
        assert asked[2] == b""
        for name in ("Content-Length", "ETag", "Last-Modified", "Cache-Control", "Content-Type"):
            assert asked[1][name] == got[1][name]


def test_a_condition_saves_the_body_and_nothing_else(port: int) -> None:
    for path in (BUNDLE, TIMESTAMP):
        tag = ask(port, path)[1]["ETag"]
        assert ask(port, path, if_none_match=tag)[::2] == (304, b"")
        assert ask(port, path, if_match='"other"')[0] == 412


# --- 61: what every answer says, and what none says ---


@pytest.mark.parametrize("path", [BUNDLE, TIMESTAMP, "/", "/healthz", "/metadata/9.root.json"])
def test_every_answer_is_guarded(port: int, path: str) -> None:
    _, headers, body = ask(port, path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert b"Traceback" not in body
    assert b"Werkzeug Debugger" not in body


@pytest.mark.parametrize("path", ["/console", "/?__debugger__=yes&cmd=resource&f=style.css"])
def test_there_is_no_debugger(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


def test_a_request_id_is_echoed_only_if_it_is_sane(port: int) -> None:
    assert ask(port, "/healthz", x_request_id="abc-1234")[1]["X-Request-Id"] == "abc-1234"
    for odd in ("short", "x" * 65, 'a"b{}: 12345', "<script>12"):
        assert ask(port, "/healthz", x_request_id=odd)[1]["X-Request-Id"] != odd


# --- requests that two parsers could read in two ways ---


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", {400, 411}),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", {400}),
        ("Content-Length: -5\r\n", {400}),
        ("Content-Length: +5\r\n", {400}),
        ("Transfer-Encoding: chunked\r\n", {411}),
        ("Content-Length: 9000000\r\n", {413}),
        ("Content-Length: 99999999999999999999999\r\n", {400, 413}),
    ],
)
def test_bodies_of_doubtful_length_are_refused(
    embedded: int, headers: str, statuses: set[int]
) -> None:
    request = f"POST /api/v1/checkins HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n"
    answer = send(embedded, request.encode() + b"0\r\n\r\n")
    assert int(answer.split(b" ")[1]) in statuses


def test_a_form_may_be_shorter_than_an_upload(embedded: int) -> None:
    head = "Host: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n"
    form = send(embedded, f"POST /sign-in HTTP/1.1\r\n{head}".encode())
    assert form.startswith(b"HTTP/1.1 413 ")
    body = b"x" * 100_000
    upload = send(embedded, f"POST /api/nothing HTTP/1.1\r\n{head}".encode() + body)
    assert upload.startswith(b"HTTP/1.1 404 ")


# --- 58: slow clients ---


@pytest.mark.timeout(120)
def test_slow_clients_do_not_stop_others(embedded: int, repository: Path) -> None:
    big = f"/targets/notes/releases/1.3.0/{DIGEST}.bundle"
    write(repository / big[1:], b"")
    os.truncate(repository / big[1:], 64 * 1024 * 1024)
    with crowd(embedded, big):
        assert longest_wait(embedded, [TIMESTAMP, "/healthz", BUNDLE], 10) < 2


@pytest.mark.slow
def test_a_sender_that_is_too_slow_is_told_so(embedded: int) -> None:
    with slow_senders(embedded, 3, "/api/v1/reports", 60_000) as clients:
        began = time.monotonic()
        answers = [client.recv(200) for client in clients]
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert 8 < time.monotonic() - began < 20


def test_a_hundred_uploads_at_once_are_all_answered(embedded: int) -> None:
    head = b"POST /api/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", embedded), timeout=30) for _ in range(50)]
    for client in clients:
        client.sendall(head + b"x" * 1_000_000)
    waited = longest_wait(embedded, [TIMESTAMP, "/healthz"], 3)
    statuses = set()
    for client in clients:
        with suppress(OSError):  # refused already; the answer is there to be read
            client.sendall(b"x" * 1_000_000)
        statuses.add(client.recv(12)[9:12])
        client.close()
    assert statuses <= {b"404", b"503"}
    assert waited < 5


# --- what is counted ---


def test_metrics_name_routes_and_never_paths(port: int) -> None:
    ask(port, "/healthz")
    ask(port, TIMESTAMP)
    ask(port, "/no/such/../place?token=secret")
    text = ask(port, "/metrics")[2].decode()
    assert 'route="/healthz"' in text
    assert 'patchserver_files_total{kind="timestamp",status="200"}' in text
    assert 'route="none"' in text
    assert "place" not in text
    assert "secret" not in text


def test_errors_are_json(port: int) -> None:
    for path in ("/nothing", "/metadata/9.root.json"):
        assert json.loads(ask(port, path)[2]) == {"error": "not found"}
