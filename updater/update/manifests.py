"""The signed manifest of a release, fetched from its repository."""

from __future__ import annotations

import time
from collections.abc import Callable

from updater.check.catalogue import PublishedRelease, SignedTarget
from updater.errors import FormatError, TransportError, TrustError
from updater.format.manifest import Manifest
from updater.format.names import Digest
from updater.local.session import Session
from updater.retry import Tries
from updater.transport import refuse_page


def take_manifest(
    session: Session,
    app: str,
    release: PublishedRelease,
    sleep: Callable[[float], None] = time.sleep,
) -> Manifest:
    """The manifest of a release of ``app``, as its publisher signed it; nothing is written.

    Args:
        session: how bytes come, and how often it is tried.
        app: whose release.
        release: as it is published.
        sleep: between tries.

    Raises:
        TransportError: the network, after all tries.
        TrustError: the server sends other bytes than were signed.
        FormatError: what was signed is not the manifest of this release.
    """
    limits, signed = session.config.limits, release.manifest
    if signed.length > limits.manifest_bytes:
        raise FormatError(f"{signed.name}: {signed.length} bytes, {limits.manifest_bytes} allowed")
    data = _fetch(session, signed, sleep)
    if Digest.of(data) != signed.digest:
        raise TrustError(
            f"{signed.name}: the server sends other bytes than its publisher signed",
            hint="nothing was changed; tell the publisher",
        )
    manifest = Manifest.parse(data, limits)
    if (manifest.app, manifest.version) != (app, release.version):
        raise FormatError(f"{signed.name} is the manifest of something else")
    return manifest


def _fetch(session: Session, signed: SignedTarget, sleep: Callable[[float], None]) -> bytes:
    """At most one byte more than was signed; small enough to begin again if the line breaks."""
    tries = Tries(session.config, sleep)
    while True:
        tries.begin()
        before = session.transport.received
        try:
            return _try(session, signed)
        except TransportError as error:
            # Until bytes come, the transport tries; and a page stays one.
            if tries.is_last or session.transport.received == before or not error.retryable:
                raise


def _try(session: Session, signed: SignedTarget) -> bytes:
    data = bytearray()
    with session.transport.get(signed.url) as answer:
        for chunk in answer.chunks:
            if not data:
                refuse_page(signed.url, chunk)
            data += chunk[: signed.length + 1 - len(data)]
            if len(data) > signed.length:
                break
    if len(data) < signed.length:
        raise TransportError(f"{signed.url}: cut off", hint="try again", status=200)
    return bytes(data)
