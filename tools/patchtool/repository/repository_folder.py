"""A repository folder on this disk: it is read once, and held to be written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from patchtool.folder.temporary import clear_dead, clear_scratch, staging
from patchtool.keys.roles import RoleStatus
from patchtool.repository.snapshot import Snapshot, ever_named
from patchtool.repository.stored_files import needed
from patchtool.repository.targets import Listed, place_of
from patchtool.repository.unfinished import take_back
from patchtool.repository.writer import WRITING_LOCK, Writer, refuse_others, writer_of
from updater.disk.durable import Disk, machine_errors
from updater.disk.lock import locked
from updater.errors import RequestError, UpdaterError


def _accept(_following: Snapshot) -> None:
    """Accept a change that nobody else has to approve."""


def _any_time(_signed: int) -> None:
    """Accept any clock: who only reads signs nothing by it."""


@dataclass(frozen=True)
class Author:
    """The user of a repository folder: a tool or a server, and how it works."""

    writer: Writer = "local"
    patience: float = 0.0
    """Seconds to wait for somebody else who is writing."""
    approve: Callable[[Snapshot], None] = _accept
    """Is given what clients are about to see, when all but the timestamp is written; an error it
    raises keeps them from seeing it."""
    task: str = "writing the repository"
    """Shown to whoever waits."""
    clock: Callable[[], int] | None = None
    """Seconds since 1970, asked anew whenever the repository is held: a build takes its time."""
    check_time: Callable[[int], None] = _any_time
    """Is given when the repository was last signed, whenever it is read; an error it raises ends
    the command."""


ALONE = Author()
"""This tool, of which one command at a time writes."""


class RepositoryFolder:
    """One repository folder, for whoever needs no key."""

    def __init__(
        self, folder: Path, now: int, disk: Disk | None = None, author: Author = ALONE
    ) -> None:
        """Open ``folder``; nothing is read yet.

        Args:
            folder: the repository.
            now: seconds since 1970, for expiry.
            disk: durable primitives.
            author: who is about to write: this tool, or the server the repository lies on.
        """
        self.folder = folder
        self.metadata = folder / "metadata"
        self.now = dt.datetime.fromtimestamp(now, dt.timezone.utc)
        self.disk = disk or Disk()
        self._author = author
        self._seen: Snapshot | None = None

    def look(self) -> Snapshot:
        """Return what clients see: read once, and once again when the repository is held.

        Raises:
            InstallError: it cannot be read, or this machine's clock does not fit what was signed.
            FormatError: the repository is damaged.
        """
        if self._seen is None:
            seen = Snapshot.read(self.folder, self._author.writer)
            self._author.check_time(seen.last_signed())
            self._seen = seen
        return self._seen

    def path_of(self, target: Listed) -> Path:
        """Return the place of a published target's content."""
        return place_of(self.folder, target)

    def statuses(self) -> list[RoleStatus]:
        """Return the status of every role now: see `Snapshot.statuses`."""
        return self.look().statuses(self.seconds)

    def ever_named(self) -> set[str]:
        """Ids of all keys that could ever sign anything here, as far as files show."""
        return ever_named(self.look())

    @property
    def seconds(self) -> int:
        """The time, in seconds since 1970."""
        return int(self.now.timestamp())

    @property
    def hands_over(self) -> bool:
        """Return whether releases are signed here for a server, which lets clients see them."""
        if self._seen is not None:
            return self._seen.hands_over
        return self._author.writer == "local" and writer_of(self.folder) == "server"

    @property
    def patience(self) -> float:
        """Seconds to wait for somebody else."""
        return self._author.patience

    @contextmanager
    def writing(self, *, releases: bool = False) -> Iterator[None]:
        """Hold the repository to write it; ``releases``: nothing else of it.

        Raises:
            UpdateInProgress: another command writes it.
            InstallError: the folder is not a repository, somebody else writes what is to be
                written (see `patchtool.repository.writer`), or the disk.
        """
        with self.held():
            if not (releases and self.hands_over):
                self.refuse_others()
            yield

    def refuse_others(self) -> None:
        """Refuse to sign what somebody else signs.

        Raises:
            InstallError: this repository has another writer.
        """
        refuse_others(self.folder, self._author.writer)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the repository, so that nobody else writes it.

        Raises:
            UpdateInProgress: another command writes it.
            InstallError: the folder is not a repository, or the disk.
        """
        author = self._author
        busy = f"another command writes {self.folder}"
        with machine_errors(f"writing repository {self.folder}"):
            self.require()
            with locked(self.folder / WRITING_LOCK, author.task, author.patience, busy):
                if author.clock is not None:
                    self.now = dt.datetime.fromtimestamp(author.clock(), dt.timezone.utc)
                clear_dead(self.folder)
                clear_scratch()
                self._seen = None
                self._take_back()
                try:
                    yield
                except BaseException:
                    self._take_back()
                    raise
                finally:
                    self._seen = None

    def _take_back(self) -> None:
        """Remove what a command that failed, or was killed, has written in vain."""
        with suppress(OSError, UpdaterError):  # it stays noted: the next command looks again
            take_back(self.disk, self.folder, self._needed)

    def _needed(self) -> dict[str, int]:
        return needed(Snapshot.read(self.folder, self._author.writer))

    def require(self) -> None:
        """Refuse a folder that is no repository.

        Raises:
            InstallError: it is none.
        """
        if not (self.metadata / "timestamp.json").is_file():
            raise RequestError(
                f"{self.folder} is not a repository", hint="make one with patchtool init"
            )

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder to build in, on the disk of the repository; gone at the end.

        Raises:
            InstallError: the folder is not a repository, or the disk.
        """
        self.require()
        with machine_errors(f"building in {self.folder}"), staging(self.folder) as folder:
            yield folder
