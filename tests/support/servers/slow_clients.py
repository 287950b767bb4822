"""Clients that send or read a byte a second, many at a time."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


@contextmanager
def slow_senders(port: int, count: int, path: str, length: int) -> Iterator[list[socket.socket]]:
    """``count`` clients that announce a body of ``length`` bytes and send a byte a second."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    with _clients(port, count, head.encode()) as clients, _dripping(clients, b"x"):
        yield clients


@contextmanager
def slow_headers(port: int, count: int) -> Iterator[list[socket.socket]]:
    """``count`` clients that never come to the end of their headers."""
    head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: "
    with _clients(port, count, head) as clients, _dripping(clients, b"x"):
        yield clients


@contextmanager
def slow_readers(port: int, count: int, path: str) -> Iterator[list[socket.socket]]:
    """``count`` clients that ask for a file and read a byte of it a second."""
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with _clients(port, count, request) as clients, _dripping(clients, b""):
        yield clients


@contextmanager
def crowd(port: int, big: str) -> Iterator[None]:
    """Five hundred slow clients of every kind at once; ``big`` is the path of a large file."""
    with (
        slow_senders(port, 200, "/api/v1/reports", 60_000),
        slow_readers(port, 200, big),
        slow_headers(port, 100),
    ):
        time.sleep(2)
        yield


def longest_wait(port: int, paths: list[str], rounds: int) -> float:
    """Seconds of the slowest among ``rounds`` requests for each of ``paths``, all answered."""
    longest = 0.0
    for path in paths * rounds:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status == 200
        longest = max(longest, time.monotonic() - began)
    return longest


@contextmanager
def _clients(port: int, count: int, request: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            client.sendall(request)
            clients.append(client)
        yield clients


@contextmanager
def _dripping(clients: list[socket.socket], drop: bytes) -> Iterator[None]:
    """A thread that sends ``drop`` to each every second, or reads a byte if there is none."""
    ended = threading.Event()
    thread = threading.Thread(target=_drip, args=(clients, drop, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _drip(clients: list[socket.socket], drop: bytes, ended: threading.Event) -> None:
    while not ended.wait(1):
        for client in clients:
            with suppress(OSError):  # the server has dropped this one
                if drop:
                    client.send(drop, socket.MSG_DONTWAIT)
                else:
                    client.recv(1, socket.MSG_DONTWAIT)
