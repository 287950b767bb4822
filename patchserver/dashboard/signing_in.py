"""Signing in and out, and one's own password."""

from __future__ import annotations

import re

from flask import flash, redirect, render_template, request, session, url_for
from flask_login import logout_user
from werkzeug.wrappers import Response

from patchserver.accounts.audit import Actor
from patchserver.accounts.users import Role
from patchserver.dashboard.error_pages import field, flashing
from patchserver.services import services
from patchserver.web.access import actor, begin_session, person, public, signed_in

_LOCAL = re.compile(r"/(?:[A-Za-z0-9._~-][A-Za-z0-9._~/-]*)?")
"""Paths of this site; browsers read ``//host`` and ``/\\host`` as other sites."""


@public
def sign_in() -> str:
    """The form."""
    return render_template("dashboard/sign_in.html", next=_next(request.args.get("next", "")))


@public
def enter() -> Response | tuple[str, int]:
    """Sign in; the refusal is the same, whatever the reason."""
    there = _next(request.form.get("next", ""))
    found = services().accounts.sign_in(field("name"), field("password"))
    if found is None:
        return render_template("dashboard/sign_in.html", next=there, failed=True), 403
    begin_session(found)
    return redirect(there or url_for("dashboard.index"), 303)


@signed_in(Role.VIEWER)
def leave() -> Response:
    """Sign out, everywhere."""
    name = person().name
    with services().audit.change(actor(), "sign out", "", name, services().clock()):
        services().accounts.sign_out(name)
    logout_user()
    session.clear()
    return redirect(url_for("dashboard.sign_in"), 303)


@signed_in(Role.VIEWER)
def password() -> str:
    """The form for another password."""
    return render_template("dashboard/password.html")


@signed_in(Role.VIEWER)
def change_password() -> Response | tuple[str, int]:
    """Take another password; all other sessions end."""
    name, new = person().name, field("new", most=2000)
    if services().accounts.sign_in(name, field("old")) is None:
        flash("That is not your password.", "bad")
        return render_template("dashboard/password.html"), 403
    with flashing("You have another password; all other sessions have ended."):
        _change(actor(), name, new)
    return redirect(url_for("dashboard.password"), 303)


def _change(who: Actor, name: str, new: str) -> None:
    accounts = services().accounts
    with services().audit.change(who, "password", "", name, services().clock()):
        accounts.set_password(name, new)
    found = accounts.sign_in(name, new)
    if found is not None:
        begin_session(found)


def _next(path: str) -> str:
    """The page to go to after the sign-in: a path of this site, or none."""
    return path if _LOCAL.fullmatch(path) else ""
