"""The repository folder: TUF metadata and targets. The tool's one door to python-tuf.

Everything but ``timestamp.json`` has a version or a hash in its name and never changes;
``timestamp.json`` is written last, in one step: before it clients see the old repository,
after it the new one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
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

from patchtool.keys import Keys, Role, Signer
from updater.errors import FormatError, InstallError
from updater.launch.disk import Disk, told
from updater.launch.lock import locked

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)

DAY = dt.timedelta(days=1)
LIFETIMES = {
    "root": 730 * DAY,
    "targets": 730 * DAY,
    "app": 365 * DAY,
    "channels": 30 * DAY,
    "snapshot": 30 * DAY,
    "timestamp": 7 * DAY,
}
"""How long a signature holds: long where the key is offline, short where it is at hand."""
SIGNERS: dict[str, Role] = {
    "root": "root",
    "targets": "targets",
    "app": "release",
    "channels": "online",
    "snapshot": "online",
    "timestamp": "online",
}
"""Whose key signs a role; ``app.APP`` and ``channels.APP`` by their first part."""


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
        self._folder = folder
        self._keys = keys
        self._now = dt.datetime.fromtimestamp(now, dt.timezone.utc)
        self._disk = disk or Disk()
        self._loaded: dict[Role, list[Signer]] = {}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the repository: one writer at a time.

        Raises:
            UpdateInProgress: another command writes it.
            InstallError: the folder is not a repository, or the disk.
        """
        with told(f"writing repository {self._folder}"):
            if not (self._metadata / "timestamp.json").is_file():
                raise InstallError(
                    f"{self._folder} is not a repository", hint="make one with patchtool init"
                )
            with locked(self._folder / ".lock", "writing the repository"):
                yield

    def check_new(self) -> None:
        """Refuse a folder that is a repository: before keys are made for it in vain.

        Raises:
            InstallError: it is one.
        """
        if (self._metadata / "timestamp.json").exists():
            raise InstallError(
                f"{self._folder} is a repository already", hint="name another folder"
            )

    def create(self, app: str, threshold: int) -> None:
        """Make the repository and delegate ``app``.

        Raises:
            InstallError: there is one, a key is missing, or the disk.
        """
        with told(f"making repository {self._folder}"):
            self.check_new()
            self._metadata.mkdir(parents=True, exist_ok=True)
            (self._folder / "targets").mkdir(exist_ok=True)
            self._write("root", self._first_root(threshold))
            self._write("targets", self._first_targets(app))
            for role in (f"app.{app}", f"channels.{app}"):
                self._write(role, Targets(expires=self._expiry(role)))
            roles = ("targets", f"app.{app}", f"channels.{app}")
            meta = {f"{role}.json": MetaFile(version=1) for role in roles}
            self._write("snapshot", Snapshot(expires=self._expiry("snapshot"), meta=meta))
            self._write("timestamp", Timestamp(expires=self._expiry("timestamp")))

    def targets(self, role: str) -> dict[str, TargetFile]:
        """The targets of ``app.APP`` or ``channels.APP``, by name.

        Raises:
            InstallError: the repository does not know the app, or cannot be read.
        """
        return dict(self._current(role, Targets).targets)

    def path_of(self, target: TargetFile) -> Path:
        """Where a published target's content lies."""
        folder, _, base = target.path.rpartition("/")
        return self._folder / "targets" / folder / f"{target.hashes['sha256']}.{base}"

    def publish(self, role: str, targets: Sequence[Target]) -> None:
        """Add or replace targets of one role; clients see all of them or none.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before.
        """
        signed = self._current(role, Targets)
        for name in (role, "snapshot", "timestamp"):
            self._check_keys(name)
        for target in targets:
            signed.targets[target.name] = self._store(target)
        snapshot = self._current("snapshot", Snapshot)
        timestamp = self._current("timestamp", Timestamp)
        snapshot.meta[f"{role}.json"] = MetaFile(version=self._next(role, signed))
        timestamp.snapshot_meta = MetaFile(version=self._next("snapshot", snapshot))
        self._next("timestamp", timestamp)
        self._write(role, signed)
        self._write("snapshot", snapshot)
        self._write("timestamp", timestamp)

    @property
    def _metadata(self) -> Path:
        return self._folder / "metadata"

    def _first_root(self, threshold: int) -> Root:
        root = Root(expires=self._expiry("root"), consistent_snapshot=True)
        for role in ("root", "targets", "snapshot", "timestamp"):
            for signer in self._signers(role):
                root.add_key(signer.public_key, role)
        root.roles["root"].threshold = threshold
        if len(root.roles["root"].keyids) < threshold:
            raise InstallError(
                f"{len(root.roles['root'].keyids)} root keys cannot meet a threshold of {threshold}"
            )
        return root

    def _first_targets(self, app: str) -> Targets:
        roles = {
            f"app.{app}": [f"{app}/releases/*/*", f"{app}/patches/*"],
            f"channels.{app}": [f"{app}/channels/*"],
        }
        delegations = Delegations(
            keys={},
            roles={name: DelegatedRole(name, [], 1, True, paths) for name, paths in roles.items()},
        )
        targets = Targets(expires=self._expiry("targets"), delegations=delegations)
        for name in roles:
            for signer in self._signers(name):
                targets.add_key(signer.public_key, name)
        return targets

    def _current(self, role: str, kind: type[T]) -> T:
        timestamp: Timestamp = _load(self._metadata / "timestamp.json", Timestamp)
        if role == "timestamp":
            return _of_kind(timestamp, kind)
        version = timestamp.snapshot_meta.version
        if role != "snapshot":
            snapshot: Snapshot = _load(self._metadata / f"{version}.snapshot.json", Snapshot)
            if f"{role}.json" not in snapshot.meta:
                raise InstallError(
                    f"{self._folder} does not know {role}", hint="check the name of the app"
                )
            version = snapshot.meta[f"{role}.json"].version
        return _load(self._metadata / f"{version}.{role}.json", kind)

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
            self._disk.write(place, target.content)
        else:
            self._disk.copy(target.content, place)
            self._disk.sync_directory(place.parent)
        return info

    def _next(self, role: str, signed: Signed) -> int:
        signed.version += 1
        signed.expires = self._expiry(role)
        return signed.version

    def _expiry(self, role: str) -> dt.datetime:
        return (self._now + LIFETIMES[_kind(role)]).replace(microsecond=0)

    def _signers(self, role: str) -> list[Signer]:
        kind = SIGNERS[_kind(role)]
        if kind not in self._loaded:  # once a command: each may ask a person for a password
            self._loaded[kind] = self._keys.signers(kind)
        return self._loaded[kind]

    def _check_keys(self, role: str) -> None:
        """Refuse, before anything is written, keys whose signatures clients would refuse."""
        known = self._known_keys(role)
        if not any(signer.public_key.keyid in known for signer in self._signers(role)):
            raise InstallError(
                f"the {SIGNERS[_kind(role)]} key is not the one {self._folder} was made with",
                hint="name the folder of this repository's own keys",
            )

    def _known_keys(self, role: str) -> Container[str]:
        if _kind(role) in {"app", "channels"}:
            delegations = self._current("targets", Targets).delegations
            roles = (delegations and delegations.roles) or {}
            return roles[role].keyids if role in roles else ()
        roots = self._metadata.glob("*.root.json")
        newest = max(roots, key=lambda path: int(path.name.partition(".")[0]))
        return _load(newest, Root).roles[role].keyids

    def _write(self, role: str, signed: T) -> None:
        metadata = Metadata(signed)
        for signer in self._signers(role):
            metadata.sign(signer, append=True)
        data = metadata.to_bytes(JSONSerializer(compact=True))
        name = f"{role}.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        self._disk.write(self._metadata / name, data)


def _kind(role: str) -> str:
    return role.partition(".")[0]


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
