"""The tables: accounts and tokens, the audit log, and the reports of installs.

Times are whole seconds since 1970. What the repository says (releases, heads, expiry) is not
repeated here: it is read where it is signed.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables; constraints have names, so that a migration can name them."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar = {int: BigInteger, str: String(200), list[str]: JSON}


class User(Base):
    """Somebody who signs in."""

    __tablename__ = "users"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    password: Mapped[str]
    """Argon2's own text: parameters, salt and hash."""
    role: Mapped[str] = mapped_column(String(16))
    created: Mapped[int]
    is_active: Mapped[bool] = mapped_column(default=True)
    session: Mapped[str] = mapped_column(String(32))
    """Sessions that carry it are good; a sign-out or a new password changes it."""


class Token(Base):
    """A token of a program; its secret is not stored."""

    __tablename__ = "tokens"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the secret, which is long enough to need no slower hash."""
    name: Mapped[str] = mapped_column(String(64))
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    """The account that made it; it can do no more than that."""
    app: Mapped[str] = mapped_column(String(40))
    """Empty: every app."""
    scopes: Mapped[list[str]]
    created: Mapped[int]
    expires: Mapped[int | None]
    last_used: Mapped[int | None]
    is_active: Mapped[bool] = mapped_column(default=True)


class Event(Base):
    """One line of the audit log: a change, who made it, and how it ended."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Counts them, in the order in which they began."""
    time: Mapped[int] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(40))
    app: Mapped[str] = mapped_column(String(40), index=True)
    subject: Mapped[str]
    outcome: Mapped[str] = mapped_column(Text)
    """``begun`` until it is ``done``, or why it was not."""
    request: Mapped[str] = mapped_column(String(64))
    """The request's id, as the logs have it."""


class Install(Base):
    """The newest message of an install that reports."""

    __tablename__ = "installs"
    app: Mapped[str] = mapped_column(String(40), primary_key=True)
    install: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel: Mapped[str] = mapped_column(String(40))
    version: Mapped[str] = mapped_column(String(24))
    state: Mapped[str] = mapped_column(String(16))
    platform: Mapped[str] = mapped_column(String(40))
    updater: Mapped[str] = mapped_column(String(24))
    since: Mapped[int]
    """The time it was first seen with this version."""
    seen: Mapped[int] = mapped_column(index=True)
    origin: Mapped[str] = mapped_column(String(32))
    """A keyed hash of the network it came from: one of them does not decide alone."""
    checkin: Mapped[str] = mapped_column(String(32))
    """The id of the last check-in."""
    __table_args__ = (Index(None, "app", "channel", "version"),)


class Sighting(Base):
    """An install was seen with a version on a day: what version counts over time are drawn from."""

    __tablename__ = "sightings"
    app: Mapped[str] = mapped_column(String(40), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Days since 1970, in UTC."""
    install: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel: Mapped[str] = mapped_column(String(40))
    version: Mapped[str] = mapped_column(String(24))


class Failure(Base):
    """A report: an update that failed somewhere."""

    __tablename__ = "failures"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    app: Mapped[str] = mapped_column(String(40))
    install: Mapped[str] = mapped_column(String(32))
    channel: Mapped[str] = mapped_column(String(40))
    platform: Mapped[str] = mapped_column(String(40))
    updater: Mapped[str] = mapped_column(String(24))
    step: Mapped[str] = mapped_column(String(16))
    error: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(64))
    """The error's first word: reports of one release, platform and kind are one group."""
    old: Mapped[str] = mapped_column(String(24))
    new: Mapped[str] = mapped_column(String(24))
    changed: Mapped[list[str]]
    received: Mapped[int] = mapped_column(index=True)
    origin: Mapped[str] = mapped_column(String(32))
    __table_args__ = (Index(None, "app", "new", "platform", "kind", "received"),)


class Policy(Base):
    """The rule by which rollouts of a channel halt by themselves, if not the default one."""

    __tablename__ = "policies"
    app: Mapped[str] = mapped_column(String(40), primary_key=True)
    channel: Mapped[str] = mapped_column(String(40), primary_key=True)
    threshold: Mapped[int]
    """Basis points of failed installs among those that reported; above it the rollout halts."""
    sample: Mapped[int]
    """Installs that must have reported before anything is judged."""


class Halt(Base):
    """A rollout that was halted by reports of installs, and the evidence."""

    __tablename__ = "halts"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    app: Mapped[str] = mapped_column(String(40))
    channel: Mapped[str] = mapped_column(String(40))
    version: Mapped[str] = mapped_column(String(24))
    time: Mapped[int]
    succeeded: Mapped[int]
    failed: Mapped[int]
    threshold: Mapped[int]
    sample: Mapped[int]
    resumed: Mapped[int | None]
    """The time somebody let it go on; reports from before count no more."""
    __table_args__ = (Index(None, "app", "channel", "version"),)
