"""Metrics, in the form that Prometheus reads."""

from __future__ import annotations

import os
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from updater.format.target_names import TIMESTAMP

_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The counts of one application; with several processes the folder of the variable joins them.

    Requests are told apart by route, never by path: paths are the client's choice, and each
    would be a series of its own.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "patchserver_requests",
            "Requests answered by the application.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "patchserver_request_seconds",
            "Time the application took for a request.",
            ("route",),
            registry=self._registry,
        )
        self._files = Counter(
            "patchserver_files",
            "Requests for files of the repository.",
            ("kind", "status"),
            registry=self._registry,
        )

        self._file = lru_cache(maxsize=64)(
            self._files.labels
        )  # finding them costs more than a count

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request that the application has answered."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_file(self, path: str, status: int) -> None:
        """One request for a file."""
        self._file(_kind(path), status).inc()

    def text(self) -> bytes:
        """All counts, of all processes."""
        if _MULTIPROCESS not in os.environ:
            return generate_latest(self._registry)
        joint = CollectorRegistry()
        MultiProcessCollector(joint)  # type: ignore[no-untyped-call]  # has no annotations
        return generate_latest(joint)


def _kind(path: str) -> str:
    """``timestamp`` for what every check begins with, else the folder, as in ``patches``."""
    if path == f"/{TIMESTAMP}":
        return "timestamp"
    parts = path.split("/", 4)
    if parts[1] == "metadata":
        return "metadata"
    return parts[3] if len(parts) > 4 and parts[3] in _FOLDERS else "targets"


_FOLDERS = frozenset({"releases", "patches", "channels"})
