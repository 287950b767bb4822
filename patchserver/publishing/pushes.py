"""Pushes: how releases come from CI and become visible.

First comes the document that the release key signed; it says which files may follow, so that a
token alone fills no disk. Files come in pieces, each stored before it is acknowledged. When all are
there, and are what clients can read, the signer publishes them in one step. Whatever is killed,
wherever: clients see what they saw, and the same push goes on.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from patchserver.publishing.signer import Announced, NotNext, OnlineSigner
from patchserver.publishing.uploads import Uploads
from patchserver.publishing.verify_files import FileVerifier
from updater.check.catalogue import ListedTarget
from updater.disk.durable import Disk, machine_errors
from updater.errors import FormatError, NotEnoughSpace, RequestError, TrustError
from updater.format.encoding.limits import GIB, MIB

RESERVE = 256 * MIB
"""Disk that uploads leave free, for the database and for metadata."""
PUSHES_MOST = 20
"""Pushes under way at once."""
DAY = 86_400
STALE = 7 * DAY
"""A push of which nothing came for so long is dropped."""


class UnknownPush(RequestError):  # noqa: N818 - reads as what it says
    """Nothing of this was announced, or it was dropped since."""


class TooMany(RequestError):  # noqa: N818 - reads as what it says
    """So many pushes are under way that one has to end before another begins."""


@dataclass(frozen=True)
class Missing:
    """A file that is to be sent."""

    sha256: str
    length: int
    received: int
    """Bytes that are here already."""


class Incomplete(RequestError):  # noqa: N818 - reads as what it says
    """Files of a push have not come yet."""

    def __init__(self, missing: tuple[Missing, ...]) -> None:
        super().__init__(f"{len(missing)} files are missing", hint="send them first")
        self.missing = missing


@dataclass(frozen=True)
class Push:
    """The state of a push."""

    id: str
    version: int
    missing: tuple[Missing, ...]
    is_published: bool = False


@dataclass(frozen=True)
class Pushes:
    """The pushes of one repository."""

    signer: OnlineSigner
    uploads: Uploads
    disk: Disk = field(default_factory=Disk)
    most_bytes: int = 64 * GIB
    """Bytes of the files of one push together."""

    def announce(self, app: str, base: int, document: bytes) -> Push:
        """Begin a push, or see how far it is.

        Args:
            app: whose releases.
            base: the version of their list that the push builds on.
            document: the next version of that list, signed.

        Raises:
            NotNext: another version than ``base`` is published.
            TrustError, FormatError: see `OnlineSigner.announced`.
            NotEnoughSpace: for what is missing.
            InstallError: there is no such app, too many pushes are under way, or the disk.
        """
        identity = hashlib.sha256(document).hexdigest()
        seen = self.signer.look()
        present = seen.version(f"app.{app}")
        if seen.data(f"app.{app}") == document:
            return Push(identity, present, (), is_published=True)
        if base != present:
            raise NotNext(f"{app} is published in version {present}, not {base}", present)
        announced = self.signer.announced(app, document)
        missing = self._missing(identity, announced)
        self._require_room(missing)
        if self.uploads.document(identity) is None:
            self._require_few()
            self.uploads.begin(identity, document)
        return Push(identity, announced.version, missing)

    def receive(self, app: str, push: str, digest: str, offset: int, data: bytes) -> int:
        """Store the next bytes of a file; how many there are then, durably.

        Raises:
            UnknownPush: it was not announced, or has no such file that is missing.
            WrongOffset, WrongDigest: see `Uploads.append`.
            NotNext, TrustError, FormatError: it cannot be published any more.
            NotEnoughSpace, InstallError: the disk.
        """
        announced = self.signer.announced(app, self._document(push))
        lengths = {entry.sha256: entry.length for entry in announced.new}
        if digest not in lengths:
            raise UnknownPush(f"push {push} has no file {digest}", hint="announce it first")
        if self.uploads.free() < len(data) + RESERVE:
            raise NotEnoughSpace("the server's disk is full", hint="free some and push again")
        return self.uploads.append(push, digest, offset, data, lengths[digest])

    def publish(self, app: str, push: str) -> int:
        """Let clients see it; the version of the list they see then.

        Raises:
            UnknownPush: it was not announced, or dropped.
            Incomplete: files have not come yet.
            NotNext: somebody was faster.
            TrustError, FormatError: clients would refuse it.
            UpdateInProgress: another push is being published, for long.
            InstallError: the online key, or the disk. After any error clients see what they saw.
        """
        with self.uploads.publishing():  # two would write the same files
            return self._publish(app, push)

    def _publish(self, app: str, push: str) -> int:
        seen = self.signer.look()
        if hashlib.sha256(seen.data(f"app.{app}")).hexdigest() == push:
            return seen.version(f"app.{app}")
        document = self._document(push)
        announced = self.signer.announced(app, document)
        if missing := self._missing(push, announced):
            raise Incomplete(missing)

        def settle() -> None:
            for entry in announced.new:
                self._settle(push, entry)

        contents = FileVerifier(app, announced.entries, lambda entry: self._place(push, entry))
        with machine_errors(f"publishing push {push}"):
            for entry in announced.new:
                contents.check(entry)
            settle()  # while others may write; what is big takes its time
        self.signer.publish(app, document, settle)
        self.uploads.end(push)
        return announced.version

    def sweep(self, now: int) -> None:
        """Drop pushes that nobody goes on with."""
        for push, time in list(self.uploads.pushes()):
            if now - time > STALE:
                self.uploads.end(push)

    def _document(self, push: str) -> bytes:
        document = self.uploads.document(push)
        if document is None:
            raise UnknownPush(f"there is no push {push}", hint="announce it first")
        return document

    def _missing(self, push: str, announced: Announced) -> tuple[Missing, ...]:
        """Files that are neither published nor whole here; each once, whatever its names."""
        wanted = {entry.sha256: entry for entry in announced.new}
        return tuple(
            Missing(entry.sha256, entry.length, self.uploads.received(push, entry.sha256))
            for entry in wanted.values()
            if self.uploads.place(push, entry.sha256) is None
        )

    def _place(self, push: str, entry: ListedTarget) -> Path:
        place = self.uploads.place(push, entry.sha256)
        if place is None:
            raise Incomplete((Missing(entry.sha256, entry.length, 0),))
        return place

    def _settle(self, push: str, entry: ListedTarget) -> None:
        """Put a file where clients will look for it; what is there by that name is the same."""
        place = self.signer.place(entry)
        if place.exists() and place.stat().st_size == entry.length:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        self.disk.copy(self._place(push, entry), place)
        self.disk.sync_directory(place.parent)

    def _require_room(self, missing: tuple[Missing, ...]) -> None:
        total = sum(one.length for one in missing)
        if total > self.most_bytes:
            raise FormatError(f"{total} bytes, {self.most_bytes} allowed", hint="push fewer files")
        still = 2 * total - sum(one.received for one in missing)
        if self.uploads.free() < still + RESERVE:
            raise NotEnoughSpace(f"the server has no room for {still} bytes", hint="free some")

    def _drop_overtaken(self) -> None:
        """Drop pushes that nobody can publish any more: another was published in their place."""
        for push, _ in list(self.uploads.pushes()):
            document = self.uploads.document(push)
            if document is not None and not self._may_follow(document):
                self.uploads.end(push)

    def _may_follow(self, document: bytes) -> bool:
        for app in self.signer.look().apps():
            with suppress(NotNext, TrustError, FormatError):
                self.signer.announced(app, document)
                return True
        return False

    def _require_few(self) -> None:
        if len(list(self.uploads.pushes())) >= PUSHES_MOST:
            self._drop_overtaken()
        if len(list(self.uploads.pushes())) >= PUSHES_MOST:
            raise TooMany(
                f"{PUSHES_MOST} pushes are under way",
                hint="finish some; those nobody goes on with are dropped after a week",
            )
