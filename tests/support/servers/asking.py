"""Requests to servers on loopback as they are, and files for these to serve."""

from __future__ import annotations

import http.client
import os
import socket
from http.client import HTTPMessage
from pathlib import Path

MTIME = 1_700_000_000
DIGEST = "0123456789abcdef" * 4
BUNDLE = f"/targets/notes/releases/1.2.0/{DIGEST}.bundle"
TIMESTAMP = "/metadata/timestamp.json"


def ask(
    port: int, path: str, method: str = "GET", **headers: str
) -> tuple[int, HTTPMessage, bytes]:
    """Status, headers and body of an answer; header names are given with ``_`` for ``-``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def send(port: int, request: bytes) -> bytes:
    """The whole answer to raw bytes, which no client library has tidied up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def write(path: Path, content: bytes) -> None:
    """Put a file in place as publishers do, in one step; of a time that is always the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.utime(temporary, (MTIME, MTIME))
    temporary.replace(path)
