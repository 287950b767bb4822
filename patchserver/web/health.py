"""``/healthz``, ``/readyz`` and ``/metrics``: for load balancers and monitors."""

from __future__ import annotations

import ipaddress

from flask import Blueprint, Response, abort, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST

from patchserver.files.public_files import PublicFolder
from patchserver.ops.metrics import Metrics
from patchserver.services import services
from patchserver.web.access import public

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def healthz() -> tuple[Response, int]:
    """Return whether this process lives and clients can be served: 200, or 503."""
    return _state()


@blueprint.get("/readyz")
@public
def readyz() -> tuple[Response, int]:
    """Return whether all that requests may need is there, the database too: 200, or 503."""
    if current_app.extensions["settings"].data is not None:
        services().database.probe()  # its error is answered with 503, and logged
    return _state()


@blueprint.get("/metrics")
@public
def metrics() -> Response:
    """Answer with the metrics, to machines of trusted networks only."""
    if not _is_near(request.remote_addr):
        abort(404)
    counted: Metrics = current_app.extensions["metrics"]
    return Response(counted.text(), content_type=CONTENT_TYPE_LATEST)


def _state() -> tuple[Response, int]:
    repository: PublicFolder = current_app.extensions["repository"]
    try:
        repository.probe()
    except OSError as error:
        current_app.logger.error("unhealthy: %s", error)  # noqa: TRY400
        return jsonify(status="unavailable"), 503
    return jsonify(status="ok"), 200


def _is_near(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_private
    except ValueError:
        return False
