"""A full server for tests: a repository that it writes, accounts, and who talks to it."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from patchtool.repository.writer import name_writer

from patchserver.accounts import users
from patchserver.accounts.users import Role, Scope
from patchserver.flask_app import create_app
from patchserver.ops.server_settings import ServerSettings
from patchserver.services import Services
from tests.support.repository.publisher import NOW, Publisher
from tests.support.repository.publisher import PASSWORD as KEY_PASSWORD
from tests.support.trees.trees import Tree, noise
from updater.disk.durable import Disk

OLD: Tree = {"app": noise(4000, 1), "data": b"same"}
NEW: Tree = {"app": noise(4000, 1) + b"more", "data": b"same"}
PASSWORD = "a long enough password"
CHECKIN = {
    "app": "notes",
    "channel": "stable",
    "platform": "linux-x86_64",
    "updater": "0.1.0",
    "version": "1.0",
    "state": "clean",
}
REPORT = {
    "app": "notes",
    "channel": "stable",
    "platform": "linux-x86_64",
    "updater": "0.1.0",
    "step": "confirm",
    "error": "NotConfirmed: the application did not say that it is up",
    "from": "1.0",
    "to": "2.0",
    "changed": ["lib/core"],
}


@dataclass
class Clock:
    """A clock that is moved by hand."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Server:
    """One server and its publisher, who signs on a machine of their own."""

    publisher: Publisher
    settings: ServerSettings
    clock: Clock
    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        self.app = create_app(self.settings, self.clock, KEY_PASSWORD)
        self.services: Services = self.app.extensions["services"]

    @property
    def client(self) -> FlaskClient:
        """A browser or a program, over TLS as a proxy would have it."""
        self.app.config["PREFERRED_URL_SCHEME"] = "https"
        return self.app.test_client()

    def token(self, *scopes: Scope, app: str = "") -> dict[str, str]:
        """The header of somebody who may do ``scopes``."""
        name = f"user{secrets.token_hex(4)}"
        accounts = self.services.accounts
        accounts.add(name, PASSWORD, Role.PUBLISHER, self.clock.now)
        secret = accounts.make_token(name, "ci", app, list(scopes), self.clock.now)
        return {"Authorization": f"Bearer {secret}"}

    def add(self, version: str, tree: Tree) -> bytes:
        """A release, signed where the publisher is; the document to push."""
        self.publisher.add(version, tree)
        folder = self.publisher.folder / "metadata"
        return max(folder.glob("*.app.notes.json"), key=_number).read_bytes()

    def publish(self, version: str, tree: Tree) -> None:
        """Bring a release to the server, as a push would."""
        signer, folder = self.services.signer, self.publisher.folder
        document = self.add(version, tree)
        shutil.copytree(folder / "targets", signer.folder / "targets", dirs_exist_ok=True)
        signer.publish("notes", document, lambda: None)
        shutil.copytree(signer.folder / "metadata", folder / "metadata", dirs_exist_ok=True)

    def blobs(self) -> dict[str, Path]:
        """Files of the publisher by their digests."""
        files = (p for p in (self.publisher.folder / "targets").rglob("*") if p.is_file())
        return {path.name.partition(".")[0]: path for path in files}


def _number(path: Path) -> int:
    return int(path.name.partition(".")[0])


@contextmanager
def server_at(folder: Path, database: str = "") -> Iterator[Server]:
    """A server whose repository offers nothing yet; the publisher has a copy of it."""
    publisher = Publisher(folder / "publisher")
    repository = folder / "repository"
    shutil.copytree(publisher.folder, repository)
    for place in (publisher.folder, repository):
        name_writer(Disk(), place, "server")
    keys = folder / "server-keys"
    keys.mkdir(mode=0o700)
    shutil.copy2(publisher.keys.folder / "online.pem", keys)
    data = folder / "data"
    settings = ServerSettings(repository, data, keys, database or f"sqlite:///{data / 'server.db'}")
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "_hasher", lambda: quick)  # the real one takes its time, by design
        server = Server(publisher, settings, Clock())
        yield server
        server.services.database.close()


def checkin(number: int, /, **changes: str) -> bytes:
    """The body of a check-in."""
    return _message(CHECKIN, number, changes)


def report(number: int, /, **changes: str) -> bytes:
    """The body of a report."""
    return _message(REPORT, number, changes)


def _message(base: dict[str, Any], number: int, changes: dict[str, str]) -> bytes:
    names = {"install": f"{number:032x}", "id": secrets.token_hex(16)}
    return json.dumps({**base, **names, **changes}).encode()
