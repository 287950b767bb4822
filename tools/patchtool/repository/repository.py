"""The repository folder: TUF metadata and targets, and how they change.

Everything but ``timestamp.json`` has a version or a hash in its name and never changes;
``timestamp.json`` is written last, in one step: before it clients see the old repository,
after it the new one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tuf.api.metadata import Key, Metadata, MetaFile, Root, Signed, Targets, Timestamp
from tuf.api.metadata import Snapshot as SnapshotRole
from tuf.api.serialization.json import JSONSerializer

from patchtool.keys.keyring import KeyRing
from patchtool.keys.roles import LIFETIMES, SIGNERS, kind_of
from patchtool.keys.root_documents import Proposal, first_root, read_root
from patchtool.keys.signing_keys import Keys, Role
from patchtool.repository.delegations import delegate, undelegate
from patchtool.repository.repository_folder import ALONE, Author, RepositoryFolder
from patchtool.repository.snapshot import T, parsed, verifies
from patchtool.repository.stored_files import shown
from patchtool.repository.targets import NewTarget, place_of, store
from patchtool.repository.unfinished import forget, note
from updater.disk.durable import PART, Disk, machine_errors
from updater.errors import RequestError, TrustError
from updater.format.target_names import TIMESTAMP

SIGN_ANEW = "sign it anew, with a release key the repository names: patchtool keys list"


class NotNext(RequestError):  # noqa: N818 - reads as what the publisher sees
    """A role that was signed elsewhere does not follow version ``present``, which clients see."""

    def __init__(self, message: str, present: int) -> None:
        super().__init__(message, hint="fetch the repository, sign on top of it, and try again")
        self.present = present


class Repository(RepositoryFolder):
    """One repository folder and its keys. Changes are collected, then published in one step."""

    def __init__(
        self,
        folder: Path,
        keys: Keys,
        now: int,
        disk: Disk | None = None,
        author: Author = ALONE,
    ) -> None:
        """Open ``folder`` with the ``keys`` that a command needs; see `RepositoryFolder`."""
        super().__init__(folder, now, disk, author)
        self.keyring = KeyRing(keys)

    def open_keys(self, *roles: str) -> None:
        """Open the keys of roles: nobody is to wait while a person types a password.

        Raises:
            InstallError: there is none, or one cannot be opened.
        """
        for role in roles:
            self.keyring.signers(role)

    def check_new(self) -> None:
        """Refuse a folder that is a repository: before keys are made for it in vain.

        Raises:
            InstallError: it is one.
        """
        if (self.metadata / "timestamp.json").exists():
            raise RequestError(f"{self.folder} is a repository already", hint="name another folder")

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
        with machine_errors(f"making repository {self.folder}"):
            self.check_new()
            self.metadata.mkdir(parents=True, exist_ok=True)
            (self.folder / "targets").mkdir(exist_ok=True)
            made = root or self.first_root(threshold)
            self._check_first(made)
            self._put("1.root.json", made)
            roles = (f"app.{app}", f"channels.{app}")
            release, online = ([s.public_key for s in self.keyring.signers(role)] for role in roles)
            targets = Targets(expires=self._expiry("targets"))
            delegate(targets, app, release, online)
            self._write("targets", targets)
            for role in roles:
                self._write(role, Targets(expires=self._expiry(role)))
            meta = {f"{role}.json": MetaFile(version=1) for role in ("targets", *roles)}
            self._write("snapshot", SnapshotRole(expires=self._expiry("snapshot"), meta=meta))
            first = Timestamp(expires=self._expiry("timestamp"))
            self._write("timestamp", self._dated(first))

    def first_root(self, threshold: int) -> bytes:
        """The first root, signed by all root keys.

        Raises:
            InstallError: a key is missing, or too few for the threshold.
        """
        roles: tuple[Role, ...] = ("root", "targets", "release", "online")
        held = {role: [s.public_key for s in self.keyring.required(role)] for role in roles}
        root = Metadata(first_root(held, threshold, self._expiry("root")))
        for signer in self.keyring.required("root"):
            root.sign(signer, append=True)
        return root.to_bytes(JSONSerializer(compact=True))

    def publish(
        self,
        role: str,
        targets: Sequence[NewTarget],
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
        signed = self.look().current(role, Targets)
        hands_over = self.hands_over
        for name in (role,) if hands_over else (role, "snapshot", "timestamp"):
            self._check_keys(name)
        self._note(shown(self.folder, place_of(self.folder, t.listed)) for t in targets)
        for target in targets:
            store(self.disk, self.folder, target)
            signed.targets[target.name] = target.listed
        for name, custom in (said or {}).items():
            signed.targets[name].unrecognized_fields["custom"] = custom
        for name in gone:
            del signed.targets[name]
        if hands_over:
            self._next(role, signed)
            self._note([f"metadata/{signed.version}.{role}.json{PART}"])
            self._write(role, signed, self.look().keyids_of(role))
            forget(self.disk, self.folder)
        else:
            self._commit({role: signed})

    def publish_signed(self, role: str, data: bytes) -> None:
        """Publish the next version of an app's role as it was signed elsewhere, byte for byte.

        The files it names must be in the folder already: see to that before.

        Args:
            role: ``app.APP``.
            data: the whole file, such as ``N+1.app.APP.json``.

        Raises:
            FormatError: ``data`` is not what a role of an app is.
            TrustError: clients would refuse it: too few signatures that count, or expired.
            NotNext: it does not follow the version clients see, so somebody was faster.
            InstallError: the repository does not know the app, the online key is missing or not of
                this repository, or the disk. After any error clients see what they saw before.
        """
        signed = self.next_of(role, data)
        for name in ("snapshot", "timestamp"):
            self._check_keys(name)
        self._note([f"metadata/{signed.version}.{role}.json"])
        self._put(f"{signed.version}.{role}.json", data)
        self._list({role: signed.version})

    def next_of(self, role: str, data: bytes) -> Targets:
        """Check and read ``data``, the next version of an app's role.

        Raises:
            FormatError, TrustError, NotNext: see `publish_signed`.
            InstallError: the repository does not know the app, or the disk.
        """
        if kind_of(role) != "app":
            raise ValueError(f"{role} is signed by whoever writes the repository")
        present = self.look().current(role, Targets)
        signed = self._signed(role, data)
        if signed.version != present.version + 1:
            raise NotNext(
                f"version {signed.version} of {role} does not follow {present.version}",
                present.version,
            )
        return signed

    def renew(
        self, roles: Sequence[str], at_least: int = 0, heads: Iterable[NewTarget] = ()
    ) -> None:
        """Sign roles anew with a new expiry; what they say stays, but for ``heads``.

        Versions go up by one, or to ``at_least``; root's by one. Clients accept the repository
        wherever this is stopped: a new root by itself, all else with the timestamp.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before, but perhaps a new root.
        """
        for name in (*roles, "snapshot", "timestamp"):
            self._check_keys(name)
        if "root" in roles:
            root = self.look().current("root", Root)
            self._next("root", root)
            self._note([f"metadata/{root.version}.root.json{PART}"])
            self._write("root", root, root.roles["root"].keyids)
        others = [role for role in roles if kind_of(role) not in {"root", "snapshot", "timestamp"}]
        changed = {role: self.look().current(role, Targets) for role in others}
        heads = tuple(heads)
        self._note(shown(self.folder, place_of(self.folder, head.listed)) for head in heads)
        for head in heads:
            store(self.disk, self.folder, head)
            app = head.name.partition("/")[0]
            changed[f"channels.{app}"].targets[head.name] = head.listed
        self._commit(changed, at_least, snapshot="snapshot" in roles)

    def add_app(self, app: str, key: Key) -> None:
        """Delegate an app whose releases ``key`` signs.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before.
        """
        targets = self.look().current("targets", Targets)
        delegate(targets, app, [key], self.look().keys_of("timestamp"))
        known = self.look().current("snapshot", SnapshotRole).meta
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
        targets = self.look().current("targets", Targets)
        undelegate(targets, app)
        for role in ("targets", "snapshot", "timestamp"):
            self._check_keys(role)
        self._commit({"targets": targets})

    def rekey(self, delegated: Mapping[str, Sequence[Key]], retiring: Iterable[str] = ()) -> None:
        """Let these keys alone sign delegated roles, and sign those and targets anew.

        Args:
            delegated: the keys of each role.
            retiring: ids of keys that sign nothing of it, though they still might.

        Raises:
            InstallError: a key is missing or not of this repository, or the disk; then clients
                see what they saw before.
        """
        targets = self.look().current("targets", Targets)
        for role, keys in delegated.items():
            for keyid in self.look().keyids_of(role, targets):
                targets.revoke_key(keyid, role)
            for key in keys:
                targets.add_key(key, role)
        changed = {"targets": targets} | {r: self.look().current(r, Targets) for r in delegated}
        for role in (*changed, "snapshot", "timestamp"):
            self._check_keys(role, targets, retiring)
        self._commit(changed, retiring=retiring)

    def propose(self, root: Root) -> Proposal:
        """``root`` as the next one, signed by the root keys at hand; nothing is written.

        Raises:
            InstallError: there are some, and none of them may sign it.
        """
        self._next("root", root)
        proposal = Proposal(self.look().roots(), Metadata(root))
        signers = self.keyring.at_hand("root")
        return proposal.signed(signers) if signers else proposal

    def check_proposal(self, proposal: Proposal) -> None:
        """Refuse what does not follow from the present root: see `Proposal.check`."""
        proposal.check(self.look().data("root"), self.now)

    def add_root(self, root: Metadata[Root]) -> None:
        """Publish the next root; that it is signed is the caller's to say.

        Raises:
            InstallError: clients that follow it would refuse what is published, or the disk.
        """
        refused = self.look().refused_by(root)
        if refused:
            raise RequestError(
                f"{refused[0]} is not signed by a key that root {root.signed.version} names",
                hint="begin again, with the keys that stay: patchtool keys revoke",
            )
        data = root.to_bytes(JSONSerializer(compact=True))
        name = f"{root.signed.version}.root.json"
        with machine_errors(f"writing repository {self.folder}"):
            self._note([f"metadata/{name}{PART}"])
            self._put(name, data)
            forget(self.disk, self.folder)

    def can_sign(self, role: str) -> bool:
        """Return whether the keys of a role are at hand, as many as it needs.

        Raises:
            InstallError: those at hand are not of this repository, or cannot be opened.
        """
        if not self.keyring.has(role):
            return False
        seen = self.look()
        if kind_of(role) == "app" and len(seen.apps()) > 1:  # it may be the key of another app
            known = set(seen.keyids_of(role))
            return any(s.public_key.keyid in known for s in self.keyring.signers(role))
        self._check_keys(role)
        if role != "root":
            return True
        needed = seen.current("root", Root).roles["root"]
        at_hand = {signer.public_key.keyid for signer in self.keyring.signers(role)}
        return len(at_hand.intersection(needed.keyids)) >= needed.threshold

    def require_keys(self, roles: Iterable[str]) -> None:
        """Refuse if the keys of a role are not at hand.

        Raises:
            InstallError: missing, or of another repository.
        """
        for role in roles:
            self._check_keys(role)

    def _commit(
        self,
        changed: Mapping[str, Targets],
        at_least: int = 0,
        *,
        snapshot: bool = False,
        retiring: Iterable[str] = (),
    ) -> None:
        """Write roles, the snapshot if they or ``snapshot`` ask for it, and the timestamp."""
        for role, signed in changed.items():
            self._next(role, signed, at_least)
        self._note(f"metadata/{signed.version}.{role}.json" for role, signed in changed.items())
        for role, signed in changed.items():
            self._write(role, signed, self.look().keyids_of(role, changed.get("targets"), retiring))
        versions = {role: signed.version for role, signed in changed.items()}
        self._list(versions, at_least, snapshot=snapshot, retiring=retiring)

    def _list(
        self,
        versions: Mapping[str, int],
        at_least: int = 0,
        *,
        snapshot: bool = False,
        retiring: Iterable[str] = (),
    ) -> None:
        """Let clients see versions that are written: a snapshot that lists them, the timestamp."""
        timestamp = self.look().current("timestamp", Timestamp)
        if versions or snapshot:
            listing = self.look().current("snapshot", SnapshotRole)
            new = {f"{role}.json": MetaFile(version) for role, version in versions.items()}
            listing.meta.update(new)
            timestamp.snapshot_meta = MetaFile(self._next("snapshot", listing, at_least))
            self._note([f"metadata/{listing.version}.snapshot.json", TIMESTAMP])
            self._write("snapshot", listing, self.look().keyids_of("snapshot", retiring=retiring))
        self._next("timestamp", timestamp, at_least)
        known = self.look().keyids_of("timestamp", retiring=retiring)
        data = self._sealed("timestamp", self._dated(timestamp), known)
        self._author.approve(self.look().with_file("timestamp.json", data))
        self._put("timestamp.json", data)
        forget(self.disk, self.folder)

    def _note(self, names: Iterable[str]) -> None:
        """Note what is about to be written: it goes away if it comes to nothing."""
        note(self.disk, self.folder, names)

    def _check_first(self, data: bytes) -> None:
        """Refuse a first root that does not name the keys at hand."""
        root = read_root(data).signed
        for role in ("targets", "timestamp"):
            held = {signer.public_key.keyid for signer in self.keyring.signers(role)}
            if root.version != 1 or not held.intersection(root.roles[role].keyids):
                raise RequestError(
                    f"root.json does not name the {SIGNERS[role]} key at hand",
                    hint="name the folder that patchtool keys new has made",
                )

    def _signed(self, role: str, data: bytes) -> Targets:
        """A role that was signed elsewhere, as clients will accept it."""
        metadata = parsed(data, Targets)
        if not verifies(self.look().current("targets", Targets), role, metadata):
            raise TrustError(f"too few signatures of {role} count here", hint=SIGN_ANEW)
        if metadata.signed.is_expired(self.now):
            raise TrustError(f"{role} expired at {metadata.signed.expires}", hint=SIGN_ANEW)
        return metadata.signed

    def _next(self, role: str, signed: Signed, at_least: int = 0) -> int:
        signed.version = max(signed.version + 1, at_least)
        signed.expires = self._expiry(role)
        return signed.version

    def _dated(self, timestamp: Timestamp) -> Timestamp:
        """Say when it is signed: clients whose clock is behind go by that."""
        timestamp.unrecognized_fields["issued"] = int(self.now.timestamp())
        return timestamp

    def _expiry(self, role: str) -> dt.datetime:
        return (max(self.now, self._latest) + LIFETIMES[kind_of(role)]).replace(microsecond=0)

    @cached_property
    def _latest(self) -> dt.datetime:
        """The latest time that clients may have learned here before anything is signed now."""
        is_new = not (self.metadata / "timestamp.json").exists()
        latest = 0 if is_new else self.look().latest_time(self.seconds)
        return dt.datetime.fromtimestamp(latest, dt.timezone.utc)

    def _check_keys(
        self, role: str, targets: Targets | None = None, retiring: Iterable[str] = ()
    ) -> None:
        """Refuse, before anything is written, keys whose signatures clients would refuse."""
        known = self.look().keyids_of(role, targets, retiring)
        if not any(signer.public_key.keyid in known for signer in self.keyring.signers(role)):
            raise RequestError(
                f"the {SIGNERS[kind_of(role)]} key is not the one {self.folder} was made with",
                hint="name the folder of this repository's own keys; if the key was replaced "
                "meanwhile, try again",
            )

    def _write(self, role: str, signed: T, known: Sequence[str] | None = None) -> None:
        """Sign and write a role: see `_sealed`."""
        name = f"{role}.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        self._put(name, self._sealed(role, signed, known))

    def _put(self, name: str, data: bytes) -> None:
        """Write a file of metadata, and see it from now on."""
        self.disk.write(self.metadata / name, data)
        if self._seen is not None:
            self._seen = self._seen.with_file(name, data)

    def _sealed(self, role: str, signed: T, known: Sequence[str] | None) -> bytes:
        """A role, signed with all its keys at hand, of which ``known`` ones count."""
        metadata = Metadata(signed)
        for signer in self.keyring.signers(role):
            if known is None or signer.public_key.keyid in known:
                metadata.sign(signer, append=True)
        return metadata.to_bytes(JSONSerializer(compact=True))
