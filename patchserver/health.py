"""``/healthz``: whether clients can be served, for load balancers and monitors."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify

from patchserver.repository import Repository

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> tuple[Response, int]:
    """Answer 200, or 503 when the repository's timestamp cannot be read."""
    repository: Repository = current_app.extensions["repository"]
    try:
        repository.probe()
    except OSError as error:
        current_app.logger.error("unhealthy: %s", error)  # noqa: TRY400
        return jsonify(status="unavailable"), 503
    return jsonify(status="ok"), 200
