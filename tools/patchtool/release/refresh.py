"""Refresh: sign anew what expires soon, with the keys that are at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from patchtool.keys.roles import RoleStatus
from patchtool.keys.signing_clock import BEHIND_MOST, day
from patchtool.release.rollout import heads_ahead, target_of
from patchtool.repository.repository import Repository
from patchtool.repository.snapshot import Snapshot
from updater.errors import RequestError
from updater.exit_codes import Concern, Severity
from updater.format.head import Head

AT_LEAST_MOST = 1_000_000_000
"""No repository has signed so often, and a number that was mistyped cannot be lowered again."""


@dataclass(frozen=True)
class Refreshed:
    """The roles that were signed, and those that are due and could not be."""

    signed: tuple[RoleStatus, ...]
    """As they are now."""
    missing: tuple[RoleStatus, ...]
    """Due, but their key is not at hand."""

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        return {
            "signed": [status.document for status in self.signed],
            "missing": [status.document for status in self.missing],
        }

    def concerns(self, now: int) -> list[Concern]:
        """Return the problems that are left at ``now``."""
        return [_concern(status, now) for status in self.missing]


def _concern(status: RoleStatus, now: int) -> Concern:
    """Describe a role that is due, and whose key is not at hand."""
    severity = Severity.NOW if status.expires <= now else Severity.SOON
    what = f"{status.role} {_wrong(status, now)}"
    return Concern(
        severity,
        f"{what} (version {status.version}, valid until {day(status.expires)})",
        f"refresh with the {status.key} key",
    )


def _wrong(status: RoleStatus, now: int) -> str:
    if status.expires <= now:
        return "has expired, and clients refuse it"
    return "is due" if status.is_due else "keeps its number, which clients may have seen exceeded"


def refresh(repository: Repository, at_least: int = 0) -> Refreshed:
    """Sign what is due; nothing is written if nothing is.

    Args:
        repository: its lock is taken.
        at_least: every role but root gets this version at least. For a repository restored from
            a backup: clients refuse versions below those they have seen. Root needs no such
            thing, clients follow its versions one by one.

    Raises:
        InstallError: the online key is due and not at hand, a key is not of this repository,
            ``at_least`` is out of all reason, or the disk. Clients see what they saw before.
        TrustError: the online key is not at hand, and what it signs has expired.
    """
    repository.require()
    if at_least > AT_LEAST_MOST:
        raise RequestError(
            f"no client has seen a version such as {at_least}",
            hint="--at-least stays for good: name a number a little above what clients have seen",
        )
    for status in _due(repository, at_least):
        repository.can_sign(status.role)  # opens keys: nobody is to wait for a password
    with repository.writing():
        due = _due(repository, at_least)
        missing = tuple(s for s in due if not repository.can_sign(s.role))
        for status in missing:
            if status.key == "online":
                concern = _concern(status, repository.seconds)
                what = f"{status.role} is to be signed, and there is no online key"
                hint = "put online.pem into the folder of keys"
                raise replace(concern, what=what, hint=hint).error
        roles = [s.role for s in due if s not in missing]
        if roles:
            repository.renew(
                roles, at_least, map(target_of, _ahead(repository.look(), repository.seconds))
            )
        signed = tuple(s for s in repository.statuses() if s.role in _with_above(roles))
    return Refreshed(signed, missing)


def is_ahead(seen: Snapshot, now: int) -> bool:
    """Return whether a clock ahead of ours has signed: clients take its time for the present.

    Raises:
        InstallError: the repository cannot be read.
    """
    return seen.last_signed() > now + BEHIND_MOST or bool(_ahead(seen, now))


def _ahead(seen: Snapshot, now: int) -> list[Head]:
    return [head for app in seen.apps() for head in heads_ahead(seen, app, now)]


def _due(repository: Repository, at_least: int) -> list[RoleStatus]:
    """Roles that are to be signed; those of the online key say when they were."""
    seen, now = repository.look(), repository.seconds
    ahead = is_ahead(seen, now)
    return [
        s
        for s in seen.statuses(now)
        if s.is_due or s.is_below(at_least) or (ahead and s.key == "online")
    ]


def _with_above(roles: list[str]) -> set[str]:
    """Whatever is signed, the timestamp is; and the snapshot, unless it is the timestamp alone."""
    if not roles or roles == ["timestamp"]:
        return set(roles)
    only_root = set(roles) <= {"root", "timestamp"}
    return {*roles, "timestamp"} | (set() if only_root else {"snapshot"})
