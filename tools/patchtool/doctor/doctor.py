"""The doctor: find what will go wrong with a repository, before clients meet it. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchtool.doctor.client_forecast import Forecast, forecasts
from patchtool.folder.temporary import scratch, staging
from patchtool.keys.roles import RoleStatus
from patchtool.keys.signing_clock import doubt_of
from patchtool.release.refresh import is_ahead
from patchtool.repository.snapshot import MissingMetadata, Snapshot
from patchtool.repository.stored_files import CONTENT, FileFaults, check_files, needed, unneeded
from patchtool.server.mirror import absent, mirror
from updater.disk.durable import machine_errors
from updater.errors import FormatError, MachineError, RequestError, TrustError, UpdaterError
from updater.exit_codes import Concern, Severity
from updater.transport import Transport

RESTORE = "restore it from a backup, then patchtool refresh --at-least"
OFFER = "offer a version they can take: patchtool promote"
PUT_RIGHT = (
    "if this clock is right: patchtool refresh --clock YYYY-MM-DD, then patchtool promote again "
    "what was promoted meanwhile"
)
CONCERNS = {
    "expired": (Severity.NOW, "clients refuse it: run patchtool refresh with its key"),
    "unsigned": (Severity.NOW, "clients refuse it: run patchtool refresh with its key"),
    "missing": (Severity.NOW, RESTORE),
    "damaged": (Severity.NOW, RESTORE),
    "unread": (Severity.UNSEEN, "let this user read it, and look again"),
}
"""The severity and the remedy, by the lists of a `Diagnosis`."""


@dataclass(frozen=True)
class Diagnosis:
    """The findings of an examination."""

    statuses: tuple[RoleStatus, ...]
    expired: tuple[str, ...]
    """Roles whose signature holds no more."""
    unsigned: tuple[str, ...]
    """Roles that lack signatures of those who may sign them."""
    faults: FileFaults
    """Published files that are not as they were signed."""
    refused: str
    """The reason why clients refuse all of it; empty if they do not."""
    clients: tuple[Forecast, ...]
    """A forecast for installs of each version."""
    ahead: str = ""
    """The reason to doubt a signed time: it has not come yet. Clients take it for the present."""
    unreferenced: tuple[str, ...] = ()
    """Files that nothing refers to: left by a command that was stopped, or pruned. Harmless."""

    @property
    def due(self) -> tuple[str, ...]:
        """Roles whose key is needed soon."""
        return tuple(s.role for s in self.statuses if s.is_due)

    @property
    def stuck(self) -> tuple[str, ...]:
        """Installs that are left without an offer, in words."""
        return tuple(forecast.words for forecast in self.clients if forecast.way == "stuck")

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        return {
            "roles": [status.document for status in self.statuses],
            "clients": [vars(forecast) for forecast in self.clients],
            "refused": self.refused,
            "ahead": self.ahead,
            **{name: list(names) for name, names in self.lists.items()},
        }

    @property
    def lists(self) -> dict[str, tuple[str, ...]]:
        """Names of roles and files, by what is to be said of them."""
        return {
            "expired": self.expired,
            "due": self.due,
            "unsigned": self.unsigned,
            **vars(self.faults),
            "unreferenced": self.unreferenced,
        }

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """The problems, for people and for the exit code."""
        found = [
            Concern(severity, f"{word}: {', '.join(self.lists[word])}", hint)
            for word, (severity, hint) in CONCERNS.items()
            if self.lists[word]
        ]
        if self.refused:
            found.append(Concern(Severity.NOW, self.refused, "run patchtool refresh"))
        found += [Concern(Severity.NOW, words, OFFER) for words in self.stuck]
        if self.ahead:
            found.append(Concern(Severity.SOON, self.ahead, PUT_RIGHT))
        if self.due:
            keys = sorted({s.key for s in self.statuses if s.is_due})
            hint = f"run patchtool refresh with the keys: {', '.join(keys)}"
            found.append(Concern(Severity.SOON, f"to be signed soon: {', '.join(self.due)}", hint))
        return tuple(found)


def diagnose(folder: Path, now: int, root: bytes | None = None) -> Diagnosis:
    """Look at everything clients may ask for, and hash it.

    Args:
        folder: of the repository; only read.
        now: seconds since 1970.
        root: what clients are installed with; None: the first root.

    Raises:
        InstallError: it is no repository or cannot be read.
        TrustError: metadata that clients need is missing or damaged.
    """
    if not any((folder / "metadata").glob("*.json")):
        raise RequestError(
            f"{folder} is not a repository", hint="name the folder that init has made"
        )
    with _damage_named():
        seen = Snapshot.read(folder)
        unreferenced = [name for name in unneeded(seen) if name.startswith(CONTENT)]
        return _diagnosis(seen, now, check_files(seen), unreferenced=unreferenced, root=root)


@contextmanager
def _damage_named() -> Iterator[None]:
    """Say of a repository that cannot even be looked at that clients cannot use it."""
    try:
        yield
    except (FormatError, MissingMetadata) as error:
        raise TrustError(f"clients cannot use this repository: {error}", hint=RESTORE) from error


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
    with machine_errors(f"looking at {url}"), staging(scratch()) as work:
        mirror(transport, address, work)
        seen = Snapshot.read(work)
        content = {name: length for name, length in needed(seen).items() if length >= 0}
        missing = FileFaults(missing=tuple(absent(transport, address, content)))
        return _diagnosis(seen, now, missing, root=root)


def _diagnosis(
    seen: Snapshot,
    now: int,
    faults: FileFaults,
    *,
    unreferenced: Iterable[str] = (),
    root: bytes | None = None,
) -> Diagnosis:
    statuses = tuple(seen.statuses(now))
    refused, clients = _clients(seen, root, now)
    return Diagnosis(
        statuses,
        tuple(s.role for s in statuses if s.expires <= now),
        tuple(s.role for s in statuses if not seen.is_signed(s.role)),
        faults,
        refused,
        clients,
        doubt_of(now, seen.last_signed()) if is_ahead(seen, now) else "",
        tuple(unreferenced),
    )


def _clients(seen: Snapshot, root: bytes | None, now: int) -> tuple[str, tuple[Forecast, ...]]:
    """Return the reason why clients refuse the repository, or a forecast of what they do."""
    try:
        return "", tuple(forecasts(seen, root or seen.file("1.root.json"), now))
    except UpdaterError as error:
        if isinstance(error, MachineError) and not isinstance(error, MissingMetadata):
            raise  # of this machine, not of the repository
        return f"clients refuse it: {error}", ()
