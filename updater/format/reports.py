"""Check-ins and failure reports: the messages of installs, as they send and a server reads them.

The one schema of both sides, and of the reports that wait in the State: the launcher writes those
in ``updater/launch/failure_report.py`` with the standard library alone. Every field has its bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from updater.errors import FormatError
from updater.format.encoding.canonical import Record, decode, encode, read_json, string, within
from updater.format.encoding.limits import KIB
from updater.format.names import check_app, check_channel, check_version

CHECKIN_BYTES = 4 * KIB
REPORT_BYTES = 64 * KIB
ERROR_MOST = 4000
"""Characters of an error's text."""
PATHS_MOST = 100
"""Files named in a report, as many as the launcher writes down."""
STATES = ("clean", "staged", "unconfirmed")
STEPS = ("check", "fetch", "stage", "commit", "confirm")
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_PLATFORM = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}(?=:|$)")


@dataclass(frozen=True)
class ReportingInstall:
    """The install a message is from; it does not name its machine or user."""

    id: str
    """Names the message: one that comes twice is one."""
    install: str
    app: str
    channel: str
    platform: str
    updater: str


@dataclass(frozen=True)
class CheckIn:
    """The message of an install that it exists, and with which version."""

    sender: ReportingInstall
    version: str
    state: str

    @property
    def data(self) -> bytes:
        """The body of the request that sends it."""
        return encode({**asdict(self.sender), "version": self.version, "state": self.state})

    @classmethod
    def parse(cls, data: bytes) -> CheckIn:
        """The check-in of a request's body.

        Raises:
            FormatError: it is none.
        """
        record = Record(read_json(data, CHECKIN_BYTES))
        checkin = cls(
            sender=_sender(record),
            version=within("version", check_version, record.text("version")),
            state=_one_of(record, "state", STATES),
        )
        record.end()
        return checkin


@dataclass(frozen=True)
class FailureReport:
    """An update that failed."""

    sender: ReportingInstall
    step: str
    error: str
    old: str
    new: str
    """Empty if it was not known yet."""
    changed: tuple[str, ...]

    @property
    def data(self) -> bytes:
        """The body of the request that sends it, with as many names of files as it may have."""
        changed = self.changed
        while len(data := encode(self._document(changed))) > REPORT_BYTES and changed:
            changed = changed[: len(changed) // 2]
        return data

    def _document(self, changed: tuple[str, ...]) -> dict[str, Any]:
        return {
            **asdict(self.sender),
            "step": self.step,
            "error": self.error,
            "from": self.old,
            "to": self.new,
            "changed": list(changed),
        }

    @property
    def kind(self) -> str:
        """The error's name, by which reports are grouped."""
        match = _KIND.match(self.error)
        return match[0] if match else "other"

    @classmethod
    def parse(cls, data: bytes) -> FailureReport:
        """The report of a request's body.

        Raises:
            FormatError: it is none.
        """
        record = Record(read_json(data, REPORT_BYTES))
        new = record.text("to")
        report = cls(
            sender=_sender(record),
            step=_one_of(record, "step", STEPS),
            error=_bounded(record, "error", ERROR_MOST),
            old=within("from", check_version, record.text("from")),
            new=within("to", check_version, new) if new else "",
            changed=record.items("changed", _path, PATHS_MOST),
        )
        record.end()
        return report

    @classmethod
    def waiting(cls, data: bytes, sender: ReportingInstall) -> FailureReport:
        """The report of a file that waits in the State, to be sent by ``sender``.

        Raises:
            FormatError: it is none; an error that is too long is cut.
        """
        record = Record(decode(data, 2 * REPORT_BYTES))
        report = cls(
            sender=replace(sender, id=record.text("id")),
            step=_one_of(record, "step", STEPS),
            error=record.text("error").replace("\0", "")[:ERROR_MOST],
            old=record.text("from"),
            new=record.text("to"),
            changed=record.items("changed", string, PATHS_MOST),
        )
        record.end()
        return report


def _sender(record: Record) -> ReportingInstall:
    return ReportingInstall(
        id=_matching(record, "id", _IDENTITY),
        install=_matching(record, "install", _IDENTITY),
        app=within("app", check_app, record.text("app")),
        channel=within("channel", check_channel, record.text("channel")),
        platform=_matching(record, "platform", _PLATFORM),
        updater=within("updater", check_version, record.text("updater")),
    )


def _matching(record: Record, key: str, pattern: re.Pattern[str]) -> str:
    return _checked(record, key, lambda text: bool(pattern.fullmatch(text)))


def _one_of(record: Record, key: str, words: tuple[str, ...]) -> str:
    return _checked(record, key, lambda text: text in words)


def _bounded(record: Record, key: str, most: int) -> str:
    return _checked(record, key, lambda text: len(text) <= most and "\0" not in text)


def _checked(record: Record, key: str, is_good: Callable[[str], bool]) -> str:
    text = record.text(key)
    if not is_good(text):
        raise FormatError("not what is allowed here", context=key)
    return text


def _path(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 1024 or "\0" in value:
        raise FormatError("a path of at most 1024 characters expected")
    return value
