"""The page of users, for admins: make, close and open accounts, and change roles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import redirect, render_template, url_for
from werkzeug.wrappers import Response

from patchserver.accounts.users import Accounts, Role
from patchserver.dashboard.error_pages import field, flashing
from patchserver.services import services
from patchserver.web.access import actor, signed_in


@signed_in(Role.ADMIN)
def users() -> str:
    """All accounts."""
    found = services().accounts.users()
    return render_template("dashboard/users.html", users=found, roles=_roles())


@signed_in(Role.ADMIN)
def add() -> Response:
    """Make an account."""
    name = field("name")
    with _changing("add user", name, f"{name} can sign in now.") as accounts:
        accounts.add(name, field("password", 2000), Role.parse(field("role")), services().clock())
    return _back()


@signed_in(Role.ADMIN)
def set_role(name: str) -> Response:
    """Let somebody do more, or less."""
    role = field("role")
    with _changing("role", f"{name} {role}", f"{name} is {role} now.") as accounts:
        accounts.set_role(name, Role.parse(role))
    return _back()


@signed_in(Role.ADMIN)
def close(name: str) -> Response:
    """End an account, its sessions and its tokens."""
    with _changing("close user", name, f"{name} cannot sign in any more.") as accounts:
        accounts.set_active(name, is_active=False)
    return _back()


@signed_in(Role.ADMIN)
def reopen(name: str) -> Response:
    """Let a closed account in again."""
    with _changing("open user", name, f"{name} can sign in again.") as accounts:
        accounts.set_active(name, is_active=True)
    return _back()


@contextmanager
def _changing(action: str, subject: str, done: str) -> Iterator[Accounts]:
    """Keep a change of accounts in the audit log, and show that it was made."""
    audit = services().audit
    with flashing(done), audit.change(actor(), action, "", subject, services().clock()):
        yield services().accounts


def _back() -> Response:
    return redirect(url_for("dashboard.users"), 303)


def _roles() -> list[str]:
    return [role.name.lower() for role in Role]
