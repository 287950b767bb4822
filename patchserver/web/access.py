"""Access: the right that each view asks for. A view without one is for nobody.

Browsers sign in and carry a session; programs carry a token. A view is for one of them: a token
is no session, and a session alone changes nothing without its form's CSRF token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, current_app, g, redirect, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_wtf.csrf import CSRFProtect
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from patchserver.accounts.audit import Actor
from patchserver.accounts.users import Grant, Person, Role, Scope
from patchserver.services import services

View = TypeVar("View", bound=Callable[..., Any])
MARK = "upswap_access"
SESSION_HOURS = 12
ENDS = "ends"
"""The key in a session of the time when it ends, however busy; in seconds since 1970."""


@dataclass(frozen=True)
class Access:
    """The rule that says who may use a view."""

    role: Role | None = None
    """The role that a person needs; a higher one will do."""
    scope: Scope | None = None
    """The right that a token needs, for the app that the URL names."""


def public(view: View) -> View:
    """A view for everybody."""
    return _marked(view, Access())


def signed_in(role: Role) -> Callable[[View], View]:
    """A view for people of a role."""
    return lambda view: _marked(view, Access(role=role))


def bearer(scope: Scope) -> Callable[[View], View]:
    """A view for programs whose token allows ``scope``."""
    return lambda view: _marked(view, Access(scope=scope))


class Visitor(UserMixin):  # type: ignore[misc]  # flask-login ships no type information
    """Somebody who is signed in, as flask-login wants them."""

    def __init__(self, person: Person) -> None:
        self.person = person

    def get_id(self) -> str:
        """Return the content of the session: the name, and a number that a sign-out changes."""
        return f"{self.person.session}:{self.person.name}"


def guard(app: Flask, programs: Blueprint) -> None:
    """Let ``app`` answer only those who may ask.

    Args:
        app: all its views.
        programs: views that look at no cookie, so that no other site can use one.
    """
    login = LoginManager(app)
    login.session_protection = None  # addresses change on the way; sessions end by themselves
    login.user_loader(_visitor)
    CSRFProtect(app).exempt(programs)
    app.before_request(_require)


def access_of(view: Callable[..., Any]) -> Access | None:
    """Return the rule of a view; None: nobody may use it."""
    found: Access | None = getattr(view, MARK, None)
    return found


def begin_session(who: Person) -> None:
    """Let somebody in whose password was right; nothing of an earlier session goes on."""
    session.clear()
    session.permanent = True
    session[ENDS] = services().clock() + SESSION_HOURS * 3600
    login_user(Visitor(who))


def person() -> Person:
    """Return the person who is signed in; only in a view for people."""
    visitor: Visitor = current_user
    return visitor.person


def actor() -> Actor:
    """Return the person or program that asks for a change."""
    grant: Grant | None = g.get("grant")
    name = f"token {grant.name} of {grant.user}" if grant else f"user {person().name}"
    return Actor(name, g.get("request_id", ""))


def _marked(view: View, access: Access) -> View:
    setattr(view, MARK, access)
    return view


def _visitor(identity: str) -> Visitor | None:
    identifier, _, name = identity.partition(":")
    if services().clock() >= session.get(ENDS, 0):
        return None
    found = services().accounts.person(name, identifier)
    return Visitor(found) if found else None


def _require() -> Response | None:
    """Refuse whoever may not use the view that is asked for."""
    if request.endpoint is None:
        return None  # there is no such view, which is what the answer will be
    access = access_of(current_app.view_functions[request.endpoint])
    if access is None:
        raise Forbidden
    if access.scope is not None:
        _require_token(access.scope)
    elif access.role is not None:
        return _require_person(access.role)
    return None


def _require_token(scope: Scope) -> None:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    found = services().accounts.grant(secret.strip(), services().clock())
    if kind.lower() != "bearer" or found is None:
        raise Unauthorized(www_authenticate=WWWAuthenticate("bearer"))
    if not found.allows(scope, (request.view_args or {}).get("app", "")):
        raise Forbidden
    g.grant = found


def _require_person(role: Role) -> Response | None:
    if not current_user.is_authenticated:
        if request.method in {"GET", "HEAD"}:
            return _to_sign_in()
        raise Unauthorized
    if person().role < role:
        raise Forbidden
    return None


def _to_sign_in() -> Response:
    # The path alone: whatever stands in the query must not lead elsewhere after the sign-in.
    there = redirect(url_for("dashboard.sign_in", next=request.path))
    assert isinstance(there, Response)  # noqa: S101 - flask's own, whatever werkzeug's type says
    return there
