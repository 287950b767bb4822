"""Any TUF repository, in memory, for the tests of what is general to TUF; ours is `publisher`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from tests.support.servers.serving import send

TOP = ("root", "timestamp", "snapshot", "targets")
DAY = dt.timedelta(days=1)
Asked = tuple[str, int | None]
"""A role, and the version that was asked for; None without one."""


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc).replace(microsecond=0)


class TufRepository:
    """Roles may be edited at will; nobody sees it before they are published."""

    def __init__(self) -> None:
        self.signers: dict[str, list[CryptoSigner]] = {}
        self.published: dict[str, list[tuple[int, bytes]]] = {}
        """By role: versions and their bytes, in the order of publication."""
        self.artifacts: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        """Metadata that was asked for, in this order."""
        self.fetched: list[str] = []
        """Targets that were asked for, with hash and path as in the request."""
        self.with_hashes = False
        """Whether timestamp and snapshot name lengths and hashes too."""
        expires = now() + 30 * DAY
        self.root = Root(expires=expires, consistent_snapshot=True)
        self.timestamp = Timestamp(expires=expires)
        self.snapshot = Snapshot(expires=expires)
        self.targets = Targets(expires=expires)
        tops = (self.root, self.timestamp, self.snapshot, self.targets)
        self.roles: dict[str, Metadata[Any]] = {role.type: Metadata(role) for role in tops}
        for role in TOP:
            self.rotate(role)
        self.publish("targets", "snapshot", "timestamp", "root")

    def rotate(self, role: str, *signers: CryptoSigner, threshold: int = 1) -> None:
        """Give a top-level role other keys: new ones, unless some are given."""
        self.root.roles[role].keyids.clear()
        self.root.roles[role].threshold = threshold
        self.signers[role] = [*signers] or [CryptoSigner.generate_ed25519()]
        for signer in self.signers[role]:
            self.root.add_key(signer.public_key, role)

    def publish(self, *roles: str, bump: bool = True) -> None:
        """Sign roles as they are now and serve them, in this order."""
        for role in roles:
            metadata = self.roles[role]
            metadata.signed.version += bump and role in self.published
            metadata.signatures.clear()
            for signer in self.signers[role]:
                metadata.sign(signer, append=True)
            self.serve(role, metadata.to_bytes(JSONSerializer()))

    def serve(self, role: str, data: bytes) -> None:
        """Serve bytes as the newest version of a role, and name that where it is to be named."""
        version = self.roles[role].signed.version
        self.published.setdefault(role, []).append((version, data))
        named = MetaFile.from_data(version, data, ["sha256"])
        meta = named if self.with_hashes else MetaFile(version)
        if role == "snapshot":
            self.timestamp.snapshot_meta = meta
        elif role not in TOP or role == "targets":
            self.snapshot.meta[f"{role}.json"] = meta

    def publish_all(self) -> None:
        """All but root, as after any change of targets."""
        delegated = (role for role in self.roles if role not in TOP)
        self.publish(*delegated, "targets", "snapshot", "timestamp")

    def add(self, name: str, content: bytes, role: str = "targets") -> None:
        """Make a target of a role; not published."""
        self.artifacts[name] = content
        self.targets_of(role).targets[name] = TargetFile.from_data(name, content, ["sha256"])

    def targets_of(self, role: str) -> Targets:
        """The targets of any role that has some."""
        signed = self.roles[role].signed
        assert isinstance(signed, Targets)
        return signed

    def delegate(
        self,
        role: str,
        *paths: str,
        by: str = "targets",
        terminating: bool = False,
        prefixes: Sequence[str] = (),
    ) -> None:
        """Delegate all paths, or some, to a role; it is made unless it is there. Not published."""
        if role not in self.roles:
            self.roles[role] = Metadata(Targets(expires=now() + 30 * DAY))
            self.signers[role] = [CryptoSigner.generate_ed25519()]
        delegator = self.targets_of(by)
        if delegator.delegations is None:
            delegator.delegations = Delegations({}, roles={})
        assert delegator.delegations.roles is not None
        globs = None if prefixes else [*paths] or ["*"]
        delegated = DelegatedRole(role, [], 1, terminating, globs, [*prefixes] or None)
        delegator.delegations.roles[role] = delegated
        for signer in self.signers[role]:
            delegator.add_key(signer.public_key, role)

    def delegate_bins(self, bits: int, prefix: str) -> None:
        """Delegate to hash bins; not published."""
        bins = SuccinctRoles([], 1, bits, prefix)
        signer = CryptoSigner.generate_ed25519()
        self.targets.delegations = Delegations({}, None, bins)
        self.targets.add_key(signer.public_key)
        for role in bins.get_roles():
            self.roles[role] = Metadata(Targets(expires=now() + 30 * DAY))
            self.signers[role] = [signer]

    def answer(self, handler: BaseHTTPRequestHandler, _path: Path) -> bool:
        """Answer every request; for `misserved`."""
        kind, _, name = handler.path.lstrip("/").partition("/")
        body = self._metadata(name) if kind == "metadata" else self._target(name)
        send(handler, 404 if body is None else 200, body or b"")
        return True

    def _metadata(self, name: str) -> bytes | None:
        name = name.removesuffix(".json")
        number, _, quoted = name.partition(".")
        if not number.isdecimal():
            number, quoted = "", name
        version = int(number) if number else None
        role = unquote(quoted)
        self.asked.append((role, version))
        consistent = self.root.consistent_snapshot and role != "timestamp"
        if (version is not None) != (consistent or role == "root"):
            return None
        published = self.published.get(role, [])
        return next((data for v, data in reversed(published) if version in {v, None}), None)

    def _target(self, quoted: str) -> bytes | None:
        self.fetched.append(quoted)
        name = unquote(quoted)
        if self.root.consistent_snapshot:
            folder, slash, base = name.rpartition("/")
            name = f"{folder}{slash}{base.partition('.')[2]}"
        return self.artifacts.get(name)
