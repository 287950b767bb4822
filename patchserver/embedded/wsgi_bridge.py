"""Requests of the embedded server, answered by a WSGI application in a few threads.

The event loop reads the whole body before a thread is taken, and sends the whole answer
after it is given back. So a thread is never held by a slow client, whatever it does.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    LengthRequired,
    RequestEntityTooLarge,
    RequestTimeout,
    ServiceUnavailable,
)

from patchserver.files.responses import FileResponse, refusal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

THREADS = 8
WAITING = 256  # requests for a thread, beyond which more are refused
BUFFERED = 64 * 1024 * 1024  # bytes of bodies in memory at a time
GRACE = 10  # seconds a body may take however small it is
RATE = 16 * 1024  # bytes a second that it must bring from then on

_UPLOAD_LIMIT = 8 * 1024 * 1024 + 64 * 1024  # bytes
_FORM_LIMIT = 64 * 1024  # bytes


class RequestHeaders(Protocol):
    """The headers of a request as granian gives them; names are in lower case."""

    def get(self, key: str, default: str | None = None, /) -> str | None:
        """The first value of a header."""

    def items(self) -> list[tuple[str, str]]:
        """Every line of every header."""


class RequestScope(Protocol):
    """A request as granian gives it (RSGI)."""

    @property
    def http_version(self) -> str:
        """The version, such as ``1.1``."""

    @property
    def server(self) -> str:
        """Address and port."""

    @property
    def client(self) -> str:
        """Address and port."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""

    @property
    def method(self) -> str:
        """In upper case."""

    @property
    def path(self) -> str:
        """Percent-decoded."""

    @property
    def query_string(self) -> str:
        """The query as it was sent."""

    @property
    def headers(self) -> RequestHeaders:
        """A copy."""


class Wire(Protocol):
    """The connection that granian gives: to read the body from, and to answer on (RSGI)."""

    def __aiter__(self) -> Wire:
        """The body piece by piece."""

    async def __anext__(self) -> bytes:
        """The next piece; empty at the end or after an error."""

    def response_empty(self, status: int, headers: list[tuple[str, str]], /) -> None:
        """Answer without a body."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None:
        """Answer with a body."""

    def response_file_range(
        self, status: int, headers: list[tuple[str, str]], file: str, start: int, end: int, /
    ) -> None:
        """Answer with a part of a file, which is opened by its path."""


@dataclass
class _Load:
    """The bytes and requests that the bridge holds at present."""

    requests: int = 0
    bytes: int = 0


class Bridge:
    """Hands requests to ``app``, which is called from `THREADS` threads."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="wsgi")
        self._load = _Load()

    async def handle(self, scope: RequestScope, wire: Wire) -> FileResponse:
        """The application's answer, or a refusal of a body that is too long or too slow."""
        try:
            limit = _limit(scope)
            announced = _announced(scope, limit)
            body = await self._body(wire, announced) if announced else b""
        except HTTPException as error:
            return refusal(error)
        try:
            return await self._call(scope, body)
        finally:
            self._load.bytes -= len(body)

    async def _call(self, scope: RequestScope, body: bytes) -> FileResponse:
        if self._load.requests >= WAITING:
            return refusal(ServiceUnavailable(retry_after=5))
        self._load.requests += 1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, run, self._app, environ(scope, body))
        finally:
            self._load.requests -= 1

    async def _body(self, wire: Wire, announced: int) -> bytes:
        """The body's ``announced`` bytes, which stay counted until the caller is done.

        Raises:
            RequestTimeout: They come too slowly.
            BadRequest: There are fewer, or more.
            ServiceUnavailable: All bodies under way are too much together.
        """
        began, pieces, received = _now(), wire.__aiter__(), bytearray()
        try:
            while len(received) < announced:
                piece = await _next(pieces, began + GRACE + len(received) / RATE)
                self._load.bytes += len(piece)
                received += piece
                self._check(piece, len(received), announced)
        except BaseException:
            self._load.bytes -= len(received)
            raise
        return bytes(received)

    def _check(self, piece: bytes, received: int, announced: int) -> None:
        if not piece or received > announced:
            raise BadRequest
        if self._load.bytes > BUFFERED:
            raise ServiceUnavailable(retry_after=5)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _next(pieces: Wire, deadline: float) -> bytes:
    try:
        return await asyncio.wait_for(_piece(pieces), max(0, deadline - _now()))
    except asyncio.TimeoutError as error:
        raise RequestTimeout from error


async def _piece(pieces: Wire) -> bytes:
    """The next piece, as a coroutine: granian's own awaitable cannot be cancelled."""
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return b""


def _limit(scope: RequestScope) -> int:
    return _UPLOAD_LIMIT if scope.path.startswith("/api/") else _FORM_LIMIT


def _announced(scope: RequestScope, limit: int) -> int:
    """The length of the body.

    Raises:
        LengthRequired: It is not said. The server below us tells a body that was cut short
            from one that ended by its length alone.
        RequestEntityTooLarge: It is above ``limit``.
    """
    if scope.headers.get("transfer-encoding") is not None:
        raise LengthRequired
    length = scope.headers.get("content-length") or "0"
    if not length.isascii() or not length.isdecimal():
        raise BadRequest
    if len(length) > 18 or int(length) > limit:
        raise RequestEntityTooLarge
    return int(length)


def environ(scope: RequestScope, body: bytes) -> WSGIEnvironment:
    """The request as WSGI has it."""
    server, port = _address(scope.server)
    named: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "REMOTE_ADDR": _address(scope.client)[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    return {**_headers(scope.headers.items()), **named, "CONTENT_LENGTH": str(len(body))}


def _address(text: str) -> tuple[str, str]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), port


def _headers(lines: Iterable[tuple[str, str]]) -> WSGIEnvironment:
    """Headers under their WSGI names.

    Not those whose names collide there (``X_Forwarded_For``), nor ``Proxy``, which would
    become a setting of outgoing requests (httpoxy).
    """
    found: WSGIEnvironment = {}
    for name, value in lines:
        if "_" in name or name == "proxy":
            continue
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
        joint = "; " if name == "cookie" else ","
        found[key] = f"{found[key]}{joint}{value}" if key in found else value
    return found


def run(app: WSGIApplication, environment: WSGIEnvironment) -> FileResponse:
    """Call a WSGI application and gather its answer in memory."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(
        status: str,
        headers: list[tuple[str, str]],
        _: tuple[type[BaseException], BaseException, TracebackType] | None = None,
    ) -> object:
        started[:] = [(status, headers)]
        return written.append

    result = app(environment, start_response)  # type: ignore[arg-type]  # an overload of typeshed
    try:
        written.extend(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, headers = started[0]
    return FileResponse(int(status[:3]), tuple(headers), body=b"".join(written))
