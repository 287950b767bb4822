"""The dashboard: what people see of a server, and change by hand. Every path of it stands here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint
from werkzeug.exceptions import HTTPException

from patchserver.dashboard import (
    accounts,
    channels,
    formatting,
    pages,
    signing_in,
    tokens,
    trouble,
)
from updater.errors import UpdaterError

CHANNEL = "/apps/<app>/channels/<channel>"
ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", "/", pages.index),
    ("GET", "/static/<name>", pages.static),
    ("GET", "/sign-in", signing_in.sign_in),
    ("POST", "/sign-in", signing_in.enter),
    ("POST", "/sign-out", signing_in.leave),
    ("GET", "/password", signing_in.password),
    ("POST", "/password", signing_in.change_password),
    ("GET", "/apps/<app>", pages.overview),
    ("GET", "/apps/<app>/releases", pages.releases),
    ("GET", "/apps/<app>/adoption", pages.adopted),
    ("GET", "/apps/<app>/failures", pages.failures),
    ("POST", "/apps/<app>/promote", channels.promote),
    ("GET", CHANNEL, channels.channel),
    ("POST", f"{CHANNEL}/pause", channels.pause),
    ("POST", f"{CHANNEL}/resume", channels.resume),
    ("POST", f"{CHANNEL}/rule", channels.set_rule),
    ("GET", "/log", pages.log),
    ("GET", "/tokens", tokens.tokens),
    ("POST", "/tokens", tokens.make),
    ("POST", "/tokens/<identity>/revoke", tokens.revoke),
    ("GET", "/users", accounts.users),
    ("POST", "/users", accounts.add),
    ("POST", "/users/<name>/role", accounts.set_role),
    ("POST", "/users/<name>/close", accounts.close),
    ("POST", "/users/<name>/open", accounts.reopen),
)

blueprint = Blueprint("dashboard", __name__, template_folder="templates")
for _method, _path, _view in ROUTES:
    blueprint.add_url_rule(_path, _view.__name__, _view, methods=[_method])
for _name, _filter in formatting.FILTERS.items():
    blueprint.add_app_template_filter(_filter, _name)
blueprint.register_error_handler(HTTPException, trouble.page)
blueprint.register_error_handler(UpdaterError, trouble.outage)
blueprint.before_request(trouble.refuse_what_no_database_takes)
blueprint.after_request(trouble.protect)
