"""How bytes come from a server, as seen by those who ask: no library, no protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Answer:
    """The body of one answer."""

    start: int
    """Offset of its first byte in the file: 0 if the server ignored what was asked for."""
    chunks: Iterator[bytes]


class Transport(Protocol):
    """Gets files by URL. A test serves them from memory, and misbehaves on request."""

    received: int
    """Body bytes received so far, of all files."""

    def get(
        self, url: str, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Answer]:
        """The file at ``url`` from byte ``start`` on, up to ``stop`` if the server can end there.

        Raises:
            TransportError: no answer, an HTTP error, a redirect, a stalled or cut body.
        """


@runtime_checkable
class Dated(Protocol):
    """A transport that tells what time the server says it is."""

    server_time: int | None
    """Of the last answer, in seconds since 1970; None: it did not say."""


def server_time(transport: Transport) -> int | None:
    """What time the server said it is, if this transport tells; not signed by anybody."""
    return transport.server_time if isinstance(transport, Dated) else None


@dataclass(frozen=True)
class Reply:
    """What a server says to what it was sent."""

    status: int
    headers: Mapping[str, str]
    """By name, whatever its case."""
    body: bytes


class Sender(Protocol):
    """Sends to a URL. A test may be the server itself."""

    def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask once; every answer is a reply, but a redirect.

        Raises:
            TransportError: no answer, a redirect, a stalled, cut or endless body. Whether the
                server took what it was sent is not known then.
        """
