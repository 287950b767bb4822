"""The response to a request for a public file; pure.

The Flask application and the embedded server's front both ask here, so that a file is
answered alike whoever serves it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from werkzeug.exceptions import HTTPException, PreconditionFailed
from werkzeug.http import http_date, parse_etags
from werkzeug.sansio.http import is_resource_modified

from patchserver.files.byte_ranges import requested_range, unchanged
from patchserver.files.public_names import PublicFile

GUARDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'"),
)
"""Headers of every answer."""

CONDITIONS = (
    "if-none-match",
    "if-modified-since",
    "if-match",
    "if-range",
    "range",
)
"""The request headers that an answer depends on."""

_CACHED_CHARACTERS = 300  # of conditions; longer ones are nobody's usual request

Headers = tuple[tuple[str, str], ...]
Conditions = tuple[str | None, ...]


@dataclass(frozen=True)
class Facts:
    """Facts about a file: ``size`` in bytes, ``mtime`` in seconds since the epoch.

    ``etag`` is a strong entity tag without its quotes.
    """

    public: PublicFile
    size: int
    mtime: float
    etag: str


@dataclass(frozen=True)
class FileResponse:
    """A status, its headers, and what follows: ``part`` of the file, or ``body`` without one."""

    status: int
    headers: Headers
    part: range | None = None
    body: bytes = b""


def answer(facts: Facts, method: str, header: Callable[[str], str | None]) -> FileResponse:
    """The answer to GET or HEAD; ``header`` looks a request header up by its lower-case name."""
    conditions = tuple(header(name) for name in CONDITIONS)
    if sum(len(value) for value in conditions if value) > _CACHED_CHARACTERS:
        return _decided(facts, method, conditions)
    return _remembered(facts, method, conditions)


def refusal(error: HTTPException) -> FileResponse:
    """The error as JSON, with its own headers (``Allow``, ``Content-Range``)."""
    body = json.dumps({"error": error.name.lower()}).encode() + b"\n"
    own = tuple((name, value) for name, value in error.get_headers() if name != "Content-Type")
    # A cached 404 of the next root would hide a rotation of keys; so errors are not kept.
    kept = ("Cache-Control", "no-store"), ("Content-Length", str(len(body)))
    headers = (("Content-Type", "application/json"), *own, *kept, *GUARDS)
    return FileResponse(error.code or 500, headers, body=body)


def _decided(facts: Facts, method: str, conditions: Conditions) -> FileResponse:
    try:
        return _answer(facts, method, dict(zip(CONDITIONS, conditions, strict=True)))
    except HTTPException as error:
        return refusal(error)


_remembered = lru_cache(maxsize=4096)(_decided)


def _answer(facts: Facts, method: str, conditions: dict[str, str | None]) -> FileResponse:
    """Decide between 200, 206 and 304.

    Raises:
        PreconditionFailed: 412.
        RequestedRangeNotSatisfiable: 416.
    """
    if not _modified(facts, conditions):
        return FileResponse(304, _common(facts))
    part = _range(facts, conditions) if method == "GET" else None
    if part is None:
        return FileResponse(200, _with_length(facts, facts.size), range(facts.size))
    about = ("Content-Range", f"bytes {part.start}-{part.stop - 1}/{facts.size}")
    return FileResponse(206, (*_with_length(facts, len(part)), about), part)


def _modified(facts: Facts, conditions: dict[str, str | None]) -> bool:
    """Return whether the client has another file, or none.

    Only the tag validates what changes in place: dates have whole seconds, and one may go
    back when a repository is restored from a copy.
    """
    modified = is_resource_modified(
        http_if_modified_since=conditions["if-modified-since"],
        http_if_none_match=conditions["if-none-match"],
        http_if_match=conditions["if-match"],
        etag=f'"{facts.etag}"',
        last_modified=http_date(facts.mtime) if facts.public.immutable else None,
    )
    if not modified and parse_etags(conditions["if-match"]):
        raise PreconditionFailed
    return modified


def _range(facts: Facts, conditions: dict[str, str | None]) -> range | None:
    validators = {f'"{facts.etag}"'}
    if facts.public.immutable:
        validators.add(http_date(facts.mtime))
    if not unchanged(conditions["if-range"], frozenset(validators)):
        return None
    return requested_range(conditions["range"], facts.size)


def _common(facts: Facts) -> Headers:
    return (
        ("Cache-Control", facts.public.cache_control),
        ("ETag", f'"{facts.etag}"'),
        ("Accept-Ranges", "bytes"),
        *GUARDS,
    )


def _with_length(facts: Facts, length: int) -> Headers:
    return (
        ("Content-Type", facts.public.content_type),
        ("Content-Length", str(length)),
        ("Last-Modified", http_date(facts.mtime)),
        *_common(facts),
    )
