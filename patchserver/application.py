"""The Flask application: its parts, and what holds for every answer."""

from __future__ import annotations

from flask import Flask, Response, current_app, jsonify
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from patchserver import api, dashboard, downloads, health, limits, logs
from patchserver.access import SESSION_HOURS, guard
from patchserver.answers import GUARDS, refusal
from patchserver.api import Malformed
from patchserver.cookies import Cookies
from patchserver.metrics import Metrics
from patchserver.pushes import UnknownPush
from patchserver.repository import Repository
from patchserver.services import Clock, Services, open_services, system_clock
from patchserver.settings import Settings
from patchserver.uploads import WrongDigest, WrongOffset
from updater.errors import (
    InstallError,
    NotEnoughSpace,
    UpdateInProgress,
    UpdaterError,
)
from updater.format.limits import KIB

FORM_BYTES = 64 * KIB


def create_app(settings: Settings, clock: Clock = system_clock) -> Flask:
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
    app.extensions["repository"] = Repository(settings.repository)
    app.extensions["metrics"] = Metrics()
    app.before_request(logs.begin)
    app.after_request(logs.end)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(downloads.blueprint)
    if settings.data is not None:
        _add_services(app, settings, open_services(settings, clock))
    app.register_error_handler(HTTPException, _answer_error)
    app.register_error_handler(UpdaterError, _answer_refusal)
    app.after_request(_guard)
    _trust_proxies(app, settings.proxies)
    return app


def _add_services(app: Flask, settings: Settings, opened: Services) -> None:
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
    bounded = limits.start(app, settings.bounds)
    guard(app, api.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(dashboard.blueprint)
    limits.bound(app, bounded, settings.bounds)


def _trust_proxies(app: Flask, count: int) -> None:
    """Take address, scheme and host of the client from as many proxies as are ours."""
    if count:
        fixed = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)
        app.wsgi_app = fixed  # type: ignore[method-assign]  # as Flask's documentation does it


def _answer_error(error: HTTPException) -> Response:
    answer = refusal(error)
    return Response(answer.body, answer.status, list(answer.headers))


def _answer_refusal(error: UpdaterError) -> Response:
    """An error of ours, by whose fault it is; what the machine says of itself stays in the log."""
    is_ours = isinstance(error.__cause__, OSError | SQLAlchemyError)
    status = 503 if is_ours else next(s for kind, s in _STATUSES if isinstance(error, kind))
    if status >= 500:
        current_app.logger.error("%s; %s", error, error.hint)
    document = {"error": str(error), "hint": error.hint}
    response = jsonify(document if status < 500 else {"error": "the server cannot do this now"})
    response.status_code = status
    if isinstance(error, WrongOffset):
        response.headers["Upload-Offset"] = str(error.received)
    if status == 503:
        response.headers["Retry-After"] = "10"
    return response


_STATUSES: tuple[tuple[type[UpdaterError], int], ...] = (
    (Malformed, 400),
    (UnknownPush, 404),
    (WrongDigest, 422),
    (NotEnoughSpace, 507),
    (UpdateInProgress, 503),
    (InstallError, 409),
    (UpdaterError, 422),
)
"""What each error is to who asked; the first that fits."""


def _guard(response: Response) -> Response:
    for name, value in GUARDS:
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
