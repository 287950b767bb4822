"""``patchserver check``: find what would keep this server from its work, before it does."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from patchserver.database.engine import Database
from patchserver.files.public_files import PublicFolder
from patchserver.ops.server_settings import ServerSettings
from patchserver.publishing.signer import CLOCK_HINT, ELSEWHERE, OnlineSigner, RoleStatus, keys_in
from updater.disk.durable import machine_errors
from updater.errors import MachineError, UpdaterError
from updater.exit_codes import Concern, Severity

_OTHERS: tuple[Literal["root", "targets", "release"], ...] = ("root", "targets", "release")
SOON = 2 * 86400  # seconds; a timestamp that ends sooner ought to have been signed anew


def check(settings: ServerSettings, clock: Callable[[], float] = time.time) -> list[Concern]:
    """All that is wrong; empty if nothing is."""
    now = int(clock())
    steps: list[Callable[[ServerSettings, int], Iterator[Concern]]] = [_expiry]
    if settings.data is not None:
        steps += [_clock, _past, _keys, _data, _database]
    return _found(_repository, settings, now) or [
        concern for step in steps for concern in _found(step, settings, now)
    ]


def require_repository(repo: Path) -> None:
    """Refuse a folder that is no repository, or that this user may not read.

    Raises:
        InstallError: there is no timestamp in it that could be read.
    """
    try:
        PublicFolder(repo).probe()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"{repo} is not a repository: metadata/timestamp.json: {reason}"
        hint = "name the folder that patchtool init made, and let this user read it"
        raise MachineError(message, hint=hint) from error


def _found(
    step: Callable[[ServerSettings, int], Iterator[Concern]], settings: ServerSettings, now: int
) -> list[Concern]:
    """Run a step and return what it finds; an error that ends it is a concern too."""
    try:
        with machine_errors("looking at the server"):
            return list(step(settings, now))
    except UpdaterError as error:
        return [Concern.of(error)]


def _repository(settings: ServerSettings, _now: int) -> Iterator[Concern]:
    require_repository(settings.repository)
    yield from ()


def _expiry(settings: ServerSettings, now: int) -> Iterator[Concern]:
    """Roles that ended, or end before the server is likely to have signed them again."""
    for status in _signer(settings, now).statuses():
        if status.expires < now:
            yield Concern(
                Severity.NOW,
                f"{status.role} expired: clients refuse it, or this machine's clock is ahead",
                _renewal(status, settings),
            )
        elif status.role == "timestamp" and status.expires < now + SOON:
            yield Concern(
                Severity.SOON,
                "timestamp expires within two days: nobody signs it anew",
                "run patchtool refresh, or give the server its online key with --keys",
            )


def _renewal(status: RoleStatus, settings: ServerSettings) -> str:
    """Explain how to sign an expired role anew: a server has the online key, and no other."""
    if settings.data is None:
        return "run patchtool refresh with its key, or set the clock"
    return "run patchserver refresh, or set the clock" if status.key == "online" else ELSEWHERE


def _clock(settings: ServerSettings, now: int) -> Iterator[Concern]:
    """Return whether this machine's clock fits what was signed."""
    doubt = _signer(settings, now).doubt()
    if doubt:
        yield Concern(Severity.SOON, doubt, CLOCK_HINT)


def _past(settings: ServerSettings, now: int) -> Iterator[Concern]:
    """Return whether clients have seen more than there is; what expired they refuse anyway."""
    signer = _signer(settings, now)
    if all(status.expires >= now for status in signer.statuses()):
        signer.compare()
    yield from ()


def _keys(settings: ServerSettings, now: int) -> Iterator[Concern]:
    """The online key: there, the owner's alone, and the one that clients believe."""
    signer = _signer(settings, now)
    if not signer.keys.has("online") and settings.keys is None:
        yield Concern(
            Severity.SOON,
            "the server has no online key, and can neither publish nor offer anything",
            "name the folder of online.pem with --keys or UPSWAP_KEYS",
        )
    elif not signer.knows_the_key():
        yield Concern(
            Severity.SOON,
            "the online key is not the one that the repository's root names",
            "copy online.pem of the keys that patchtool uses for this repository",
        )
    for role in _OTHERS:
        if signer.keys.has(role):
            yield Concern(
                Severity.SOON,
                f"the server can read a {role} key, with which software could be installed",
                "keep every key but online.pem away from this machine",
            )


def _data(settings: ServerSettings, _now: int) -> Iterator[Concern]:
    """The folders that are written into."""
    for folder in (settings.data, settings.repository / "metadata"):
        if folder is not None:
            with machine_errors(f"writing into {folder}"), tempfile.TemporaryFile(dir=folder):
                pass
    mode = settings.data.stat().st_mode if settings.data and os.name != "nt" else 0
    if mode & 0o007:
        yield Concern(
            Severity.SOON,
            f"{settings.data} is open to every user of this machine",
            f"chmod 750 {settings.data}",
        )


def _database(settings: ServerSettings, _now: int) -> Iterator[Concern]:
    database = Database(settings.database)
    try:
        database.probe()
    finally:
        database.close()
    yield from ()


def _signer(settings: ServerSettings, now: int) -> OnlineSigner:
    memory = (settings.data or settings.repository) / "canary"
    return OnlineSigner(
        settings.repository, keys_in(settings.keys, os.environ), memory, lambda: now
    )
