"""``patchserver token``: commands that manage the tokens of programs."""

from __future__ import annotations

import argparse
from typing import Any

from patchserver.accounts.users import Scope
from patchserver.run.local_services import add_places, changing, opened
from patchserver.services import Services
from updater.cli.terminal import add_command, print_result
from updater.errors import RequestError


def add_commands(commands: Any) -> None:
    """Register ``token make``, ``revoke`` and ``list``."""
    tokens = commands.add_parser("token", help="manage which programs may do what")
    verbs = tokens.add_subparsers(required=True, metavar="COMMAND")
    make = add_command(
        verbs,
        "make",
        _make_token,
        "make a token; it is shown only now",
        "patchserver token make ci --user alice --scope publish",
    )
    make.add_argument("name", metavar="NAME", help="what the token is for")
    make.add_argument("--user", required=True, help="account that it belongs to")
    make.add_argument("--app", default="", help="app that it is for; default: every app")
    make.add_argument("--days", type=int, default=0, help="days until it expires; default: never")
    make.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=[scope.value for scope in Scope],
        help="what the program may do; may be given twice",
    )
    revoke = add_command(
        verbs, "revoke", _revoke_token, "end a token", "patchserver token revoke 3f9a1c"
    )
    revoke.add_argument("id", metavar="ID", help="first digits, as the list shows them")
    listed = add_command(
        verbs,
        "list",
        _list_tokens,
        "show all tokens, without their secrets",
        "patchserver token list",
    )
    for command in (make, revoke, listed):
        add_places(command)


def _make_token(options: argparse.Namespace) -> int:
    scopes = [Scope(scope) for scope in dict.fromkeys(options.scope)]
    with changing(options, "make token", f"{options.name} of {options.user}") as services:
        _require_hosted(services, options.app)
        secret = services.accounts.make_token(
            options.user, options.name, options.app, scopes, services.clock(), options.days
        )
    print_result(options, {"token": secret}, secret)
    return 0


def _require_hosted(services: Services, app: str) -> None:
    """Refuse a token that would be good for nothing."""
    hosted = services.signer.look().apps()
    if app and app not in hosted:
        raise RequestError(
            f"no app {app} is hosted", hint=f"choose one of: {', '.join(sorted(hosted))}"
        )


def _revoke_token(options: argparse.Namespace) -> int:
    with changing(options, "revoke token", options.id) as services:
        token = services.accounts.revoke_token(options.id)
    print_result(options, {"revoked": token.name}, f"token {token.name} of {token.user} is revoked")
    return 0


def _list_tokens(options: argparse.Namespace) -> int:
    with opened(options) as services:
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
    print_result(options, {"tokens": rows}, "\n".join(words) or "none")
    return 0
