"""Build options: the time and memory that may be spent to make a patch smaller."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from updater.format.encoding.limits import GIB, MIB
from updater.format.encoding.lzma2 import BEST
from updater.progress import Progress, Silent

Effort = Literal["fast", "default", "best"]


@dataclass(frozen=True, kw_only=True)
class Spending:
    """The settings of one effort level."""

    block: int
    """New bytes of a patch's blocks. Half of what a block may hold costs 0.3 to 1 %, and gives
    two processors work where there would be one block, here and where the patch is applied."""
    preset: int
    """xz preset of a patch's blocks."""
    bundle_preset: int
    """xz preset of a bundle's blocks."""
    sparse: int
    """Zeros in the differences that are cut out from this length on: 256 is never larger; 192 is
    packed in 0.9 of the time at 0.4 % more bytes, 8 several times faster at 3 to 14 %."""
    zstd: int | None
    """zstd level, for blocks it is expected to suit; None: not tried."""
    zstd_always: bool = False
    """Try zstd on every block."""
    bsdiff: bool = False
    """Ask bsdiff4 for matches too."""
    block_memory: int = 320 * MIB
    """Bytes that packing one block takes at most: its candidates, and xz's or zstd's tables."""


EFFORTS: dict[Effort, Spending] = {
    "fast": Spending(block=8 * MIB, preset=6, bundle_preset=1, sparse=8, zstd=None),
    "default": Spending(block=8 * MIB, preset=BEST, bundle_preset=6, sparse=192, zstd=19),
    "best": Spending(
        block=16 * MIB,
        preset=BEST,
        bundle_preset=BEST,
        sparse=256,
        zstd=22,
        zstd_always=True,
        bsdiff=True,
        block_memory=576 * MIB,
    ),
}
"""docs/benchmarks.md has their cost and gain."""

MEMORY_LEAST = 512 * MIB
"""Bytes without which one block of 16 MiB cannot be matched and packed; `best` takes 640 MiB."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Build options. Effort and memory decide the bytes of a patch; jobs and progress do not."""

    effort: Effort = "default"
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Files, pairs and blocks worked on at once, as far as memory allows."""
    memory: int = 2 * GIB
    """Bytes the build may take, about; at least `MEMORY_LEAST`."""
    progress: Progress = field(default_factory=Silent)
    monotonic: Callable[[], float] = time.monotonic

    @property
    def spending(self) -> Spending:
        """The settings of the effort."""
        return EFFORTS[self.effort]
