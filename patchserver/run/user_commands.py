"""``patchserver user``: commands that manage accounts."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import Any

from patchserver.accounts.users import Role
from patchserver.run.local_services import add_places, changing, opened
from updater.cli.terminal import add_command, print_result
from updater.errors import RequestError

PASSWORD = "UPSWAP_PASSWORD"  # noqa: S105 - the name of a variable
ROLES = [role.name.lower() for role in Role]


def add_commands(commands: Any) -> None:
    """Register ``user add``, ``password``, ``role``, ``close``, ``open`` and ``list``."""
    users = commands.add_parser("user", help="manage who signs in")
    verbs = users.add_subparsers(required=True, metavar="COMMAND")
    texts = {
        "add": (_add_user, f"make an account; its password comes from ${PASSWORD}"),
        "password": (_set_password, "give somebody another password"),
        "role": (_set_role, "let somebody do more, or less"),
        "close": (_close, "end an account, its sessions and tokens"),
        "open": (_open, "let a closed account in again"),
    }
    examples = {"add": " --role publisher", "role": " admin"}
    for verb, (action, text) in texts.items():
        example = f"patchserver user {verb} alice{examples.get(verb, '')}"
        command = add_command(verbs, verb, action, text, example)
        command.add_argument("name", metavar="NAME", help="of the account")
        add_places(command)
        if verb == "add":
            command.add_argument(
                "--role", choices=ROLES, default="viewer", help="default: %(default)s"
            )
        if verb == "role":
            command.add_argument("role", choices=ROLES, help="role from now on")
    add_places(
        add_command(verbs, "list", _list_users, "show all accounts", "patchserver user list")
    )


def _password() -> str:
    """From the environment, else from a person, twice.

    Raises:
        InstallError: nobody is there to be asked, or they differ.
    """
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    if not sys.stdin.isatty():
        raise RequestError("no password", hint=f"set {PASSWORD}, or run this in a terminal")
    first = getpass.getpass("password: ")
    if getpass.getpass("again: ") != first:
        raise RequestError("the two differ", hint="try again")
    return first


def _add_user(options: argparse.Namespace) -> int:
    password = _password()
    with changing(options, "add user", f"{options.name} as {options.role}") as services:
        role = Role.parse(options.role)
        services.accounts.add(options.name, password, role, services.clock())
    print_result(options, {"user": options.name}, f"{options.name} may sign in as {options.role}")
    return 0


def _set_password(options: argparse.Namespace) -> int:
    password = _password()
    with changing(options, "set password", options.name) as services:
        services.accounts.set_password(options.name, password)
    print_result(
        options, {"user": options.name}, f"{options.name} has a new password; sessions ended"
    )
    return 0


def _set_role(options: argparse.Namespace) -> int:
    with changing(options, "set role", f"{options.name} as {options.role}") as services:
        services.accounts.set_role(options.name, Role.parse(options.role))
    print_result(options, {"user": options.name}, f"{options.name} is {options.role} now")
    return 0


def _close(options: argparse.Namespace) -> int:
    with changing(options, "close account", options.name) as services:
        services.accounts.set_active(options.name, is_active=False)
    print_result(options, {"user": options.name}, f"{options.name} cannot sign in any more")
    return 0


def _open(options: argparse.Namespace) -> int:
    with changing(options, "open account", options.name) as services:
        services.accounts.set_active(options.name, is_active=True)
    print_result(options, {"user": options.name}, f"{options.name} may sign in again")
    return 0


def _list_users(options: argparse.Namespace) -> int:
    with opened(options) as services:
        users = services.accounts.users()
    rows = [{"name": u.name, "role": u.role, "active": u.is_active} for u in users]
    words = [f"{u.name}  {u.role}{'' if u.is_active else '  closed'}" for u in users]
    print_result(options, {"users": rows}, "\n".join(words) or "nobody")
    return 0
