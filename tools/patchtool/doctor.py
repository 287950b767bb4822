"""The doctor: what will go wrong with a repository, before clients meet it. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from patchtool import stock
from patchtool.keys import Keys
from patchtool.outlook import Outlook, outlooks
from patchtool.remote import absent, mirror
from patchtool.repository import Repository
from patchtool.roles import Standing
from patchtool.staging import scratch, staging
from updater.errors import FormatError, InstallError, TrustError, UpdaterError
from updater.launch.disk import told
from updater.transport import Transport


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
    damaged: tuple[str, ...]
    """Published files with other content than was signed."""
    refused: str
    """Why clients refuse all of it; empty if they do not."""
    clients: tuple[Outlook, ...]
    """What installs of each version would do now."""
    unreferenced: tuple[str, ...]
    """Files that nothing refers to: left by a command that was stopped, or pruned. Harmless."""

    @property
    def due(self) -> tuple[str, ...]:
        """Roles whose key is needed soon."""
        return tuple(s.role for s in self.standings if s.is_due)

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        names = ("expired", "unsigned", "missing", "damaged", "unreferenced", "due")
        roles = [standing.document for standing in self.standings]
        clients = [vars(outlook) for outlook in self.clients]
        lists = {name: list(getattr(self, name)) for name in names}
        return {"roles": roles, "clients": clients, "refused": self.refused, **lists}

    def require_health(self) -> None:
        """Refuse a repository that clients cannot use, now or soon.

        Raises:
            TrustError: something expired, is unsigned or missing: clients are affected now.
            InstallError: a key is needed soon.
        """
        ill = ("expired", "unsigned", "missing", "damaged")
        said = [f"{word}: {', '.join(getattr(self, word))}" for word in ill if getattr(self, word)]
        said = said or ([self.refused] if self.refused else [])
        if said:
            raise TrustError(
                f"clients cannot use all of this repository; {'; '.join(said)}",
                hint="run patchtool refresh, or restore what is missing from a backup",
            )
        if self.due:
            keys = sorted({s.key for s in self.standings if s.is_due})
            raise InstallError(
                f"to be signed soon: {', '.join(self.due)}",
                hint=f"run patchtool refresh with the keys: {', '.join(keys)}",
            )


def diagnose(repository: Repository, now: int, root: bytes | None = None) -> Diagnosis:
    """Look at everything clients may ask for, and hash it.

    Args:
        repository: only read.
        now: seconds since 1970.
        root: what clients are installed with; None: the first root.

    Raises:
        InstallError: it is no repository or cannot be read.
        TrustError: metadata that clients need is missing or damaged.
    """
    if not any((repository.folder / "metadata").glob("*.json")):
        raise InstallError(
            f"{repository.folder} is not a repository", hint="name the folder that init has made"
        )
    with _damage_told():
        return _diagnosis(
            repository,
            now,
            missing=stock.missing(repository),
            damaged=stock.damaged(repository),
            unreferenced=[n for n in stock.unneeded(repository) if n.startswith("targets/")],
            root=root,
        )


@contextmanager
def _damage_told() -> Iterator[None]:
    """Say of a repository that cannot even be looked at that clients cannot use it."""
    try:
        yield
    except (FormatError, InstallError) as error:
        gone = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
        if isinstance(error, FormatError) or isinstance(error.__cause__, gone):
            raise TrustError(
                f"clients cannot use this repository: {error}",
                hint="restore it from a backup, then patchtool refresh --at-least",
            ) from error
        raise


def diagnose_url(url: str, root: bytes | None, transport: Transport, now: int) -> Diagnosis:
    """Look at what a host gives to clients; files are asked for, not fetched and hashed.

    Args:
        url: of the repository.
        root: what clients are installed with; None: believe the first root that is there.
        transport: how bytes come.
        now: seconds since 1970.

    Raises:
        TransportError: the network, or metadata is missing.
        FormatError: it is no metadata of ours.
        InstallError: this machine's disk.
    """
    address = url.rstrip("/")
    with told(f"looking at {url}"), staging(scratch()) as work:
        copy = Repository(work, Keys(work, {}), now)
        mirror(transport, address, copy)
        content = {name: length for name, length in stock.needed(copy).items() if length >= 0}
        return _diagnosis(copy, now, missing=absent(transport, address, content), root=root)


def _diagnosis(
    repository: Repository,
    now: int,
    *,
    missing: Iterable[str],
    damaged: Iterable[str] = (),
    unreferenced: Iterable[str] = (),
    root: bytes | None = None,
) -> Diagnosis:
    standings = tuple(repository.standings())
    refused, clients = _clients(repository, root, now)
    return Diagnosis(
        standings,
        tuple(s.role for s in standings if s.expires <= now),
        tuple(s.role for s in standings if not repository.is_signed(s.role)),
        tuple(missing),
        tuple(damaged),
        refused,
        clients,
        tuple(unreferenced),
    )


def _clients(
    repository: Repository, root: bytes | None, now: int
) -> tuple[str, tuple[Outlook, ...]]:
    """Why clients refuse it, or what they do."""
    try:
        first = root or (repository.folder / "metadata" / "1.root.json").read_bytes()
        return "", tuple(outlooks(repository, first, now))
    except (UpdaterError, OSError) as error:
        return f"clients refuse it: {error}", ()
