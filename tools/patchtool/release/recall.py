"""Recall: a release is withdrawn, and its installs may go down, but not below a floor.

What is recalled stays published, with a mark that the release key signs: only by that mark do
its installs know that they may go down. So there is no way to take a recall back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from patchtool.diff.options import Options
from patchtool.release.add_release import ROUNDS, BuildFolder, build_folder, patch_target
from patchtool.release.rollout import heads_of
from patchtool.repository.releases import Releases
from patchtool.repository.repository import Repository
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.targets import Listed, NewTarget
from updater.errors import RequestError, UpdaterError
from updater.format.head import Head
from updater.format.names import check_version, order


@dataclass(frozen=True)
class Recalled:
    """A release that was recalled."""

    version: str
    floor: str
    """Installs of it may go to this version, and to any above it."""
    channels: dict[str, str | None]
    """The version each channel has for such an install; None: nothing yet."""
    patches: dict[str, int]
    """Bytes of the patch to each version to which one was made."""
    skipped: tuple[str, ...]
    """Versions whose bundle is smaller than a patch to them."""
    resting: tuple[str, ...]
    """Recalled versions whose installs may go down to this one, and so no further."""


def _ignore(_marked: Recalled) -> None:
    """Leave it to the end of the command."""


def recall(
    repository: Repository,
    app: str,
    version: str,
    *,
    now: int,
    floor: str | None = None,
    patches: Options | None = None,
    when_marked: Callable[[Recalled], None] = _ignore,
) -> Recalled | None:
    """Recall ``version``; None if all of this was done before.

    Clients see the recall first: patches are built when it is published, and nobody waits for them.

    Args:
        repository: where it is published; its lock is taken, again for patches.
        app: whose release.
        version: what is recalled; again, to change its floor or to make patches.
        now: seconds since 1970.
        floor: the lowest version its installs may go to; default: the one it has, else the next
            lower release that is not recalled, else ``version`` itself: they only go up.
        patches: how to build patches to what the channels have for its installs; None: no patches.
        when_marked: is given what was recalled before patches are built, which may take long.

    Raises:
        InstallError: ``version`` or ``floor`` is not published, ``floor`` is above it, a key is
            missing, or the disk. Clients see what they saw before, or the recall without patches:
            the hint says so.
        FormatError: a version in another spelling, or the repository is damaged.
    """
    check_version(version)
    repository.open_keys(f"app.{app}", *([] if repository.hands_over else ["timestamp"]))
    marked, is_new = _mark(repository, app, version, floor, now)
    if patches is None:
        return marked if is_new else None
    when_marked(marked)
    try:
        done = _with_patches(repository, app, marked, now, patches)
    except UpdaterError as error:
        error.hint = f"{version} is recalled all the same; {error.hint}"
        raise
    return done if is_new or done.patches else None


def _mark(
    repository: Repository, app: str, version: str, floor: str | None, now: int
) -> tuple[Recalled, bool]:
    """Recall a version; and whether anything was to be done for it."""
    with repository.writing(releases=True):
        seen = repository.look()
        releases = Releases.of(seen, app)
        releases.require(version)
        before = releases.said(version)
        floor = _floor(releases, version) if floor is None else _checked(floor, releases, version)
        after = {**before, "recalled": {"floor": floor}}
        if after != before:
            repository.publish(f"app.{app}", [], said={releases.manifest(version).path: after})
        channels = _channels(seen, releases, version, floor, now)
    resting = (v for v in releases.recalled - {version} if releases.floor(v) == version)
    found = Recalled(version, floor, channels, {}, (), tuple(sorted(resting, key=order)))
    return found, after != before


def _with_patches(
    repository: Repository, app: str, marked: Recalled, now: int, options: Options
) -> Recalled:
    """Build patches to what the channels have, while nobody waits for them, and publish them."""
    built: dict[str, NewTarget | None] = {}
    with build_folder(repository) as builds:
        for _ in range(ROUNDS):
            with repository.writing(releases=True):
                look = _WayBack.at(repository.look(), app, marked, now)
                bundles = {v: look.releases.bundle(v) for v in look.lacking(built)}
            if not bundles:
                break
            built |= _patches(repository, look.releases, marked.version, bundles, builds, options)
        with repository.writing(releases=True):
            look = _WayBack.at(repository.look(), app, marked, now)
            made = {goal: t for goal in look.missing if (t := built.get(goal)) is not None}
            if made:
                repository.publish(f"app.{app}", list(made.values()))
    sizes = {goal: target.listed.length for goal, target in made.items()}
    skipped = tuple(goal for goal in look.missing if goal in built and goal not in made)
    return replace(marked, channels=look.channels, patches=sizes, skipped=skipped)


@dataclass(frozen=True)
class _WayBack:
    """The ways back from a recalled release that clients see now."""

    releases: Releases
    channels: dict[str, str | None]
    """The version each channel has for its installs."""
    missing: tuple[str, ...]
    """Versions they go to, and to which there is no patch."""

    @classmethod
    def at(cls, seen: Snapshot, app: str, marked: Recalled, now: int) -> _WayBack:
        """Look at a repository that is held."""
        releases = Releases.of(seen, app)
        channels = _channels(seen, releases, marked.version, marked.floor, now)
        goals = {goal for goal in channels.values() if goal is not None}
        has_none = (g for g in goals if not releases.has_patch(marked.version, g))
        return cls(releases, channels, tuple(sorted(has_none, key=order)))

    def lacking(self, built: Mapping[str, NewTarget | None]) -> list[str]:
        """Versions to which a patch is still to be built."""
        return [goal for goal in self.missing if goal not in built]


def _floor(releases: Releases, version: str) -> str:
    """The floor if nobody names one."""
    lower = (v for v in releases.below(version) if v not in releases.recalled)
    return releases.floor(version) or next(lower, version)


def _checked(floor: str, releases: Releases, version: str) -> str:
    if order(check_version(floor)) > order(version):
        raise RequestError(
            f"a floor of {floor} is above {version}",
            hint="it is the lowest version that installs of the recalled one may go to",
        )
    releases.require(floor)
    return floor


def _channels(
    seen: Snapshot, releases: Releases, version: str, floor: str, now: int
) -> dict[str, str | None]:
    """Return the version that each channel has for installs of ``version`` once it is recalled."""
    sound = releases.versions - releases.recalled - {version}
    fit = {v for v in sound if order(v) >= order(floor)}
    heads = heads_of(seen, releases.app)
    return {channel: _offered(head, fit, now) for channel, head in heads.items()}


def _offered(head: Head, fit: set[str], now: int) -> str | None:
    offers = (o.version for o in head.entries if not o.paused and o.reach(now))
    return next((version for version in offers if version in fit), None)


def _patches(
    repository: Repository,
    releases: Releases,
    version: str,
    bundles: Mapping[str, Listed],
    builds: BuildFolder,
    options: Options,
) -> dict[str, NewTarget | None]:
    """A patch from ``version`` to each of others; None: its bundle is as small."""
    found: dict[str, NewTarget | None] = {}
    with builds.unpacked(repository.path_of(releases.bundle(version))) as old:
        for goal, bundle in bundles.items():
            with builds.unpacked(repository.path_of(bundle)) as new:
                built = builds.build(old, new, goal, options)
            is_smaller = built.bytes < bundle.length
            target = patch_target(releases.app, version, goal, built) if is_smaller else None
            found[goal] = target
    return found
