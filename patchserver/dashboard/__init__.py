"""The dashboard: pages for people who watch and change a server. Every path stands here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint
from werkzeug.exceptions import HTTPException

from patchserver.dashboard import (
    account_pages,
    channel_pages,
    error_pages,
    formatting,
    overview_pages,
    signing_in,
    token_pages,
)
from updater.errors import UpdaterError

CHANNEL = "/apps/<app>/channels/<channel>"
ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", "/", overview_pages.index),
    ("GET", "/static/<name>", overview_pages.static),
    ("GET", "/sign-in", signing_in.sign_in),
    ("POST", "/sign-in", signing_in.enter),
    ("POST", "/sign-out", signing_in.leave),
    ("GET", "/password", signing_in.password),
    ("POST", "/password", signing_in.change_password),
    ("GET", "/apps/<app>", overview_pages.overview),
    ("GET", "/apps/<app>/releases", overview_pages.releases),
    ("GET", "/apps/<app>/adoption", overview_pages.adopted),
    ("GET", "/apps/<app>/failures", overview_pages.failures),
    ("POST", "/apps/<app>/promote", channel_pages.promote),
    ("GET", CHANNEL, channel_pages.channel),
    ("POST", f"{CHANNEL}/pause", channel_pages.pause),
    ("POST", f"{CHANNEL}/resume", channel_pages.resume),
    ("POST", f"{CHANNEL}/rule", channel_pages.set_rule),
    ("GET", "/log", overview_pages.log),
    ("GET", "/tokens", token_pages.tokens),
    ("POST", "/tokens", token_pages.make),
    ("POST", "/tokens/<identity>/revoke", token_pages.revoke),
    ("GET", "/users", account_pages.users),
    ("POST", "/users", account_pages.add),
    ("POST", "/users/<name>/role", account_pages.set_role),
    ("POST", "/users/<name>/close", account_pages.close),
    ("POST", "/users/<name>/open", account_pages.reopen),
)

blueprint = Blueprint("dashboard", __name__, template_folder="templates")
for _method, _path, _view in ROUTES:
    blueprint.add_url_rule(_path, _view.__name__, _view, methods=[_method])
for _name, _filter in formatting.FILTERS.items():
    blueprint.add_app_template_filter(_filter, _name)
blueprint.register_error_handler(HTTPException, error_pages.page)
blueprint.register_error_handler(UpdaterError, error_pages.outage)
blueprint.before_request(error_pages.refuse_what_no_database_takes)
blueprint.after_request(error_pages.protect)
