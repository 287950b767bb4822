"""HTTP as it goes wrong in the field: every refusal told, nothing endless, nothing leaked."""

from __future__ import annotations

import errno
import gzip
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.attacks.hostile import Answer, Request, honest, message, raw_served, reset, says
from tests.support.repository.sessions import QUICK
from tests.support.trees.trees import noise
from updater.config import UpdaterConfig
from updater.errors import TransportError
from updater.net.http import REPLY_MOST, HttpTransport
from updater.transport import Reply

BODY = noise(5000)


def get(url: str, start: int = 0, config: UpdaterConfig = QUICK) -> bytes:
    transport = HttpTransport(config)
    try:
        with transport.get(f"{url}/file", start) as answer:
            return b"".join(answer.chunks)
    finally:
        transport.close()


def refusal(answer: Answer, start: int = 0, config: UpdaterConfig = QUICK) -> TransportError:
    with raw_served(answer) as server, pytest.raises(TransportError) as caught:
        get(server.url, start, config)
    return caught.value


@pytest.mark.parametrize("status", [401, 403, 404, 407, 410, 416, 204, 304])
def test_an_answer_that_is_no_file_is_told_at_once(status: int) -> None:
    with raw_served(says(message(status))) as server:
        with pytest.raises(TransportError) as caught:
            get(server.url)
        assert len(server.requests) == 1
    assert (caught.value.status, caught.value.exit_code) == (status, 3)
    assert caught.value.hint


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_as_often_as_configured_and_then_told(status: int) -> None:
    with raw_served(says(message(status))) as server:
        with pytest.raises(TransportError, match=str(status)) as caught:
            get(server.url)
        assert len(server.requests) == QUICK.attempts
    assert caught.value.retryable
    assert "later" in caught.value.hint


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_that_passes_is_not_told(status: int) -> None:
    with raw_served(says(message(status)), says(message(200, BODY))) as server:
        assert get(server.url) == BODY


def test_retry_after_is_honoured_up_to_the_limit() -> None:
    config = UpdaterConfig(attempts=2, backoff=0, backoff_limit=1)
    busy = says(message(503, Retry_After="86400"))
    before = time.monotonic()
    with raw_served(busy, says(message(200, BODY))) as server:
        assert get(server.url, config=config) == BODY
    assert 0.9 < time.monotonic() - before < 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300])
@pytest.mark.parametrize("target", ["http", "file:///etc/passwd", ""])
def test_a_redirect_is_refused_and_not_followed(status: int, target: str) -> None:
    with raw_served(says(message(200, BODY))) as elsewhere:
        place = elsewhere.url if target == "http" else target
        error = refusal(says(message(status, Location=place)))
        assert not elsewhere.requests
    assert "redirect" in str(error)
    assert "login" in error.hint


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP"])
def test_a_compressed_answer_is_refused_before_it_is_decompressed(encoding: str) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    error = refusal(says(message(200, bomb, Content_Encoding=encoding)))
    assert "compressed" in str(error)


def test_nobody_is_asked_for_compression_and_we_say_who_we_are() -> None:
    with raw_served(says(message(200, BODY))) as server:
        get(server.url)
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].headers["user-agent"].startswith("upswap/")


def test_a_body_shorter_than_announced_is_told() -> None:
    error = refusal(says(message(200, BODY, length=len(BODY) + 1)))
    assert "cut off" in str(error)
    assert error.retryable
    assert error.status is None


def test_a_body_longer_than_announced_is_read_as_announced() -> None:
    with raw_served(says(message(200, BODY, length=100))) as server:
        assert get(server.url) == BODY[:100]


def test_what_follows_a_long_body_is_not_taken_for_the_next_answer() -> None:
    first = message(200, b"1" + message(200, b"smuggled"), length=1).replace(
        b"Connection: close", b"X: y"
    )
    with raw_served(says(first), says(message(200, b"2"))) as server:
        transport = HttpTransport(QUICK)
        bodies = []
        for _ in range(2):
            with transport.get(server.url) as answer:
                bodies.append(b"".join(answer.chunks))
        transport.close()
    assert bodies == [b"1", b"2"]


@pytest.mark.parametrize("length", ["x", "-5", "", "9" * 5000, "1e3", "5,6"])
def test_a_senseless_length_is_a_network_error_or_no_length(length: str) -> None:
    answer = says(message(200, BODY, length=length))
    with raw_served(answer) as server, suppress(TransportError):
        assert get(server.url) == BODY


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    with raw_served(says(message(200, BODY, length=None))) as server:
        assert get(server.url) == BODY


CHUNKED = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def test_a_chunked_body_is_read() -> None:
    answer = message(200, CHUNKED, length=None, Transfer_Encoding="chunked")
    with raw_served(says(answer)) as server:
        assert get(server.url) == b"hello world"


@pytest.mark.parametrize("cut", range(len(CHUNKED) - len(b"0\r\n\r\n")))
def test_a_chunked_body_cut_anywhere_is_told(cut: int) -> None:
    answer = message(200, CHUNKED[:cut], length=None, Transfer_Encoding="chunked")
    assert refusal(says(answer)).retryable


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nhello\r\n", b"-1\r\nhello\r\n", b"5" * 70_000, b"\xff\r\n"]
)
def test_a_chunk_of_senseless_size_is_told(chunk: bytes) -> None:
    answer = message(200, chunk, length=None, Transfer_Encoding="chunked")
    assert refusal(says(answer)).retryable


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1",
        b"220 ftp.example ready\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 999999999999 OK\r\n\r\n",
        b"\xff\xfe\x00" * 100,
    ],
    ids=["nothing", "cut", "ftp", "tls", "long", "many", "status", "noise"],
)
def test_what_is_no_http_answer_is_a_network_error(answer: bytes) -> None:
    assert refusal(says(answer)).exit_code == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": "bytes 0-4999/5000"},
        {"Content_Range": "bytes 1000-4999/5000"},
        {"Content_Range": "bytes */5000"},
        {"Content_Range": "items 100-4999/5000"},
        {"Content_Type": "multipart/byteranges; boundary=x"},
        {},
    ],
)
def test_another_part_than_asked_for_is_refused(headers: dict[str, str]) -> None:
    error = refusal(says(message(206, BODY[100:], **headers)), start=100)
    assert "range" in str(error)


def test_a_part_nobody_asked_for_is_refused() -> None:
    error = refusal(says(message(206, BODY, Content_Range="bytes 0-4999/5000")))
    assert "range" in str(error)


@pytest.mark.parametrize("start", [0, 1, 4999])
def test_the_answer_says_where_it_starts(start: int) -> None:
    part = f"bytes {start}-4999/5000"
    partial = message(206, BODY[start:], Content_Range=part) if start else message(200, BODY)
    for answer, begin in ((partial, start), (message(200, BODY), 0)):
        with raw_served(says(answer)) as server:
            transport = HttpTransport(QUICK)
            with transport.get(server.url, start) as got:
                assert (got.start, b"".join(got.chunks)) == (begin, BODY[begin:])
            transport.close()
            assert server.requests[0].start == start


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 5000), (7, 8), (100, 4999)])
def test_a_part_may_have_an_end(start: int, stop: int) -> None:
    transport = HttpTransport(QUICK)
    with raw_served(honest(BODY)) as server, transport.get(server.url, start, stop) as got:
        assert (got.start, b"".join(got.chunks)) == (start, BODY[start:stop])
    transport.close()
    assert server.requests[0].headers["range"] == f"bytes={start}-{stop - 1}"


def drip(gap: float) -> Answer:
    """One byte at a time, for ever: never silent long enough for a read timeout."""

    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(message(200, length=1 << 40))
        while True:
            connection.sendall(b".")
            time.sleep(gap)

    return answer


def test_a_server_under_the_minimum_rate_is_given_up() -> None:
    config = UpdaterConfig(read_timeout=5, min_bytes_per_second=1000, rate_window=0.3, attempts=1)
    before = time.monotonic()
    error = refusal(drip(0.01), config=config)
    assert "1000 bytes a second" in str(error)
    assert error.retryable
    assert time.monotonic() - before < 2


SLOW_STARTS = [
    b"",
    b"HTTP/1.1 200 OK\r\nX: ",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
]


@pytest.mark.parametrize("start", SLOW_STARTS, ids=["status", "header", "chunk", "trailer"])
def test_a_server_that_takes_its_time_over_anything_is_given_up(start: bytes) -> None:
    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(start)
        with suppress(OSError):
            while True:
                connection.sendall(b"0")
                time.sleep(0.01)

    config = UpdaterConfig(read_timeout=5, min_bytes_per_second=1000, rate_window=0.3)
    before = time.monotonic()
    assert "1000 bytes a second" in str(refusal(answer, config=config))
    assert time.monotonic() - before < 2


def test_a_server_that_says_for_ever_that_it_goes_on_is_given_up() -> None:
    def answer(connection: socket.socket, request: Request) -> None:
        with suppress(OSError):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.05)

    config = UpdaterConfig(read_timeout=5, min_bytes_per_second=1000, rate_window=0.3)
    assert "1000 bytes a second" in str(refusal(answer, config=config))


def test_the_time_that_its_reader_takes_is_not_the_servers() -> None:
    config = UpdaterConfig(read_timeout=5, min_bytes_per_second=100_000, rate_window=0.1)
    with raw_served(says(message(200, b"x" * 1_000_000))) as server:
        transport = HttpTransport(config)
        with transport.get(server.url) as answer:
            first = next(answer.chunks)
            time.sleep(0.3)
            assert len(first) + sum(map(len, answer.chunks)) == 1_000_000
        transport.close()


def test_a_slow_line_above_the_minimum_rate_is_not_given_up() -> None:
    config = UpdaterConfig(read_timeout=5, min_bytes_per_second=10, rate_window=0.1, attempts=1)
    with raw_served(drip(0.01)) as server:
        transport = HttpTransport(config)
        with transport.get(server.url) as answer:
            got = sum(len(next(answer.chunks)) for _ in range(50))
        transport.close()
    assert got >= 50


def test_a_line_that_turns_slow_later_is_given_up_too() -> None:
    config = UpdaterConfig(min_bytes_per_second=1000, rate_window=0.2, attempts=1)

    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(message(200, b"x" * 1_000_000, length=1 << 40))
        drip(0.01)(connection, request)

    assert "bytes a second" in str(refusal(answer, config=config))


def test_silence_is_given_up_after_the_read_timeout() -> None:
    config = UpdaterConfig(read_timeout=0.2, attempts=1)
    for start in (b"", message(200, b"some", length=1000)):

        def answer(connection: socket.socket, request: Request, start: bytes = start) -> None:
            connection.sendall(start)
            connection.recv(1)  # until the client goes

        before = time.monotonic()
        assert re.search("in time|timed out", str(refusal(answer, config=config)))
        assert time.monotonic() - before < 2


def test_a_reset_connection_is_told_in_words_of_people() -> None:
    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(message(200, BODY[:100], length=len(BODY)))
        reset(connection)

    error = refusal(answer)
    assert error.retryable
    assert "object at 0x" not in str(error)


def test_nobody_there_is_a_network_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(TransportError, match="refused") as caught:
        get(url)
    assert caught.value.retryable
    assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999", "http://[::1", "http://.", "http://a..b", "x://y"]
)
def test_a_url_that_leads_nowhere_is_a_network_error(url: str) -> None:
    with pytest.raises(TransportError):
        get(url)


def test_a_password_in_netrc_is_never_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with raw_served(says(message(200, BODY))) as server:
        get(server.url)
    assert "authorization" not in server.requests[0].headers


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_served(says(message(200, BODY))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert get("http://updates.invalid") == BODY
    assert proxy.requests[0].path == "http://updates.invalid/file"


def test_received_counts_every_body_byte_that_came() -> None:
    transport = HttpTransport(QUICK)
    with raw_served(says(message(200, BODY)), says(message(200, BODY, length=9999))) as server:
        for _ in range(2):
            with suppress(TransportError), transport.get(server.url) as answer:
                b"".join(answer.chunks)
    transport.close()
    assert transport.received == 2 * len(BODY)


@pytest.mark.parametrize(
    "make", [lambda: OSError(errno.ENOSPC, "full"), lambda: ValueError("ours")]
)
def test_a_fault_of_the_reader_is_not_told_as_one_of_the_network(
    make: Callable[[], Exception],
) -> None:
    fault = make()
    transport = HttpTransport(QUICK)
    with (
        raw_served(says(message(200, BODY))) as server,
        pytest.raises(type(fault)) as caught,
        transport.get(server.url),
    ):
        raise fault
    transport.close()
    assert caught.value is fault


# sending


def sent(url: str, body: bytes, config: UpdaterConfig = QUICK) -> Reply:
    transport = HttpTransport(config)
    try:
        return transport.send("POST", f"{url}/api", body, {"X-Name": "value"})
    finally:
        transport.close()


@pytest.mark.parametrize("body", [b"", b"x", noise(300_000)])
def test_what_is_sent_arrives_whole_and_the_reply_comes_back(body: bytes) -> None:
    with raw_served(says(message(422, b"no", X_Reason="because"))) as server:
        reply = sent(server.url, body)
        (request,) = server.requests
    assert (reply.status, reply.body, reply.headers["x-reason"]) == (422, b"no", "because")
    assert request.headers["content-length"] == str(len(body))
    assert request.headers["x-name"] == "value"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_was_sent_is_not_sent_again_by_itself(status: int) -> None:
    with raw_served(says(message(status))) as server:
        assert sent(server.url, b"once").status == status
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_is_sent_goes_to_nobody_else(status: int) -> None:
    with (
        raw_served(says(message(200))) as elsewhere,
        raw_served(says(message(status, Location=elsewhere.url))) as server,
    ):
        with pytest.raises(TransportError, match="redirect"):
            sent(server.url, b"secret")
        assert not elsewhere.requests


def test_a_reply_without_end_is_refused() -> None:
    with (
        raw_served(says(message(200, bytes(REPLY_MOST + 1)))) as server,
        pytest.raises(TransportError, match="more than"),
    ):
        sent(server.url, b"x")


def test_a_server_that_never_replies_is_the_network() -> None:
    config = UpdaterConfig(connect_timeout=0.2, read_timeout=0.2, attempts=1)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(TransportError) as caught,
    ):
        sent(f"http://127.0.0.1:{server.getsockname()[1]}", b"x", config)
    assert caught.value.status is None
