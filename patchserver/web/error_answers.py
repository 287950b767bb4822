"""Errors as a program gets them: a status and a JSON document."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, jsonify

from patchserver.publishing.pushes import Incomplete, TooMany, UnknownPush
from patchserver.publishing.signer import NotNext
from patchserver.publishing.uploads import WrongDigest, WrongOffset
from patchserver.web.api import Malformed
from updater.errors import (
    InstallError,
    MachineError,
    NotEnoughSpace,
    UpdateInProgress,
    UpdaterError,
)

LATER = 10
"""Seconds to wait before asking again."""
_STATUSES: tuple[tuple[type[UpdaterError], int], ...] = (
    (Malformed, 400),
    (UnknownPush, 404),
    (WrongDigest, 422),
    (TooMany, 429),
    (NotEnoughSpace, 507),
    (UpdateInProgress, 503),
    (MachineError, 503),
    (InstallError, 409),
    (UpdaterError, 422),
)
"""The status of each error; the first that fits counts."""


def refuse(error: UpdaterError) -> Response:
    """The answer. What the machine says of itself stays in the log."""
    status = _status(error)
    document: dict[str, Any] = {"error": str(error), "hint": error.hint, **_details(error)}
    if is_outage(error):
        log_outage(error)
        document = {"error": "the server cannot do this now", "hint": "try again later"}
    response = jsonify(document)
    response.status_code = status
    if status in {429, 503}:
        response.headers["Retry-After"] = str(LATER)
    if isinstance(error, WrongOffset):
        response.headers["Upload-Offset"] = str(error.received)
    return response


def _status(error: UpdaterError) -> int:
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def is_outage(error: UpdaterError) -> bool:
    """Return whether the server is at fault, and not the one who asks."""
    return _status(error) >= 500


def log_outage(error: UpdaterError) -> None:
    """Write to the log what the machine says of itself; nobody else sees it."""
    current_app.logger.error("%s; %s", error, error.hint)


def _details(error: UpdaterError) -> dict[str, Any]:
    """The details that help a program to go on."""
    if isinstance(error, NotNext):
        return {"version": error.present}
    if isinstance(error, Incomplete):
        return {"missing": [dict(vars(one)) for one in error.missing]}
    return {}
