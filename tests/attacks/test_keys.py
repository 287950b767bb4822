"""What whoever holds the server, a mirror or a key makes clients read: nothing unsigned.

The parsers of what is downloaded are counted. JSON of metadata has to be read to find its
signatures, and is python-tuf's to read; everything else has a signed digest, and no parser sees
a byte before that was checked.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from patchtool.ceremonies.rotation import rotate
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Key, Metadata, MetaFile

from tests.support.attacks.hostile import newest, rewrite, right_signer
from tests.support.attacks.victim import NEW, Victim
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import send, served
from tests.support.trees.trees import Exe, Tree, read_tree
from updater.check.catalogue import ListedTarget, Listing
from updater.errors import TransportError, TrustError
from updater.format.encoding import lzma2, zstandard
from updater.format.head import Head
from updater.format.manifest import Manifest
from updater.format.patch_header import header
from updater.patch.delta import block
from updater.update.install_new import install

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


READ = Listing.read
KEPT = "what the State has kept"
EVIL: Tree = {"app": Exe(b"#!/bin/sh\necho evil\n"), "data": b"evil"}


@dataclass
class Reading:
    """What reached the parsers."""

    calls: list[str] = field(default_factory=list)
    """Their names, in order."""
    data: list[bytes] = field(default_factory=list)
    """The bytes they were given."""
    listed: set[str] = field(default_factory=set)
    """The digests of the targets that were listed."""

    def forget(self) -> None:
        """Count anew: the publisher of a test reads too."""
        self.calls.clear()
        self.data.clear()
        self.listed.clear()

    def read(self, listing: Listing, entries: Iterable[ListedTarget]) -> Any:
        """`Listing.read`, watched; without a URL it reads what the State has kept."""
        found = list(entries)
        self.calls.append("Listing" if listing._url else KEPT)
        self.listed |= {entry.sha256 for entry in found}
        return READ(listing, found)

    def noting(self, name: str, parse: Callable[..., Any]) -> Callable[..., Any]:
        """``parse``, watched."""

        @functools.wraps(parse)
        def watched(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            self.data += [bytes(a) for a in arguments if isinstance(a, bytes | memoryview)]
            return parse(*arguments, **named)

        return watched


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Watches every parser of what is downloaded, under each name it was imported by."""
    reading = Reading()
    for module, name in (
        (header, "decode_header"),
        (header, "header_length"),
        (block, "decode"),
        (lzma2, "unpack"),
        (lzma2, "unpacking"),
        (zstandard, "unpacking"),
    ):
        replace_everywhere(monkeypatch, getattr(module, name), reading)
    for owner, name in ((Manifest, "parse"), (Head, "parse")):
        parse = getattr(owner, name)
        monkeypatch.setattr(owner, name, reading.noting(owner.__name__, parse))

    def read(listing: Listing, entries: Iterable[ListedTarget]) -> Any:
        return reading.read(listing, entries)

    monkeypatch.setattr(Listing, "read", read)
    return reading


def replace_everywhere(
    monkeypatch: pytest.MonkeyPatch, parse: Callable[..., Any], reading: Reading
) -> None:
    watched = reading.noting(parse.__name__, parse)
    ours = [module for name, module in sys.modules.items() if name.startswith("updater")]
    for module in ours:
        for name, value in list(vars(module).items()):
            if value is parse:
                monkeypatch.setattr(module, name, watched)


def test_an_honest_update_is_what_is_counted(victim: Victim, reading: Reading) -> None:
    """The counters work: else all that follows would prove nothing."""
    victim.publisher.release("2.0", NEW)
    assert victim.updater.update()
    names = {"Head", "Listing", "decode_header", "header_length", "decode", "unpack", "Manifest"}
    assert names <= set(reading.calls)


def of_downloads(reading: Reading) -> list[str]:
    """The parsers that were called; what is the State's own is none of what is downloaded."""
    return [name for name in reading.calls if name not in {"Manifest", KEPT}]


def evil_twin(victim: Victim, tmp_path: Path) -> Publisher:
    """A repository of the same app and the same versions, with other keys and evil releases."""
    twin = Publisher(tmp_path / "twin", now=victim.publisher.now)
    twin.release("1.0", EVIL)
    twin.release("2.0", EVIL)
    return twin


def files_of(publisher: Publisher) -> list[Path]:
    return [path for path in publisher.folder.rglob("*") if path.is_file()]


def digests_of(publisher: Path) -> set[str]:
    """Of all targets in a publisher's folder."""
    found = publisher.glob("repository/targets/**/*.*")
    return {path.name.partition(".")[0] for path in found if path.is_file()}


def test_a_fully_hostile_server_is_parsed_no_further_than_its_signatures(
    victim: Victim, reading: Reading, tmp_path: Path
) -> None:
    """Everything it serves is well-formed, and signed by its own keys."""
    victim.publisher.release("2.0", NEW)
    twin = evil_twin(victim, tmp_path)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        place = twin.folder / path.relative_to(victim.publisher.folder)
        send(handler, *((200, place.read_bytes()) if place.is_file() else (404, b"")))
        return True

    victim.misbehave = misbehave
    reading.forget()
    victim.refuses(TrustError, 4)
    assert of_downloads(reading) == []
    assert not {path.read_bytes() for path in files_of(twin)} & set(reading.data)
    assert not digests_of(tmp_path / "twin") & reading.listed
    victim.recovers()


@pytest.mark.parametrize("padded", [False, True], ids=["as it is", "of the signed length"])
def test_a_hostile_mirror_of_honest_metadata_reaches_no_parser(
    padded: bool, victim: Victim, reading: Reading, tmp_path: Path
) -> None:
    """Metadata as published; every target is another one, well-formed."""
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    twin = evil_twin(victim, tmp_path)
    (evil,) = twin.folder.glob("targets/notes/releases/2.0/*.bundle")

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if "targets" not in path.parts:
            return False
        data = evil.read_bytes()
        send(handler, 200, data.ljust(path.stat().st_size, b"\0") if padded else data)
        return True

    victim.misbehave = misbehave
    reading.forget()
    length = len(evil.read_bytes())
    (patch,) = publisher.folder.glob("targets/notes/patches/*.1.0_2.0")
    is_short = not padded and length < patch.stat().st_size
    victim.refuses(*((TransportError, 3) if is_short else (TrustError, 4)))
    assert set(of_downloads(reading)) == {"Head", "Listing"}
    victim.recovers()


def test_a_mirror_that_changes_the_blocks_behind_an_honest_header(
    victim: Victim, reading: Reading
) -> None:
    """The header is read, for it is as signed; no block of the patch is."""
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    (patch,) = publisher.folder.glob("targets/notes/patches/*.1.0_2.0")
    target = publisher.repository().look().targets("app.notes")["notes/patches/1.0_2.0"]
    length = target.unrecognized_fields["custom"]["header"]["length"]
    honest = patch.read_bytes()
    patch.write_bytes(honest[:length] + bytes(len(honest) - length))
    for bundle in publisher.folder.glob("targets/notes/releases/2.0/*.bundle"):
        bundle.unlink()  # nothing else is to be decoded
    reading.forget()
    victim.refuses(TrustError, 4)
    assert "decode" not in reading.calls
    assert honest[:length] in reading.data
    patch.write_bytes(honest)
    victim.recovers()


def sign_online(publisher: Publisher, **versions: int) -> None:
    """What a stolen online key can do: name any versions of any roles."""
    publisher.repository().publish("channels.notes", [])

    def name(metadata: Metadata[Any]) -> None:
        for role, version in versions.items():
            metadata.signed.meta[f"{role}.notes.json"] = MetaFile(version)

    rewrite(newest(publisher, "snapshot"), name, right_signer(publisher, "snapshot"))


def evil_release(victim: Victim, tmp_path: Path, *signers: CryptoSigner) -> None:
    """An app role that lists an evil release of 2.0, under the next version; its files too."""
    publisher = victim.publisher
    twin = evil_twin(victim, tmp_path)
    shutil.copytree(twin.folder / "targets", publisher.folder / "targets", dirs_exist_ok=True)
    path = publisher.folder / "metadata/9.app.notes.json"
    shutil.copyfile(newest(twin, "app.notes"), path)

    def ninth(metadata: Metadata[Any]) -> None:
        metadata.signed.version = 9

    rewrite(path, ninth, *signers)


def ends(publisher: Publisher, honest: Path) -> None:
    """The theft: metadata from the backup, and another online key."""
    metadata = publisher.folder / "metadata"
    shutil.rmtree(metadata)
    shutil.copytree(honest, metadata)
    rotate(publisher.repository(), "online", at_once=True)


def test_a_stolen_online_key_signs_no_release(
    victim: Victim, reading: Reading, tmp_path: Path
) -> None:
    """It may sign the app's role, the snapshot that names it, and offer it: nothing is read."""
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    honest = shutil.copytree(publisher.folder / "metadata", tmp_path / "honest")
    evil_release(victim, tmp_path, right_signer(publisher, "snapshot"))
    sign_online(publisher, app=9)
    reading.forget()
    victim.refuses(TrustError, 4)
    assert of_downloads(reading) == []
    assert not digests_of(tmp_path / "twin") & reading.listed
    ends(publisher, honest)
    victim.recovers()


def test_a_stolen_online_key_delegates_no_release_to_itself(
    victim: Victim, reading: Reading, tmp_path: Path
) -> None:
    """Its own role may delegate: also to a role of the name of the app's, with its own key.

    A client that keeps verified roles by name alone takes that for the app's (python-tuf < 7.0.1).
    """
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    honest = shutil.copytree(publisher.folder / "metadata", tmp_path / "honest")
    thief = right_signer(publisher, "channels.notes")
    evil_release(victim, tmp_path, thief)
    sign_online(publisher, app=9)
    head: dict[str, Any] = {}

    def delegate(metadata: Metadata[Any]) -> None:
        head.update(metadata.signed.targets)
        metadata.signed.targets.clear()
        role = DelegatedRole("app.notes", [thief.public_key.keyid], 1, False, ["*", "*/*", "*/*/*"])
        keys: dict[str, Key] = {thief.public_key.keyid: thief.public_key}
        metadata.signed.delegations = Delegations(keys, {"app.notes": role})

    def with_head(metadata: Metadata[Any]) -> None:
        metadata.signed.targets.update(head)

    rewrite(newest(publisher, "channels.notes"), delegate, thief)
    rewrite(publisher.folder / "metadata/9.app.notes.json", with_head, thief)
    reading.forget()
    victim.refuses(TrustError, 4)
    assert of_downloads(reading) == []
    ends(publisher, honest)
    victim.recovers()


def test_a_stolen_online_key_can_offer_any_release_that_is_signed_and_no_other(
    victim: Victim,
) -> None:
    """The worst it does to who is up to date: nothing new, until its signatures expire."""
    publisher = victim.publisher
    publisher.add("1.5", NEW)
    publisher.release("2.0", NEW)
    assert victim.updater.update()
    publisher.promote("1.5")
    assert not victim.updater.update()
    publisher.now += 31 * 86_400
    with pytest.raises(TrustError, match="expired"):
        victim.updater.update()
    assert read_tree(victim.folder) == NEW


def test_a_stolen_release_key_alone_offers_nothing(
    victim: Victim, reading: Reading, tmp_path: Path
) -> None:
    """Who has it has no snapshot that names what it signs."""
    publisher = victim.publisher
    evil_release(victim, tmp_path, right_signer(publisher, "app.notes"))
    reading.forget()
    assert not victim.updater.update()
    assert "decode_header" not in reading.calls


@pytest.mark.parametrize("role", ["app.notes", "channels.notes", "timestamp", "snapshot"])
def test_a_stolen_key_of_one_role_signs_no_root(role: str, victim: Victim) -> None:
    """Nor do all that are not root's together."""
    publisher = victim.publisher
    publisher.release("2.0", NEW)
    thief = right_signer(publisher, role)
    others = [right_signer(publisher, name) for name in ("targets", "app.notes", "timestamp")]
    path = publisher.folder / "metadata/2.root.json"
    shutil.copyfile(publisher.folder / "metadata/1.root.json", path)

    def take_over(metadata: Metadata[Any]) -> None:
        metadata.signed.version = 2
        for name in metadata.signed.roles:
            metadata.signed.add_key(thief.public_key, name)

    rewrite(path, take_over, thief, *(o for o in others if o.public_key != thief.public_key))
    victim.refuses(TrustError, 4)
    path.unlink()
    victim.recovers()


def test_root_keys_below_the_threshold_sign_no_root(victim: Victim, tmp_path: Path) -> None:
    """One of two; the others' names are of no use without their keys."""
    publisher = Publisher(tmp_path / "two", now=victim.publisher.now, threshold=2)
    root = json.loads(publisher.root)
    assert root["signed"]["roles"]["root"]["threshold"] == 2
    thief = right_signer(publisher, "root")

    def take_over(metadata: Metadata[Any]) -> None:
        metadata.signed.version = 2
        metadata.signed.roles["root"].threshold = 1
        metadata.signed.roles["root"].keyids = [thief.public_key.keyid]

    path = publisher.folder / "metadata/2.root.json"
    path.write_bytes(publisher.root)
    rewrite(path, take_over, thief)
    publisher.release("1.0", NEW)
    with served(publisher.folder) as url, pytest.raises(TrustError):
        install(tmp_path / "app", url, publisher.root, "notes", session=victim.session)
    assert not (tmp_path / "app").exists()
    path.unlink()
    with served(publisher.folder) as url:
        install(tmp_path / "app", url, publisher.root, "notes", session=victim.session)
