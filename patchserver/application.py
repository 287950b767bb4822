"""The Flask application: its parts, and what holds for every answer."""

from __future__ import annotations

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from patchserver import downloads, health
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
    """The error as JSON, with its own headers (``Allow``, ``Content-Range``)."""
    response = jsonify(error=error.name.lower())
    response.status_code = error.code or 500
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _guard(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'"
    # A cached 404 of the next root would hide a rotation of keys; so errors are not kept.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
