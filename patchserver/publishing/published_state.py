"""The published state: what clients see of a repository, read once for each change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patchserver.publishing.signer import OnlineSigner, RoleStatus, Snapshot, entries_of, heads_of
from updater.check.catalogue import Listing, PatchTarget, PublishedRelease
from updater.format.encoding.limits import DEFAULT
from updater.format.head import Head
from updater.format.names import order

FRESH = 600
"""Seconds after which it is looked at again, though nothing changed: signatures come of age."""


@dataclass(frozen=True)
class App:
    """One app as clients see it."""

    name: str
    heads: Mapping[str, Head]
    """By channel."""
    releases: Mapping[str, PublishedRelease]
    """By version."""
    patches: Mapping[tuple[str, str], PatchTarget]
    """By (from, to)."""

    @property
    def versions(self) -> list[str]:
        """Published versions, newest first."""
        return sorted(self.releases, key=order, reverse=True)

    @property
    def sound(self) -> list[str]:
        """Versions that can be offered, newest first."""
        return [v for v in self.versions if self.releases[v].floor is None]

    def channels_of(self, version: str) -> list[str]:
        """Channels that offer a version."""
        return [c for c, head in self.heads.items() if version in _offered(head)]

    def patches_to(self, version: str) -> list[tuple[str, int]]:
        """Return the versions from which a patch leads to this one, newest first, and its bytes."""
        found = {old: blob.length for (old, new), blob in self.patches.items() if new == version}
        return sorted(found.items(), key=lambda item: order(item[0]), reverse=True)


@dataclass(frozen=True)
class PublishedState:
    """A repository as clients see it."""

    apps: Mapping[str, App]
    statuses: tuple[RoleStatus, ...]


class PublishedStateCache:
    """The published state, read again when the repository changed or signatures came of age."""

    def __init__(self) -> None:
        self._seen: tuple[Any, PublishedState] | None = None

    def look(self, signer: OnlineSigner) -> PublishedState:
        """Read what clients see now.

        Raises:
            InstallError, FormatError: the repository cannot be read.
        """
        state = (signer.folder, signer.timestamp(), signer.clock() // FRESH)
        seen = self._seen
        if seen is None or seen[0] != state:
            seen = self._seen = (state, _read(signer))
        return seen[1]


def _read(signer: OnlineSigner) -> PublishedState:
    seen = signer.look()
    apps = {name: _app(seen, name) for name in seen.apps()}
    return PublishedState(apps, tuple(seen.statuses(signer.clock())))


def _app(seen: Snapshot, name: str) -> App:
    entries = entries_of(seen.targets(f"app.{name}")).values()
    releases, patches = Listing("", name, DEFAULT).read(entries)
    heads = heads_of(seen, name)
    return App(name, {channel: heads[channel] for channel in sorted(heads)}, releases, patches)


def _offered(head: Head) -> set[str]:
    return {offer.version for offer in head.entries}
