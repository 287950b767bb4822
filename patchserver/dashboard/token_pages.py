"""Pages of tokens: the programs that people let in."""

from __future__ import annotations

from flask import flash, redirect, render_template, request, url_for
from werkzeug.exceptions import Forbidden, NotFound
from werkzeug.wrappers import Response

from patchserver.accounts.users import DAYS_MOST, Role, Scope
from patchserver.dashboard.error_pages import field, flashing, words
from patchserver.dashboard.published_apps import published
from patchserver.database.tables import Token
from patchserver.services import services
from patchserver.web.access import actor, person, signed_in
from updater.errors import RequestError, UpdaterError

DIGITS = 16
"""Of a token's id: enough to name one."""


@signed_in(Role.VIEWER)
def tokens() -> str:
    """All tokens, without their secrets, which are nowhere."""
    return _page()


@signed_in(Role.PUBLISHER)
def make() -> str | Response:
    """Make a token. Its secret stands in this answer only, which nothing keeps."""
    try:
        return _page(secret=_made())
    except UpdaterError as error:
        flash(words(error), "bad")
        return redirect(url_for("dashboard.tokens"), 303)


@signed_in(Role.PUBLISHER)
def revoke(identity: str) -> Response:
    """End a token: one's own; admins end any."""
    token = _token(identity)
    if token.user != person().name and person().role < Role.ADMIN:
        raise Forbidden
    audit, subject = services().audit, f"{token.name} of {token.user}"
    with (
        flashing(f"Token {token.name} of {token.user} is good for nothing any more."),
        audit.change(actor(), "revoke token", token.app, subject, services().clock()),
    ):
        services().accounts.revoke_token(token.digest)
    return redirect(url_for("dashboard.tokens"), 303)


def _made() -> str:
    name, app, days = field("name", 64), field("app", 40), _days(field("days", 10))
    scopes = [scope for scope in Scope if scope.value in request.form.getlist("scope")]
    subject = f"{name}: {', '.join(scope.value for scope in scopes)}"
    with services().audit.change(actor(), "make token", app, subject, services().clock()):
        return services().accounts.make_token(
            person().name, name, app, scopes, services().clock(), days
        )


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= DAYS_MOST):
        raise RequestError(
            f"{text!a} is no number of days", hint=f"0 to {DAYS_MOST}; 0 is for ever"
        )
    return int(text)


def _token(identity: str) -> Token:
    fit = [t for t in services().accounts.tokens() if t.digest[:DIGITS] == identity]
    if len(fit) != 1:
        raise NotFound
    return fit[0]


def _page(secret: str = "") -> str:
    return render_template(
        "dashboard/tokens.html",
        tokens=services().accounts.tokens(),
        scopes=list(Scope),
        apps=sorted(published().apps),
        secret=secret,
        digits=DIGITS,
        now=services().clock(),
    )
