"""The catalogue: what a repository offers for one app, read from targets that are verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from updater.errors import FormatError
from updater.format.encoding.canonical import Record, string, within
from updater.format.encoding.limits import Limits
from updater.format.head import Head
from updater.format.names import Digest, check_version, order
from updater.format.release_description import Confirm
from updater.format.target_names import TargetName, file_name, release_folder
from updater.version import BUILT

T = TypeVar("T")


@dataclass(frozen=True)
class ListedTarget:
    """A target as signed metadata lists it; ``custom`` is what our own format is about."""

    name: str
    length: int
    sha256: str
    custom: Any


@dataclass(frozen=True)
class SignedTarget:
    """A target: a file whose length and digest the publisher signed."""

    name: str
    url: str
    length: int
    digest: Digest


@dataclass(frozen=True)
class PatchTarget(SignedTarget):
    """A bundle or a patch."""

    header_length: int
    header_digest: Digest
    write_bytes: int
    """Bytes its application writes into the stage."""
    scratch_bytes: int
    """Bytes of scratch disk its application needs besides."""


@dataclass(frozen=True)
class PublishedRelease:
    """One release as the metadata describes it."""

    version: str
    manifest: SignedTarget
    bundle: PatchTarget | None
    stop: bool = False
    required: bool = False
    min_updater: str = ""
    confirm: Confirm = field(default_factory=Confirm)
    floor: str | None = None
    """Recalled: installs of it may go down to this version."""


@dataclass(frozen=True)
class Catalogue:
    """The releases and patches of one app and channel; everything in it is verified."""

    head: Head
    releases: Mapping[str, PublishedRelease]
    patches: Mapping[tuple[str, str], PatchTarget]
    """Patches by (from, to)."""
    now: int = BUILT
    """The time of this run: the clock's, or a later one that was signed."""


class Listing:
    """Reads the targets of one app of one repository."""

    def __init__(self, url: str, app: str, limits: Limits) -> None:
        """``url``: of the repository, without a slash at its end."""
        self._url = url
        self._app = app
        self._limits = limits

    def read(
        self, entries: Iterable[ListedTarget]
    ) -> tuple[Mapping[str, PublishedRelease], Mapping[tuple[str, str], PatchTarget]]:
        """Releases by version, and patches by (from, to); other targets are not for us.

        Raises:
            FormatError: one of ours is not what our format allows.
        """
        patches: dict[tuple[str, str], PatchTarget] = {}
        found: dict[str, dict[str, ListedTarget]] = {}
        for entry in entries:
            name = TargetName.parse(entry.name)
            if name is None or name.app != self._app or name.kind == "head":
                continue
            version = within(entry.name, check_version, name.last)
            if name.kind == "patch":
                old = within(entry.name, check_version, name.old)
                patches[old, version] = within(entry.name, self._blob, entry)
            else:
                found.setdefault(version, {})[name.kind] = entry
        releases = {
            version: within(release_folder(self._app, version), partial(self._release, version), of)
            for version, of in found.items()
            if "manifest" in of
        }
        return MappingProxyType(releases), MappingProxyType(patches)

    def _release(self, version: str, entries: dict[str, ListedTarget]) -> PublishedRelease:
        manifest, bundle = entries["manifest"], entries.get("bundle")
        custom = Record(manifest.custom or {})
        release = PublishedRelease(
            version,
            self._signed(manifest),
            within("bundle", self._blob, bundle) if bundle else None,
            stop=custom.flag("stop", default=False),
            required=custom.flag("required", default=False),
            min_updater=_optional(custom, "min_updater", _version) or "",
            confirm=_optional(custom, "confirm", Confirm.parse) or Confirm(),
            floor=_optional(custom, "recalled", partial(_floor, version)),
        )
        custom.end()
        return release

    def _blob(self, entry: ListedTarget) -> PatchTarget:
        custom = Record(entry.custom or {})
        header = Record(custom.value("header"))
        most = self._limits.file_bytes
        signed = self._signed(entry)
        header_most = min(signed.length, 2 * self._limits.header_bytes)
        blob = PatchTarget(
            **vars(signed),
            header_length=header.integer("length", header_most),
            header_digest=Digest.parse(header.text("sha256")),
            write_bytes=custom.integer("write_bytes", most),
            scratch_bytes=custom.integer("scratch_bytes", most),
        )
        header.end()
        custom.end()
        return blob

    def _signed(self, entry: ListedTarget) -> SignedTarget:
        digest = Digest.parse(entry.sha256)
        url = f"{self._url}/{file_name(entry.name, str(digest))}"
        return SignedTarget(entry.name, url, entry.length, digest)


def head_of(entry: ListedTarget, app: str, channel: str) -> Head:
    """The head that a target of a channel holds.

    Raises:
        FormatError: it is none, or that of another app or channel.
    """
    head = within(entry.name, Head.parse, entry.custom)
    if (head.app, head.channel) != (app, channel):
        raise FormatError(f"{entry.name} is the head of {head.app} {head.channel}")
    return head


def _version(value: object) -> str:
    return check_version(string(value))


def _floor(version: str, value: object) -> str:
    record = Record(value)
    floor = within("floor", _version, record.value("floor"))
    if order(floor) > order(version):
        raise FormatError(f"{floor} is above {version}", context="floor")
    record.end()
    return floor


def _optional(record: Record, key: str, parse: Callable[[Any], T]) -> T | None:
    return within(key, parse, record.value(key)) if record.has(key) else None
