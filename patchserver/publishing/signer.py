"""The notary: signs what clients are offered, with the online key. The server's door to patchtool.

It holds no key that can install software. What it publishes of releases was signed elsewhere; what
it signs itself is which of them a channel offers, the snapshot and the timestamp. Clients of ours
approve every step before others see it (see `patchserver.publishing.rehearsal`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchtool.keys.roles import Standing
from patchtool.keys.signing_clock import (
    Date,
    check_clock,
    doubt_of,
)
from patchtool.keys.signing_keys import Keys
from patchtool.release import refresh, rollout
from patchtool.repository.leftovers import Cleared
from patchtool.repository.prune import clear_unneeded
from patchtool.repository.releases import Releases
from patchtool.repository.repository import (
    Author,
    NotNext,
    Repository,
)
from patchtool.repository.targets import Listed

from patchserver.publishing.push_rules import check_succession
from patchserver.publishing.rehearsal import Looks, Witness
from updater.check.catalogue import ListedTarget
from updater.check.trust import entry_of
from updater.disk.durable import machine_errors
from updater.format.head import Head, RolloutStep
from updater.format.target_names import file_name

__all__ = ["Announced", "Cleared", "Date", "NotNext", "Notary", "Releases", "Standing"]
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
    """What a push wants to publish."""

    version: int
    """Of the role that lists the app's releases."""
    entries: Mapping[str, ListedTarget]
    """All targets, by name."""
    new: tuple[ListedTarget, ...]
    """Those that are not published yet."""


@dataclass(frozen=True)
class Notary:
    """The writer of one repository."""

    folder: Path
    keys: Keys
    """The online key, and no other."""
    memory: Path
    """Where the witness remembers."""
    clock: Callable[[], int]
    """Seconds since 1970."""

    def apps(self) -> list[str]:
        """The apps that are hosted.

        Raises:
            InstallError: the repository cannot be read.
        """
        return self._look().apps()

    def heads(self, app: str) -> dict[str, Head]:
        """What each channel of an app offers.

        Raises:
            InstallError: there is no such app, or the repository cannot be read.
        """
        targets = self._look().targets(f"channels.{app}").values()
        heads = [Head.parse(target.custom) for target in targets]
        return {head.channel: head for head in heads}

    def releases(self, app: str) -> Releases:
        """The published releases of an app.

        Raises:
            InstallError: as `heads`.
        """
        return Releases.of(self._look(), app)

    def entries(self, app: str) -> Mapping[str, ListedTarget]:
        """The targets of an app's releases, by name.

        Raises:
            InstallError: as `heads`.
        """
        return entries_of(self._look().targets(f"app.{app}"))

    def version(self, app: str) -> int:
        """The version of the role that lists an app's releases.

        Raises:
            InstallError: as `heads`.
        """
        return self._look().listed()[f"app.{app}.json"]

    def signed(self, app: str) -> bytes:
        """That role, as clients get it.

        Raises:
            InstallError: as `heads`.
        """
        return (self.folder / f"metadata/{self.version(app)}.app.{app}.json").read_bytes()

    def place(self, entry: ListedTarget) -> Path:
        """Where the content of a target lies once it is published."""
        return self.folder / file_name(entry.name, entry.sha256)

    def announced(self, app: str, document: bytes) -> Announced:
        """What a push wants to publish, if nothing speaks against it so far.

        Raises:
            NotNext: it does not follow what is published.
            TrustError: it is not signed by who may sign it, or expired.
            FormatError: clients would refuse it, or it changes what they have.
            InstallError: as `heads`.
        """
        return self._announced(self._look(), app, document)

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
            self._announced(repository, app, document)  # a channel may offer since what it removes
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
        """Why this machine's clock does not fit what was signed; empty if it does.

        Raises:
            InstallError: the repository cannot be read.
        """
        return doubt_of(self.clock(), self._look().last_signed())

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
        """What names the state that clients see: while it stays, nothing they see changes.

        Raises:
            InstallError: the repository cannot be read.
        """
        with machine_errors(f"reading {self.folder}"):
            return (self.folder / "metadata" / "timestamp.json").read_bytes()

    def due(self) -> list[Standing]:
        """Roles that the online key is to sign soon.

        Raises:
            InstallError: the repository cannot be read.
        """
        return [s for s in self.standings() if s.is_due and s.key == "online"]

    def standings(self) -> list[Standing]:
        """How every role stands.

        Raises:
            InstallError: the repository cannot be read.
        """
        return self._look().standings()

    def knows_the_key(self) -> bool:
        """Whether clients believe one of the online keys that are at hand.

        Raises:
            InstallError: there is none, it cannot be opened or others can read it, or the
                repository cannot be read.
        """
        named = {key.keyid for key in self._look().keys_of("timestamp")}
        return any(signer.public_key.keyid in named for signer in self.keys.signers("online"))

    def remember(self) -> None:
        """Let the witness see what clients see.

        Raises:
            TrustError: the repository was restored from a backup, or clients refuse it.
        """
        with self._look().held():  # another process may be asking the same witness
            self._witness.remember(self._looks())

    def compare(self) -> None:
        """Let the witness compare what clients see with what it remembers, which stays.

        Raises:
            TrustError: as `remember`.
        """
        self._witness.approve(self.timestamp(), self._looks())

    def _announced(self, repository: Repository, app: str, document: bytes) -> Announced:
        signed = repository.next_of(f"app.{app}", document)
        after = entries_of(signed.targets)
        offered = {o.version for head in self.heads(app).values() for o in head.entries}
        new = check_succession(app, entries_of(repository.targets(f"app.{app}")), after, offered)
        return Announced(signed.version, after, tuple(new))

    @property
    def _witness(self) -> Witness:
        return Witness(self.folder, self.memory)

    def _looks(self, also: Collection[tuple[str, str]] = ()) -> Looks:
        """Which clients look at what is signed, and when.

        What has expired and only a key elsewhere can sign is no reason to sign nothing: it was
        refused before, and other apps must not wait for it. So clients look just before its end.
        """
        now = self.clock()
        ends = {s.role: s.expires for s in self.standings() if s.key != "online"}
        common = min(ends[role] for role in ("root", "targets"))
        channels = {(app, channel) for app in self.apps() for channel in self.heads(app)}
        return {
            (app, channel): min(now, common - 1, ends[f"app.{app}"] - 1)
            for app, channel in channels.union(also)
        }

    def _look(self) -> Repository:
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
        check_clock(now, min(self._look().last_signed(), now), said, CLOCK_HINT)

        def approve(timestamp: bytes) -> None:
            self._witness.approve(timestamp, self._looks(also))

        return Repository(self.folder, self.keys, now, author=Author("server", PATIENCE, approve))

    def _edited(
        self, edit: Callable[..., Head | None], app: str, channel: str, version: str
    ) -> Head | None:
        head = edit(self._repository(), app, channel, version, now=self.clock())
        self.remember()
        return head


def entries_of(targets: Mapping[str, Listed]) -> dict[str, ListedTarget]:
    """The targets of a role, without the library that read them."""
    return {name: entry_of(target) for name, target in targets.items()}


def keys_in(folder: Path | None, environment: Mapping[str, str]) -> Keys:
    """The keys of a server: of ``folder``, or handed over by the environment."""
    return Keys(folder or Path("/nonexistent"), environment)
