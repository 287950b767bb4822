"""The drill: rehearse the loss of every key on a copy, and see whether clients follow.

Nothing of the repository and of the folder of keys is changed. Clients are ours: the same trust
layer, fed from the copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from patchtool.ceremonies.rotation import Done, keys_of, revoke, rotate
from patchtool.folder.temporary import scratch, staging
from patchtool.keys.signing_keys import ROLES, Keys, Role
from patchtool.repository.local_transport import URL, SnapshotTransport
from patchtool.repository.repository import Repository
from patchtool.repository.snapshot import Snapshot
from updater.check.catalogue import Catalogue
from updater.check.trust import Trust
from updater.disk.durable import machine_errors
from updater.errors import RequestError, UpdaterError


@dataclass(frozen=True)
class Rehearsal:
    """The outcome of the loss of one key."""

    loss: str
    """The keys that were lost."""
    survived: bool
    """True if clients follow; for a loss without remedy, if that was seen."""
    words: str
    """The course of events, or advice."""


class DrillCopy:
    """A copy of the metadata and of the keys, with some of them lost; gone at the end."""

    def __init__(self, work: Path, repository: Path, keys: Keys, now: int) -> None:
        """Copy what is needed into ``work``.

        Raises:
            OSError: the disk.
        """
        self.folder, self._work, self._now = work / "repository", work, now
        shutil.copytree(repository / "metadata", self.folder / "metadata")
        (self.folder / "targets").mkdir()
        (work / "keys").mkdir(mode=0o700)
        for path in keys.folder.glob("*.pem"):
            shutil.copy2(path, work / "keys" / path.name)
        self.keys = replace(keys, folder=work / "keys")
        self._first = (self.folder / "metadata" / "1.root.json").read_bytes()

    def lose(self, ids: Sequence[str]) -> None:
        """Have no longer the keys with these ids."""
        self.keys = replace(self.keys, lost=self.keys.lost | set(ids))

    def repository(self) -> Repository:
        """The copy, with the keys that are left."""
        return Repository(self.folder, self.keys, self._now)

    def look(self, client: str, app: str, channel: str) -> Catalogue:
        """Return what a client sees; each remembers under its name."""
        memory = self._work / client / app
        memory.mkdir(parents=True, exist_ok=True)
        trust = Trust(
            memory / "trust",
            URL,
            self._first,
            SnapshotTransport(self.repository().look()),
            seen=memory / "seen.json",
        )
        return trust.refresh(app, channel, self._now)


def drill(repository: Path, keys: Keys, now: int) -> Iterator[Rehearsal]:
    """Rehearse the loss of every key; one result after the other.

    Args:
        repository: only read.
        keys: all of the repository, those that are put away included; only read.
        now: seconds since 1970.

    Raises:
        InstallError: it is no repository, offers nothing yet, keys are missing, or the disk.
        TrustError: clients refuse the repository as it is.
    """
    real = Repository(repository, keys, now)
    rehearsals = _Drill(repository, keys, now, _channels(real.look()))
    held = {
        r: [s.public_key.keyid for s in real.keyring.at_hand(r) or keys.signers(r)] for r in ROLES
    }
    root = real.look().roots()[-1].signed.roles["root"]
    roots = [keyid for keyid in root.keyids if keyid in held["root"]]
    yield rehearsals.spare_roots(roots, root.threshold)
    yield rehearsals.too_many_roots(roots, root.threshold)
    for role in ROLES[1:]:
        yield rehearsals.rehearse(role, held[role])


@dataclass(frozen=True)
class _Drill:
    repository: Path
    keys: Keys
    now: int
    channels: dict[str, str]
    """An app's name to that of one of its channels."""

    def spare_roots(self, held: list[str], needed: int) -> Rehearsal:
        """Lose as many root keys as may be lost."""
        lost = held[needed:]
        if not lost:
            return Rehearsal(
                "a root key",
                survived=False,
                words=f"{len(held)} root keys are at hand, and {needed} must sign: none may be "
                "lost. Add one now: patchtool keys rotate --role root",
            )
        return self.rehearse("root", lost)

    def too_many_roots(self, held: list[str], needed: int) -> Rehearsal:
        """Lose one more: nothing helps, and nobody must be made to believe otherwise."""
        lost = held[needed - 1 :]
        with self._stage() as stage:
            before = self._seen(stage, "old")
            stage.lose(lost)
            kept = not _ceremony(stage, "root", lost) and before == self._seen(stage, "old")
        return Rehearsal(
            f"{_count('root', lost)}, with fewer than the {needed} that must sign left",
            survived=kept,
            words="cannot be recovered, by nobody: that is what root keys are for. Updates go on "
            "until the root expires, with the other keys as they are; before that, ship an "
            "installer with a new root (patchtool keys new), which users run by hand",
        )

    def rehearse(self, role: Role, lost: list[str]) -> Rehearsal:
        """Lose keys, replace them, and look as a new client and as an old one."""
        loss = _count(role, lost)
        try:
            with self._stage() as stage:
                before = self._seen(stage, "old")
                stage.lose(lost)
                if not _ceremony(stage, role, lost):
                    return Rehearsal(loss, survived=False, words="root keys are missing")
                same = self._seen(stage, "old") == before == self._seen(stage, "new")
        except UpdaterError as error:
            return Rehearsal(loss, survived=False, words=f"{error}; {error.hint}")
        words = "replaced; a new client and an old one follow" if same else "clients see less"
        return Rehearsal(loss, survived=same, words=words)

    @contextmanager
    def _stage(self) -> Iterator[DrillCopy]:
        with machine_errors("rehearsing"), staging(scratch()) as work:
            yield DrillCopy(work, self.repository, self.keys, self.now)

    def _seen(self, stage: DrillCopy, client: str) -> list[object]:
        views = [stage.look(client, app, channel) for app, channel in self.channels.items()]
        return [(view.head, view.releases, view.patches) for view in views]


def _ceremony(stage: DrillCopy, role: Role, lost: list[str]) -> bool:
    """Replace lost keys as docs/operating.md tells; False if signatures are missing."""
    return all(done.proposal is None for done in _steps(stage, role, lost))


def _steps(stage: DrillCopy, role: Role, lost: list[str]) -> Iterator[Done]:
    for app in stage.repository().look().apps() if role == "release" else [None]:
        known = [key.keyid for key in keys_of(stage.repository().look(), role, app)]
        named = [keyid for keyid in lost if keyid in known]
        for _ in named if role == "root" else named[:1]:
            yield rotate(stage.repository(), role, app=app, propose=True)
        for keyid in named:
            yield revoke(stage.repository(), role, app=app, key=keyid, propose=True)


def _channels(seen: Snapshot) -> dict[str, str]:
    found = {app: sorted(seen.targets(f"channels.{app}")) for app in seen.apps()}
    channels = {app: names[0].rpartition("/")[2] for app, names in found.items() if names}
    if not channels:
        raise RequestError(
            "nothing is offered to clients yet", hint="patchtool promote comes first"
        )
    return channels


def _count(role: Role, lost: list[str]) -> str:
    return f"the {role} key" if len(lost) == 1 else f"{len(lost)} {role} keys"
