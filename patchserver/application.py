"""The Flask application: its parts, and what holds for every answer."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from patchserver import downloads, health
from patchserver.repository import Repository


def create_app(repository: Path) -> Flask:
    """A WSGI application that serves the folder ``repository``, read-only.

    The folder is looked at with every request and may appear or be replaced later;
    ``/healthz`` tells whether it can be read.
    """
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # would redirect; we have one spelling of every name
    app.extensions["repository"] = Repository(repository)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(downloads.blueprint)
    app.register_error_handler(HTTPException, _answer_error)
    app.after_request(_guard)
    return app


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
