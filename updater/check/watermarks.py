"""Watermarks: the newest versions and time seen of a repository, kept apart from TUF's files.

python-tuf refuses what is older than its own files say. Whoever holds the online key, and meets a
client whose snapshot is gone, could roll the releases back; this memory does not let them. A value
may not fall while the keys that could sign it may still do so. Another key that joins changes
nothing; one that ends may have been stolen, and have signed a version nobody can go beyond. Who may
sign is itself said by a role that is remembered: root names the keys of targets, targets name
those of the app.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from updater.errors import FormatError, TrustError
from updater.format.encoding.canonical import INTEGER_MAX, Record, decode, encode, string, within
from updater.format.encoding.limits import MIB

FORMAT = 1
DAY = 86_400
KEYS_MOST = 1000
"""Keys of one role; TUF metadata as we fetch it holds fewer than ten thousand."""


@dataclass(frozen=True)
class Watermark:
    """The highest value seen, and the keys that could sign it."""

    value: int = 0
    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: int, keys: Iterable[str] = ()) -> Watermark:
        """A mark whose keys have one order."""
        return cls(value, tuple(sorted(keys)))

    @classmethod
    def parse(cls, value: object) -> Watermark:
        """The mark of a JSON value.

        Raises:
            FormatError: it is none.
        """
        record = Record(value)
        mark = cls(
            record.integer("value", INTEGER_MAX),
            record.items("keys", string, KEYS_MOST),
        )
        record.end()
        return mark

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this value."""
        return {"keys": list(self.keys), "value": self.value}

    def is_older(self, seen: Watermark) -> bool:
        """True if keys that may all still sign have signed a higher value before."""
        return seen.may_all(self.keys) and self.value < seen.value

    def may_all(self, keys: Iterable[str]) -> bool:
        """True if every key of this mark is still among ``keys``."""
        return set(self.keys) <= set(keys)


@dataclass(frozen=True, kw_only=True)
class Watermarks:
    """``seen.json``: versions of three roles, and the newest signed time."""

    root: Watermark = field(default_factory=Watermark)
    targets: Watermark = field(default_factory=Watermark)
    app: Watermark = field(default_factory=Watermark)
    time: Watermark = field(default_factory=Watermark)
    """Seconds since 1970; its keys are those of the timestamp."""

    @property
    def data(self) -> bytes:
        """The bytes of ``seen.json``."""
        marks = {name: mark.to_json() for name, mark in vars(self).items()}
        return encode({**marks, "format": FORMAT})

    @classmethod
    def parse(cls, data: bytes) -> Watermarks:
        """The watermarks that ``data`` spells.

        Raises:
            FormatError: it is not a ``seen.json`` this updater knows.
        """
        record = Record(decode(data, MIB))
        record.integer("format", FORMAT, low=FORMAT)
        names = ("root", "targets", "app", "time")
        marks = {name: within(name, Watermark.parse, record.value(name)) for name in names}
        record.end()
        return cls(**marks)

    def follow(self, found: Watermarks) -> Watermarks:
        """The watermarks to keep once ``found`` was verified too.

        Raises:
            TrustError: something in it is older than what was seen.
        """
        for name in ("root", "targets", "app"):
            old, new = getattr(self, name), getattr(found, name)
            if new.is_older(old):
                raise TrustError(
                    f"version {new.value} of the {name} role is offered, {old.value} was seen here",
                    hint="nothing was installed; tell the publisher: was the repository restored "
                    "from a backup (patchtool refresh --at-least), or the online key stolen?",
                )
        return replace(found, time=self.time if found.time.is_older(self.time) else found.time)


def clock_doubt(now: int, signed: int, server: int | None) -> str:
    """The doubt about a clock behind a signed time, and which is likelier wrong; empty if none.

    Args:
        now: what this machine's clock says, in seconds since 1970.
        signed: the newest time that was signed.
        server: what time the server says it is, if it does.
    """
    if signed <= now + DAY:
        return ""
    days = (signed - now) / DAY
    words = f"something was signed at {_day(signed)}, {days:.0f} days after this machine's clock"
    words += f" ({_day(now)})"
    if server is None:
        return f"{words}: set this clock right, or tell the publisher that theirs is ahead"
    if abs(server - now) < abs(server - signed):
        return (
            f"{words}; the server's clock says {_day(server)} too: tell the publisher to run "
            "patchtool refresh, theirs was ahead"
        )
    return f"{words}; the server's clock says {_day(server)}: set this machine's clock right"


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def read_watermarks(path: Path) -> Watermarks:
    """Read the watermarks; empty ones if the file is missing or damaged.

    It is written in one step, so only a bad disk damages it, or who may write the State and could
    remove it just as well. To refuse then would protect from nobody and end all updates, and
    python-tuf's own memory and the installed version still stand against anything older.

    Raises:
        OSError: the disk does not give it now; that may pass, and nothing is forgotten.
    """
    try:
        return Watermarks.parse(path.read_bytes())
    except (FileNotFoundError, FormatError):
        return Watermarks()
