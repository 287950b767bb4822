"""The Flask application: its parts, and rules for every answer."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flask import Flask, Response
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from patchserver import dashboard
from patchserver.files.public_files import PublicFolder
from patchserver.files.responses import GUARDS, refusal
from patchserver.ops import logs
from patchserver.ops.metrics import Metrics
from patchserver.ops.server_settings import ServerSettings
from patchserver.services import Clock, Services, open_services, system_clock
from patchserver.web import api, downloads, health, rate_limits
from patchserver.web.access import SESSION_HOURS, guard
from patchserver.web.cookies import Cookies
from patchserver.web.error_answers import refuse
from updater.errors import UpdaterError
from updater.format.encoding.limits import KIB

FORM_BYTES = 64 * KIB


def create_app(
    settings: ServerSettings,
    clock: Clock = system_clock,
    environment: Mapping[str, str] = os.environ,
) -> Flask:
    """A WSGI application that serves the repository, and with a data folder all that is about it.

    The folder is looked at with every request and may appear or be replaced later;
    ``/healthz`` tells whether it can be read.

    Raises:
        InstallError: the data folder or the database cannot be used.
    """
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # would redirect; we have one spelling of every name
    app.extensions["settings"] = settings
    app.extensions["repository"] = PublicFolder(settings.repository)
    app.extensions["metrics"] = Metrics()
    app.before_request(logs.begin)
    app.after_request(logs.end)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(downloads.blueprint)
    if settings.data is not None:
        _add_services(app, settings, open_services(settings, clock, environment))
    app.register_error_handler(HTTPException, _answer_error)
    app.register_error_handler(UpdaterError, refuse)
    app.after_request(_guard)
    _trust_proxies(app, settings.proxies)
    return app


def _add_services(app: Flask, settings: ServerSettings, opened: Services) -> None:
    """All that needs more than the repository's files."""
    app.extensions["services"] = opened
    app.secret_key = opened.secret
    app.session_interface = Cookies()
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,  # else a page that looks for news would never end
        PERMANENT_SESSION_LIFETIME=SESSION_HOURS * 3600,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        MAX_CONTENT_LENGTH=FORM_BYTES,  # of what names no bound of its own
    )
    bounded = rate_limits.start(app, settings.bounds)
    guard(app, api.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(dashboard.blueprint)
    rate_limits.bound(app, bounded, settings.bounds)


def _trust_proxies(app: Flask, count: int) -> None:
    """Take address, scheme and host of the client from as many proxies as are ours."""
    if count:
        fixed = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)
        app.wsgi_app = fixed  # type: ignore[method-assign]  # as Flask's documentation does it


def _answer_error(error: HTTPException) -> Response:
    answer = refusal(error)
    return Response(answer.body, answer.status, list(answer.headers))


def _guard(response: Response) -> Response:
    for name, value in GUARDS:
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
