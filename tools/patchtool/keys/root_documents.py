"""Root documents: the keys of every role. They travel between machines, without a repository.

A *proposal* is a next root that lacks signatures, in one file with all roots it follows: whoever
is asked to sign it can go by them from a root of their own to the present one, and see what would
change.
"""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Metadata, Root, VerificationResult
from tuf.api.serialization import DeserializationError

from patchtool.keys.roles import LIFETIMES
from patchtool.keys.signing_keys import Role, Signer
from updater.errors import FormatError, RequestError, TrustError
from updater.format.encoding.canonical import Record, decode, encode, within
from updater.format.encoding.limits import MIB

FORMAT = 1
ROOTS_MOST = 1000
SHOWN = 8
"""Digits of a key's id that people are shown where they distinguish keys of their own."""
COMPARED = 16
"""Digits where somebody may have made a key that looks like another; 8 are found in an hour."""
PARTS: dict[Role, tuple[str, ...]] = {
    "root": ("root",),
    "targets": ("targets",),
    "online": ("snapshot", "timestamp"),
}
"""The roles of root that keys of ours sign; a release key is named by targets."""
UNSOUND = "patchtool makes no such root: sign nothing; ask whoever sent it, by another way"
PublicKey = Key
"""A public key."""
RootRole = Root
"""The content of a root."""
NAMES = {"snapshot": "online key for snapshot", "timestamp": "online key for timestamp"}


def first_root(keys: Mapping[Role, Sequence[Key]], threshold: int, expires: dt.datetime) -> Root:
    """The first root: the keys of root, targets and online.

    Raises:
        InstallError: the threshold is higher than the number of root keys, or a key has two roles.
    """
    root = Root(expires=expires, consistent_snapshot=True)
    for role, parts in PARTS.items():
        for part in parts:
            for key in keys[role]:
                root.add_key(key, part)
    root.roles["root"].threshold = threshold
    refuse_shared(keys)
    refuse_unsound(root)
    return root


def made_at(data: bytes) -> int:
    """The time at which a root was made, by the clock of its maker, in seconds since 1970.

    Raises:
        FormatError: it is no root.
    """
    return int((read_root(data).signed.expires - LIFETIMES["root"]).timestamp())


def changed(
    root: Root,
    role: Role,
    *,
    joining: Iterable[Key] = (),
    leaving: Iterable[str] = (),
    threshold: int | None = None,
) -> Root:
    """A copy of ``root`` with other keys in one role.

    Raises:
        InstallError: it would be one nobody should sign.
    """
    after = copy.deepcopy(root)
    for part in PARTS[role]:
        for key in joining:
            after.add_key(key, part)
        for keyid in leaving:
            after.revoke_key(keyid, part)
    if threshold is not None:
        after.roles[role].threshold = threshold
    refuse_unsound(after)
    return after


def refuse_shared(keys: Mapping[Role, Sequence[Key]]) -> None:
    """Refuse one key in two roles: losing it would be losing both.

    Raises:
        InstallError: there is one.
    """
    seen: dict[str, Role] = {}
    for role, held in keys.items():
        for key in held:
            other = seen.setdefault(_public(key), role)
            if other != role:
                raise RequestError(
                    f"the {role} key {key.keyid[:SHOWN]} is the {other} key too",
                    hint="make a key of its own for each role: patchtool keys new",
                )


def refuse_unsound(root: Root) -> None:
    """Refuse a root that says something senseless or dangerous.

    Raises:
        InstallError: a role without keys or with a threshold it cannot meet, keys of a type of
            which we know nothing, or a key that counts twice.
    """
    if any(key.keytype != "ed25519" for key in root.keys.values()):
        raise RequestError("a key is not an Ed25519 key", hint="use keys made by patchtool")
    if any(keyid not in root.keys for role in root.roles.values() for keyid in role.keyids):
        raise RequestError("a role names a key that is not there", hint=UNSOUND)
    if not all(re.fullmatch("[0-9a-f]{64}", keyid) for keyid in root.keys):
        raise RequestError(
            "a key has a name that is no digest, and could pass for other words", hint=UNSOUND
        )
    for part, role in root.roles.items():
        if not 1 <= role.threshold <= len(role.keyids):
            raise RequestError(
                f"{_count(len(role.keyids), part)} cannot meet a threshold of {role.threshold}",
                hint="add a key first (patchtool keys rotate), or lower the threshold",
            )
    refuse_shared(
        {r: [root.keys[i] for p in ps for i in root.roles[p].keyids] for r, ps in PARTS.items()}
    )
    if len({_public(key) for key in root.keys.values()}) < len(root.keys):
        raise RequestError("one key under two names would count twice", hint=UNSOUND)
    if not root.consistent_snapshot:
        raise RequestError("clients would get no consistent snapshot", hint=UNSOUND)


def difference(before: Root, after: Root) -> list[str]:
    """Describe the change from ``before`` to ``after`` in words, for whoever is to sign it."""
    lines = [f"root {before.version} -> {after.version}, valid until {after.expires:%Y-%m-%d}"]
    for part, role in after.roles.items():
        name, old = NAMES.get(part, f"{part} key"), before.roles[part]
        lines += [f"  {name} {i[:COMPARED]} joins" for i in role.keyids if i not in old.keyids]
        lines += [f"  {name} {i[:COMPARED]} ends" for i in old.keyids if i not in role.keyids]
        needed, before_that = (f"{r.threshold} of {len(r.keyids)}" for r in (role, old))
        if role.threshold != old.threshold or (part == "root" and needed != before_that):
            lines.append(f"  {part}: {needed} keys must sign, before: {before_that}")
    return lines if len(lines) > 1 else [*lines, "  the same keys"]


@dataclass(frozen=True)
class Lacking:
    """The number of signatures that a proposal lacks."""

    present: int
    """Signatures of present root keys."""
    next: int
    """Signatures of the next root keys."""

    def __bool__(self) -> bool:
        """Return whether it lacks any."""
        return bool(self.present or self.next)

    def __str__(self) -> str:
        """In words."""
        if not self:
            return "enough signatures; now patchtool keys publish-root"
        return (
            f"to be signed by {self.present} more of the present root keys and "
            f"{self.next} more of the next"
        )


@dataclass(frozen=True)
class Proposal:
    """A next root on its way to those who sign it."""

    published: tuple[Metadata[Root], ...]
    """All roots up to the present one."""
    root: Metadata[Root]

    @property
    def present(self) -> Root:
        """The root in force."""
        return self.published[-1].signed

    @property
    def data(self) -> bytes:
        """The bytes of its file."""
        roots = [metadata.to_dict() for metadata in self.published]
        return encode({"format": FORMAT, "published": roots, "root": self.root.to_dict()})

    @classmethod
    def parse(cls, data: bytes) -> Proposal:
        """The proposal in a file; that it holds together is not said yet.

        Raises:
            FormatError: it is none.
        """
        record = Record(decode(data, 4 * MIB))
        record.integer("format", FORMAT, low=FORMAT)
        published = record.items("published", _parse, ROOTS_MOST)
        root = within("root", _parse, record.value("root"))
        record.end()
        if not published:
            raise FormatError("no root", context="published")
        return cls(published, root)

    @property
    def lacking(self) -> Lacking:
        """The number of signatures that it lacks; only valid ones count."""
        present, following = self._verified()
        return Lacking(present.missing, following.missing)

    def signed(self, signers: Sequence[Signer]) -> Proposal:
        """The same with the signatures of those who may sign, and no others.

        Raises:
            InstallError: none of them may.
        """
        known = {*self.present.roles["root"].keyids, *self.root.signed.roles["root"].keyids}
        able = [signer for signer in signers if signer.public_key.keyid in known]
        if not able:
            raise RequestError(
                "none of the root keys at hand is one of this repository's",
                hint="name the folder with your own root key",
            )
        root = Metadata(self.root.signed, dict(self.root.signatures))
        for signer in able:
            root.sign(signer, append=True)
        return Proposal(self.published, root).tidied()

    def tidied(self) -> Proposal:
        """The same without signatures that count for nothing."""
        valid = {keyid for result in self._verified() for keyid in result.signed}
        signatures = {k: v for k, v in self.root.signatures.items() if k in valid}
        return Proposal(self.published, Metadata(self.root.signed, signatures))

    def check(self, trusted: bytes, now: dt.datetime) -> None:
        """Refuse what does not follow from a root that the reader has from elsewhere.

        Args:
            trusted: any root of this repository, from a place of the reader's own.
            now: to refuse what would be expired at once.

        Raises:
            TrustError: it does not follow: a forgery, or another repository's.
            InstallError: it follows, and should be signed by nobody.
            FormatError: ``trusted`` is no root.
        """
        mine = read_root(trusted)
        at = mine.signed.version - self.published[0].signed.version
        if not 0 <= at < len(self.published) or self.published[at].signed != mine.signed:
            raise TrustError(
                f"the proposal does not begin with the root {mine.signed.version} you have",
                hint="sign nothing; ask whoever sent it, by another way",
            )
        roots = self.published[at:]
        for before, after in itertools.pairwise(roots):
            _refuse_other_version(before.signed, after.signed)
            _refuse_unsigned(before.signed, after)
        self._refuse_senseless(now)

    def _refuse_senseless(self, now: dt.datetime) -> None:
        root = self.root.signed
        _refuse_other_version(self.present, root)
        refuse_unsound(root)
        if root.unrecognized_fields != self.present.unrecognized_fields:
            raise TrustError("the proposal says things that cannot be shown in words", hint=UNSOUND)
        renamed = [i for i, key in root.keys.items() if self.present.keys.get(i, key) != key]
        if renamed:
            raise TrustError(
                f"the proposal has another key under the name {renamed[0][:SHOWN]}", hint=UNSOUND
            )
        if root.expires <= now:
            raise RequestError(
                f"the proposal has expired: {root.expires:%Y-%m-%d}",
                hint="have a new one made; is the clock of this machine right?",
            )

    def _verified(self) -> tuple[VerificationResult, VerificationResult]:
        data, signatures = self.root.signed_bytes, self.root.signatures
        judges = (self.present, self.root.signed)
        present, following = (j.get_verification_result("root", data, signatures) for j in judges)
        return present, following


def read_root(data: bytes) -> Metadata[Root]:
    """The root in a ``root.json``; whether it is signed is not said yet.

    Raises:
        FormatError: it is none.
    """
    try:
        metadata = Metadata[Root].from_bytes(data)
    except DeserializationError as error:
        raise FormatError(f"not a root.json: {error}") from error
    return _root(metadata)


def _parse(document: Any) -> Metadata[Root]:
    try:
        return _root(Metadata[Root].from_dict(document))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"not a root: {error}") from error


def _root(metadata: Metadata[Root]) -> Metadata[Root]:
    if metadata.signed.type != Root.type:
        raise FormatError(f"root expected, got {metadata.signed.type}")
    return metadata


def _refuse_other_version(before: Root, after: Root) -> None:
    if after.version != before.version + 1:
        raise TrustError(
            f"root {after.version} does not follow root {before.version}",
            hint="the present root has changed meanwhile: have a new proposal made",
        )


def _refuse_unsigned(before: Root, after: Metadata[Root]) -> None:
    try:
        for judge in (before, after.signed):
            judge.verify_delegate("root", after.signed_bytes, after.signatures)
    except RepositoryError as error:
        raise TrustError(
            f"root {after.signed.version} is not signed by who may: {error}",
            hint="sign nothing; ask whoever sent it, by another way",
        ) from error


def _count(number: int, part: str) -> str:
    return f"{number} {part} key{'' if number == 1 else 's'}"


def _public(key: Key) -> str:
    """The identity of a key: hexadecimal digits may be spelled in more than one way."""
    return "".join(str(key.keyval.get("public")).split()).lower()
