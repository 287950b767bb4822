"""The Flask application: its parts, and what holds for every answer."""

from __future__ import annotations

from flask import Flask, Response
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from patchserver import downloads, health, logs
from patchserver.answers import GUARDS, refusal
from patchserver.metrics import Metrics
from patchserver.repository import Repository
from patchserver.settings import Settings


def create_app(settings: Settings) -> Flask:
    """A WSGI application that serves the repository, read-only.

    The folder is looked at with every request and may appear or be replaced later;
    ``/healthz`` tells whether it can be read.
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
    app.register_error_handler(HTTPException, _answer_error)
    app.after_request(_guard)
    _trust_proxies(app, settings.proxies)
    return app


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
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response
