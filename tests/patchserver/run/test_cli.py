"""The real server: ``python -m patchserver serve`` in a process of its own, over real sockets."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from patchserver.run.cli import main
from tests.support.paths import ROOT
from tests.support.servers.asking import BUNDLE, DIGEST, ask, send, write

BODY = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 256  # 2 MiB
SECRET = b"private"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write(folder / "metadata/timestamp.json", b'{"version":1}')
    write(folder / BUNDLE[1:], BODY)
    write(folder / "keys/online.pem", SECRET)
    write(folder / ".git/config", SECRET)
    write(folder / "server.db", SECRET)
    write(folder / "metadata/.hidden.json", SECRET)
    write(tmp_path / "secret.json", SECRET)
    return folder


@contextmanager
def process(repository: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "patchserver", "serve", "--repo", str(repository), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        try:
            yield running
        finally:
            running.kill()


def port_of(running: subprocess.Popen[str], repository: Path) -> int:
    """The port in the one line that tells the server is ready."""
    assert running.stderr is not None
    line = running.stderr.readline()
    start = f"serving {repository} at http://127.0.0.1:"
    assert line.startswith(start)
    assert line.endswith("/\n")
    return int(line.removeprefix(start)[:-2])


@pytest.fixture
def port(repository: Path) -> Iterator[int]:
    with process(repository, "--port", "0") as running:
        yield port_of(running, repository)


def test_it_serves_new_content_while_running_and_ends_well_on_sigterm(repository: Path) -> None:
    with process(repository, "--port", "0") as running:
        port = port_of(running, repository)
        status, old, body = ask(port, "/metadata/timestamp.json")
        assert (status, body) == (200, b'{"version":1}')

        write(repository / "metadata/timestamp.json", b'{"version":2}')
        status, new, body = ask(port, "/metadata/timestamp.json", if_none_match=old["ETag"])
        assert (status, body) == (200, b'{"version":2}')
        assert new["ETag"] != old["ETag"]
        assert ask(port, "/metadata/timestamp.json", if_none_match=new["ETag"])[0] == 304

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: ask(port, BUNDLE), range(20)))
        assert all((status, body) == (200, BODY) for status, _, body in answers)

        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=15) == 0
        assert running.stderr is not None
        assert running.stderr.read() == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for one process")
def test_sigint_ends_it_well_too_even_in_the_middle_of_a_download(repository: Path) -> None:
    os.truncate(repository / BUNDLE[1:], 64 * 1024 * 1024)
    with process(repository, "--port", "0") as running:
        port = port_of(running, repository)
        with socket.create_connection(("127.0.0.1", port)) as reader:
            reader.sendall(f"GET {BUNDLE} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert reader.recv(10) == b"HTTP/1.1 2"
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=15) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for one process")
def test_what_is_under_way_is_finished_before_the_end(repository: Path) -> None:
    size = 64 * 1024 * 1024  # more than all socket buffers hold
    os.truncate(repository / BUNDLE[1:], size)
    with process(repository, "--port", "0") as running:
        port = port_of(running, repository)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", BUNDLE)
        response = connection.getresponse()
        start = response.read(1000)
        running.send_signal(signal.SIGTERM)
        rest = response.read()
        connection.close()
        assert len(start) + len(rest) == size
        assert running.wait(timeout=15) == 0


def test_a_download_goes_on_from_the_old_file_when_it_is_replaced(
    port: int, repository: Path
) -> None:
    size = 64 * 1024 * 1024  # more than all socket buffers hold
    os.truncate(repository / BUNDLE[1:], size)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", BUNDLE)
    response = connection.getresponse()
    start = response.read(len(BODY))
    write(repository / BUNDLE[1:], b"another")
    rest = response.read()
    connection.close()
    assert start == BODY
    assert len(rest) == size - len(BODY)
    assert rest.count(0) == len(rest)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_addresses_of_six_are_told_as_urls_have_them(repository: Path) -> None:
    with process(repository, "--host", "::1", "--port", "0") as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        assert line.startswith(f"serving {repository} at http://[::1]:")
        port = int(line.rstrip("/\n").rpartition(":")[2])
        connection = http.client.HTTPConnection("::1", port, timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


# --- answers as they travel ---


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=1000000-", 1_000_000, len(BODY) - 1), ("bytes=-5", -5, -1)],
)
def test_ranges_arrive_exactly(port: int, header: str, first: int, last: int) -> None:
    first, last = first % len(BODY), last % len(BODY)
    status, headers, body = ask(port, BUNDLE, range=header)
    assert status == 206
    assert body == BODY[first : last + 1]
    assert headers["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"
    assert headers["Content-Length"] == str(len(body))


def test_the_server_does_not_tell_what_it_runs_on(port: int) -> None:
    for url in (BUNDLE, "/healthz", "/nothing"):
        assert ask(port, url)[1].get_all("Server") == ["patchserver"]


def test_one_connection_serves_many_requests_in_step(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for method, headers, status, length in (
        ("HEAD", {}, 200, 0),
        ("GET", {"Range": "bytes=3-8"}, 206, 6),
        ("GET", {"If-None-Match": f'"{DIGEST}"'}, 304, 0),
        ("GET", {"Range": "bytes=99999999-"}, 416, None),
        ("GET", {}, 200, len(BODY)),
    ):
        connection.request(method, BUNDLE, headers=headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == status
        assert length in (None, len(body))
    connection.close()


def test_a_header_of_absurdly_many_ranges_costs_nothing(port: int) -> None:
    many = "bytes=" + ",".join(["0-"] * 8_000)
    assert ask(port, BUNDLE, range=many)[2] == BODY
    with suppress(ConnectionError):  # it need not listen to the end
        assert ask(port, BUNDLE, range=many * 100)[0] == 431
    assert ask(port, BUNDLE)[2] == BODY


@pytest.mark.parametrize("header", ["", "Range: bytes=1-\r\n"])
def test_clients_that_stop_reading_do_not_starve_others(
    port: int, repository: Path, header: str
) -> None:
    os.truncate(repository / BUNDLE[1:], 64 * 1024 * 1024)
    request = f"GET {BUNDLE} HTTP/1.1\r\nHost: a\r\n{header}\r\n".encode()
    with ExitStack() as stalled:
        for _ in range(24):  # three times the threads
            client = stalled.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(request)
            assert client.recv(10) == b"HTTP/1.1 2"
        assert ask(port, "/healthz")[0] == 200
        assert ask(port, BUNDLE, range="bytes=0-9")[2] == BODY[:10]


# --- names that try to get out ---

UP = "/metadata/../keys/online.pem"


@pytest.mark.parametrize(
    "path",
    [
        UP,
        "/metadata/../../secret.json",
        "/metadata/../../../../../../../../etc/passwd",
        "/../secret.json",
        "//secret.json",
        "/metadata//etc/passwd",
        "//etc/passwd",
        "/metadata/%2e%2e/keys/online.pem",
        "/metadata/%2E%2E%2Fkeys%2Fonline.pem",
        "/metadata/..%2fkeys/online.pem",
        "/metadata%2f..%2fkeys%2fonline.pem",
        "/metadata/%252e%252e/keys/online.pem",
        "/metadata/%252e%252e%252fkeys%252fonline.pem",
        "/metadata/%c0%ae%c0%ae/keys/online.pem",
        "/metadata/%e0%80%ae./keys/online.pem",
        "/metadata/%uff0e%uff0e/keys/online.pem",
        "/metadata/..\\keys\\online.pem",
        "/metadata/..%5ckeys%5conline.pem",
        "/metadata/..;/keys/online.pem",
        "/metadata/.%00./keys/online.pem",
        "/metadata/./timestamp.json",
        "/metadata/x/../timestamp.json",
        "/metadata/timestamp.json%00",
        "/metadata/timestamp.json%00.json",
        "/metadata/timestamp.json%0a",
        "/metadata/timestamp.json/",
        "/metadata/timestamp.json/.",
        "/metadata/timestamp.json%20",
        "/metadata/timestamp.json.",
        "/metadata/timestamp.json::$DATA",
        "/metadata//timestamp.json",
        "/metadata/TIMESTAMP.JSON",
        "/METADATA/timestamp.json",
        "/metadata/.hidden.json",
        "/metadata/.timestamp.json.tmp",
        "/metadata/",
        "/metadata",
        "/targets/../keys/online.pem",
        "/targets/notes/releases/../../../keys/online.pem",
        f"/targets/notes/releases/%2e%2e/releases/1.2.0/{DIGEST}.bundle",
        f"/targets/notes/releases/1.2.0/../1.2.0/{DIGEST}.bundle",
        f"/targets/notes/releases/1.2.0//{DIGEST}.bundle",
        f"{BUNDLE}.tmp",
        f"{BUNDLE}/",
        "/targets/",
        "/keys/online.pem",
        "/.git/config",
        "/server.db",
        "/static/x",
        "/http://example.org/",
        "/" + "a/" * 5_000,
        "/metadata/" + "a" * 10_000 + ".json",
    ],
)
def test_every_other_spelling_is_404(port: int, path: str) -> None:
    answer = send(port, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert SECRET not in answer
    assert b"version" not in answer


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /metadata/\xff\xfe/timestamp.json HTTP/1.1",
        b"GET /metadata/\x00timestamp.json HTTP/1.1",
        b"GET \\..\\keys\\online.pem HTTP/1.1",
        b"GET http://a/metadata/../keys/online.pem HTTP/1.1",
        b"GET ../secret.json HTTP/1.1",
        b"GET file:///etc/passwd HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET http://[/ HTTP/1.1",
        b"CONNECT a:80 HTTP/1.1",
        b"NONSENSE",
    ],
)
def test_malformed_requests_get_an_error_and_do_no_harm(port: int, request_line: bytes) -> None:
    answer = send(port, request_line + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert SECRET not in answer
    assert b"Traceback" not in answer
    assert ask(port, "/healthz")[0] == 200


def test_a_body_that_no_request_needs_is_refused(port: int) -> None:
    for size, status in ((10, b"405"), (10**9, b"413")):
        head = f"POST {BUNDLE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        answer = send(port, f"{head}Content-Length: {size}\r\n\r\n{'x' * 10}".encode())
        assert answer.startswith(b"HTTP/1.1 " + status)


# --- refusals of the command ---


def test_a_folder_that_is_no_repository_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert main(["serve", "--repo", str(folder), "--port", "0"]) == 7
        output = capsys.readouterr()
        error, hint = output.err.splitlines()
        assert error.startswith(f"error: {folder} is not a repository: ")
        assert hint.startswith("hint: ")
        assert output.out == ""


def test_a_server_without_a_repository_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UPSWAP_REPO", raising=False)
    assert main(["serve"]) == 7
    assert capsys.readouterr().err.startswith("error: UPSWAP_REPO is not set")


def test_a_port_in_use_is_refused(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        with process(repository, "--port", number) as running:
            assert running.wait(timeout=15) == 7
            assert running.stderr is not None
            error, hint = running.stderr.read().splitlines()
    assert error.startswith(f"error: cannot listen on 127.0.0.1 port {number}: ")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("host", ["256.0.0.1.invalid", "a" * 64, "203.0.113.1"])
def test_an_address_that_is_not_ours_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    assert main(["serve", "--repo", str(repository), "--host", host, "--port", "0"]) == 7
    assert capsys.readouterr().err.startswith(f"error: cannot listen on {host} port 0: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["serve", "--repo", "x", "--port", "70000"],
        ["serve", "--repo", "x", "--port", "-1"],
        ["serve", "--repo", "x", "--port", "http"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: patchserver" in capsys.readouterr().err
