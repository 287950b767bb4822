"""The real server on loopback, with somebody before it who may speak for it, and who takes notes.

For tests of clients: what a server does when it is honest is what patchserver does.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from patchtool.keys.signing_keys import Keys
from patchtool.repository.repository import Repository
from patchtool.repository.writer import name_writer
from werkzeug.test import Client

from patchserver.accounts.users import Role, Scope
from patchserver.flask_app import create_app
from patchserver.ops.server_settings import Bounds, ServerSettings
from patchserver.services import Services
from updater.disk.durable import Disk

Misbehave = Callable[["Handler"], bool]
"""Answers a request in its own way and says True, or leaves it to the honest server."""


class ApiServer:
    """What the server knows. Tests look into it, and turn its knobs."""

    def __init__(self, folder: Path, keys: Keys, now: int, *, writes: bool = False) -> None:
        """``keys``: the online key; ``writes``: the repository is the server's to write."""
        self.folder = folder
        self.now = now
        self.keys = keys
        self.taken: list[tuple[str, bytes]] = []
        """Paths and bodies that the server took: 204."""
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.pieces: list[tuple[str, str]] = []
        """Of every upload its path and offset."""
        self.misbehave: Misbehave = lambda _: False
        self.url = ""
        if writes:
            name_writer(Disk(), folder, "server")
        self.app = create_app(self._settings(), lambda: self.now, keys.environment)
        self.services: Services = self.app.extensions["services"]
        self.token = self._make_token()

    def repository(self) -> Repository:
        """What it serves, with the online key."""
        return Repository(self.folder, self.keys, self.now)

    def asked(self, method: str) -> list[str]:
        """The paths that were asked for by one method."""
        return [path for name, path in self.requests if name == method]

    @property
    def checkins(self) -> dict[str, dict[str, Any]]:
        """Check-ins that were taken, by id."""
        return self._messages("/api/v1/checkins")

    @property
    def reports(self) -> dict[str, dict[str, Any]]:
        """Reports that were taken, by id."""
        return self._messages("/api/v1/reports")

    def forget(self) -> None:
        """Be as new: without pushes, and without memory of what clients have seen."""
        for push, _ in list(self.services.pushes.uploads.pushes()):
            self.services.pushes.uploads.end(push)
        shutil.rmtree(self.services.signer.memory, ignore_errors=True)
        for noted in (self.requests, self.bodies, self.pieces, self.taken):
            noted.clear()

    def forget_received(self) -> None:
        """Lose what came of files that are not whole."""
        for part in self.services.jobs_lock.parent.rglob("*.part"):
            part.unlink()

    def _messages(self, path: str) -> dict[str, dict[str, Any]]:
        found = [json.loads(body) for taken, body in self.taken if taken == path]
        return {message["id"]: message for message in found}

    def _settings(self) -> ServerSettings:
        data = Path(mkdtemp(dir=self.folder.parent, prefix="server-"))
        database = f"sqlite:///{data / 'server.db'}"
        return ServerSettings(
            self.folder, data, self.keys.folder, database, bounds=Bounds(rate="100000/second")
        )

    def _make_token(self) -> str:
        accounts = self.services.accounts
        accounts.add("ci", "a long enough password", Role.PUBLISHER, self.now)
        return accounts.make_token("ci", "ci", "", list(Scope), self.now)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    api: ApiServer
    body: bytes

    def answer(self, status: int, document: dict[str, Any] | bytes = b"", **headers: str) -> None:
        """One whole answer; header names are given with ``_`` for ``-``."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._send(
            status, [(name.replace("_", "-"), value) for name, value in headers.items()], data
        )

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "connection"}:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if status != 204:
            self.wfile.write(data)

    def _any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.api.requests.append((self.command, self.path))
        self.api.bodies.append(self.body)
        if self.command == "PATCH":
            self.api.pieces.append((self.path, self.headers["Upload-Offset"]))
        if not self.api.misbehave(self):
            self._pass_on()

    def _pass_on(self) -> None:
        """Let the server answer."""
        client = Client(self.api.app, use_cookies=False)
        headers = list(self.headers.items())
        with client.open(
            self.path,
            method=self.command,
            headers=headers,
            data=self.body,
            environ_overrides={"REMOTE_ADDR": self.client_address[0]},
        ) as answer:
            if answer.status_code == 204:
                self.api.taken.append((self.path, self.body))
            self._send(answer.status_code, list(answer.headers), answer.get_data())

    def do_GET(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_PATCH(self) -> None:
        self._any()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def api_served(server: ApiServer) -> Iterator[ApiServer]:
    """``server`` on a real socket; its ``url`` is set."""
    handler = type("Bound", (Handler,), {"api": server})
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    web.daemon_threads = True
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{web.server_address[1]}"
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
        server.services.database.close()
