"""What clients see of a repository folder: metadata, from the timestamp on; nothing is written."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Metadata, Root, Signed, Snapshot, Targets, Timestamp

from patchtool.keys.roles import (
    LIFETIMES,
    NOTICE,
    SIGNERS,
    Standing,
    kind_of,
)
from patchtool.keys.root_documents import read_root
from patchtool.repository.delegations import delegated, keyids
from patchtool.repository.targets import Listed, place_of
from patchtool.repository.writer import Writer, writer_of
from updater.disk.durable import machine_errors
from updater.errors import FormatError, RequestError

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


class Visible:
    """A repository folder, as clients see it at one time."""

    def __init__(self, folder: Path, now: int, writer: Writer = "local") -> None:
        """Look at ``folder``; nothing is read yet.

        Args:
            folder: the repository.
            now: seconds since 1970, for expiry.
            writer: who looks. This tool sees what it has signed for a server before that takes it.
        """
        self.folder = folder
        self.now = dt.datetime.fromtimestamp(now, dt.timezone.utc)
        self.writer = writer

    def targets(self, role: str) -> dict[str, Listed]:
        """The targets of ``app.APP`` or ``channels.APP``, by name.

        Raises:
            InstallError: the repository does not know the app, or cannot be read.
        """
        return dict(self._current(role, Targets).targets)

    def path_of(self, target: Listed) -> Path:
        """Where a published target's content lies."""
        return place_of(self.folder, target)

    def apps(self) -> list[str]:
        """The apps of this repository."""
        roles = delegated(self._current("targets", Targets))
        return [role.removeprefix("app.") for role in roles if kind_of(role) == "app"]

    def roots(self) -> tuple[Metadata[Root], ...]:
        """All roots, the present one last.

        Raises:
            InstallError: one is missing or cannot be read; clients need every one.
        """
        versions = range(1, self._root().version + 1)
        paths = [self._metadata / f"{version}.root.json" for version in versions]
        with machine_errors(f"reading roots in {self._metadata}"):
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
        for version in versions_in(self._metadata, "targets"):
            if version <= present:  # else a stopped command left it
                delegations = _load(self._metadata / f"{version}.targets.json", Targets).delegations
                named |= set(delegations.keys if delegations else ())
        return named

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
        with machine_errors(f"reading {place}"):
            metadata = Metadata[Any].from_bytes(place.read_bytes())
        delegated = kind_of(role) in {"app", "channels"}
        delegator = self._current("targets", Targets) if delegated else self._root()
        return verifies(delegator, role, metadata)

    def refused_by(self, root: Metadata[Root]) -> list[str]:
        """Roles as they are now that a client refuses which has come to ``root``.

        Raises:
            InstallError: it cannot be read.
        """
        roles = ("targets", "snapshot", "timestamp")
        with machine_errors(f"reading {self.folder}"):
            data = {role: self._place(role).read_bytes() for role in roles}
        metadata = {role: Metadata[Any].from_bytes(found) for role, found in data.items()}
        return [role for role in roles if not verifies(root.signed, role, metadata[role])]

    def last_signed(self) -> int:
        """When the timestamp was signed, as the last of every change; in seconds since 1970.

        Raises:
            InstallError: it cannot be read.
        """
        return issued_of(self._current("timestamp", Timestamp))

    def latest_time(self) -> int:
        """The latest time that clients may have learned here, in seconds since 1970.

        A clock that was ahead has signed it. Clients go by it from then on, and ignore it if
        anything they see ends before it; signatures hold as long after it as after the present.

        Raises:
            InstallError: it cannot be read.
        """
        timestamp = self._current("timestamp", Timestamp)
        end = int(timestamp.expires.timestamp())
        signed = max(issued_of(timestamp), end - int(LIFETIMES["timestamp"].total_seconds()))
        if signed <= self.now.timestamp():
            return 0
        ends = {standing.role: standing.expires for standing in self.standings()}
        own = [min(ends.pop(f"app.{app}"), ends.pop(f"channels.{app}")) for app in self.apps()]
        return signed if signed < min([max(own, default=end), *ends.values()]) else 0

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

    @property
    def hands_over(self) -> bool:
        """Whether releases are signed here for a server, which lets clients see them."""
        return self.writer == "local" and writer_of(self.folder) == "server"

    def _standing(self, role: str, signed: Signed) -> Standing:
        kind = kind_of(role)
        is_due = signed.expires - self.now <= NOTICE[kind]
        end = int(signed.expires.timestamp())
        return Standing(role, SIGNERS[kind], signed.version, end, is_due)

    @property
    def _metadata(self) -> Path:
        return self.folder / "metadata"

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
                raise RequestError(
                    f"{self.folder} does not know {role}", hint="check the name of the app"
                )
            version = snapshot.meta[f"{role}.json"].version
            if kind_of(role) == "app" and self.hands_over:
                version = max(version, self._newest(role))  # signed, and not yet taken
        return self._metadata / f"{version}.{role}.json"

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
        return max(versions_in(self._metadata, role), default=1)


def issued_of(timestamp: Timestamp) -> int:
    """When a timestamp says that it was signed; 0 if it does not say."""
    issued = timestamp.unrecognized_fields.get("issued")
    return issued if type(issued) is int else 0


def versions_in(metadata: Path, role: str) -> list[int]:
    """The versions of a role of which there is a file, in order; what others left is none."""
    pattern = re.compile(rf"([1-9][0-9]{{0,15}})\.{re.escape(role)}\.json")
    names = (pattern.fullmatch(path.name) for path in metadata.glob(f"*.{role}.json"))
    return sorted(int(name[1]) for name in names if name)


def verifies(delegator: Root | Targets, role: str, metadata: Metadata[Any]) -> bool:
    """Whether as many have signed a role as its delegator asks for."""
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError):  # too few; or the role is delegated to nobody
        return False
    return True


def parsed(data: bytes, kind: type[T]) -> Metadata[T]:
    """Metadata of one kind; its signatures are not looked at.

    Raises:
        FormatError: it is none, or of another kind.
    """
    try:
        metadata = Metadata[T].from_bytes(data)
    except RepositoryError as error:
        raise FormatError(f"no metadata: {error}") from error
    if not isinstance(metadata.signed, kind):
        raise FormatError(f"{kind.__name__} expected, got {type(metadata.signed).__name__}")
    return metadata


def _load(path: Path, kind: type[T]) -> T:
    with machine_errors(f"reading {path}"):
        data = path.read_bytes()
    try:
        return parsed(data, kind).signed
    except FormatError as error:
        raise FormatError(
            f"{path}: {error}", hint="restore the repository from a backup"
        ) from error
