"""Send waiting reports and a check-in to the publisher, if the user allowed it.

The reports are of failures, and wait in the State; a check-in has version, channel, state and
platform. An install is named by a digest of its random id, so that no reader learns where it stands
in a rollout. Nothing names the user or the machine. All goes to the repository's own server, at the
end of a command; whatever comes of it, the command ends as it would have.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from updater.errors import FormatError
from updater.format.encoding.canonical import INTEGER_MAX, Record, decode, encode
from updater.format.encoding.limits import KIB
from updater.format.reports import REPORT_BYTES, STATES, CheckIn, FailureReport, ReportingInstall
from updater.launch.failure_report import queued
from updater.launch.state import State
from updater.local.session import Session
from updater.local.settings import Settings, read_address
from updater.net.address import Address
from updater.net.http import HttpTransport
from updater.retry import seconds_of
from updater.transport import Reply, Sender
from updater.version import __version__

DAY = 86_400
SECONDS = 5.0
"""Most time that sending may take, in all; a slow name server is not waited for."""
FORMAT = 1
TAKEN = {204}
REFUSED = {400, 413}
"""Statuses of a message that will never be taken."""
ABSENT = 404
"""The status of a static host, or of a server that takes no reports of this app."""


def send_reports(
    session: Session, state: State, settings: Settings, version: str, standing: str
) -> None:
    """Send what waits, and a check-in if one is due. Raises nothing, and takes `SECONDS` at most.

    Args:
        session: its sender, clock, disk and time limits.
        state: of the install.
        settings: of the install.
        version: what is installed.
        standing: ``clean``, ``staged`` or ``unconfirmed``; no check-in tells another.
    """
    over = threading.Event()
    outbox = _Outbox(session, state, settings, version, standing, over)
    courier = threading.Thread(target=outbox.empty, name="upswap-outbox", daemon=True)
    with suppress(RuntimeError):  # no thread is left: what waits is told another time
        courier.start()
        courier.join(SECONDS)
    over.set()


@dataclass(frozen=True, kw_only=True)
class _LastSent:
    """``last_sent.json``."""

    identity: str = ""
    """The id of the last check-in that was taken."""
    said: str = ""
    """Digest of what it said."""
    at: int = 0
    """Its time, in seconds since 1970."""
    wait: int = 0
    """The server asked not to be told anything before."""

    @classmethod
    def read(cls, path: Path) -> _LastSent:
        """The last check-in; an empty one if the file is lost."""
        with suppress(OSError, FormatError), path.open("rb") as file:
            record = Record(decode(file.read(KIB), KIB))
            record.integer("format", FORMAT, low=FORMAT)
            found = cls(
                identity=record.text("identity"),
                said=record.text("said"),
                at=record.integer("at", INTEGER_MAX),
                wait=record.integer("wait", INTEGER_MAX),
            )
            record.end()
            return found
        return cls()

    def is_due(self, said: str, now: int) -> bool:
        """True if a check-in is due: the last is a day old, or said something else."""
        return said != self.said or not self.at <= now < self.at + DAY


class _NotNowError(Exception):
    """The server takes nothing at present."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


class _Outbox:
    """One round of sending."""

    def __init__(
        self,
        session: Session,
        state: State,
        settings: Settings,
        version: str,
        standing: str,
        over: threading.Event,
    ) -> None:
        self._session = session
        self._state = state
        self._settings = settings
        self._version = version
        self._standing = standing
        self._over = over
        self._now = session.now()
        self._name = session.identities(state).read().name
        self._url = f"{settings.url.rstrip('/')}/api/v1"
        self._sender: Sender = session.sender or _sender(session, read_address(state, settings))

    def empty(self) -> None:
        """Send all of it; what was not taken stays."""
        with suppress(Exception):  # nobody waits for it, and nobody shall hear of it
            before = _LastSent.read(self._state.last_sent)
            if not self._now < before.wait <= self._now + DAY:
                self._keep(before, self._sent(before))

    def _sent(self, before: _LastSent) -> _LastSent:
        """Send, and return what to remember."""
        try:
            for path in self._waiting():
                self._send_report(path)
            return self._check_in(before)
        except _NotNowError as error:
            return replace(before, wait=self._now + error.seconds) if error.seconds else before

    def _keep(self, before: _LastSent, after: _LastSent) -> None:
        if after != before:
            self._state.disk.write(
                self._state.last_sent, encode(asdict(after) | {"format": FORMAT})
            )

    def _waiting(self) -> Iterator[Path]:
        if self._state.reports.is_dir() and not self._state.reports.is_symlink():
            yield from queued(self._state)

    def _send_report(self, path: Path) -> None:
        report = self._report(path)
        if report is not None:
            self._send("reports", report.data)
        self._state.disk.unlink(path)

    def _report(self, path: Path) -> FailureReport | None:
        """A report that waits; None if it is none that anybody would take."""
        with path.open("rb") as file:
            data = file.read(2 * REPORT_BYTES + 1)
        with suppress(FormatError):
            report = FailureReport.waiting(data, self._sender_named(""))
            return report if path.name == f"{report.sender.id}.json" else None
        return None

    def _check_in(self, before: _LastSent) -> _LastSent:
        facts = (self._settings.app, self._settings.channel, self._version, self._standing)
        said = _digest("said", *facts, __version__)
        if self._standing not in STATES or not before.is_due(said, self._now):
            return before
        # The same until it was taken, so that a lost answer makes no second one of it.
        identity = _digest("check-in", self._name, before.identity, said, str(self._now // DAY))
        self._send("checkins", CheckIn(self._sender_named(identity), *facts[2:]).data)
        return _LastSent(identity=identity, said=said, at=self._now)

    def _sender_named(self, message: str) -> ReportingInstall:
        """This install as the sender of a message of that name."""
        return ReportingInstall(
            id=message,
            install=public_name(self._name),
            app=self._settings.app,
            channel=self._settings.channel,
            platform=platform_name(),
            updater=__version__,
        )

    def _send(self, what: str, body: bytes) -> None:
        """Send a message; it is taken, or refused for good.

        Raises:
            _NotNowError: neither.
            TransportError: nor is it known.
        """
        if self._over.is_set():
            raise _NotNowError(0)
        headers = {"Content-Type": "application/json"}
        reply = self._sender.send("POST", f"{self._url}/{what}", body, headers)
        if reply.status not in TAKEN | REFUSED:
            raise _NotNowError(_patience(reply))


def public_name(name: str) -> str:
    """The public name of an install of this identity, in messages."""
    return _digest("reports", name)


def platform_name() -> str:
    """The kind of machine, such as ``linux-x86_64``."""
    name = f"{sys.platform}-{platform.machine()}".lower()
    return re.sub("[^a-z0-9_.-]", "_", name)[:40]


def _sender(session: Session, address: Address) -> Sender:
    """One that gives up early: a command waits for it."""
    config, most = session.config, SECONDS / 2
    sender = HttpTransport(
        replace(
            config,
            connect_timeout=min(config.connect_timeout, most),
            read_timeout=min(config.read_timeout, most),
            attempts=1,
        )
    )
    sender.admit(address)
    return sender


def _patience(reply: Reply) -> int:
    """Seconds for which the server shall not be asked again."""
    if reply.status == ABSENT:
        return DAY
    return min(seconds_of(reply.headers.get("Retry-After", "")), DAY)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
