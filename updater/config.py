"""Settings of one updater, with units and reasons; read nowhere but here."""

from __future__ import annotations

from dataclasses import dataclass, field

from updater.format.encoding.limits import Limits
from updater.retry import RetryPolicy


@dataclass(frozen=True, kw_only=True)
class UpdaterConfig(RetryPolicy):
    """The configuration of one client; every number with its unit."""

    limits: Limits = field(default_factory=Limits)
    jobs: int = 2
    """Blocks decoded at once, each in at most 64 MiB of memory; 1 works without threads."""
    connect_timeout: float = 10.0
    """Seconds to reach the server."""
    read_timeout: float = 30.0
    """Seconds without a single byte before a transfer is given up."""
    min_bytes_per_second: int = 200
    """Slower than this over ``rate_window`` is a stalled server (slowloris), not a slow line."""
    rate_window: float = 60.0
    """Seconds over which the minimum rate is measured."""
    trust_lock_timeout: float = 30.0
    """Seconds to wait for another process that refreshes the same metadata."""
    disk_reserve: int = 4 << 20
    """Bytes left free on the disk beyond what an update needs: journals, logs, other writers."""
