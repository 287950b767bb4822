"""The route: the version this install shall have, and the cheapest way there. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.version import Version

from updater.check.catalogue import Catalogue, PatchTarget, PublishedRelease
from updater.errors import FormatError, RequestError
from updater.format.names import order
from updater.format.patch_header.patch import Header
from updater.version import __version__


@dataclass(frozen=True)
class Hop:
    """One patch to apply; a bundle (``old`` is None) starts from nothing."""

    old: str | None
    new: str
    blob: PatchTarget


@dataclass(frozen=True)
class Route:
    """The way to ``version``, told before anything is done."""

    version: str
    hops: tuple[Hop, ...]

    @property
    def starts_afresh(self) -> bool:
        """True if it begins with a bundle, and needs nothing of what is installed."""
        return self.hops[0].old is None

    @property
    def fetch_bytes(self) -> int:
        """Bytes to download, metadata not counted."""
        return sum(hop.blob.length for hop in self.hops)

    @property
    def write_bytes(self) -> int:
        """Bytes to write into the stage."""
        return sum(hop.blob.write_bytes for hop in self.hops)

    @property
    def work_bytes(self) -> int:
        """Free disk the update needs once everything is downloaded: stage and scratch."""
        return self.write_bytes + sum(hop.blob.scratch_bytes for hop in self.hops)

    @property
    def disk_bytes(self) -> int:
        """Free disk the update needs at its peak: downloads, stage and scratch together."""
        return self.fetch_bytes + self.work_bytes


def choose(
    catalogue: Catalogue, install_id: str, now: int, *, installed: str, bad: frozenset[str]
) -> str | None:
    """The version this install shall go to next, or None if it has what it shall have.

    Args:
        catalogue: what is published.
        install_id: decides where in a rollout this install stands.
        now: seconds since 1970.
        installed: the version it has; empty for a fresh install.
        bad: versions that failed on this machine.

    Raises:
        InstallError: a release that may not be jumped over failed here.
    """

    def excluded(version: str) -> bool:
        return (
            version not in catalogue.releases or is_recalled(catalogue, version) or version in bad
        )

    here = catalogue.releases.get(installed)
    floor = here.floor if here is not None and here.floor is not None else installed
    wanted = catalogue.head.choose(install_id, now, floor=floor, excluded=excluded)
    if wanted is None or wanted == installed:
        return None
    nearest = min((wanted, *_stops(catalogue, installed, wanted)), key=order)
    if nearest in bad:
        raise RequestError(
            f"{wanted} is there, but {nearest} has to come first, and it failed here",
            hint="tell the publisher: a release that repairs it must be published",
        )
    return nearest


def is_recalled(catalogue: Catalogue, version: str) -> bool:
    """True if a version was withdrawn by its publisher."""
    published = catalogue.releases.get(version)
    return published is not None and published.floor is not None


def find_route(
    catalogue: Catalogue,
    installed: str | None,
    version: str,
    without: frozenset[str] = frozenset(),
) -> Route:
    """The cheapest way to ``version``, by bytes to fetch, then by bytes to write.

    Args:
        catalogue: what is published.
        installed: where to start; None to use bundles alone, whatever is installed.
        version: where to go.
        without: names of targets that have failed, and are no part of any way.

    Raises:
        InstallError: this updater is too old for the release or one that is jumped over, or no
            way leads there.
    """
    for release in _passed(catalogue, installed or "", version):
        check_updater(release)
    best: dict[str, tuple[int, int]] = {}
    queue: list[tuple[int, int, str, tuple[Hop, ...]]] = [(0, 0, installed or "", ())]
    while queue:
        fetch, write, at, hops = heapq.heappop(queue)
        if at == version:
            return Route(version, hops)
        for hop in _hops(catalogue, at, start=not hops):
            if hop.blob.name in without:
                continue
            cost = (fetch + hop.blob.length, write + hop.blob.write_bytes)
            if hop.new not in best or cost < best[hop.new]:
                best[hop.new] = cost
                heapq.heappush(queue, (*cost, hop.new, (*hops, hop)))
    raise RequestError(
        f"no patch or bundle leads to {version}",
        hint="the publisher pruned it; install the application again",
    )


def check_header(header: Header, app: str, hop: Hop, release: PublishedRelease) -> None:
    """Refuse a patch that is another than it was published as.

    Args:
        header: what it says of itself.
        app: whose patch it shall be.
        hop: where from and to it shall lead.
        release: what it shall give.

    Raises:
        FormatError: it is for something else; whoever signed it is at fault.
    """
    old = header.old.version if header.old is not None else None
    signed = release.manifest
    if (header.app, old, header.new.version) != (app, hop.old, hop.new):
        raise FormatError(f"{hop.blob.name} is a patch for something else")
    if (header.new.digest, header.new.length) != (signed.digest, signed.length):
        raise FormatError(f"{hop.blob.name} leads to another tree than {signed.name}")


def is_required(catalogue: Catalogue, installed: str, version: str) -> bool:
    """True if the way from what is installed to ``version`` shall not be put off.

    What a release in between demanded is not lost because a later one is there, which need not
    say it again.
    """
    return any(release.required for release in _passed(catalogue, installed, version))


def _stops(catalogue: Catalogue, installed: str, wanted: str) -> list[str]:
    """Releases on the way that no update may jump over."""
    return [r.version for r in _passed(catalogue, installed, wanted) if r.stop]


def _passed(catalogue: Catalogue, installed: str, wanted: str) -> list[PublishedRelease]:
    """``wanted``, and what an update of an install jumps over; what was recalled demands nothing.

    Nobody who installs afresh jumps over anything.
    """
    between = (
        release
        for version, release in catalogue.releases.items()
        if installed and order(installed) < order(version) < order(wanted)
    )
    return [catalogue.releases[wanted], *(r for r in between if r.floor is None)]


def _hops(catalogue: Catalogue, at: str, *, start: bool) -> Iterator[Hop]:
    for (old, new), blob in catalogue.patches.items():
        if old == at and new in catalogue.releases:
            yield Hop(old, new, blob)
    for version, published in catalogue.releases.items():
        if start and published.bundle is not None:
            yield Hop(None, version, published.bundle)


def check_updater(published: PublishedRelease) -> None:
    """Refuse a release this updater is too old for.

    Raises:
        InstallError: it is.
    """
    needed = published.min_updater
    if needed and Version(__version__) < Version(needed):
        raise RequestError(
            f"{published.version} needs updater {needed}, this is {__version__}",
            hint="install the application again from its publisher",
        )
