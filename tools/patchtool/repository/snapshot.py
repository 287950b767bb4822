"""A snapshot: what clients see of a repository at one time, a value read once.

Documents are parsed anew for whoever asks, so nobody can change the value. An error of the disk is
kept in the place of the file, and raised for whoever needs that file: one app's damage is no
other app's.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Metadata, Root, Signed, Targets, Timestamp
from tuf.api.metadata import Snapshot as SnapshotRole

from patchtool.keys.roles import LIFETIMES, NOTICE, SIGNERS, RoleStatus, kind_of
from patchtool.keys.root_documents import read_root
from patchtool.repository.delegations import delegated, keyids
from patchtool.repository.targets import Listed
from patchtool.repository.writer import Writer, writer_of
from updater.disk.durable import disk_error, machine_errors
from updater.errors import FormatError, MachineError, RequestError

T = TypeVar("T", Root, Targets, SnapshotRole, Timestamp)
TOP = ("targets", "snapshot", "timestamp")
"""Roles that root delegates, but itself."""
GONE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""Errors that mean that there is no such file."""


class MissingMetadata(MachineError):  # noqa: N818 - reads as what the user is told
    """A repository lacks a file of its metadata: no client can use it."""


@dataclass(frozen=True)
class Snapshot:
    """A repository as clients see it; no method reads or writes a file."""

    folder: Path
    files: Mapping[str, bytes | OSError]
    """Metadata by file name."""
    hands_over: bool
    """Releases are signed here for a server, which lets clients see them. Then the role of an app
    is the newest one that was signed, though clients do not see it yet."""

    @classmethod
    def read(cls, folder: Path, reader: Writer = "local") -> Snapshot:
        """Read the metadata of a repository.

        Args:
            folder: the repository.
            reader: this tool, which sees what it has signed for a server; or that server.

        Raises:
            InstallError: there is no timestamp or snapshot, or it cannot be read.
            FormatError: one of them is damaged.
        """
        place, files = folder / "metadata", dict[str, bytes | OSError]()

        def take(*names: str) -> None:
            found = {name: _found(place / name) for name in names}
            files.update({name: data for name, data in found.items() if data is not None})

        hands_over = reader == "local" and writer_of(folder) == "server"
        seen = cls(folder, MappingProxyType(files), hands_over)
        take("timestamp.json")
        take(f"{seen.snapshot_version}.snapshot.json")
        take(*(f"{version}.{name}" for name, version in seen.listed.items()))
        if hands_over:
            roles = (name.removesuffix(".json") for name in seen.listed if name[:4] == "app.")
            take(*(f"{v}.{role}.json" for role in roles for v in versions_in(place, role)[-1:]))
        take(*(f"{version}.root.json" for version in versions_in(place, "root")))
        return seen

    def with_file(self, name: str, data: bytes) -> Snapshot:
        """The value after a file of metadata was written."""
        return replace(self, files=MappingProxyType({**self.files, name: data}))

    def data(self, role: str) -> bytes:
        """The file of a role, as clients get it.

        Raises:
            MissingMetadata: there is no such file.
            InstallError: the repository does not know the role, or the file cannot be read.
        """
        return self.file(self._name(role))

    def file(self, name: str) -> bytes:
        """A file of metadata by its name; see `data`."""
        path = self.folder / "metadata" / name
        nothing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        found = self.files.get(name, nothing)
        if isinstance(found, bytes):
            return found
        error = disk_error(f"reading {path}", found)
        if isinstance(found, GONE):
            raise MissingMetadata(str(error), hint=error.hint) from found
        raise error from found

    def parsed(self, name: str, kind: type[T]) -> Metadata[T]:
        """A file of metadata by its name; see `current`."""
        try:
            return parsed(self.file(name), kind)
        except FormatError as error:
            raise FormatError(
                f"{self.folder / 'metadata' / name}: {error}",
                hint="restore the repository from a backup",
            ) from error

    def current(self, role: str, kind: type[T]) -> T:
        """Parse a role; the caller may change what it gets.

        Raises:
            InstallError: the repository does not know the role, or it cannot be read.
            FormatError: it is damaged.
        """
        return self.parsed(self._name(role), kind).signed

    def targets(self, role: str) -> dict[str, Listed]:
        """The targets of ``app.APP`` or ``channels.APP``, by name.

        Raises:
            InstallError: the repository does not know the app, or cannot be read.
        """
        return dict(self.current(role, Targets).targets)

    def apps(self) -> list[str]:
        """The apps of this repository."""
        roles = delegated(self._delegator)
        return [role.removeprefix("app.") for role in roles if kind_of(role) == "app"]

    def roots(self) -> tuple[Metadata[Root], ...]:
        """All roots, the present one last.

        Raises:
            InstallError: one is missing or cannot be read; clients need every one.
        """
        versions = range(1, self._root.version + 1)
        return tuple(read_root(self.file(f"{version}.root.json")) for version in versions)

    def keys_of(self, role: str) -> list[Key]:
        """Return the keys that may sign a role, in the order in which they came."""
        if kind_of(role) in {"app", "channels"}:
            return [self._delegator.get_key(keyid) for keyid in self.keyids_of(role)]
        return [self._root.keys[keyid] for keyid in self.keyids_of(role)]

    def keyids_of(
        self, role: str, targets: Targets | None = None, retiring: Iterable[str] = ()
    ) -> list[str]:
        """Ids of those who may sign a role, as ``targets`` say if it is delegated by them."""
        if kind_of(role) in {"app", "channels"}:
            known = keyids(targets or self._delegator, role)
        else:
            known = self._root.roles[role].keyids
        return [keyid for keyid in known if keyid not in set(retiring)]

    def statuses(self, now: int) -> list[RoleStatus]:
        """Return the status of every role at ``now``, root first, as clients see it.

        Raises:
            InstallError: it cannot be read.
        """
        others = sorted(["targets", *delegated(self._delegator)])
        known: dict[str, Signed] = {"root": self._root}
        known |= {role: self.current(role, Targets) for role in others}
        known |= {"snapshot": self._snapshot, "timestamp": self._timestamp}
        return [_status_of(role, signed, now) for role, signed in known.items()]

    def is_signed(self, role: str) -> bool:
        """Return whether a role is signed by as many as its delegator asks for."""
        metadata = Metadata[Any].from_bytes(self.data(role))
        is_delegated = kind_of(role) in {"app", "channels"}
        return verifies(self._delegator if is_delegated else self._root, role, metadata)

    def refused_by(self, root: Metadata[Root]) -> list[str]:
        """Roles as they are now that a client refuses which has come to ``root``.

        Raises:
            InstallError: it cannot be read.
        """
        metadata = {role: Metadata[Any].from_bytes(self.data(role)) for role in TOP}
        return [role for role in TOP if not verifies(root.signed, role, metadata[role])]

    def last_signed(self) -> int:
        """The time of the timestamp's signature, the last of a change; in seconds since 1970."""
        return _issued(self._timestamp)

    def latest_time(self, now: int) -> int:
        """The latest time that clients may have learned here, in seconds since 1970.

        A clock that was ahead has signed it. Clients go by it from then on, and ignore it if
        anything they see ends before it; signatures hold as long after it as after the present.

        Raises:
            InstallError: it cannot be read.
        """
        end = int(self._timestamp.expires.timestamp())
        lifetime = int(LIFETIMES["timestamp"].total_seconds())
        signed = max(self.last_signed(), end - lifetime)
        if signed <= now:
            return 0
        ends = {status.role: status.expires for status in self.statuses(now)}
        own = [min(ends.pop(f"app.{app}"), ends.pop(f"channels.{app}")) for app in self.apps()]
        return signed if signed < min([max(own, default=end), *ends.values()]) else 0

    def version(self, role: str) -> int:
        """The version of a role.

        Raises:
            InstallError: the repository does not know the role.
        """
        return int(self._name(role).partition(".")[0])

    def versions(self) -> dict[str, int]:
        """The version of every role that clients see, by name."""
        top = {"root": self._root, "snapshot": self._snapshot, "timestamp": self._timestamp}
        listed = {name.removesuffix(".json"): version for name, version in self.listed.items()}
        return {role: signed.version for role, signed in top.items()} | listed

    def differences(self, other: Snapshot) -> list[str]:
        """Files of metadata that both have, and not with the same content."""
        both = sorted(self.files.keys() & other.files.keys())
        return [f"metadata/{name}" for name in both if self.file(name) != other.file(name)]

    @cached_property
    def listed(self) -> Mapping[str, int]:
        """The files the snapshot lists, and their versions."""
        return {name: listed.version for name, listed in self._snapshot.meta.items()}

    @property
    def snapshot_version(self) -> int:
        """The version of the snapshot that the timestamp lists."""
        return self._timestamp.snapshot_meta.version

    @cached_property
    def _timestamp(self) -> Timestamp:
        return self.parsed("timestamp.json", Timestamp).signed

    @cached_property
    def _snapshot(self) -> SnapshotRole:
        return self.parsed(f"{self.snapshot_version}.snapshot.json", SnapshotRole).signed

    @cached_property
    def _root(self) -> Root:
        return self.parsed(self._name("root"), Root).signed

    @cached_property
    def _delegator(self) -> Targets:
        """The targets role, which names the keys of every app."""
        return self.parsed(self._name("targets"), Targets).signed

    def _name(self, role: str) -> str:
        """The file of a role that clients see."""
        if role == "timestamp":
            return "timestamp.json"
        if role == "snapshot":
            return f"{self.snapshot_version}.snapshot.json"
        if role == "root":
            return f"{self._newest(role, default=1)}.root.json"
        listed = self.listed.get(f"{role}.json")
        if listed is None or not self.keyids_of(role):
            raise RequestError(
                f"{self.folder} does not know {role}", hint="check the name of the app"
            )
        is_ahead = self.hands_over and kind_of(role) == "app"  # signed, and not yet taken
        return f"{self._newest(role, default=listed) if is_ahead else listed}.{role}.json"

    def _newest(self, role: str, default: int) -> int:
        """The highest version of a role of which there is a file."""
        return max(versions_among(self.files, role), default=default)


def ever_named(seen: Snapshot) -> set[str]:
    """Ids of all keys that could ever sign anything, as far as files of old targets show.

    Raises:
        InstallError, FormatError: one of them cannot be read.
    """
    named = {keyid for root in seen.roots() for keyid in root.signed.keys}
    place, present = seen.folder / "metadata", seen.current("targets", Targets).version
    for version in versions_in(place, "targets"):
        if version <= present:  # else a stopped command left it
            path = place / f"{version}.targets.json"
            with machine_errors(f"reading {path}"):
                read = seen.with_file(path.name, path.read_bytes())
            old = read.parsed(path.name, Targets).signed
            named |= set(old.delegations.keys if old.delegations else ())
    return named


def versions_in(metadata: Path, role: str) -> list[int]:
    """The versions of a role of which there is a file, in order; what others left is none."""
    return versions_among((path.name for path in metadata.glob(f"*.{role}.json")), role)


def versions_among(names: Iterable[str], role: str) -> list[int]:
    """The versions of a role among names of files, in order."""
    pattern = re.compile(rf"([1-9][0-9]{{0,15}})\.{re.escape(role)}\.json")
    return sorted(int(found[1]) for found in map(pattern.fullmatch, names) if found)


def verifies(delegator: Root | Targets, role: str, metadata: Metadata[Any]) -> bool:
    """Return whether as many have signed a role as its delegator asks for."""
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


def snapshot_listed(timestamp: bytes) -> int:
    """The version of the snapshot that a timestamp lists.

    Raises:
        FormatError: it is no timestamp.
    """
    return parsed(timestamp, Timestamp).signed.snapshot_meta.version


def roles_listed(snapshot: bytes) -> dict[str, int]:
    """The files that a snapshot lists, and their versions.

    Raises:
        FormatError: it is no snapshot.
    """
    meta = parsed(snapshot, SnapshotRole).signed.meta
    return {name: listed.version for name, listed in meta.items()}


def _found(path: Path) -> bytes | OSError | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return error


def _issued(timestamp: Timestamp) -> int:
    """The time at which a timestamp says it was signed; 0 if it does not say."""
    issued = timestamp.unrecognized_fields.get("issued")
    return issued if type(issued) is int else 0


def _status_of(role: str, signed: Signed, now: int) -> RoleStatus:
    kind, end = kind_of(role), int(signed.expires.timestamp())
    is_due = end - now <= NOTICE[kind].total_seconds()
    return RoleStatus(role, SIGNERS[kind], signed.version, end, is_due)
