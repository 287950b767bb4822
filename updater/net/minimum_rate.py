"""The minimum rate of a server: give up one that sends next to nothing.

The headers of an answer count, and the lengths between the chunks of its body: a timeout knows the
longest gap between two bytes alone, and a server that sends a byte a second never ends.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any

from updater.config import UpdaterConfig


class TooSlow(Exception):  # noqa: N818 - reads as what happened; `fetch` tells it to people
    """A server keeps a connection alive and sends next to nothing."""


class PacedResponse(http.client.HTTPResponse):
    """An answer that comes at a minimum rate, from its first byte."""

    def __init__(self, config: UpdaterConfig, sock: socket.socket, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp = io.BufferedReader(_Paced(self.fp.detach(), config))


class _Paced(io.RawIOBase):
    """The bytes of one answer; only the time counts in which they are waited for."""

    def __init__(
        self,
        raw: io.RawIOBase,
        config: UpdaterConfig,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._raw = raw
        self._config = config
        self._monotonic = monotonic
        self._waited = 0.0
        self._got = 0

    def readable(self) -> bool:
        """True; see `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """See `io.RawIOBase`.

        Raises:
            TooSlow: fewer bytes came than the minimum rate of the configuration.
        """
        begun = self._monotonic()
        got = self._raw.readinto(buffer)
        self._waited += self._monotonic() - begun
        self._got += got or 0
        self._check()
        return got

    def _check(self) -> None:
        if self._waited < self._config.rate_window:
            return
        if self._got < self._config.min_bytes_per_second * self._waited:
            raise TooSlow
        self._waited, self._got = 0.0, 0

    def close(self) -> None:
        """See `io.RawIOBase`."""
        self._raw.close()
        super().close()
