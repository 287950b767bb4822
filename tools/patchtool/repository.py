"""The repository folder: TUF metadata and targets. The tool's one door to python-tuf.

Everything but ``timestamp.json`` has a version or a hash in its name and never changes;
``timestamp.json`` is written last, in one step: before it clients see the old repository,
after it the new one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Key,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from patchtool.delegations import delegate, delegated, keyids, undelegate
from patchtool.keys import Keys, Role, Signer
from patchtool.roles import LIFETIMES, NOTICE, SIGNERS, Standing, app_of, kind_of
from patchtool.roots import Proposal, first_root, read_root
from patchtool.writer import refuse_server, writer_of
from updater.errors import FormatError, InstallError
from updater.launch.disk import Disk, told
from updater.launch.lock import locked

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)

Listed = TargetFile
"""A target as a role lists it."""


@dataclass(frozen=True)
class Target:
    """A file to publish: its name, its content, what is said of it."""

    name: str
    content: Path | bytes
    custom: dict[str, Any]


class Repository:
    """One repository folder. Changes are collected, then published in one step."""

    def __init__(self, folder: Path, keys: Keys, now: int, disk: Disk | None = None) -> None:
        """Open ``folder``; nothing is read yet.

        Args:
            folder: the repository.
            keys: those this command needs, at least.
            now: seconds since 1970, for expiry.
            disk: durable primitives.
        """
        self.folder = folder
        self.disk = disk or Disk()
        self.now = dt.datetime.fromtimestamp(now, dt.timezone.utc)
        self._keys = keys
        self._loaded: dict[tuple[Role, str | None], list[Signer]] = {}

    @contextmanager
    def writing(self, *, releases: bool = False) -> Iterator[None]:
        """Hold the repository to write it; ``releases``: nothing else of it.

        Raises:
            UpdateInProgress: another command writes it.
            InstallError: the folder is not a repository, its server writes what is to be written
                (see `patchtool.writer`), or the disk.
        """
        with self.held():
            if not releases:
                refuse_server(self.folder)
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the repository, so that nobody else writes it.

        Raises:
            UpdateInProgress: another command writes it.
            InstallError: the folder is not a repository, or the disk.
        """
        with told(f"writing repository {self.folder}"):
            if not (self._metadata / "timestamp.json").is_file():
                raise InstallError(
                    f"{self.folder} is not a repository", hint="make one with patchtool init"
                )
            with locked(self.folder / ".lock", "writing the repository"):
                yield

    def check_new(self) -> None:
        """Refuse a folder that is a repository: before keys are made for it in vain.

        Raises:
            InstallError: it is one.
        """
        if (self._metadata / "timestamp.json").exists():
            raise InstallError(f"{self.folder} is a repository already", hint="name another folder")

    def create(self, app: str, threshold: int, root: bytes | None = None) -> None:
        """Make the repository and delegate ``app``.

        Args:
            app: the app.
            threshold: root signatures needed.
            root: the first root if it is made already; then no root key is needed.

        Raises:
            InstallError: there is one, a key is missing or not in ``root``, or the disk.
            FormatError: ``root`` is none.
        """
        with told(f"making repository {self.folder}"):
            self.check_new()
            self._metadata.mkdir(parents=True, exist_ok=True)
            (self.folder / "targets").mkdir(exist_ok=True)
            made = root or self.first_root(threshold)
            self._check_first(made)
            self.disk.write(self._metadata / "1.root.json", made)
            roles = (f"app.{app}", f"channels.{app}")
            release, online = ([s.public_key for s in self._signers(role)] for role in roles)
            targets = Targets(expires=self._expiry("targets"))
            delegate(targets, app, release, online)
            self._write("targets", targets)
            for role in roles:
                self._write(role, Targets(expires=self._expiry(role)))
            meta = {f"{role}.json": MetaFile(version=1) for role in ("targets", *roles)}
            self._write("snapshot", Snapshot(expires=self._expiry("snapshot"), meta=meta))
            first = Timestamp(expires=self._expiry("timestamp"))
            self._write("timestamp", self._dated(first))

    def first_root(self, threshold: int) -> bytes:
        """The first root, signed by all root keys.

        Raises:
            InstallError: a key is missing, or too few for the threshold.
        """
        roles: tuple[Role, ...] = ("root", "targets", "release", "online")
        held = {role: [s.public_key for s in self._signers_of(role)] for role in roles}
        root = Metadata(first_root(held, threshold, self._expiry("root")))
        for signer in self._signers_of("root"):
            root.sign(signer, append=True)
        return root.to_bytes(JSONSerializer(compact=True))

    def targets(self, role: str) -> dict[str, Listed]:
        """The targets of ``app.APP`` or ``channels.APP``, by name.

        Raises:
            InstallError: the repository does not know the app, or cannot be read.
        """
        return dict(self._current(role, Targets).targets)

    def path_of(self, target: Listed) -> Path:
        """Where a published target's content lies."""
        folder, _, base = target.path.rpartition("/")
        return self.folder / "targets" / folder / f"{target.hashes['sha256']}.{base}"

    def publish(
        self,
        role: str,
        targets: Sequence[Target],
        *,
        said: Mapping[str, dict[str, Any]] | None = None,
        gone: Iterable[str] = (),
    ) -> None:
        """Change the targets of one role; clients see all of it or nothing.

        Where the server writes the repository, a role of an app is signed and goes no further:
        clients see it when the server has taken it.

        Args:
            role: ``app.APP`` or ``channels.APP``.
            targets: are added, or replace those of their name.
            said: what is said from now on of targets that are published.
            gone: names of targets that are published no more; their files stay.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before.
        """
        signed = self._current(role, Targets)
        is_writer = writer_of(self.folder) == "local"
        for name in (role, "snapshot", "timestamp") if is_writer else (role,):
            self._check_keys(name)
        for target in targets:
            signed.targets[target.name] = self._store(target)
        for name, custom in (said or {}).items():
            signed.targets[name].unrecognized_fields["custom"] = custom
        for name in gone:
            del signed.targets[name]
        if is_writer:
            self._commit({role: signed})
        else:
            self._next(role, signed)
            self._write(role, signed, self._known_keys(role))

    def standings(self) -> list[Standing]:
        """How every role stands, root first, as clients see it.

        Raises:
            InstallError: it cannot be read.
        """
        snapshot = self._current("snapshot", Snapshot)
        others = sorted(["targets", *delegated(self._current("targets", Targets))])
        known: dict[str, Signed] = {"root": self._root()}
        known |= {role: self._current(role, Targets) for role in others}
        known |= {"snapshot": snapshot, "timestamp": self._current("timestamp", Timestamp)}
        return [self._standing(role, signed) for role, signed in known.items()]

    def is_signed(self, role: str) -> bool:
        """Whether what clients see of a role is signed by as many as its delegator asks for."""
        place = self._newest_root if role == "root" else self._place(role)
        with told(f"reading {place}"):
            metadata = Metadata[Any].from_bytes(place.read_bytes())
        delegated = kind_of(role) in {"app", "channels"}
        delegator = self._current("targets", Targets) if delegated else self._root()
        return _verifies(delegator, role, metadata)

    def versions(self) -> dict[str, int]:
        """The version of every role that clients see, by name.

        Raises:
            InstallError: it cannot be read.
        """
        snapshot = self._current("snapshot", Snapshot)
        timestamp = self._current("timestamp", Timestamp)
        roles = {"root": self._root(), "snapshot": snapshot, "timestamp": timestamp}
        listed = {name.removesuffix(".json"): version for name, version in self.listed().items()}
        return {role: signed.version for role, signed in roles.items()} | listed

    def listed(self) -> dict[str, int]:
        """The files the snapshot lists, and their versions.

        Raises:
            InstallError: it cannot be read.
        """
        meta = self._current("snapshot", Snapshot).meta
        return {name: listed.version for name, listed in meta.items()}

    def listed_snapshot(self) -> int:
        """The version of the snapshot that the timestamp lists.

        Raises:
            InstallError: it cannot be read.
        """
        return self._current("timestamp", Timestamp).snapshot_meta.version

    def can_sign(self, role: str) -> bool:
        """Whether the keys of a role are at hand, as many as it needs.

        Raises:
            InstallError: those at hand are not of this repository, or cannot be opened.
        """
        if not self._keys.has(SIGNERS[kind_of(role)], app_of(role)):
            return False
        if kind_of(role) == "app" and len(self.apps()) > 1:  # it may be the key of another app
            known = set(self._known_keys(role))
            return any(signer.public_key.keyid in known for signer in self._signers(role))
        self._check_keys(role)
        if role != "root":
            return True
        needed = self._root().roles["root"]
        at_hand = {signer.public_key.keyid for signer in self._signers(role)}
        return len(at_hand.intersection(needed.keyids)) >= needed.threshold

    def renew(self, roles: Sequence[str], at_least: int = 0) -> None:
        """Sign roles anew with a new expiry; what they say stays.

        Versions go up by one, or to ``at_least``; root's by one. Clients accept the repository
        wherever this is stopped: a new root by itself, all else with the timestamp.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before, but perhaps a new root.
        """
        for name in (*roles, "snapshot", "timestamp"):
            self._check_keys(name)
        if "root" in roles:
            root = self._root()
            self._next("root", root)
            self._write("root", root, root.roles["root"].keyids)
        others = [role for role in roles if kind_of(role) not in {"root", "snapshot", "timestamp"}]
        changed = {role: self._current(role, Targets) for role in others}
        self._commit(changed, at_least, snapshot="snapshot" in roles)

    def apps(self) -> list[str]:
        """The apps of this repository."""
        roles = delegated(self._current("targets", Targets))
        return [role.removeprefix("app.") for role in roles if kind_of(role) == "app"]

    def add_app(self, app: str, key: Key) -> None:
        """Delegate an app whose releases ``key`` signs.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before.
        """
        targets = self._current("targets", Targets)
        delegate(targets, app, [key], self.keys_of("timestamp"))
        known = self._current("snapshot", Snapshot).meta
        changed = {"targets": targets}
        for role in (f"app.{app}", f"channels.{app}"):
            before = known.get(f"{role}.json")  # of an app of this name that was removed
            version = before.version if before else None
            changed[role] = Targets(version=version, expires=self._expiry(role))
        for role in (*changed, "snapshot", "timestamp"):
            self._check_keys(role, targets)
        self._commit(changed)

    def remove_app(self, app: str) -> None:
        """Delegate an app to nobody; the snapshot lists its roles for ever, as TUF demands.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before.
        """
        targets = self._current("targets", Targets)
        undelegate(targets, app)
        for role in ("targets", "snapshot", "timestamp"):
            self._check_keys(role)
        self._commit({"targets": targets})

    def roots(self) -> tuple[Metadata[Root], ...]:
        """All roots, the present one last.

        Raises:
            InstallError: one is missing or cannot be read; clients need every one.
        """
        versions = range(1, self._root().version + 1)
        paths = [self._metadata / f"{version}.root.json" for version in versions]
        with told(f"reading roots in {self._metadata}"):
            return tuple(read_root(path.read_bytes()) for path in paths)

    def keys_of(self, role: str) -> list[Key]:
        """Who may sign a role, in the order in which they came."""
        if kind_of(role) in {"app", "channels"}:
            targets = self._current("targets", Targets)
            return [targets.get_key(keyid) for keyid in self._known_keys(role, targets)]
        root = self._root()
        return [root.keys[keyid] for keyid in root.roles[role].keyids]

    def ever_named(self) -> set[str]:
        """Ids of all keys that could ever sign anything here, as far as files tell."""
        named = {keyid for root in self.roots() for keyid in root.signed.keys}
        present = self._current("targets", Targets).version
        for path in self._metadata.glob("*.targets.json"):
            if int(path.name.partition(".")[0]) <= present:  # else a stopped command left it
                delegations = _load(path, Targets).delegations
                named |= set(delegations.keys if delegations else ())
        return named

    def at_hand(self, key: Role, app: str | None = None) -> list[Signer]:
        """The keys of a role that this command has, perhaps none.

        Args:
            key: the role.
            app: without the release keys that are named after another app.

        Raises:
            InstallError: one is there and cannot be opened.
        """
        if (key, app) not in self._loaded:  # once a command: each may ask a person for a password
            self._loaded[key, app] = self._keys.find(key, app)
        return self._loaded[key, app]

    def make_key(self, key: Role, app: str | None = None) -> tuple[Signer, Path]:
        """A new key beside those of a role; nothing is published.

        Raises:
            InstallError: no password to protect it with, or the disk.
        """
        self.at_hand(key, app)
        path = self._keys.make_another(key, app)
        signer = self._keys.load(key, path)
        for held in (held for (role, _), held in self._loaded.items() if role == key):
            held.append(signer)
        return signer, path

    def retire_keys(self, key: Role, ended: Iterable[str], app: str | None = None) -> list[Path]:
        """Rename the files of keys that sign nothing any more; their new paths."""
        return self._keys.retire(key, ended, app)

    def require_keys(self, roles: Iterable[str]) -> None:
        """Refuse if the keys of a role are not at hand.

        Raises:
            InstallError: missing, or of another repository.
        """
        for role in roles:
            self._check_keys(role)

    def propose(self, root: Root) -> Proposal:
        """``root`` as the next one, signed by the root keys at hand; nothing is written.

        Raises:
            InstallError: there are some, and none of them may sign it.
        """
        self._next("root", root)
        proposal = Proposal(self.roots(), Metadata(root))
        signers = self.at_hand("root")
        return proposal.signed(signers) if signers else proposal

    def check_proposal(self, proposal: Proposal) -> None:
        """Refuse what does not follow from the present root: see `Proposal.check`."""
        proposal.check(self._newest_root.read_bytes(), self.now)

    def add_root(self, root: Metadata[Root]) -> None:
        """Publish the next root; that it is signed is the caller's to say.

        Raises:
            InstallError: clients that follow it would refuse what is published, or the disk.
        """
        refused = self.refused_by(root)
        if refused:
            raise InstallError(
                f"{refused[0]} is not signed by a key that root {root.signed.version} names",
                hint="begin again, with the keys that stay: patchtool keys revoke",
            )
        data = root.to_bytes(JSONSerializer(compact=True))
        with told(f"writing repository {self.folder}"):
            self.disk.write(self._metadata / f"{root.signed.version}.root.json", data)

    def refused_by(self, root: Metadata[Root]) -> list[str]:
        """Roles as they are now that a client refuses which has come to ``root``.

        Raises:
            InstallError: it cannot be read.
        """
        roles = ("targets", "snapshot", "timestamp")
        with told(f"reading {self.folder}"):
            data = {role: self._place(role).read_bytes() for role in roles}
        metadata = {role: Metadata[Any].from_bytes(found) for role, found in data.items()}
        return [role for role in roles if not _verifies(root.signed, role, metadata[role])]

    def rekey(self, delegated: Mapping[str, Sequence[Key]], retiring: Iterable[str] = ()) -> None:
        """Let these keys alone sign delegated roles, and sign those and targets anew.

        Args:
            delegated: the keys of each role.
            retiring: ids of keys that sign nothing of it, though they still might.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before.
        """
        targets = self._current("targets", Targets)
        for role, keys in delegated.items():
            for keyid in self._known_keys(role, targets):
                targets.revoke_key(keyid, role)
            for key in keys:
                targets.add_key(key, role)
        changed = {"targets": targets} | {r: self._current(r, Targets) for r in delegated}
        for role in (*changed, "snapshot", "timestamp"):
            self._check_keys(role, targets, retiring)
        self._commit(changed, retiring=retiring)

    def _commit(
        self,
        changed: Mapping[str, Targets],
        at_least: int = 0,
        *,
        snapshot: bool = False,
        retiring: Iterable[str] = (),
    ) -> None:
        """Write roles, the snapshot if they or ``snapshot`` ask for it, and the timestamp."""
        timestamp = self._current("timestamp", Timestamp)
        for role, signed in changed.items():
            self._next(role, signed, at_least)
            self._write(role, signed, self._known_keys(role, changed.get("targets"), retiring))
        if changed or snapshot:
            listing = self._current("snapshot", Snapshot)
            new = {f"{role}.json": MetaFile(signed.version) for role, signed in changed.items()}
            listing.meta.update(new)
            timestamp.snapshot_meta = MetaFile(self._next("snapshot", listing, at_least))
            self._write("snapshot", listing, self._known_keys("snapshot", retiring=retiring))
        self._next("timestamp", timestamp, at_least)
        known = self._known_keys("timestamp", retiring=retiring)
        self._write("timestamp", self._dated(timestamp), known)

    def _standing(self, role: str, signed: Signed) -> Standing:
        kind = kind_of(role)
        is_due = signed.expires - self.now <= NOTICE[kind]
        end = int(signed.expires.timestamp())
        return Standing(role, SIGNERS[kind], signed.version, end, is_due)

    @property
    def _metadata(self) -> Path:
        return self.folder / "metadata"

    def _check_first(self, data: bytes) -> None:
        """Refuse a first root that does not name the keys at hand."""
        root = read_root(data).signed
        for role in ("targets", "timestamp"):
            held = {signer.public_key.keyid for signer in self._signers(role)}
            if root.version != 1 or not held.intersection(root.roles[role].keyids):
                raise InstallError(
                    f"root.json does not name the {SIGNERS[role]} key at hand",
                    hint="name the folder that patchtool keys new has made",
                )

    def _current(self, role: str, kind: type[T]) -> T:
        return _load(self._place(role), kind)

    def _place(self, role: str) -> Path:
        """Where the version of a role lies that clients see."""
        if role == "timestamp":
            return self._metadata / "timestamp.json"
        version = self.listed_snapshot()
        if role != "snapshot":
            snapshot = self._current("snapshot", Snapshot)
            if f"{role}.json" not in snapshot.meta or not self._known_keys(role):
                raise InstallError(
                    f"{self.folder} does not know {role}", hint="check the name of the app"
                )
            version = snapshot.meta[f"{role}.json"].version
            if kind_of(role) == "app" and writer_of(self.folder) == "server":
                version = max(version, self._newest(role))  # signed, and not yet taken
        return self._metadata / f"{version}.{role}.json"

    def _store(self, target: Target) -> TargetFile:
        """Put the content where clients look for it."""
        if isinstance(target.content, bytes):
            info = TargetFile.from_data(target.name, target.content, ["sha256"])
        else:
            info = TargetFile.from_file(target.name, str(target.content), ["sha256"])
        info.unrecognized_fields["custom"] = target.custom
        place = self.path_of(info)
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(target.content, bytes):
            self.disk.write(place, target.content)
        else:
            self.disk.copy(target.content, place)
            self.disk.sync_directory(place.parent)
        return info

    def _next(self, role: str, signed: Signed, at_least: int = 0) -> int:
        signed.version = max(signed.version + 1, at_least)
        signed.expires = self._expiry(role)
        return signed.version

    def _dated(self, timestamp: Timestamp) -> Timestamp:
        """Say when it is signed: clients whose clock is behind go by that."""
        timestamp.unrecognized_fields["issued"] = int(self.now.timestamp())
        return timestamp

    def _expiry(self, role: str) -> dt.datetime:
        return (self.now + LIFETIMES[kind_of(role)]).replace(microsecond=0)

    def _signers(self, role: str) -> list[Signer]:
        return self._signers_of(SIGNERS[kind_of(role)], app_of(role))

    def _signers_of(self, key: Role, app: str | None = None) -> list[Signer]:
        return self.at_hand(key, app) or self._keys.signers(key, app)  # which says what is missing

    def _check_keys(
        self, role: str, targets: Targets | None = None, retiring: Iterable[str] = ()
    ) -> None:
        """Refuse, before anything is written, keys whose signatures clients would refuse."""
        known = self._known_keys(role, targets, retiring)
        if not any(signer.public_key.keyid in known for signer in self._signers(role)):
            raise InstallError(
                f"the {SIGNERS[kind_of(role)]} key is not the one {self.folder} was made with",
                hint="name the folder of this repository's own keys",
            )

    def _known_keys(
        self, role: str, targets: Targets | None = None, retiring: Iterable[str] = ()
    ) -> list[str]:
        """Ids of those who may sign a role, as ``targets`` say if it is delegated by them."""
        if kind_of(role) in {"app", "channels"}:
            known = keyids(targets or self._current("targets", Targets), role)
        else:
            known = self._root().roles[role].keyids
        return [keyid for keyid in known if keyid not in set(retiring)]

    def _root(self) -> Root:
        return _load(self._newest_root, Root)

    @property
    def _newest_root(self) -> Path:
        return self._metadata / f"{self._newest('root')}.root.json"

    def _newest(self, role: str) -> int:
        """The highest version of a role of which there is a file; 1 if there is none."""
        found = self._metadata.glob(f"*.{role}.json")
        return max((int(path.name.partition(".")[0]) for path in found), default=1)

    def _write(self, role: str, signed: T, known: Sequence[str] | None = None) -> None:
        """Sign and write a role: with all its keys at hand, of which ``known`` ones count."""
        metadata = Metadata(signed)
        for signer in self._signers(role):
            if known is None or signer.public_key.keyid in known:
                metadata.sign(signer, append=True)
        data = metadata.to_bytes(JSONSerializer(compact=True))
        name = f"{role}.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        self.disk.write(self._metadata / name, data)


def _verifies(delegator: Root | Targets, role: str, metadata: Metadata[Any]) -> bool:
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError):  # too few; or the role is delegated to nobody
        return False
    return True


def _load(path: Path, kind: type[T]) -> T:
    with told(f"reading {path}"):
        data = path.read_bytes()
    try:
        return _of_kind(Metadata.from_bytes(data).signed, kind)
    except RepositoryError as error:
        raise FormatError(
            f"{path}: {error}", hint="restore the repository from a backup"
        ) from error


def _of_kind(signed: Signed, kind: type[T]) -> T:
    if not isinstance(signed, kind):
        raise FormatError(f"{kind.__name__} expected, got {type(signed).__name__}")
    return signed
