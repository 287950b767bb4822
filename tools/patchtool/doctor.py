"""The doctor: what will go wrong with a repository, before clients meet it. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from patchtool.repository import Repository, Standing
from updater.errors import InstallError, TrustError


@dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    standings: tuple[Standing, ...]
    expired: tuple[str, ...]
    """Roles whose signature holds no more."""
    unsigned: tuple[str, ...]
    """Roles that lack signatures of those who may sign them."""
    missing: tuple[str, ...]
    """Published files that are not there or have another length."""
    unreferenced: tuple[str, ...]
    """Files that nothing refers to: left by a command that was stopped, or pruned. Harmless."""

    @property
    def due(self) -> tuple[str, ...]:
        """Roles whose key is needed soon."""
        return tuple(s.role for s in self.standings if s.is_due)

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        names = ("expired", "unsigned", "missing", "unreferenced", "due")
        roles = [standing.document for standing in self.standings]
        return {"roles": roles, **{name: list(getattr(self, name)) for name in names}}

    def require_health(self) -> None:
        """Refuse a repository that clients cannot use, now or soon.

        Raises:
            TrustError: something expired, is unsigned or missing: clients are affected now.
            InstallError: a key is needed soon.
        """
        ill = ("expired", "unsigned", "missing")
        told = [f"{word}: {', '.join(getattr(self, word))}" for word in ill if getattr(self, word)]
        if told:
            raise TrustError(
                f"clients cannot use all of this repository; {'; '.join(told)}",
                hint="run patchtool refresh, or restore what is missing from a backup",
            )
        if self.due:
            keys = sorted({s.key for s in self.standings if s.is_due})
            raise InstallError(
                f"to be signed soon: {', '.join(self.due)}",
                hint=f"run patchtool refresh with the keys: {', '.join(keys)}",
            )


def diagnose(repository: Repository, now: int) -> Diagnosis:
    """Look at everything clients may ask for; file contents are not hashed.

    Raises:
        InstallError: it is no repository or cannot be read.
        FormatError: metadata is damaged.
    """
    standings = tuple(repository.standings())
    return Diagnosis(
        standings,
        tuple(s.role for s in standings if s.expires <= now),
        tuple(s.role for s in standings if not repository.is_signed(s.role)),
        tuple(repository.missing()),
        tuple(name for name in repository.unneeded() if name.startswith("targets/")),
    )
