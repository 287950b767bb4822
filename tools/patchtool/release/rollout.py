"""Rollout: set what a channel offers, and to how many installs, where this tool signs heads."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from patchtool.keys.signing_clock import BEHIND_MOST
from patchtool.repository.releases import Releases
from patchtool.repository.repository import Repository
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.targets import NewTarget
from updater.errors import RequestError
from updater.format.encoding.canonical import encode
from updater.format.encoding.limits import DEFAULT
from updater.format.head import EVERYONE, Head, RolloutStep
from updater.format.names import check_channel, check_version
from updater.format.next_head import is_paused, paused, promoted, resumed, without
from updater.format.target_names import head_name


def promote(
    repository: Repository,
    app: str,
    channel: str,
    version: str,
    *,
    now: int,
    steps: Sequence[RolloutStep] = (),
) -> Head:
    """Let ``channel`` offer ``version`` to a share of its installs; the new head.

    The last version that reached everyone stays below it as the fallback. Promoting what is
    on top already adds rollout steps to those that have come.

    Args:
        repository: its lock is taken.
        app: whose release.
        channel: made if it is not there.
        version: what is offered.
        now: seconds since 1970.
        steps: in order of time; default: to everyone, now.

    Raises:
        InstallError: the version is not published, was recalled or is paused, a missing key, the
            disk.
    """
    check_channel(channel)
    repository.open_keys(f"channels.{app}")
    with repository.writing():
        seen = repository.look()
        releases = Releases.of(seen, app)
        _require_sound(releases, version)
        before = _head(repository, app, channel)
        _require_room(seen, app, is_new=before is None)
        head = promoted(
            without(before, releases.recalled) if before else None,
            app,
            channel,
            version,
            steps=steps or (RolloutStep(now, EVERYONE),),
            now=now,
            seed=secrets.token_hex(8),
        )
        _publish(repository, head)
    return head


def pause(repository: Repository, app: str, channel: str, version: str, *, now: int) -> Head | None:
    """Let ``channel`` offer ``version`` to nobody for now; the new head, None if it does not.

    Raises:
        InstallError: it does not offer it, a missing key, the disk.
    """
    return _edit(repository, app, channel, lambda head: _changed(head, version, now, to=True))


def resume(
    repository: Repository, app: str, channel: str, version: str, *, now: int
) -> Head | None:
    """Go on with a paused version where its ramp was; the new head, None if it is not paused.

    Raises:
        InstallError: ``channel`` does not offer it, a missing key, the disk.
    """
    return _edit(repository, app, channel, lambda head: _changed(head, version, now, to=False))


def _changed(head: Head, version: str, now: int, *, to: bool) -> Head | None:
    if is_paused(head, version) == to:
        return None
    return (paused if to else resumed)(head, version, now)


def _edit(
    repository: Repository, app: str, channel: str, edit: Callable[[Head], Head | None]
) -> Head | None:
    check_channel(channel)
    repository.open_keys(f"channels.{app}")
    with repository.writing():
        before = _head(repository, app, channel)
        if before is None:
            raise RequestError(f"{app} has no channel {channel}", hint="promote a version first")
        head = edit(before)
        if head is not None:
            _publish(repository, head)
    return head


def _require_sound(releases: Releases, version: str) -> None:
    releases.require(check_version(version))
    if version in releases.recalled:
        raise RequestError(
            f"{releases.app} {version} was recalled, and no client would take it",
            hint="a recall cannot be undone: publish it under a new version",
        )


def _require_room(seen: Snapshot, app: str, *, is_new: bool) -> None:
    count = len(seen.targets(f"channels.{app}"))
    if is_new and count >= DEFAULT.channels:
        raise RequestError(f"{app} has {count} channels, {DEFAULT.channels} allowed")


def heads_ahead(seen: Snapshot, app: str, now: int) -> list[Head]:
    """The heads of an app that a clock ahead of ours has signed, as they ought to be.

    Raises:
        InstallError: there is no such app, or the repository cannot be read.
    """
    heads = heads_of(seen, app).values()
    return [put for head in heads if (put := _put_right(head, now)) is not head]


def heads_of(seen: Snapshot, app: str) -> dict[str, Head]:
    """Return the head of each channel of an app.

    Raises:
        InstallError: there is no such app, or the repository cannot be read.
        FormatError: it is damaged.
    """
    heads = (Head.parse(target.custom) for target in seen.targets(f"channels.{app}").values())
    return {head.channel: head for head in heads}


def target_of(head: Head) -> NewTarget:
    """Return the target of a head."""
    name, document = head_name(head.app, head.channel), head.to_json()
    return NewTarget.of(name, encode(document), document)


def _head(repository: Repository, app: str, channel: str) -> Head | None:
    target = repository.look().targets(f"channels.{app}").get(head_name(app, channel))
    return _put_right(Head.parse(target.custom), repository.seconds) if target else None


def _put_right(head: Head, now: int) -> Head:
    """The head, without a time that has not come: clients would take it for the present."""
    return replace(head, issued=now) if head.issued > now + BEHIND_MOST else head


def _publish(repository: Repository, head: Head) -> None:
    repository.publish(f"channels.{head.app}", [target_of(head)])
