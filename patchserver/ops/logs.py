"""One JSON line for each request that the application answers, and for whatever else is logged.

Lines never carry query strings, headers or bodies: tokens and passwords travel in these.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid

from flask import Response, current_app, g, request

from patchserver.ops.metrics import Metrics

_log = logging.getLogger("patchserver.requests")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_FIELDS = ("request", "remote", "method", "path", "status", "ms")
_PATH_CHARACTERS = 200


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The time in UTC, the level, who logs, what; and the fields of a request."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: record.__dict__[name] for name in _FIELDS if name in record.__dict__})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr() -> None:
    """Have every logger of this process write JSON lines to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def begin() -> None:
    """Give the request its id: the one a proxy gave it, if that is sane, or a new one."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.began = time.monotonic()


def end(response: Response) -> Response:
    """Count and log the request; its id goes into the answer, for whoever complains."""
    seconds = time.monotonic() - g.began
    response.headers["X-Request-Id"] = g.request_id
    route = request.url_rule.rule if request.url_rule else "none"
    metrics: Metrics = current_app.extensions["metrics"]
    metrics.count_request(request.method, route, response.status_code, seconds)
    if request.endpoint == "downloads.download":
        metrics.count_file(request.path, response.status_code)
    level = logging.DEBUG if request.endpoint in _QUIET else logging.INFO
    fields = {
        "request": g.request_id,
        "remote": request.remote_addr,
        "method": request.method,
        "path": request.path[:_PATH_CHARACTERS],
        "status": response.status_code,
        "ms": round(seconds * 1000, 1),
    }
    _log.log(level, "request", extra=fields)
    return response


# Asked for many times a minute by machines, and counted anyway.
_QUIET = frozenset({"downloads.download", "health.healthz", "health.readyz", "health.metrics"})
