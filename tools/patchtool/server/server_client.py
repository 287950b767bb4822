"""The server's API, as seen from who releases: announce, upload, publish; promote, pause, resume.

Every request may be repeated, so that whatever breaks is tried again, a bounded number of times.
The token stands in one header and in no message.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from updater.errors import FormatError, InstallError, RequestError, TransportError
from updater.format.encoding.canonical import INTEGER_MAX, Record, within
from updater.format.encoding.limits import MIB
from updater.format.head import Head, RolloutStep
from updater.format.names import Digest
from updater.retry import RETRY_STATUS, RetryPolicy, Tries
from updater.transport import Reply, Sender

PIECE = 8 * MIB
"""Bytes of one upload."""
BLOBS_MOST = 100_000
TRIES = 6
"""Of one request; and how often one upload may be set back without getting further."""
POLICY = RetryPolicy(attempts=TRIES, backoff=1.0, backoff_limit=60.0)
TEXT_MOST = 300
"""Characters of what a server says that are repeated to people."""


_RESTORE = "the repository is damaged: fetch it anew, and add the release again"
_ASK = "make one on the server (patchserver token), and let CI keep it as a secret"


class Behind(RequestError):  # noqa: N818 - reads as what it says
    """The server is no more in the state in which this push can go on; it says why."""

    retryable = True


@dataclass(frozen=True)
class MissingFile:
    """A file the server lacks."""

    digest: str
    length: int
    received: int
    """Bytes of it that the server has."""


@dataclass(frozen=True)
class PushStatus:
    """The state of a push, as the server sees it."""

    identity: str
    missing: tuple[MissingFile, ...]
    published: bool


@dataclass(frozen=True)
class Server:
    """One server, and the token it knows us by."""

    url: str
    """Without a slash at its end."""
    token: str = field(repr=False)
    sender: Sender
    sleep: Callable[[float], None] = time.sleep

    def announce(self, app: str, after: int, metadata: bytes) -> PushStatus:
        """Tell of the next version of ``app.APP``, which follows version ``after``.

        Raises:
            Behind: the server has another version, or cannot take a push now.
            FormatError: the server refuses it, or answers what nobody understands.
            InstallError: the token is not good for this.
            TransportError: the network, after all tries.
        """
        path = f"apps/{app}/pushes"
        reply = self._ask("POST", path, metadata, {"If-Match": f'"{after}"'}, {200, 201, 409})
        if reply.status == 409:
            raise self._behind(reply)
        record = Record(_document(reply))
        identity, is_published = record.text("id"), record.flag("published")
        blobs = record.items("missing", _blob, BLOBS_MOST)
        Digest.parse(identity)  # it becomes part of a URL
        return PushStatus(identity, blobs, is_published)

    def upload(
        self,
        app: str,
        push: PushStatus,
        blob: MissingFile,
        file: BinaryIO,
        advance: Callable[[int], None],
    ) -> bool:
        """Send what the server lacks of a file; whether it took it, else announce the push again.

        Args:
            app: whose push.
            push: what was announced.
            blob: one of what it lacks.
            file: its content.
            advance: is told of bytes that were taken.

        Raises:
            InstallError, TransportError, FormatError: as `announce`; or the server forgets again
                and again what it has received.
        """
        path = f"apps/{app}/pushes/{push.identity}/blobs/{blob.digest}"
        at = best = blob.received
        setbacks = 0
        while at < blob.length:
            file.seek(at)
            data = file.read(min(PIECE, blob.length - at))
            if not data:
                raise RequestError(f"{blob.digest} is shorter here than was signed", hint=_RESTORE)
            reply = self._ask("PATCH", path, data, {"Upload-Offset": str(at)}, {204, 404, 409, 422})
            if reply.status == 404:
                return False
            if reply.status == 409 and "Upload-Offset" not in reply.headers:
                raise self._behind(reply)
            after = 0 if reply.status == 422 else _offset(reply, blob.length)
            if reply.status != 204 or not at < after <= at + len(data):
                setbacks += 1
            if after > best:
                advance(after - best)
                best, setbacks = after, 0
            if setbacks >= TRIES:
                raise TransportError(
                    f"{self.url}: the server does not keep what it is sent of {blob.digest}",
                    hint="the server's log says why",
                    retryable=False,
                )
            at = after
        return True

    def publish(self, app: str, push: PushStatus) -> bool:
        """Let clients see a push; False: the server lacks files of it after all.

        Raises:
            Behind, InstallError, TransportError, FormatError: as `announce`.
        """
        path = f"apps/{app}/pushes/{push.identity}/publish"
        reply = self._ask("POST", path, b"", {}, {200, 404, 409})
        if reply.status == 409 and not Record(_document(reply)).has("missing"):
            raise self._behind(reply)
        return reply.status == 200

    def promote(self, app: str, channel: str, version: str, steps: Sequence[RolloutStep]) -> Head:
        """Let a channel offer a version; the new head.

        Raises:
            InstallError, TransportError, FormatError: as `announce`.
        """
        wanted = [[step.utc, step.basis_points] for step in steps]
        return self._edit(app, channel, "promote", {"version": version, "steps": wanted})

    def pause(self, app: str, channel: str, version: str) -> Head:
        """Let a channel offer a version to nobody for now; the new head. Errors as `promote`."""
        return self._edit(app, channel, "pause", {"version": version})

    def resume(self, app: str, channel: str, version: str) -> Head:
        """Let a channel go on with a paused version; the new head. Errors as `promote`."""
        return self._edit(app, channel, "resume", {"version": version})

    def _edit(self, app: str, channel: str, verb: str, document: dict[str, Any]) -> Head:
        path = f"apps/{app}/channels/{channel}/{verb}"
        headers = {"Content-Type": "application/json"}
        reply = self._ask("POST", path, json.dumps(document).encode(), headers, {200})
        return within("head", Head.parse, Record(_document(reply)).value("head"))

    def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], good: set[int]
    ) -> Reply:
        """A reply with one of the ``good`` statuses."""
        tries, retry_after = Tries(POLICY, self.sleep), ""
        while True:
            tries.begin(retry_after=retry_after)
            try:
                reply = self._once(method, path, body, headers)
            except TransportError as error:
                if error.status is not None or tries.is_last:  # such as a redirect
                    raise
                retry_after = ""
                continue
            if reply.status not in RETRY_STATUS or tries.is_last:
                break
            retry_after = reply.headers.get("Retry-After", "")
        if reply.status in good:
            return reply
        raise self._refusal(reply)

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        said = {**headers, "Authorization": f"Bearer {self.token}"}
        return self.sender.send(method, f"{self.url}/api/v1/{path}", body, said)

    def _behind(self, reply: Reply) -> Behind:
        words, hint = _words(reply)
        return Behind(f"{self.url}: {words}", hint=hint)

    def _refusal(self, reply: Reply) -> InstallError | FormatError | TransportError:
        """The error for a refusal of the server, in its words if it has some."""
        status, (words, hint) = reply.status, _words(reply)
        if status == 401:
            return RequestError(
                f"{self.url} does not know this token: {words}",
                hint="was it revoked? make another on the server: patchserver token",
            )
        if status == 403:
            return RequestError(f"{self.url}: this token may not do that: {words}", hint=hint)
        if status in RETRY_STATUS:
            return TransportError(f"{self.url}: HTTP {status}: {words}", hint=hint, status=status)
        if status in {404, 409, 507}:
            return RequestError(f"{self.url}: {words}", hint=hint or "are URL and app right?")
        return FormatError(f"{self.url} refuses it (HTTP {status}): {words}", hint=hint)


def check_server(url: str, *, insecure: bool) -> str:
    """``url`` if a token may be sent there, without a slash at its end.

    Raises:
        InstallError: it is no URL of a server, has a password in it, or everybody on the way could
            read the token.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:  # such as a bracket that is not closed
        raise RequestError("--to is not the URL of a server", hint="https://...") from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise RequestError("--to is not the URL of a server", hint="https://...")
    if "@" in parts.netloc:
        raise RequestError(
            "--to has a name or a password in it", hint="name a token with --token-env instead"
        )
    if parts.scheme == "http" and not insecure and not _is_here(host):
        raise RequestError(
            f"everybody between here and {host} could read the token",
            hint="use https://, or --insecure-http if the network is yours alone",
        )
    return url.rstrip("/")


def token_of(environment: Mapping[str, str], name: str) -> str:
    """The token in an environment variable.

    Raises:
        InstallError: there is none, or it cannot be one.
    """
    token = environment.get(name, "").strip()
    if not token:
        raise RequestError(f"no token in the environment variable {name}", hint=_ASK)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise RequestError(f"what is in {name} cannot be a token", hint=_ASK)
    return token


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _document(reply: Reply) -> Any:
    """The JSON of a reply.

    Raises:
        FormatError: it is none.
    """
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"the server's answer is not JSON (HTTP {reply.status})",
            hint="is that the URL of a patchserver?",
        ) from error


def _blob(value: object) -> MissingFile:
    record = Record(value)
    digest = str(Digest.parse(record.text("sha256")))
    length = record.integer("length", INTEGER_MAX)
    return MissingFile(digest, length, record.integer("received", length))


def _offset(reply: Reply, length: int) -> int:
    """The number of bytes of a file that the server says it has.

    Raises:
        FormatError: it says nothing that makes sense.
    """
    text = reply.headers.get("Upload-Offset", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= length):
        raise FormatError(f"the server has received {text[:40]!a} of {length} bytes")
    return int(text)


def _words(reply: Reply) -> tuple[str, str]:
    """The words of a server for an error, and its hint: printable, and not too many."""
    try:
        record = Record(json.loads(reply.body))
        return _tame(record.text("error", "")), _tame(record.text("hint", ""))
    except (ValueError, RecursionError, FormatError):
        return "it does not say why", ""


def _tame(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:TEXT_MOST])
