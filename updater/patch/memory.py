"""Giving freed memory back to the system, where the C library would rather keep it.

glibc stops returning blocks of up to 32 MiB once it has seen one freed, and keeps the holes
they leave, in every thread's own heap: a decoder that holds 54 MiB then takes up to 80.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache


def trim_memory() -> None:
    """Return every free page of this process; does nothing where that cannot be asked for."""
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):  # no ctypes, or no glibc
            import ctypes  # noqa: PLC0415 - not every frozen application has it

            trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
            return trim
    return lambda _: None
