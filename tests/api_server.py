"""A small honest server of the publishing API on loopback, which may be told to misbehave.

It stands in for patchserver where a test is about the client: what it does is what issue 6 says of
the API, in memory, by one process.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from patchtool.keys import Keys
from patchtool.repository import Repository
from patchtool.rollout import pause, promote, resume
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from updater.format.head import EVERYONE, Head, Step

TOKEN = "upswap-token-of-tests"
Misbehave = Callable[["Handler"], bool]
"""Answers a request in its own way and says True, or leaves it to the honest server."""


@dataclass
class Push:
    """Metadata that was announced, and the content it lacks."""

    app: str
    data: bytes
    version: int
    places: dict[str, Path]
    """Where each new file goes, by digest."""
    lengths: dict[str, int]
    received: dict[str, bytes] = field(default_factory=dict)

    @property
    def missing(self) -> list[dict[str, Any]]:
        """What was not uploaded yet."""
        return [
            {"sha256": sha256, "length": length, "received": len(self.received.get(sha256, b""))}
            for sha256, length in self.lengths.items()
            if not self.places[sha256].exists()
        ]


class ApiServer:
    """What the server knows. Tests look into it, and turn its knobs."""

    def __init__(self, folder: Path, keys: Keys, now: int) -> None:
        """``keys``: the online key, which signs heads, snapshot and timestamp."""
        self.folder = folder
        self.now = now
        self.keys = keys
        self.checkins: dict[str, dict[str, Any]] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        self.pushes: dict[str, Push] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.misbehave: Misbehave = lambda _: False
        self.lock = threading.RLock()
        self.url = ""

    def repository(self) -> Repository:
        """What it serves, with the online key."""
        return Repository(self.folder, self.keys, self.now)

    def version(self, app: str) -> int:
        """Of ``app.APP`` as clients see it."""
        return self.repository().versions()[f"app.{app}"]

    def asked(self, method: str) -> list[str]:
        """The paths that were asked for by one method."""
        return [path for name, path in self.requests if name == method]

    def announce(self, app: str, data: bytes, after: int) -> tuple[int, dict[str, Any]]:
        identity = hashlib.sha256(data).hexdigest()
        present = self.version(app)
        published = self.folder / "metadata" / f"{present}.app.{app}.json"
        if published.read_bytes() == data:
            return 200, {"id": identity, "version": present, "missing": [], "published": True}
        if present != after:
            return 409, {"error": "changed", "version": present}
        metadata = Metadata[Targets].from_bytes(data)
        places = {t.hashes["sha256"]: self.repository().path_of(t) for t in _targets(metadata)}
        lengths = {t.hashes["sha256"]: t.length for t in _targets(metadata)}
        push = self.pushes.setdefault(identity, Push(app, data, after + 1, places, lengths))
        document = {"id": identity, "version": after + 1, "missing": push.missing}
        return 201, {**document, "published": False}

    def receive(self, push: Push, sha256: str, offset: int, data: bytes) -> tuple[int, int]:
        """Status and the bytes it has then."""
        before = push.received.get(sha256, b"")
        if offset != len(before):
            return 409, len(before)
        after = push.received[sha256] = before + data
        if len(after) < push.lengths[sha256]:
            return 204, len(after)
        if hashlib.sha256(after).hexdigest() != sha256:
            push.received[sha256] = b""
            return 422, 0
        push.places[sha256].parent.mkdir(parents=True, exist_ok=True)
        push.places[sha256].write_bytes(after)
        return 204, len(after)

    def publish(self, push: Push) -> tuple[int, dict[str, Any]]:
        present = self.version(push.app)
        if present != push.version - 1:
            return 409, {"error": "changed", "version": present}
        if push.missing:
            return 409, {"error": "not all is here", "missing": push.missing}
        place = self.folder / "metadata" / f"{push.version}.app.{push.app}.json"
        place.write_bytes(push.data)
        self._sign(f"app.{push.app}.json", push.version)
        return 200, {"version": push.version}

    def _sign(self, name: str, version: int) -> None:
        """Let snapshot and timestamp name another version of a role."""
        repository, metadata = self.repository(), self.folder / "metadata"
        (signer,) = repository.keyring.at_hand("online")
        number = repository.listed_snapshot()
        snapshot = Metadata[Snapshot].from_bytes(
            (metadata / f"{number}.snapshot.json").read_bytes()
        )
        snapshot.signed.meta[name] = MetaFile(version)
        snapshot.signed.version = number + 1
        snapshot.sign(signer)
        timestamp = Metadata[Timestamp].from_bytes((metadata / "timestamp.json").read_bytes())
        timestamp.signed.snapshot_meta = MetaFile(number + 1)
        timestamp.signed.version += 1
        timestamp.sign(signer)
        serializer = JSONSerializer(compact=True)
        (metadata / f"{number + 1}.snapshot.json").write_bytes(snapshot.to_bytes(serializer))
        (metadata / "timestamp.json").write_bytes(timestamp.to_bytes(serializer))

    def change(self, app: str, channel: str, verb: str, asked: dict[str, Any]) -> Head | None:
        repository, version = self.repository(), asked["version"]
        if verb == "promote":
            steps = [Step(*step) for step in asked.get("steps", [[self.now, EVERYONE]])]
            return promote(repository, app, channel, version, now=self.now, steps=steps)
        edit = {"pause": pause, "resume": resume}[verb]
        return edit(repository, app, channel, version, now=self.now)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    api: ApiServer
    body: bytes

    def answer(self, status: int, document: dict[str, Any] | bytes = b"", **headers: str) -> None:
        """One whole answer; header names are given with ``_`` for ``-``."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if status != 204:
            self.wfile.write(data)

    def _any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.api.requests.append((self.command, self.path))
        self.api.bodies.append(self.body)
        if self.api.misbehave(self):
            return
        with self.api.lock:
            for method, pattern, action in ROUTES:
                found = re.fullmatch(pattern, self.path)
                if method == self.command and found:
                    action(self, *found.groups())
                    return
        self.answer(404, {"error": "not here"})

    def do_GET(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_PATCH(self) -> None:
        self._any()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def file(self, name: str) -> None:
        path = self.api.folder / name
        self.answer(200, path.read_bytes()) if path.is_file() else self.answer(404)

    def told(self, what: str) -> None:
        document = json.loads(self.body)
        {"checkins": self.api.checkins, "reports": self.api.reports}[what][document["id"]] = (
            document
        )
        self.answer(204)

    def is_allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.answer(401, {"error": "no such token", "hint": "make one: patchserver token add"})
        return False

    def pushes(self, app: str) -> None:
        if self.is_allowed():
            after = int(self.headers["If-Match"].strip('"'))
            self.answer(*self.api.announce(app, self.body, after))

    def blob(self, _app: str, identity: str, sha256: str) -> None:
        if self.is_allowed():
            push = self.api.pushes.get(identity)
            if push is None or sha256 not in {blob["sha256"] for blob in push.missing}:
                self.answer(404, {"error": "not missing"})
                return
            offset = int(self.headers["Upload-Offset"])
            status, received = self.api.receive(push, sha256, offset, self.body)
            self.answer(status, Upload_Offset=str(received))

    def publish(self, _app: str, identity: str) -> None:
        if self.is_allowed():
            self.answer(*self.api.publish(self.api.pushes[identity]))

    def channel(self, app: str, channel: str, verb: str) -> None:
        if self.is_allowed():
            head = self.api.change(app, channel, verb, json.loads(self.body))
            self.answer(200, {"head": head and head.to_json()})


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/((?:metadata|targets)/.*)", Handler.file),
    ("POST", "/api/v1/(checkins|reports)", Handler.told),
    ("POST", "/api/v1/apps/([^/]+)/pushes", Handler.pushes),
    ("PATCH", "/api/v1/apps/([^/]+)/pushes/([^/]+)/blobs/([^/]+)", Handler.blob),
    ("POST", "/api/v1/apps/([^/]+)/pushes/([^/]+)/publish", Handler.publish),
    ("POST", "/api/v1/apps/([^/]+)/channels/([^/]+)/(promote|pause|resume)", Handler.channel),
]


def _targets(metadata: Metadata[Targets]) -> list[Any]:
    return list(metadata.signed.targets.values())


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
