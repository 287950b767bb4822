"""Commands that manage a server from its own machine: accounts, tokens, signatures.

Whoever may write the data folder may do all of this; what they did stands in the audit log.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from patchserver.accounts.audit import Actor
from patchserver.accounts.users import Role, Scope
from patchserver.ops.server_settings import (
    ServerSettings,
    data_beside,
    settings_for,
    settings_from_environment,
)
from patchserver.publishing.signer import ELSEWHERE, Date
from patchserver.rollouts.halting import Rule
from patchserver.run.self_check import require_repository
from patchserver.services import Services, open_services
from updater.cli.terminal import (
    add_command,
    judge,
    tell,
)
from updater.errors import FormatError, InstallError
from updater.format.names import check_channel
from updater.format.next_head import parse_percent

PASSWORD = "UPSWAP_PASSWORD"  # noqa: S105 - the name of a variable


def settings_of(options: argparse.Namespace) -> ServerSettings:
    """The settings that a command's options and the environment name; options come first.

    Raises:
        InstallError: a value that cannot be meant, or no repository is named.
    """
    environment = dict(os.environ)
    if options.repo is not None:
        environment["UPSWAP_REPO"] = str(options.repo)
    found = settings_from_environment(environment)
    return settings_for(
        found.repository,
        data=options.data or found.data,
        keys=options.keys or found.keys,
        database=options.database or ("" if options.data else found.database),
        proxies=found.proxies,
        accel=found.accel,
        bounds=found.bounds,
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """The options that say where everything lies."""
    parser.add_argument("--repo", type=Path, help="the repository folder; default: $UPSWAP_REPO")
    parser.add_argument(
        "--data", type=Path, help="what the server keeps; default: $UPSWAP_DATA, or REPO.server"
    )
    parser.add_argument(
        "--keys", type=Path, help="folder with online.pem and no other; default: $UPSWAP_KEYS"
    )
    parser.add_argument(
        "--database", default="", help="URL; default: $UPSWAP_DATABASE, or SQLite in the data"
    )


def add_admin_commands(commands: Any) -> None:
    """``user``, ``token``, ``refresh`` and ``rule``."""
    users = commands.add_parser("user", help="who signs in").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add = add_command(users, "add", _add_user, f"make an account; its password from ${PASSWORD}")
    add.add_argument("--role", choices=[role.name.lower() for role in Role], default="viewer")
    password = add_command(users, "password", _set_password, "give somebody another password")
    role = add_command(users, "role", _set_role, "let somebody do more, or less")
    close = add_command(users, "close", _close, "end an account, its sessions and tokens")
    reopen = add_command(users, "open", _open, "let a closed account in again")
    listed = add_command(users, "list", _list_users, "all accounts")
    for parser in (add, password, role, close, reopen):
        parser.add_argument("name", metavar="NAME")
    role.add_argument("role", choices=[role.name.lower() for role in Role])
    _add_token_commands(commands)
    refresh = add_command(commands, "refresh", _refresh, "sign what is due, with the online key")
    refresh.add_argument("--at-least", type=int, default=0, metavar="N", help="after a restore")
    refresh.add_argument(
        "--clock",
        type=_date,
        metavar="DATE",
        help="today's date, such as 2027-01-31: sign though the last signature fits no such clock",
    )
    rule = add_command(commands, "rule", _set_rule, "when a channel's rollouts halt by themselves")
    rule.add_argument("--app", required=True)
    rule.add_argument("--channel", default="stable", help="default: %(default)s")
    rule.add_argument(
        "--threshold", type=parse_percent, metavar="PERCENT", help="of failed installs; default: 5"
    )
    rule.add_argument("--sample", type=int, metavar="N", help="that must have told; default: 20")
    for parser in (add, password, role, close, reopen, listed, refresh, rule):
        add_places(parser)


def _add_token_commands(commands: Any) -> None:
    tokens = commands.add_parser("token", help="which programs may do what").add_subparsers(
        required=True, metavar="COMMAND"
    )
    make = add_command(tokens, "make", _make_token, "make a token; it is shown this once")
    make.add_argument("name", metavar="NAME", help="what it is for")
    make.add_argument("--user", required=True, help="whose it is")
    make.add_argument("--app", default="", help="default: every app")
    make.add_argument("--days", type=int, default=0, help="until it expires; default: never")
    make.add_argument(
        "--scope", action="append", required=True, choices=[scope.value for scope in Scope]
    )
    revoke = add_command(tokens, "revoke", _revoke_token, "end a token")
    revoke.add_argument("id", metavar="ID", help="the first digits, as the list has them")
    listed = add_command(tokens, "list", _list_tokens, "all tokens, without their secrets")
    for parser in (make, revoke, listed):
        add_places(parser)


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[Services]:
    settings = settings_of(options)
    require_repository(settings.repository)  # before a data folder is made beside a slip of the pen
    if settings.data is None:
        data = data_beside(settings.repository)
        settings = settings_for(settings.repository, data, settings.keys, settings.database)
    services = open_services(settings)
    try:
        yield services
    finally:
        services.database.close()


@contextmanager
def _changing(options: argparse.Namespace, action: str, subject: str) -> Iterator[Services]:
    with (
        _opened(options) as services,
        services.audit.change(_actor(), action, "", subject, services.clock()),
    ):
        yield services


def _password() -> str:
    """From the environment, else from a person, twice.

    Raises:
        InstallError: nobody is there to be asked, or they differ.
    """
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    if not sys.stdin.isatty():
        raise InstallError("no password", hint=f"set {PASSWORD}, or run this in a terminal")
    first = getpass.getpass("password: ")
    if getpass.getpass("again: ") != first:
        raise InstallError("the two differ", hint="try again")
    return first


def _add_user(options: argparse.Namespace) -> int:
    password = _password()
    with _changing(options, "add user", f"{options.name} as {options.role}") as services:
        role = Role.parse(options.role)
        services.accounts.add(options.name, password, role, services.clock())
    tell(options, {"user": options.name}, f"{options.name} may sign in as {options.role}")
    return 0


def _set_password(options: argparse.Namespace) -> int:
    password = _password()
    with _changing(options, "set password", options.name) as services:
        services.accounts.set_password(options.name, password)
    tell(options, {"user": options.name}, f"{options.name} has a new password; sessions ended")
    return 0


def _set_role(options: argparse.Namespace) -> int:
    with _changing(options, "set role", f"{options.name} as {options.role}") as services:
        services.accounts.set_role(options.name, Role.parse(options.role))
    tell(options, {"user": options.name}, f"{options.name} is {options.role} now")
    return 0


def _close(options: argparse.Namespace) -> int:
    with _changing(options, "close account", options.name) as services:
        services.accounts.set_active(options.name, is_active=False)
    tell(options, {"user": options.name}, f"{options.name} cannot sign in any more")
    return 0


def _open(options: argparse.Namespace) -> int:
    with _changing(options, "open account", options.name) as services:
        services.accounts.set_active(options.name, is_active=True)
    tell(options, {"user": options.name}, f"{options.name} may sign in again")
    return 0


def _list_users(options: argparse.Namespace) -> int:
    with _opened(options) as services:
        users = services.accounts.users()
    rows = [{"name": u.name, "role": u.role, "active": u.is_active} for u in users]
    words = [f"{u.name}  {u.role}{'' if u.is_active else '  closed'}" for u in users]
    tell(options, {"users": rows}, "\n".join(words) or "nobody")
    return 0


def _make_token(options: argparse.Namespace) -> int:
    scopes = [Scope(scope) for scope in dict.fromkeys(options.scope)]
    with _changing(options, "make token", f"{options.name} of {options.user}") as services:
        _require_hosted(services, options.app)
        secret = services.accounts.make_token(
            options.user, options.name, options.app, scopes, services.clock(), options.days
        )
    tell(options, {"token": secret}, secret)
    return 0


def _require_hosted(services: Services, app: str) -> None:
    """Refuse a token that would be good for nothing."""
    hosted = services.signer.look().apps()
    if app and app not in hosted:
        raise InstallError(
            f"no app {app} is hosted", hint=f"choose one of: {', '.join(sorted(hosted))}"
        )


def _revoke_token(options: argparse.Namespace) -> int:
    with _changing(options, "revoke token", options.id) as services:
        token = services.accounts.revoke_token(options.id)
    tell(options, {"revoked": token.name}, f"token {token.name} of {token.user} is revoked")
    return 0


def _list_tokens(options: argparse.Namespace) -> int:
    with _opened(options) as services:
        tokens = services.accounts.tokens()
    rows = [
        {
            "id": token.digest[:12],
            "name": token.name,
            "user": token.user,
            "app": token.app,
            "scopes": token.scopes,
            "active": token.is_active,
            "expires": token.expires,
        }
        for token in tokens
    ]
    words = [
        f"{row['id']}  {row['name']}  {row['user']}  {row['app'] or 'every app'}  "
        f"{','.join(token.scopes)}{'' if token.is_active else '  revoked'}"
        for row, token in zip(rows, tokens, strict=True)
    ]
    tell(options, {"tokens": rows}, "\n".join(words) or "none")
    return 0


def _set_rule(options: argparse.Namespace) -> int:
    usual = Rule()
    threshold = usual.threshold if options.threshold is None else options.threshold
    rule = Rule(threshold, usual.sample if options.sample is None else options.sample)
    with _opened(options) as services:
        services.signer.heads(options.app)  # which says so if it is not hosted
        services.rollouts.set_rule(_actor(), options.app, check_channel(options.channel), rule)
    words = f"halts when more than {rule.threshold / 100:g} % of at least {rule.sample} failed"
    tell(options, dict(vars(rule)), f"{options.app} {options.channel}: {words}")
    return 0


def _date(text: str) -> Date:
    try:
        return Date.parse(text)
    except FormatError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _actor() -> Actor:
    return Actor(f"command of {getpass.getuser()}")


def _refresh(options: argparse.Namespace) -> int:
    with _changing(options, "sign", "what is due") as services:
        done = services.signer.refresh(options.at_least, options.clock)
    signed = [status.role for status in done.signed]
    tell(
        options, {"signed": signed}, f"signed: {', '.join(signed)}" if signed else "nothing is due"
    )
    concerns = [replace(concern, hint=ELSEWHERE) for concern in done.concerns(services.clock())]
    return judge(concerns, idle=not signed)
