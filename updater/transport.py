"""Transport: the interface to a server, without library or protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from updater.errors import TransportError


@dataclass(frozen=True)
class ResponseBody:
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
    ) -> AbstractContextManager[ResponseBody]:
        """The file at ``url`` from byte ``start`` on, up to ``stop`` if the server can end there.

        Raises:
            TransportError: no answer, an HTTP error, a redirect, a stalled or cut body.
        """


def refuse_page(url: str, first: bytes) -> None:
    """Refuse the answer to ``url`` that begins with ``first`` if it is a page for people.

    Raises:
        TransportError: it is one.
    """
    if first.lstrip()[:1] == b"<":
        raise page_for(url)


def page_for(url: str) -> TransportError:
    """The error of a host that answers 200 with a page for what it does not have.

    Some hosts do that for every path, and so does a captive portal.
    """
    return TransportError(
        f"{url}: the host answers a page, and not the file",
        hint="a host has to answer 404 for what it does not have; or is a login page in the way?",
        retryable=False,
        status=200,
    )


@runtime_checkable
class Dated(Protocol):
    """A transport that tells what time the server says it is."""

    server_time: int | None
    """The time in the last answer, in seconds since 1970; None: it had none."""


def server_time(transport: Transport) -> int | None:
    """The server's time, if this transport knows it; nobody signed it."""
    return transport.server_time if isinstance(transport, Dated) else None


@dataclass(frozen=True)
class Reply:
    """The answer of a server to a request with a body."""

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
