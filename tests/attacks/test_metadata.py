"""Attacks on metadata, end to end; the oracle of every story is `Victim`.

Sections A and B of the list of faults. What is refused is refused at the second try too, when
something of it might have been kept, and an honest repository is then followed as before.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from patchtool.ceremonies.rotation import rotate
from patchtool.repository.targets import NewTarget
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from tests.support.attacks.hostile import (
    FORGERS,
    HIGHEST,
    edit_unsigned,
    fast_forward,
    forge,
    newest,
    publish,
    rewrite,
    right_signer,
    twice_signed,
)
from tests.support.attacks.victim import NEW, OLD, Victim
from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import read_tree
from updater.errors import (
    FormatError,
    RequestError,
    TransportError,
    TrustError,
    UpdaterError,
)
from updater.format.encoding.canonical import encode

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

ROLES = ["timestamp", "snapshot", "targets", "app.notes", "channels.notes"]
DAY = 86_400


def refused(
    victim: Victim,
    attack: Callable[[Publisher], object],
    kind: type[UpdaterError] = TrustError,
) -> None:
    """What ``attack`` makes of a repository with a new release is refused, the honest one is not.

    An offline key that signed nonsense has to sign again: targets, and root if there is a second.
    """
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    publisher.repository().publish("targets", [])
    honest = victim.folder.parent.parent / "honest"
    metadata = publisher.folder / "metadata"
    shutil.copytree(metadata, honest)
    attack(publisher)
    for _ in range(2):
        victim.refuses(kind, kind.exit_code)
    shutil.rmtree(metadata)
    shutil.copytree(honest, metadata)
    if victim.root_version > 1:
        next_root(publisher, lambda _: None, right_signer(publisher, "root"), number=3)
    publisher.repository().publish("targets", [])
    victim.recovers()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("forger", FORGERS)
def test_metadata_signed_by_others(
    forger: Callable[[Publisher, str], list[CryptoSigner]], role: str, victim: Victim
) -> None:
    refused(
        victim,
        lambda publisher: rewrite(
            newest(publisher, role), lambda _: None, *forger(publisher, role)
        ),
    )


@pytest.mark.parametrize("role", ROLES)
def test_metadata_changed_after_signing(role: str, victim: Victim) -> None:
    def later(signed: Any) -> None:
        signed["expires"] = "2039-01-01T00:00:00Z"

    refused(victim, lambda publisher: forge(newest(publisher, role), later))


def next_root(
    publisher: Publisher, edit: Callable[[Any], object], *signers: CryptoSigner, number: int = 2
) -> None:
    """Serve a second root, however it is signed."""
    path = publisher.folder / f"metadata/{number}.root.json"
    shutil.copyfile(publisher.folder / "metadata/1.root.json", path)

    def second(signed: Any) -> None:
        signed["version"] = number
        edit(signed)

    forge(path, second, *signers)


THRESHOLDS = {"0": 0, "-1": -1, "text": "1", "huge": 2**63, "null": None, "list": [1]}


@pytest.mark.parametrize("value", THRESHOLDS)
@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_senseless_threshold_in_a_root_never_means_no_signature(
    role: str, value: str, victim: Victim
) -> None:
    """Signed by the root key itself; CVE-2026-23992."""

    def attack(publisher: Publisher) -> None:
        def edit(signed: Any) -> None:
            signed["roles"][role]["threshold"] = THRESHOLDS[value]

        next_root(publisher, edit, right_signer(publisher, "root"))
        if role != "root":
            rewrite(newest(publisher, role), lambda _: None)

    refused(victim, attack)


@pytest.mark.parametrize("value", THRESHOLDS)
def test_a_senseless_threshold_in_a_delegation_never_means_no_signature(
    value: str, victim: Victim
) -> None:
    """Signed by the targets key itself."""

    def attack(publisher: Publisher) -> None:
        def edit(signed: Any) -> None:
            for role in signed["delegations"]["roles"]:
                role["threshold"] = THRESHOLDS[value]

        forge(newest(publisher, "targets"), edit, right_signer(publisher, "targets"))
        rewrite(newest(publisher, "app.notes"), lambda _: None)

    refused(victim, attack)


def of_two(publisher: Publisher) -> None:
    """Let the app's metadata need two signatures, by the word of the targets key."""

    def edit(signed: Any) -> None:
        for role in signed["delegations"]["roles"]:
            role["threshold"] = 2

    forge(newest(publisher, "targets"), edit, right_signer(publisher, "targets"))


def test_the_same_signature_twice_is_one(victim: Victim) -> None:
    def attack(publisher: Publisher) -> None:
        of_two(publisher)
        edit_unsigned(newest(publisher, "app.notes"), twice_signed)

    refused(victim, attack)


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_the_same_key_under_two_names_is_one(spelled: Callable[[str], str], victim: Victim) -> None:
    """One of two who must sign proposes a delegation in which both are herself."""

    def attack(publisher: Publisher) -> None:
        twin = right_signer(publisher, "app.notes")
        first = twin.public_key.keyid
        twin.public_key.keyid = "7" * 64
        key = twin.public_key.to_dict()
        key["keyval"]["public"] = spelled(key["keyval"]["public"])

        def edit(signed: Any) -> None:
            signed["delegations"]["keys"][twin.public_key.keyid] = key
            for role in signed["delegations"]["roles"]:
                if first in role["keyids"]:
                    role["keyids"].append(twin.public_key.keyid)
                    role["threshold"] = 2

        forge(newest(publisher, "targets"), edit, right_signer(publisher, "targets"))
        both = (right_signer(publisher, "app.notes"), twin)
        rewrite(newest(publisher, "app.notes"), lambda _: None, *both)

    refused(victim, attack)


def with_other_root_key(signed: Any, key: CryptoSigner) -> None:
    signed["keys"][key.public_key.keyid] = key.public_key.to_dict()
    signed["roles"]["root"]["keyids"] = [key.public_key.keyid]


@pytest.mark.parametrize("by", ["old", "new", "nobody"])
def test_a_root_that_only_one_side_signed(by: str, victim: Victim) -> None:
    new = CryptoSigner.generate_ed25519()

    def attack(publisher: Publisher) -> None:
        signers = {"old": [right_signer(publisher, "root")], "new": [new], "nobody": []}[by]
        next_root(publisher, lambda signed: with_other_root_key(signed, new), *signers)

    refused(victim, attack)


def test_another_root_under_the_number_of_the_first(victim: Victim) -> None:
    """CVE-2025-2885: its version says 1, its name 2."""

    def attack(publisher: Publisher) -> None:
        def same(signed: Any) -> None:
            signed["version"] = 1
            signed["expires"] = "2099-01-01T00:00:00Z"

        next_root(publisher, same, right_signer(publisher, "root"))

    refused(victim, attack)


def test_a_root_two_numbers_on(victim: Victim) -> None:
    def attack(publisher: Publisher) -> None:
        def third(signed: Any) -> None:
            signed["version"] = 3

        next_root(publisher, third, right_signer(publisher, "root"))

    refused(victim, attack)


def test_a_refused_root_is_not_used_from_disk(victim: Victim) -> None:
    """CVE-2020-15163: somebody put it where verified ones are kept."""
    thief = CryptoSigner.generate_ed25519()

    def everything(signed: Any) -> None:
        signed["keys"] = {thief.public_key.keyid: thief.public_key.to_dict()}
        for role in signed["roles"].values():
            role["keyids"] = [thief.public_key.keyid]

    victim.publisher.release("2.0", NEW)
    next_root(victim.publisher, everything, thief)
    evil = victim.publisher.folder / "metadata/2.root.json"
    kept = victim.folder.parent / ".app.upswap/trust/root_history/2.root.json"
    evil.replace(kept)
    assert victim.updater.update()
    assert read_tree(victim.folder) == NEW
    assert victim.root_version == 1


SIGNATURES = ["", "0", "zz" * 64, "00" * 64, "00" * 10_000, "é", "\0", 1, None, [], {}]


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda s: ascii(s)[:6])
def test_a_signature_that_cannot_even_be_checked(signature: object, victim: Victim) -> None:
    """A check that ends in an exception has not passed (electron-updater #4701)."""

    def attack(publisher: Publisher) -> None:
        def spoil(document: Any) -> None:
            document["signatures"][0]["sig"] = signature

        edit_unsigned(newest(publisher, "app.notes"), spoil)

    refused(victim, attack)


KEYS: list[dict[str, Any]] = [
    {"keyval": {"public": ""}},
    {"keyval": {"public": "zz"}},
    {"keyval": {"public": "00" * 32}},
    {"keyval": {"public": "ff" * 32}},
    {"keyval": {"public": 1}},
    {"keyval": {}},
    {"keyval": None},
    {"scheme": "none"},
    {"keytype": "none"},
    {"keytype": "rsa", "scheme": "rsassa-pss-sha256"},
    {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256"},
]


@pytest.mark.parametrize("change", KEYS, ids=str)
def test_a_key_that_cannot_even_be_used(change: dict[str, Any], victim: Victim) -> None:
    def attack(publisher: Publisher) -> None:
        def edit(signed: Any) -> None:
            for key in signed["delegations"]["keys"].values():
                key.update(change)

        forge(newest(publisher, "targets"), edit, right_signer(publisher, "targets"))

    refused(victim, attack)


def spoilt(edit: Callable[[bytes], bytes]) -> Callable[[Publisher], object]:
    """Change the bytes of the timestamp, which is read first of all."""

    def attack(publisher: Publisher) -> None:
        path = newest(publisher, "timestamp")
        path.write_bytes(edit(path.read_bytes()))

    return attack


VERSION = b'"_type":"timestamp"'
SPELLINGS: dict[str, tuple[Callable[[bytes], bytes], type[UpdaterError]]] = {
    "key twice": (lambda d: d.replace(VERSION, VERSION + b',"_type":"root"'), TrustError),
    "NaN": (lambda d: d.replace(VERSION, VERSION + b',"x":NaN'), TrustError),
    "Infinity": (lambda d: d.replace(VERSION, VERSION + b',"x":-Infinity'), TrustError),
    "1e999": (lambda d: d.replace(VERSION, VERSION + b',"x":1e999'), TrustError),
    "float": (lambda d: d.replace(VERSION, VERSION + b',"x":1.5'), TrustError),
    "digits": (lambda d: d.replace(VERSION, VERSION + b',"x":' + b"9" * 10_000), TrustError),
    "nested": (lambda d: d.replace(VERSION, VERSION + b',"x":' + b"[" * 7_000), TrustError),
    "BOM": (lambda d: b"\xef\xbb\xbf" + d, TransportError),
    "UTF-16": (lambda d: d.decode().encode("utf-16"), TransportError),
    "surrogate": (lambda d: d.replace(VERSION, VERSION + b',"x":"\\ud800"'), TrustError),
    "NUL": (lambda d: d.replace(VERSION, VERSION + b',"x":"\\u0000"'), TrustError),
    "raw NUL": (lambda d: d.replace(VERSION, VERSION + b',"x":"\0"'), TransportError),
    "no UTF-8": (lambda d: d.replace(VERSION, VERSION + b',"x":"\xff"'), TransportError),
    "too long": (lambda d: d + b" " * (5 << 20), TransportError),
    "cut": (lambda d: d[:-20], TransportError),
    "a list": (lambda d: b"[" + d + b"]", TransportError),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_json_as_no_publisher_writes_it(name: str, victim: Victim) -> None:
    edit, kind = SPELLINGS[name]
    refused(victim, spoilt(edit), kind)


FIELDS: dict[str, tuple[str, Callable[[Any], object], type[UpdaterError]]] = {
    "specification 2": ("timestamp", lambda s: s.update(spec_version="2.0.0"), TrustError),
    "no specification": ("timestamp", lambda s: s.pop("spec_version"), TrustError),
    "type of another": ("timestamp", lambda s: s.update(_type="snapshot"), TrustError),
    "no type": ("snapshot", lambda s: s.pop("_type"), TrustError),
    "no version": ("snapshot", lambda s: s.pop("version"), TrustError),
    "version 0": ("timestamp", lambda s: s.update(version=0), TrustError),
    "version as text": ("timestamp", lambda s: s.update(version="3"), TrustError),
    "no expiry": ("app.notes", lambda s: s.pop("expires"), TrustError),
    "expiry is none": ("app.notes", lambda s: s.update(expires="never"), TrustError),
    "no targets": ("app.notes", lambda s: s.pop("targets"), TrustError),
    "no delegations": ("targets", lambda s: s.pop("delegations"), RequestError),
    "length as text": (
        "app.notes",
        lambda s: [t.update(length="9") for t in s["targets"].values()],
        TrustError,
    ),
    "no hashes": (
        "app.notes",
        lambda s: [t.update(hashes={}) for t in s["targets"].values()],
        TrustError,
    ),
    "unknown hash": (
        "app.notes",
        lambda s: [t.update(hashes={"md5": "0" * 32}) for t in s["targets"].values()],
        FormatError,
    ),
    "hash cut": (
        "app.notes",
        lambda s: [t.update(hashes={"sha256": "00"}) for t in s["targets"].values()],
        FormatError,
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_signed_metadata_that_says_what_makes_no_sense(name: str, victim: Victim) -> None:
    role, edit, kind = FIELDS[name]

    def attack(publisher: Publisher) -> None:
        forge(newest(publisher, role), edit, right_signer(publisher, role))

    refused(victim, attack, kind)


def test_fields_nobody_knows_are_kept_and_change_nothing(victim: Victim) -> None:
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    for role in ("timestamp", "snapshot", "app.notes"):
        signer = right_signer(publisher, role)
        forge(newest(publisher, role), lambda s: s.update(surprise={"a": [1]}), signer)
    assert victim.updater.update()
    assert read_tree(victim.folder) == NEW


# Section B


@pytest.mark.parametrize("role", ROLES)
def test_one_role_as_it_was_last_week(role: str, victim: Victim) -> None:
    """Its past content, under its present name; alone, so also in any mix with today's."""
    publisher = victim.publisher
    past = newest(publisher, role).read_bytes()
    victim.updater.check()
    publisher.release("2.0", NEW)
    publisher.repository().publish("targets", [])
    victim.updater.check()
    publisher.add("2.5", NEW)
    publisher.repository().publish("targets", [])
    publisher.promote("2.5")
    path = newest(publisher, role)
    today = path.read_bytes()
    path.write_bytes(past)
    publisher.now += 2 * 86_400  # no cache is behind for so long
    for _ in range(2):
        victim.refuses(TrustError, 4)
    path.write_bytes(today)
    victim.recovers()


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
def test_a_release_with_the_file_of_another(kind: str, victim: Victim) -> None:
    """The bundle of 1.0 under the name of 2.0; the manifest is asked for by who repairs."""
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    for path in publisher.folder.glob("targets/notes/patches/*.1.0_2.0"):
        path.unlink()
    (old,) = publisher.folder.glob(f"targets/notes/releases/1.0/*.{kind}")
    (new,) = publisher.folder.glob(f"targets/notes/releases/2.0/*.{kind}")
    honest = new.read_bytes()
    new.write_bytes(old.read_bytes().ljust(len(honest), b"\n"))
    if kind == "bundle":
        victim.refuses(TrustError, 4)
    else:
        assert victim.updater.update()
        assert read_tree(victim.folder) == NEW
        victim.updater.repair()
        (victim.folder.parent / ".app.upswap/manifest").write_bytes(b"spoilt")
        assert victim.updater.repair() is not None, "the bundle gives the manifest too"
        assert read_tree(victim.folder) == NEW


@pytest.mark.parametrize("role", [*ROLES, "root"])
def test_an_expired_role(role: str, victim: Victim) -> None:
    """Signed by the right key, as a freeze attack would leave it."""
    past = dt.datetime.fromtimestamp(victim.publisher.now - 1, dt.timezone.utc)

    def attack(publisher: Publisher) -> None:
        if role == "root":
            next_root(publisher, lambda _: None, right_signer(publisher, "root"))

        def end(metadata: Metadata[Any]) -> None:
            metadata.signed.expires = past

        rewrite(newest(publisher, role), end, right_signer(publisher, role))

    refused(victim, attack)


def test_an_expired_root_on_the_way_to_a_good_one_passes(victim: Victim) -> None:
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    signer = right_signer(publisher, "root")
    next_root(publisher, lambda s: s.update(expires="2020-01-01T00:00:00Z"), signer)
    next_root(publisher, lambda _: None, signer, number=3)
    assert victim.takes() == {}


def test_a_head_that_offers_only_what_is_older(victim: Victim) -> None:
    """What the online key can sign, and nobody takes."""
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    assert victim.updater.update()
    publisher.promote("1.0")
    assert not victim.updater.update()
    assert read_tree(victim.folder) == NEW
    victim.recovers("2.0")


def publish_head(publisher: Publisher, **fields: object) -> None:
    """The head with other fields, whatever the tool would say."""
    repository = publisher.repository()
    name = f"{publisher.app}/channels/stable"
    document = {
        **(repository.look().targets(f"channels.{publisher.app}")[name].custom or {}),
        **fields,
    }
    repository.publish(
        f"channels.{publisher.app}", [NewTarget.of(name, encode(document), document)]
    )


def offer(publisher: Publisher, *versions: str) -> None:
    """A head of these versions."""
    steps = [[publisher.now, 10_000]]
    entries = [{"version": v, "steps": steps, "paused": False} for v in versions]
    publish_head(publisher, entries=entries)


@pytest.mark.parametrize(("field", "ours"), [("app", "notes"), ("channel", "stable")])
def test_the_head_of_another_product_or_channel(field: str, ours: str, victim: Victim) -> None:
    """Signed by the right key, in the right place."""
    victim.publisher.release("2.0", NEW)
    publish_head(victim.publisher, **{field: "other"})
    for _ in range(2):
        victim.refuses(FormatError, 5)
    publish_head(victim.publisher, **{field: ours})
    victim.recovers()


def test_a_version_from_the_end_of_time_is_forgotten_with_the_key_that_signed_it(
    victim: Victim,
) -> None:
    publisher = victim.publisher
    honest = fast_forward(publisher, "timestamp", HIGHEST)
    assert victim.updater.check() is None
    (publisher.folder / "metadata/timestamp.json").write_bytes(honest)
    publisher.now += 2 * 86_400  # no cache is behind for so long
    publisher.release("2.0", NEW)
    victim.refuses(TrustError, 4)
    rotate(publisher.repository(), "online", at_once=True)
    victim.recovers()


def recall(publisher: Publisher, version: str, floor: str) -> None:
    """Withdraw a release, by its own key."""
    repository = publisher.repository()
    name = f"{publisher.app}/releases/{version}/manifest"
    content = repository.path_of(
        repository.look().targets(f"app.{publisher.app}")[name]
    ).read_bytes()
    publish(publisher, name, content, {"recalled": {"floor": floor}})


def test_a_recalled_release_is_left_for_an_older_one_but_never_below_its_floor(
    victim: Victim,
) -> None:
    publisher = victim.publisher
    publisher.add("1.5", {**OLD, "data": b"1.5"})
    publisher.release("2.0", NEW)
    assert victim.updater.update()
    offer(publisher, "1.5")
    assert not victim.updater.update()
    recall(publisher, "2.0", "1.5")
    offer(publisher, "1.0")
    assert not victim.updater.update()
    assert read_tree(victim.folder) == NEW
    offer(publisher, "2.0", "1.5", "1.0")
    done = victim.updater.update()
    assert done is not None
    assert (done.old, done.new) == ("2.0", "1.5")
    assert read_tree(victim.folder) == {**OLD, "data": b"1.5"}
    victim.recovers("1.5")


def test_a_repository_of_the_past_and_a_wiped_memory_of_metadata(
    victim: Victim, tmp_path: Path
) -> None:
    """Nothing older than what runs is ever installed, whatever was lost here."""
    publisher = victim.publisher
    past = shutil.copytree(publisher.folder, tmp_path / "past")
    publisher.release("2.0", NEW)
    assert victim.updater.update()
    state = victim.folder.parent / ".app.upswap"
    shutil.rmtree(state / "trust")
    (state / "seen.json").unlink()

    def of_the_past(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        place = past / path.relative_to(publisher.folder)
        handler.path = f"/../past/{place.relative_to(past)}"
        return False

    victim.misbehave = of_the_past
    assert not victim.updater.update()
    assert read_tree(victim.folder) == NEW
    victim.recovers("2.0")
