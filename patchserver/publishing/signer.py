"""The signer: it signs offers with the online key. The server's door to patchtool.

It holds no key that can install software. What it publishes of releases was signed elsewhere; what
it signs itself is which of them a channel offers, the snapshot and the timestamp. Clients of ours
approve every step before others see it (see `patchserver.publishing.canary`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchtool.keys.roles import RoleStatus
from patchtool.keys.signing_clock import Date, check_clock, doubt_of
from patchtool.keys.signing_keys import Keys
from patchtool.release import refresh, rollout
from patchtool.release.rollout import heads_of
from patchtool.repository.leftovers import Cleared
from patchtool.repository.repository import NotNext, Repository
from patchtool.repository.repository_folder import Author
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.targets import Listed
from patchtool.upkeep.prune import clear_unneeded

from patchserver.publishing.canary import Canary, LookTimes
from patchserver.publishing.push_rules import check_push
from updater.check.catalogue import ListedTarget
from updater.check.trust import entry_of
from updater.disk.durable import machine_errors
from updater.format.head import Head, RolloutStep
from updater.format.target_names import TIMESTAMP, file_name

__all__ = [
    "Announced",
    "Cleared",
    "Date",
    "NotNext",
    "OnlineSigner",
    "RoleStatus",
    "Snapshot",
    "heads_of",
]
CLOCK_HINT = (
    "set this machine's clock right; if it is right, say today's date: "
    "patchserver refresh --clock YYYY-MM-DD"
)
ELSEWHERE = (
    "its key lies elsewhere: push a release of that app, or sign it anew as docs/server.md says "
    "(What other keys sign)"
)
PATIENCE = 30.0
"""Seconds to wait for another process of the server that is publishing."""


@dataclass(frozen=True)
class Announced:
    """The content of a push."""

    version: int
    """The version of the role that lists the app's releases."""
    entries: Mapping[str, ListedTarget]
    """All targets, by name."""
    new: tuple[ListedTarget, ...]
    """Those that are not published yet."""


@dataclass(frozen=True)
class OnlineSigner:
    """The writer of one repository."""

    folder: Path
    keys: Keys
    """The online key, and no other."""
    memory: Path
    """The folder in which the canary remembers."""
    clock: Callable[[], int]
    """Seconds since 1970."""

    def look(self) -> Snapshot:
        """Read what clients see now.

        Raises:
            InstallError: the repository cannot be read.
            FormatError: it is damaged.
        """
        return Snapshot.read(self.folder, "server")

    def heads(self, app: str) -> dict[str, Head]:
        """Return the head of each channel of an app.

        Raises:
            InstallError: there is no such app, or the repository cannot be read.
        """
        return heads_of(self.look(), app)

    def place(self, entry: ListedTarget) -> Path:
        """Return the place of a target's content once it is published."""
        return self.folder / file_name(entry.name, entry.sha256)

    def announced(self, app: str, document: bytes) -> Announced:
        """Check a push and return its content.

        Raises:
            NotNext: it does not follow what is published.
            TrustError: it is not signed by who may sign it, or expired.
            FormatError: clients would refuse it, or it changes what they have.
            InstallError: as `heads`.
        """
        return _announced(self._reader(), app, document)

    def publish(self, app: str, document: bytes, settle: Callable[[], None]) -> None:
        """Let clients see the releases that a document lists.

        Args:
            app: whose releases.
            document: the next version of their list, signed.
            settle: sees to it that files are in their places, while nobody deletes any.

        Raises:
            NotNext: somebody was faster.
            TrustError, FormatError: clients would refuse it, or it lacks what a channel has come
                to offer since it was announced.
            UpdateInProgress: another process is publishing, for long.
            InstallError: the online key, or the disk. After any error clients see what they saw.
        """
        repository = self._repository()
        with repository.writing():
            _announced(repository, app, document)  # a channel may offer since what it removes
            settle()
            repository.publish_signed(f"app.{app}", document)
        self.remember()

    def promote(
        self, app: str, channel: str, version: str, steps: Sequence[RolloutStep] = ()
    ) -> Head:
        """See `patchtool.release.rollout.promote`."""
        now = self.clock()
        repository = self._repository({(app, channel)})
        head = rollout.promote(repository, app, channel, version, now=now, steps=steps)
        self.remember()
        return head

    def pause(self, app: str, channel: str, version: str) -> Head | None:
        """See `patchtool.release.rollout.pause`."""
        return self._edited(rollout.pause, app, channel, version)

    def resume(self, app: str, channel: str, version: str) -> Head | None:
        """See `patchtool.release.rollout.resume`."""
        return self._edited(rollout.resume, app, channel, version)

    def refresh(self, at_least: int = 0, said: Date | None = None) -> refresh.Refreshed:
        """Sign anew what the online key can and what is due; see `patchtool.release.refresh`.

        Raises:
            InstallError: the clock is far ahead of what was signed, and is not ``said`` to be
                right; the online key is not at hand, or the disk.
        """
        done = refresh.refresh(self._repository(said=said), at_least)
        self.remember()
        return done

    def doubt(self) -> str:
        """Explain why this machine's clock does not fit what was signed; empty if it does.

        Raises:
            InstallError: the repository cannot be read.
        """
        return doubt_of(self.clock(), self.look().last_signed())

    def clear(self) -> Cleared:
        """Delete files without a reference for a month; see `patchtool.repository.leftovers`.

        Raises:
            UpdateInProgress: another process is publishing, for long.
            InstallError: the disk, or somebody else writes the repository.
            FormatError: the repository is damaged.
        """
        repository = self._repository()
        with repository.writing():
            return clear_unneeded(repository)

    def timestamp(self) -> bytes:
        """Return the timestamp: while it is the same, so is all that clients see.

        Raises:
            InstallError: the repository cannot be read.
        """
        with machine_errors(f"reading {self.folder}"):
            return (self.folder / TIMESTAMP).read_bytes()

    def due(self) -> list[RoleStatus]:
        """Roles that the online key is to sign soon.

        Raises:
            InstallError: the repository cannot be read.
        """
        return [s for s in self.statuses() if s.is_due and s.key == "online"]

    def statuses(self) -> list[RoleStatus]:
        """Return the status of every role.

        Raises:
            InstallError: the repository cannot be read.
        """
        return self.look().statuses(self.clock())

    def knows_the_key(self) -> bool:
        """Return whether clients believe one of the online keys that are at hand.

        Raises:
            InstallError: there is none, it cannot be opened or others can read it, or the
                repository cannot be read.
        """
        named = {key.keyid for key in self.look().keys_of("timestamp")}
        return any(key.public_key.keyid in named for key in self.keys.signers("online"))

    def remember(self) -> None:
        """Let the canary see what clients see.

        Raises:
            TrustError: the repository was restored from a backup, or clients refuse it.
        """
        repository = self._reader()
        with repository.held():  # another process may be asking the same canary
            self._canary.remember(repository.look(), self._look_times(repository.look()))

    def compare(self) -> None:
        """Let the canary compare what clients see with what it remembers, which stays.

        Raises:
            TrustError: as `remember`.
        """
        seen = self.look()
        self._canary.approve(seen, self._look_times(seen))

    @property
    def _canary(self) -> Canary:
        return Canary(self.memory)

    def _look_times(self, seen: Snapshot, also: Collection[tuple[str, str]] = ()) -> LookTimes:
        """Choose the clients that look at what is signed, and what time it is for each.

        What has expired and only a key elsewhere can sign is no reason to sign nothing: it was
        refused before, and other apps must not wait for it. So clients look just before its end.
        """
        now = self.clock()
        ends = {s.role: s.expires for s in seen.statuses(now) if s.key != "online"}
        common = min(ends[role] for role in ("root", "targets"))
        channels = {(app, channel) for app in seen.apps() for channel in heads_of(seen, app)}
        return {
            (app, channel): min(now, common - 1, ends[f"app.{app}"] - 1)
            for app, channel in channels.union(also)
        }

    def _reader(self) -> Repository:
        return Repository(self.folder, self.keys, self.clock(), author=Author("server", PATIENCE))

    def _repository(
        self, also: Collection[tuple[str, str]] = (), said: Date | None = None
    ) -> Repository:
        """The repository, whose next states clients approve: of its channels, and of new ones.

        A clock that is behind what was signed keeps nothing from being done, or a rollout could
        not be halted: what is signed holds as long as what clients have learned.

        Raises:
            InstallError: the clock is far ahead of what was signed, and nobody says the date.
        """
        now = self.clock()

        def approve(following: Snapshot) -> None:
            self._canary.approve(following, self._look_times(following, also))

        def check_time(signed: int) -> None:
            check_clock(now, min(signed, now), said, CLOCK_HINT)

        author = Author("server", PATIENCE, approve, check_time=check_time)
        return Repository(self.folder, self.keys, now, author=author)

    def _edited(
        self, edit: Callable[..., Head | None], app: str, channel: str, version: str
    ) -> Head | None:
        head = edit(self._repository(), app, channel, version, now=self.clock())
        self.remember()
        return head


def _announced(repository: Repository, app: str, document: bytes) -> Announced:
    signed, seen = repository.next_of(f"app.{app}", document), repository.look()
    after = entries_of(signed.targets)
    offered = {o.version for head in heads_of(seen, app).values() for o in head.entries}
    new = check_push(app, entries_of(seen.targets(f"app.{app}")), after, offered)
    return Announced(signed.version, after, tuple(new))


def entries_of(targets: Mapping[str, Listed]) -> dict[str, ListedTarget]:
    """The targets of a role, without the library that read them."""
    return {name: entry_of(target) for name, target in targets.items()}


def keys_in(folder: Path | None, environment: Mapping[str, str]) -> Keys:
    """The keys of a server: of ``folder``, or handed over by the environment."""
    return Keys(folder or Path("/nonexistent"), environment)
