"""Prune a repository: remove releases and patches that nobody needs any more.

What is published no more is removed from the metadata at once, and from the disk a month later.
Where a server writes the repository, what is removed here is signed like a release, and pushed; the
server deletes the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from patchtool.repository.leftovers import Cleared, clear
from patchtool.repository.releases import Releases
from patchtool.repository.repository import Repository
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.stored_files import unneeded
from patchtool.repository.targets import Listed
from patchtool.upkeep.unpublished import signed_since
from updater.disk.durable import machine_errors
from updater.errors import RequestError
from updater.format.head import Head
from updater.format.names import order
from updater.format.target_names import TargetKind, TargetName

KEPT = 20
"""Last releases that are kept whole, so that installs of them can be repaired."""
PATCHED = 5
"""Last releases to which patches are kept."""


@dataclass(frozen=True)
class Pruned:
    """The outcome of a prune."""

    removed: tuple[str, ...]
    """Targets that are published no more."""
    missing: tuple[str, ...]
    """Apps of which something ought to be removed, but their release key is not at hand."""
    deleted: tuple[str, ...]
    """Files nothing has referred to for a month."""
    freed_bytes: int
    waiting: tuple[str, ...]
    """Files that will be deleted a month after nothing has referred to them."""

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        return {name: _plain(value) for name, value in vars(self).items()}


def prune(repository: Repository) -> Pruned:
    """Remove what nobody needs any more.

    Kept are the last 20 releases, the patches into the last 5, and whatever a channel names or no
    update may jump over; of recalled releases and of those that demand something of updates which
    jump over them, the manifest for ever. They take no place among
    the 20 and the 5.

    In a copy of what a server writes, clients see it when it was pushed. Until then no file of the
    copy is deleted: the push may still need it.

    Args:
        repository: its lock is taken.

    Raises:
        InstallError: a key is not of this repository, a copy knows too little of what channels
            offer now, or the disk. Clients see what they saw before, or no longer what was
            removed; run it again.
        FormatError: the repository is damaged.
    """
    repository.require()
    for app in repository.look().apps():
        repository.can_sign(f"app.{app}")  # opens keys: nobody is to wait for a password
    with repository.writing(releases=True):
        seen = repository.look()
        outdated = {app: superfluous(seen, app) for app in seen.apps()}
        due = {app: names for app, names in outdated.items() if names}
        able = {app: names for app, names in due.items() if repository.can_sign(f"app.{app}")}
        if able and repository.hands_over:
            _require_fresh(repository)
        for app, names in able.items():
            repository.publish(f"app.{app}", [], gone=names)
        cleared = Cleared((), 0, ()) if _is_waiting(repository) else clear_unneeded(repository)
    removed = tuple(name for names in able.values() for name in names)
    missing = tuple(app for app in due if app not in able)
    return Pruned(removed, missing, cleared.deleted, cleared.freed_bytes, cleared.waiting)


def clear_unneeded(repository: Repository) -> Cleared:
    """Delete the files nothing has referred to for a month; its lock is held.

    Raises:
        InstallError: the disk; run it again.
        FormatError: the repository is damaged.
    """
    with machine_errors(f"deleting files of {repository.folder}"):
        found = unneeded(repository.look())
        return clear(repository.disk, repository.folder, found, repository.seconds)


def superfluous(seen: Snapshot, app: str, also: Iterable[tuple[str, Listed]] = ()) -> list[str]:
    """Names of the targets of an app that nobody needs any more, once it has these ``also``.

    Raises:
        InstallError: the repository does not know the app, or cannot be read.
        FormatError: it is damaged.
    """
    heads = [Head.parse(target.custom) for target in seen.targets(f"channels.{app}").values()]
    offered = {offer.version for head in heads for offer in head.entries}
    targets = {**dict(also), **seen.targets(f"app.{app}")}
    return outdated(Releases(app, targets), offered)


def _require_fresh(repository: Repository) -> None:
    """Refuse a copy that its server has signed anew since: channels may offer something else."""
    if any(s.role == "timestamp" and s.is_due for s in repository.statuses()):
        raise RequestError(
            f"{repository.folder} was not fetched for days: what channels offer now is not known",
            hint="bring it up to date first: patchtool fetch URL REPO",
        )


def _is_waiting(repository: Repository) -> bool:
    """Return whether anything was signed here that its server has not taken yet."""
    if not repository.hands_over:
        return False
    seen = repository.look()
    return any(
        signed_since(seen.folder, seen.listed[f"app.{app}.json"], app) for app in seen.apps()
    )


def outdated(releases: Releases, offered: set[str]) -> list[str]:
    """Names of the targets nobody needs any more, as long as channels name ``offered``."""
    pinned = offered | releases.stops
    whole = _last(releases, KEPT) | pinned
    known = whole | releases.recalled | releases.demanding
    patched = (_last(releases, PATCHED) | pinned) & known
    return [name for name in sorted(releases.targets) if not _is_kept(name, whole, known, patched)]


def _is_kept(name: str, whole: set[str], known: set[str], patched: set[str]) -> bool:
    kept: dict[TargetKind, set[str]] = {"bundle": whole, "manifest": known, "patch": patched}
    parts = TargetName.parse(name)
    return parts is None or parts.kind not in kept or parts.last in kept[parts.kind]


def _last(releases: Releases, count: int) -> set[str]:
    """The last ``count`` releases, and the recalled ones among them."""
    sound = sorted(releases.versions - releases.recalled, key=order, reverse=True)[:count]
    oldest = sound[-1] if len(sound) == count else None
    return {v for v in releases.versions if oldest is None or order(v) >= order(oldest)}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
