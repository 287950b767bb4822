"""Real servers on loopback for tests: our application, and one that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from flask import Flask
from werkzeug.serving import BaseWSGIServer, make_server

from patchserver import ServerSettings, create_app

Misbehave = Callable[[BaseHTTPRequestHandler, Path], bool]
"""Answers a request in its own way and says True, or leaves it to the honest server."""


@contextmanager
def served(repository: Path) -> Iterator[str]:
    """Our application over ``repository``; its URL."""
    with application_served(create_app(ServerSettings(repository))) as url:
        yield url


@contextmanager
def application_served(application: Flask) -> Iterator[str]:
    """Any application of ours; its URL."""
    with running(make_server("127.0.0.1", 0, application, threaded=True)) as url:
        yield url


@contextmanager
def misserved(repository: Path, misbehave: Misbehave) -> Iterator[str]:
    """A plain static server over ``repository`` that ``misbehave`` may speak for; its URL.

    The honest part answers 200 or 404 and knows no ranges, like the simplest static host.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = repository / self.path.lstrip("/")
            if misbehave(self, path):
                return
            if path.is_file():
                send(self, 200, path.read_bytes())
            else:
                send(self, 404, b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with running(server) as url:
        yield url


@contextmanager
def running(server: ThreadingHTTPServer | BaseWSGIServer) -> Iterator[str]:
    """Requests are answered until the end of the block; its URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """One whole answer; header names are given with ``_`` for ``-``."""
    handler.send_response(status)
    if "Content_Length" not in headers:
        handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
