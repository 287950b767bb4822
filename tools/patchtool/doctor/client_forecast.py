"""Client forecast: the next step of an install of each published version, and the reason.

Asked of our own trust layer and plan, as a client that comes for the first time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from patchtool.folder.temporary import scratch, staging
from patchtool.repository.local_transport import URL, SnapshotTransport
from patchtool.repository.snapshot import Snapshot
from updater.check.catalogue import Catalogue
from updater.check.route import choose, find_route
from updater.check.trust import Trust
from updater.disk.durable import machine_errors
from updater.errors import InstallError
from updater.format.head import EVERYONE
from updater.format.names import order

DRAWS = 100
"""Installs of each version that are looked at where a rollout is under way: they differ."""


@dataclass(frozen=True)
class Forecast:
    """The next step of installs of one version."""

    app: str
    channel: str
    version: str
    """Empty: who installs now."""
    goal: str | None
    way: str
    """``patch``, ``bundle``, ``nothing`` to do, or ``stuck``."""
    bytes: int
    """To fetch."""
    percent: int
    """The share of installs that do this."""
    why: str = ""
    """The reason why they stay."""

    @property
    def words(self) -> str:
        """For people."""
        who = f"{self.app} {self.channel}: {self.version or 'a new install'}"
        share = "" if self.percent == 100 else f" ({self.percent} %)"
        if self.goal is None:
            return f"{who}: {self.way}{share}{': ' if self.why else ''}{self.why}"
        return f"{who} -> {self.goal} by {self.way}, {self.bytes:,} bytes{share}"


def forecasts(seen: Snapshot, root: bytes, now: int) -> Iterator[Forecast]:
    """Forecast the next step of installs of every version, by app and channel.

    Args:
        seen: the repository.
        root: what clients are installed with.
        now: seconds since 1970.

    Raises:
        TrustError, TransportError, FormatError: clients refuse it.
        InstallError: it cannot be read.
    """
    for app in seen.apps():
        for name in sorted(seen.targets(f"channels.{app}")):
            channel = name.rpartition("/")[2]
            catalogue = _catalogue(seen, root, app, channel, now)
            for version in ["", *sorted(catalogue.releases, key=order)]:
                yield from _of_version(catalogue, app, channel, version)


def _catalogue(seen: Snapshot, root: bytes, app: str, channel: str, now: int) -> Catalogue:
    with machine_errors("looking as a client"), staging(scratch()) as memory:
        transport = SnapshotTransport(seen)
        trust = Trust(memory / "trust", URL, root, transport, seen=memory / "seen.json")
        return trust.refresh(app, channel, now)


def _of_version(catalogue: Catalogue, app: str, channel: str, version: str) -> Iterator[Forecast]:
    differ = any(0 < o.reach(catalogue.now) < EVERYONE for o in catalogue.head.entries)
    draws = DRAWS if differ else 1
    ends = Counter(_end(catalogue, version, f"install {n}") for n in range(draws))
    for (goal, why), count in sorted(ends.items(), key=str):
        percent = count * 100 // draws
        if goal is None:
            way = "stuck" if why else "nothing"
            yield Forecast(app, channel, version, None, way, 0, percent, why)
        else:
            yield _way(catalogue, app, channel, version, goal, percent)


def _way(
    catalogue: Catalogue, app: str, channel: str, version: str, goal: str, percent: int
) -> Forecast:
    try:
        plan = find_route(catalogue, version or None, goal)
    except InstallError as error:
        return Forecast(app, channel, version, None, "stuck", 0, percent, str(error))
    way = "bundle" if plan.starts_afresh else "patch"
    return Forecast(app, channel, version, goal, way, plan.fetch_bytes, percent)


def _end(catalogue: Catalogue, version: str, install_id: str) -> tuple[str | None, str]:
    """Return the version an install goes to, or the reason why it stays."""
    try:
        goal = choose(catalogue, install_id, catalogue.now, installed=version, bad=frozenset())
    except InstallError as error:
        return None, str(error)
    if goal is not None:
        return goal, ""
    if not version:
        return None, "nothing is offered"
    floor = catalogue.releases[version].floor
    return None, f"recalled, and nothing from {floor} on is offered" if floor else ""
