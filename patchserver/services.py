"""The services of one server: everything behind its routes, made once from its settings."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import current_app

from patchserver.accounts.audit import Audit
from patchserver.accounts.users import Accounts
from patchserver.database.engine import Database
from patchserver.ops.server_settings import ServerSettings
from patchserver.publishing.published_state import PublishedStateCache
from patchserver.publishing.pushes import Pushes
from patchserver.publishing.signer import OnlineSigner, keys_in
from patchserver.publishing.uploads import FolderUploads
from patchserver.rollouts.group_commit import GroupCommit
from patchserver.rollouts.halting import Rollouts
from patchserver.rollouts.ingest import Ingest
from updater.disk.durable import machine_errors
from updater.disk.lock import locked
from updater.errors import RequestError

SECRET = "secret"  # noqa: S105 - the name of a file
SECRET_BYTES = 32
PATIENCE = 30.0
"""Seconds to wait for another process that starts at the same time."""


Clock = Callable[[], int]
"""Tells the time, in seconds since 1970."""


def system_clock() -> int:
    """The time of this machine's clock."""
    return int(time.time())


@dataclass(frozen=True)
class Services:
    """The services of a server that has a data folder."""

    database: Database
    secret: bytes
    """Signs sessions, and keys what is hashed; it stays in the data folder."""
    accounts: Accounts
    audit: Audit
    signer: OnlineSigner
    published: PublishedStateCache
    """Looks at what the signer publishes."""
    pushes: Pushes
    rollouts: Rollouts
    ingest: Ingest
    clock: Clock
    jobs_lock: Path
    """Held by the one process that does what is done in the background."""


def open_services(
    settings: ServerSettings,
    clock: Clock = system_clock,
    environment: Mapping[str, str] = os.environ,
) -> Services:
    """The services of ``settings``, which name a data folder; it is made if it is not there.

    Raises:
        InstallError: the data folder cannot be written, or the database not be used.
    """
    if settings.data is None:
        raise RequestError("the server has no data folder", hint="name one with --data")
    secret = _prepare(settings.data)
    database = Database(settings.database)
    database.upgrade()
    audit = Audit(database)
    signer = OnlineSigner(
        settings.repository, keys_in(settings.keys, environment), settings.data / "canary", clock
    )
    uploads = FolderUploads(settings.data / "pushes")
    return Services(
        database=database,
        secret=secret,
        accounts=Accounts(database),
        audit=audit,
        signer=signer,
        published=PublishedStateCache(),
        pushes=Pushes(signer, uploads),
        rollouts=Rollouts(database, audit, signer),
        ingest=Ingest(database, GroupCommit(database), secret, uploads.free),
        clock=clock,
        jobs_lock=settings.data / "jobs.lock",
    )


def services() -> Services:
    """The services of the application that answers."""
    found: Services = current_app.extensions["services"]
    return found


def _prepare(data: Path) -> bytes:
    """Make the data folder; its secret, which is made once, whoever comes first."""
    with machine_errors(f"preparing {data}"):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = data / SECRET
        with locked(data / "secret.lock", "making the server's secret", PATIENCE):
            if not place.exists():
                _write_private(place, secrets.token_bytes(SECRET_BYTES))
        return place.read_bytes()


def _write_private(place: Path, content: bytes) -> None:
    """Write a file that nobody else may read, at no moment."""
    part = place.with_name(f"{place.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(place)
