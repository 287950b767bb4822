"""Refreshing: what expires soon is signed anew, with the keys that are at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from patchtool.repository import Repository
from patchtool.roles import Standing
from updater.errors import InstallError


@dataclass(frozen=True)
class Refreshed:
    """What was signed, and what ought to be but could not."""

    signed: tuple[Standing, ...]
    """As they are now."""
    missing: tuple[Standing, ...]
    """Due, but their key is not at hand."""

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        return {
            "signed": [standing.document for standing in self.signed],
            "missing": [standing.document for standing in self.missing],
        }


def refresh(repository: Repository, at_least: int = 0) -> Refreshed:
    """Sign what is due; nothing is written if nothing is.

    Args:
        repository: its lock is taken.
        at_least: every role but root gets this version at least. For a repository restored from
            a backup: clients refuse versions below those they have seen. Root needs no such
            thing, clients follow its versions one by one.

    Raises:
        InstallError: the online key is due and not at hand, a key is not of this repository, or
            the disk. Clients see what they saw before.
    """
    repository.require()
    for standing in _due(repository, at_least):
        repository.can_sign(standing.role)  # opens keys: nobody is to wait for a password
    with repository.writing():
        due = _due(repository, at_least)
        missing = tuple(s for s in due if not repository.can_sign(s.role))
        for standing in missing:
            if standing.key == "online":
                raise InstallError(
                    f"{standing.role} is to be signed, and there is no online key",
                    hint="put online.pem into the folder of keys",
                )
        roles = [s.role for s in due if s not in missing]
        if roles:
            repository.renew(roles, at_least)
        signed = tuple(s for s in repository.standings() if s.role in _with_above(roles))
    return Refreshed(signed, missing)


def _due(repository: Repository, at_least: int) -> list[Standing]:
    """Roles that are to be signed."""
    return [s for s in repository.standings() if s.is_due or s.is_below(at_least)]


def _with_above(roles: list[str]) -> set[str]:
    """Whatever is signed, the timestamp is; and the snapshot, unless it is the timestamp alone."""
    if not roles or roles == ["timestamp"]:
        return set(roles)
    only_root = set(roles) <= {"root", "timestamp"}
    return {*roles, "timestamp"} | (set() if only_root else {"snapshot"})
