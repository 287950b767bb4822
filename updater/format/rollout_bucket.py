"""The bucket of an install: its place in the staged rollout of a version. Pure."""

from __future__ import annotations

import hashlib

BUCKETS = 10_000
"""A step of a rollout serves the first so many of them."""


def bucket(seed: str, version: str, install_id: str) -> int:
    """Return the bucket of an install in the rollout of a version: 0 to 9,999, evenly spread."""
    text = f"{seed}\0{version}\0{install_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % BUCKETS
