"""Recall: a release is withdrawn, and its installs may go down, but not below a floor.

What is recalled stays published, with a mark that the release key signs: only by that mark do
its installs know that they may go down. So there is no way to take a recall back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchtool.diff import build_patch
from patchtool.options import Options
from patchtool.publish import patch_target, unpack, workshop
from patchtool.releases import Releases
from patchtool.repository import Repository
from patchtool.targets import Target
from updater.errors import InstallError
from updater.format.head import Head
from updater.format.names import check_version, order


@dataclass(frozen=True)
class Recalled:
    """A release that was recalled."""

    version: str
    floor: str
    """Installs of it may go to this version, and to any above it."""
    channels: dict[str, str | None]
    """What each channel has for such an install; None: nothing yet."""
    patches: dict[str, int]
    """Bytes of the patch to each version to which one was made."""
    skipped: tuple[str, ...]
    """Versions whose bundle is smaller than a patch to them."""
    resting: tuple[str, ...]
    """Recalled versions whose installs may go down to this one, and so no further."""


def recall(
    repository: Repository,
    app: str,
    version: str,
    *,
    now: int,
    floor: str | None = None,
    patch: bool = False,
    options: Options | None = None,
) -> Recalled | None:
    """Recall ``version``; None if all of this was done before.

    Args:
        repository: where it is published; its lock is taken.
        app: whose release.
        version: what is recalled; again, to change its floor or to make patches.
        now: seconds since 1970.
        floor: the lowest version its installs may go to; default: the one it has, else the next
            lower release that is not recalled, else ``version`` itself: they only go up.
        patch: make patches to what the channels have for its installs.
        options: effort, jobs, progress of these patches.

    Raises:
        InstallError: ``version`` or ``floor`` is not published, ``floor`` is above it, a key is
            missing, or the disk. Clients see what they saw before.
        FormatError: a version in another spelling, or the repository is damaged.
    """
    check_version(version)
    with repository.writing(releases=True), workshop() as work:
        releases = Releases.of(repository, app)
        releases.require(version)
        before = releases.said(version)
        floor = _checked(floor, releases, version) if floor else _floor(releases, version)
        channels = _channels(repository, releases, version, floor, now)
        goals = {goal for goal in channels.values() if goal is not None} if patch else set()
        missing = [g for g in sorted(goals, key=order) if not releases.has_patch(version, g)]
        reverse = _patches(repository, releases, version, missing, work, options)
        after = {**before, "recalled": {"floor": floor}}
        if after == before and not reverse:
            return None
        said = {releases.manifest(version).path: after}
        repository.publish(f"app.{app}", list(reverse.values()), said=said)
        listed = repository.targets(f"app.{app}")
    sizes = {goal: listed[target.name].length for goal, target in reverse.items()}
    skipped = tuple(goal for goal in missing if goal not in sizes)
    resting = (v for v in releases.recalled - {version} if releases.floor(v) == version)
    return Recalled(version, floor, channels, sizes, skipped, tuple(sorted(resting, key=order)))


def _floor(releases: Releases, version: str) -> str:
    """The floor if nobody names one."""
    lower = (v for v in releases.below(version) if v not in releases.recalled)
    return releases.floor(version) or next(lower, version)


def _checked(floor: str, releases: Releases, version: str) -> str:
    if order(check_version(floor)) > order(version):
        raise InstallError(
            f"a floor of {floor} is above {version}",
            hint="it is the lowest version that installs of the recalled one may go to",
        )
    releases.require(floor)
    return floor


def _channels(
    repository: Repository, releases: Releases, version: str, floor: str, now: int
) -> dict[str, str | None]:
    """What each channel has, sooner or later, for installs of ``version`` once it is recalled."""
    sound = releases.versions - releases.recalled - {version}
    fit = {v for v in sound if order(v) >= order(floor)}
    targets = repository.targets(f"channels.{releases.app}").values()
    heads = (Head.parse(target.custom) for target in targets)
    return {head.channel: _offered(head, fit, now) for head in heads}


def _offered(head: Head, fit: set[str], now: int) -> str | None:
    offers = (o.version for o in head.entries if not o.paused and o.reach(now))
    return next((version for version in offers if version in fit), None)


def _patches(
    repository: Repository,
    releases: Releases,
    version: str,
    goals: list[str],
    work: Path,
    options: Options | None,
) -> dict[str, Target]:
    """A patch from ``version`` to each goal whose bundle is larger than that."""
    found: dict[str, Target] = {}
    if not goals:
        return found
    old = unpack(repository.path_of(releases.bundle(version)), work / "old")
    for goal in goals:
        bundle = releases.bundle(goal)
        new = unpack(repository.path_of(bundle), work / f"tree-{goal}")
        built = build_patch(old, new, work / goal, options)
        if built.bytes < bundle.length:
            found[goal] = patch_target(releases.app, version, goal, built)
    return found
