"""The canary: before clients see a new timestamp, two clients look at all it leads to.

One comes for the first time. The other has seen everything so far and remembers it on this disk; it
notices a repository that went back to a backup.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from patchtool.folder.temporary import scratch, staging
from patchtool.repository.local_transport import URL, SnapshotTransport
from patchtool.repository.snapshot import Snapshot

from updater.check.trust import Trust
from updater.config import UpdaterConfig
from updater.disk.durable import Disk, machine_errors
from updater.errors import TransportError, TrustError

ONCE = UpdaterConfig(attempts=1)
"""Nothing here is another at the next try."""
LookTimes = Mapping[tuple[str, str], int]
"""By app and channel, what time it is for the clients that look, in seconds since 1970; an app
without a channel has no clients yet."""


class _Fleeting(Disk):
    """A disk that waits for nothing: its files are gone in a moment."""

    def sync_file(self, path: Path) -> None:
        """Nothing."""

    def sync_directory(self, path: Path) -> None:
        """Nothing."""


@contextmanager
def _compared() -> Iterator[None]:
    """Report a refusal as a fault of the repository: clients that have seen more refuse it too.

    They would blame a cache on the way for what is older; there is none between this one and us.
    """
    try:
        yield
    except (TrustError, TransportError) as error:
        raise TrustError(
            f"clients that know this server refuse it: {error}",
            hint="was the repository restored from a backup (docs/server.md), or a clock wrong?",
        ) from error


@dataclass(frozen=True)
class Canary:
    """Clients of one repository, on the server itself."""

    memory: Path
    """The folder of the one that remembers."""

    def approve(self, seen: Snapshot, looks: LookTimes) -> None:
        """Refuse a state that clients would refuse. What is remembered stays.

        Raises:
            TrustError, FormatError, TransportError: they would.
            InstallError: the disk.
        """
        transport = SnapshotTransport(seen)
        for (app, channel), now in looks.items():
            with machine_errors("asking the canary"), staging(scratch()) as work:
                fresh, old = work / "fresh", work / "old"
                self._look(transport, fresh, app, channel, now, _Fleeting())
                if self._place(app, channel).exists():
                    shutil.copytree(self._place(app, channel), old, symlinks=True)
                    with _compared():
                        self._look(transport, old, app, channel, now, _Fleeting())

    def remember(self, seen: Snapshot, looks: LookTimes) -> None:
        """Look at what clients see now, and remember it.

        Raises:
            TrustError: it is older than what was seen: the repository was restored from a backup.
            FormatError, TransportError: clients refuse it.
            InstallError: the disk.
        """
        transport = SnapshotTransport(seen)
        for (app, channel), now in looks.items():
            with machine_errors("asking the canary"), _compared():
                place = self._place(app, channel)
                place.mkdir(parents=True, exist_ok=True)
                self._look(transport, place, app, channel, now, Disk())

    def _look(
        self,
        transport: SnapshotTransport,
        place: Path,
        app: str,
        channel: str,
        now: int,
        disk: Disk,
    ) -> None:
        place.mkdir(exist_ok=True)
        seen = place / "seen.json"
        trust = Trust(
            place / "trust", URL, transport.first_root, transport, seen=seen, config=ONCE, disk=disk
        )
        trust.refresh(app, channel, now)

    def _place(self, app: str, channel: str) -> Path:
        return self.memory / f"{app}.{channel}"
