"""Sessions for tests: impatient, at a time of the test's choosing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from updater.config import UpdaterConfig
from updater.local.session import Session
from updater.net.http import HttpTransport

QUICK = UpdaterConfig(
    connect_timeout=5, read_timeout=5, attempts=2, backoff=0.01, backoff_limit=0.02
)


def quick_session(clock: Callable[[], float], **fields: Any) -> Session:
    """A session that does not wait between tries."""
    config = fields.pop("config", QUICK)
    transport = fields.pop("transport", None) or HttpTransport(config)
    return Session(config=config, transport=transport, clock=clock, **fields)
