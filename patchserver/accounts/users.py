"""Accounts: the people who sign in, and the programs they let in.

A password is hashed by argon2. A token is a random text of 256 bits, so that its SHA-256 gives
nothing away; it is shown once and stands nowhere. What it allows is looked up with every use:
whoever is made a viewer, or whose account is closed, takes their tokens down with them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from patchserver.database.engine import Database
from patchserver.database.tables import Token, User
from updater.errors import RequestError
from updater.format.names import check_app

PREFIX = "ups_"
"""Begins every token, so that a scanner for secrets knows one."""
PASSWORD_LEAST, PASSWORD_MOST = 10, 1000
"""Characters; the upper bound is for the hash, which takes time with every one."""
DAYS_MOST = 3650
"""Until a token expires."""
TOKENS_MOST = 100
"""Active tokens of one user."""
USED_EVERY = 3600
"""Seconds within which a second use of a token is not noted: else every request would write."""
HASHING_MOST, HASHING_WAIT = 2, 2
"""Passwords hashed at once by one process, for each takes 64 MiB; and how many wait for that."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Role(IntEnum):
    """The rights of an account; each role has those of the roles below it."""

    VIEWER = 1
    """See everything."""
    PUBLISHER = 2
    """Push, promote, pause, and make tokens for that."""
    ADMIN = 3
    """Manage accounts too."""

    @classmethod
    def parse(cls, text: str) -> Role:
        """The role of a name.

        Raises:
            InstallError: it is none.
        """
        try:
            return cls[text.upper()]
        except KeyError as error:
            names = ", ".join(role.name.lower() for role in cls)
            raise RequestError(f"{text} is no role", hint=f"choose one of: {names}") from error


class Scope(str, Enum):
    """One right of a token."""

    PUBLISH = "publish"
    """Push releases."""
    PROMOTE = "promote"
    """Promote, pause and resume."""


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    name: str
    role: Role
    session: str


@dataclass(frozen=True)
class Grant:
    """The rights of whoever sends a token."""

    name: str
    user: str
    app: str
    """Empty: every app."""
    scopes: frozenset[Scope]

    def allows(self, scope: Scope, app: str) -> bool:
        """Return whether it is good for this."""
        return scope in self.scopes and self.app in {"", app}


class Accounts:
    """The users and tokens in a database."""

    def __init__(self, database: Database) -> None:
        """``database``: its schema is up to date."""
        self._database = database

    def add(self, name: str, password: str, role: Role, now: int) -> None:
        """Make an account.

        Raises:
            InstallError: the name is taken or no name, the password is too short, the database.
        """
        if not _NAME.fullmatch(name):
            raise RequestError(
                f"{name!r} is no user name", hint="letters, digits and . _ @ -, 64 at most"
            )
        user = User(
            name=name,
            password=_hash(password),
            role=role.name.lower(),
            created=now,
            session=secrets.token_hex(16),
        )
        with self._database.writing() as session:
            if session.get(User, name) is not None:
                raise RequestError(f"there is a user {name} already", hint="choose another name")
            session.add(user)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password; their sessions end.

        Raises:
            InstallError: there is no such user, the password is too short, the database.
        """
        hashed = _hash(password)
        with self._database.writing() as session:
            user = _user(session, name)
            user.password, user.session = hashed, secrets.token_hex(16)

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role; their tokens can do no more than that from now on.

        Raises:
            InstallError: there is no such user, or it would leave nobody who can manage accounts.
        """
        with self._database.writing() as session:
            _user(session, name).role = role.name.lower()
            _require_admin(session)

    def set_active(self, name: str, *, is_active: bool) -> None:
        """Close or open an account; a closed one's sessions and tokens are good for nothing.

        Raises:
            InstallError: there is no such user, or it would leave nobody who can manage accounts.
        """
        with self._database.writing() as session:
            user = _user(session, name)
            user.is_active, user.session = is_active, secrets.token_hex(16)
            _require_admin(session)

    def sign_out(self, name: str) -> None:
        """End all sessions of a user."""
        with self._database.writing() as session:
            _user(session, name).session = secrets.token_hex(16)

    def users(self) -> Sequence[User]:
        """All users, by name."""
        with self._database.reading() as session:
            return session.scalars(select(User).order_by(User.name)).all()

    def sign_in(self, name: str, password: str) -> Person | None:
        """Return the person with this name and password; None if they do not fit.

        It takes as long whether there is such a user or not.

        Raises:
            Crowded: too many others are signing in.
            InstallError: the database.
        """
        with self._database.reading() as session:
            user = session.get(User, name[: PASSWORD_MOST // 10])
        is_right = _verify(user.password if user else _nobody(), password[:PASSWORD_MOST])
        return _person(user) if user and user.is_active and is_right else None

    def person(self, name: str, session_id: str) -> Person | None:
        """Return the person of a session; None if it ended."""
        with self._database.reading() as session:
            user = session.get(User, name)
        if (
            user is None
            or not user.is_active
            or not secrets.compare_digest(user.session, session_id)
        ):
            return None
        return _person(user)

    def make_token(
        self, user: str, name: str, app: str, scopes: Sequence[Scope], now: int, days: int = 0
    ) -> str:
        """A new token, to be shown once.

        Args:
            user: who makes it.
            name: what it is for.
            app: empty for every app.
            scopes: what it allows; nothing that its maker may not do.
            now: seconds since 1970.
            days: until it expires; 0: never.

        Raises:
            InstallError: the user may make none, or has too many; ``days`` makes no sense; the
                database.
            FormatError: ``app`` is no name of an app.
        """
        if not 0 <= days <= DAYS_MOST:
            raise RequestError(
                f"{days} is no number of days", hint=f"0 to {DAYS_MOST}; 0 is for ever"
            )
        if app:
            check_app(app)
        secret = PREFIX + secrets.token_urlsafe(32)
        token = Token(
            digest=_digest(secret),
            name=name[:64],
            user=user,
            app=app,
            scopes=sorted(scope.value for scope in scopes),
            created=now,
            expires=now + days * 86400 if days else None,
        )
        with self._database.writing() as session:
            if Role.parse(_user(session, user).role) < Role.PUBLISHER or not scopes:
                raise RequestError(
                    f"{user} may make no such token", hint="a publisher or an admin can"
                )
            _require_room(session, user)
            session.add(token)
        return secret

    def grant(self, secret: str, now: int) -> Grant | None:
        """Return the rights that go with ``secret``; None if it is no valid token."""
        if not secret.startswith(PREFIX):
            return None
        with self._database.reading() as session:
            token = session.get(Token, _digest(secret))
            owner = session.get(User, token.user) if token else None
        if token is None or owner is None or not _is_good(token, owner, now):
            return None
        if now - (token.last_used or 0) > USED_EVERY:
            self._note_use(token.digest, now)
        return Grant(token.name, token.user, token.app, frozenset(map(Scope, token.scopes)))

    def tokens(self) -> Sequence[Token]:
        """All tokens, newest first."""
        with self._database.reading() as session:
            return session.scalars(select(Token).order_by(Token.created.desc())).all()

    def revoke_token(self, start: str) -> Token:
        """End the token whose digest begins with ``start``.

        Raises:
            InstallError: there is none, or more than one.
        """
        with self._database.writing() as session:
            match = Token.digest.startswith(start, autoescape=True)
            found = session.scalars(select(Token).where(match)).all()
            if len(found) != 1 or not start:
                raise RequestError(
                    f"no token {start}", hint="name the first digits of its id, as the list has it"
                )
            found[0].is_active = False
            return found[0]

    def _note_use(self, digest: str, now: int) -> None:
        with self._database.writing() as session:
            token = session.get(Token, digest)
            if token is not None:
                token.last_used = now


def _person(user: User) -> Person:
    return Person(user.name, Role.parse(user.role), user.session)


def _is_good(token: Token, owner: User, now: int) -> bool:
    if not token.is_active or (token.expires is not None and token.expires <= now):
        return False
    return owner.is_active and Role.parse(owner.role) >= Role.PUBLISHER


def _user(session: Session, name: str) -> User:
    user = session.get(User, name)
    if user is None:
        raise RequestError(f"there is no user {name}", hint="patchserver user list shows all")
    return user


def _require_admin(session: Session) -> None:
    """Refuse to lock everybody out."""
    session.flush()
    admin = select(User).where(User.role == Role.ADMIN.name.lower(), User.is_active)
    if session.scalars(admin.limit(1)).first() is None:
        raise RequestError("nobody could manage accounts then", hint="make another admin first")


def _require_room(session: Session, user: str) -> None:
    held = select(Token.digest).where(Token.user == user, Token.is_active)
    if len(session.scalars(held).all()) >= TOKENS_MOST:
        raise RequestError(f"{user} has {TOKENS_MOST} tokens", hint="revoke some first")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Crowded(RequestError):  # noqa: N818 - reads as what it says
    """More people sign in at once than there is memory for."""

    def __init__(self) -> None:
        super().__init__("too many passwords to look at", hint="try again", retryable=True)


_hashing = threading.BoundedSemaphore(HASHING_MOST)
_asking = threading.BoundedSemaphore(HASHING_MOST + HASHING_WAIT)


@contextmanager
def _in_turn() -> Iterator[None]:
    """Hold one of few places: neither memory nor all threads are for whoever tries passwords.

    Raises:
        Crowded: others wait already.
    """
    if not _asking.acquire(blocking=False):
        raise Crowded
    try:
        with _hashing:
            yield
    finally:
        _asking.release()


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    """The hash of a password that nobody knows."""
    return _hasher().hash(secrets.token_hex(16))


def _hash(password: str) -> str:
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise RequestError(
            f"a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters",
            hint="several words are easy to keep",
        )
    with _in_turn():
        return _hasher().hash(password)


def _verify(hashed: str, password: str) -> bool:
    try:
        with _in_turn():
            return _hasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
