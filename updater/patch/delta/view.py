"""Views: reversible readings of a file that make matches visible.

A view is a pair of pure functions over a whole file. The plain view, a file as it is, needs
no code and no entry in a header; every other view has a number here and there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Protocol

from updater.errors import FormatError
from updater.patch.delta.inflated import InflatedView


class View(Protocol):
    """One reversible reading. Both functions stream: neither holds a file in memory."""

    def check(self, recipe: bytes) -> None:
        """Find out before any work whether `close` with ``recipe`` can work on this machine.

        Raises:
            PatchError: it cannot; the file must come from elsewhere.
            FormatError: not a recipe; its author is at fault.
        """

    def open(self, file: BinaryIO, recipe: bytes, view: BinaryIO) -> None:
        """Write the view bytes of ``file`` into ``view``."""

    def close(self, view: BinaryIO, recipe: bytes, file: BinaryIO) -> None:
        """Write the file that ``view`` reads into ``file``: the inverse of `open`."""


Views = Mapping[int, View]
"""The views a decoder knows, by number."""

INFLATED = 1

KNOWN: Views = {INFLATED: InflatedView()}
"""Every view but the plain one."""


def view_of(views: Views, number: int) -> View:
    """The view ``number``.

    Raises:
        FormatError: this updater does not know it.
    """
    if number not in views:
        raise FormatError(f"view {number} is unknown", hint="a newer updater is needed")
    return views[number]
