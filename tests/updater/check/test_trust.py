"""Trust: what is not signed by who may sign it, for now and for this app, is not believed."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from patchtool.repository.targets import NewTarget
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from tests.support.attacks.hostile import (
    FORGERS,
    custom_of,
    edit_unsigned,
    message,
    newest,
    publish,
    raw_served,
    rewrite,
    right_signer,
    says,
    twice_signed,
)
from tests.support.paths import ROOT
from tests.support.repository.publisher import NOW, Publisher
from tests.support.repository.sessions import QUICK
from tests.support.servers.serving import misserved, send, served
from tests.support.trees.trees import Tree, read_tree
from updater.check.catalogue import Catalogue
from updater.check.trust import Trust
from updater.client import Updater
from updater.disk.durable import Disk
from updater.disk.lock import locked
from updater.errors import (
    FormatError,
    InstallError,
    TransportError,
    TrustError,
    UpdateInProgress,
    UpdaterError,
)
from updater.local.session import Session
from updater.net.http import HttpTransport
from updater.update.install_new import install

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


DAY = 86_400
ROLES = ["timestamp", "snapshot", "targets", "app.notes", "channels.notes"]
ONE: Tree = {"f": b"1"}
TWO: Tree = {"f": b"2"}
THREE: Tree = {"f": b"3"}


@pytest.fixture
def trust(tmp_path: Path) -> Callable[..., Catalogue]:
    """A client that knows nothing but the root, in its own folder."""

    def refresh(
        publisher: Publisher,
        url: str,
        *,
        app: str = "notes",
        channel: str = "stable",
        now: int | None = None,
    ) -> Catalogue:
        transport = HttpTransport(QUICK)
        try:
            folder, seen = tmp_path / "trust", tmp_path / "seen.json"
            client = Trust(folder, url, publisher.root, transport, seen=seen, config=QUICK)
            return client.refresh(app, channel, publisher.now if now is None else now)
        finally:
            transport.close()

    return refresh


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("forger", FORGERS)
def test_metadata_signed_by_others_is_refused_and_not_kept(
    role: str,
    forger: Callable[[Publisher, str], list[CryptoSigner]],
    tmp_path: Path,
    publisher: Publisher,
    session: Session,
    url: str,
) -> None:
    publisher.release("1.0", ONE)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    updater = Updater(tmp_path / "app", session)
    publisher.release("2.0", TWO)
    if role == "targets":
        publisher.repository().publish("targets", [])
    path = newest(publisher, role)
    honest = path.read_bytes()
    rewrite(path, lambda _: None, *forger(publisher, role))
    for _ in range(2):  # at the second try nothing that was refused is believed
        with pytest.raises(TrustError) as caught:
            updater.update()
        assert caught.value.exit_code == 4
        assert not caught.value.retryable
        assert read_tree(tmp_path / "app") == ONE
    path.write_bytes(honest)
    assert updater.update()
    assert read_tree(tmp_path / "app") == TWO


@pytest.mark.parametrize("role", ROLES)
def test_metadata_changed_after_signing_is_refused(
    role: str, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    later = {"expires": "2039-01-01T00:00:00Z"}
    edit_unsigned(newest(publisher, role), lambda document: document["signed"].update(later))
    with pytest.raises(TrustError):
        trust(publisher, url)


def test_another_spelling_of_the_same_signed_content_is_the_same(
    publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    """Signatures are over the canonical form; whoever re-indents changes nothing."""
    publisher.release("1.0", ONE)
    path = newest(publisher, "timestamp")
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=4))
    assert trust(publisher, url).head.entries[0].version == "1.0"


@pytest.mark.parametrize(
    "value",
    [0, -1, "1", 2**63, None, True, 1.5],
    ids=["0", "-1", "text", "huge", "null", "true", "float"],
)
def test_a_senseless_threshold_in_the_delegation_never_means_no_signature(
    value: object, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    """CVE-2026-23992; even signed by the targets key itself, it lets nothing unsigned in."""
    publisher.release("1.0", ONE)

    def weaken(document: Any) -> None:
        for role in document["signed"]["delegations"]["roles"]:
            role["threshold"] = value

    edit_unsigned(newest(publisher, "targets"), weaken)
    rewrite(newest(publisher, "app.notes"), lambda _: None)
    with pytest.raises(TrustError):
        trust(publisher, url)


def test_the_same_signature_twice_does_not_reach_a_threshold_of_two(
    publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    """CVE-2026-6966, GMS-2022-4197."""
    publisher.release("1.0", ONE)

    def two(metadata: Metadata[Any]) -> None:
        metadata.signed.delegations.roles["app.notes"].threshold = 2

    rewrite(newest(publisher, "targets"), two, right_signer(publisher, "targets"))
    edit_unsigned(newest(publisher, "app.notes"), twice_signed)
    with pytest.raises(TrustError):
        trust(publisher, url)


def copy_of(publisher: Publisher, folder: Path) -> Path:
    """The metadata as it is now, to be replayed."""
    return Path(shutil.copytree(publisher.folder / "metadata", folder))


def replay(publisher: Publisher, role: str, past: Path) -> None:
    """Serve a role's past content under its present name."""
    present = newest(publisher, role)
    names = sorted(past.glob(f"*{role}.json"), key=lambda path: path.stat().st_mtime_ns)
    present.write_bytes(names[-1].read_bytes())


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "app.notes", "channels.notes"])
def test_replayed_metadata_is_refused(
    role: str, tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", ONE)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    updater = Updater(tmp_path / "app", session)
    past = copy_of(publisher, tmp_path / "past")
    publisher.release("2.0", TWO)
    if role == "timestamp":
        updater.update()
        publisher.release("3.0", THREE)
    before = read_tree(tmp_path / "app")
    honest = newest(publisher, role).read_bytes()
    replay(publisher, role, past)
    publisher.now += 2 * 86_400  # no cache is behind for so long
    with pytest.raises(TrustError):
        updater.update()
    assert read_tree(tmp_path / "app") == before
    newest(publisher, role).write_bytes(honest)
    assert updater.update()


def test_a_whole_repository_put_back_to_its_past_is_refused(
    tmp_path: Path, publisher: Publisher, session: Session
) -> None:
    publisher.release("1.0", ONE)
    past = shutil.copytree(publisher.folder, tmp_path / "past")
    publisher.release("2.0", TWO)
    with served(publisher.folder) as url:
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
    shutil.rmtree(publisher.folder)
    shutil.copytree(past, publisher.folder)
    publisher.now += 2 * 86_400  # no cache is behind for so long
    with served(publisher.folder) as url:
        settings = tmp_path / ".app.upswap/install.json"
        document = json.loads(settings.read_bytes())
        text = json.dumps({**document, "url": url}, sort_keys=True, separators=(",", ":"))
        settings.write_text(text + "\n")
        with pytest.raises(TrustError):
            Updater(tmp_path / "app", session).update()
    assert read_tree(tmp_path / "app") == TWO


def settle(publisher: Publisher, folder: Path, session: Session, url: str) -> Path:
    """An install that has seen 2.0, and the metadata of before."""
    publisher.release("1.0", ONE)
    past = copy_of(publisher, folder / "past")
    publisher.now += 3 * 86_400
    publisher.release("2.0", TWO)
    install(folder / "app", url, publisher.root, "notes", session=session)
    return past


@pytest.mark.parametrize("wiped", [False, True], ids=["", "metadata lost"])
@pytest.mark.parametrize("later", [0, 3600, 86_400])
def test_a_cache_that_is_behind_is_asked_again_and_told_as_that_and_never_believed(
    later: int, wiped: bool, tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    past = settle(publisher, tmp_path, session, url)
    honest = copy_of(publisher, tmp_path / "honest")
    shutil.copytree(past, publisher.folder / "metadata", dirs_exist_ok=True)
    publisher.now += later
    if wiped:
        shutil.rmtree(tmp_path / ".app.upswap/trust")
    updater = Updater(tmp_path / "app", session)
    for _ in range(2):
        with pytest.raises(TransportError, match="older state") as caught:
            updater.update()
        assert caught.value.retryable
        assert caught.value.exit_code == 3
        assert "try again" in caught.value.hint
    assert read_tree(tmp_path / "app") == TWO
    shutil.copytree(honest, publisher.folder / "metadata", dirs_exist_ok=True)
    assert updater.check() is None


def test_an_edge_that_catches_up_between_two_tries_is_not_noticed(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    past = settle(publisher, tmp_path, session, url)
    asked: list[Path] = []

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if path.name != "timestamp.json" or asked:
            return False
        asked.append(path)
        send(handler, 200, (past / "timestamp.json").read_bytes())
        return True

    with misserved(publisher.folder, misbehave) as edge:
        settings = tmp_path / ".app.upswap/install.json"
        document = json.loads(settings.read_bytes())
        text = json.dumps({**document, "url": edge}, sort_keys=True, separators=(",", ":"))
        settings.write_text(text + "\n")
        assert Updater(tmp_path / "app", session).check() is None
    assert asked


def test_after_a_day_it_is_told_as_an_attack(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    past = settle(publisher, tmp_path, session, url)
    shutil.copytree(past, publisher.folder / "metadata", dirs_exist_ok=True)
    publisher.now += 86_401
    with pytest.raises(TrustError, match="must be >="):
        Updater(tmp_path / "app", session).update()


@pytest.mark.parametrize("forged", ["another's key", "expired"])
def test_only_what_is_signed_and_holds_is_called_a_cache(
    forged: str, tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    past = settle(publisher, tmp_path, session, url)
    if forged == "expired":

        def age(metadata: Metadata[Any]) -> None:
            metadata.signed.expires -= dt.timedelta(days=8)

        rewrite(past / "timestamp.json", age, right_signer(publisher, "timestamp"))
    else:
        rewrite(past / "timestamp.json", lambda _: None)
    shutil.copyfile(past / "timestamp.json", publisher.folder / "metadata/timestamp.json")
    with pytest.raises(TrustError):
        Updater(tmp_path / "app", session).update()


def test_a_snapshot_older_than_seen_is_refused_though_the_online_key_signed_it(
    publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    publisher.release("2.0", TWO)

    def back(metadata: Metadata[Any]) -> None:
        metadata.signed.version += 1
        metadata.signed.snapshot_meta.version -= 1

    assert trust(publisher, url).head.entries[0].version == "2.0"
    key = right_signer(publisher, "timestamp")
    rewrite(publisher.folder / "metadata/timestamp.json", back, key)
    with pytest.raises(TrustError):
        trust(publisher, url)


def test_an_app_role_older_than_seen_is_refused_though_the_online_key_signed_the_snapshot(
    publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    publisher.release("2.0", TWO)
    trust(publisher, url)
    publisher.repository().publish("channels.notes", [])

    def back(metadata: Metadata[Any]) -> None:
        metadata.signed.meta["app.notes.json"].version -= 1

    rewrite(newest(publisher, "snapshot"), back, right_signer(publisher, "snapshot"))
    with pytest.raises(TrustError):
        trust(publisher, url)


LIVES = {"timestamp": 7, "snapshot": 30, "channels.notes": 30, "app.notes": 365, "targets": 730}


def keep_fresh(publisher: Publisher, expiring: str, days: int) -> None:
    """Sign everything again in ``days``, but for one role."""
    metadata = publisher.folder / "metadata"
    publisher.now += days * DAY
    if expiring in {"app.notes", "targets"}:
        publisher.repository().publish("channels.notes", [])
    if expiring in {"channels.notes", "targets"}:
        publisher.repository().publish("app.notes", [])
    if expiring == "snapshot":

        def longer(signed: Metadata[Any]) -> None:
            moment = dt.datetime.fromtimestamp(publisher.now + DAY, dt.timezone.utc)
            signed.signed.expires = moment
            signed.signed.version += 1

        rewrite(metadata / "timestamp.json", longer, right_signer(publisher, "timestamp"))


@pytest.mark.parametrize("role", LIVES)
def test_an_expired_signature_is_told_as_that_and_not_as_an_attack(
    role: str, tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", ONE)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    updater = Updater(tmp_path / "app", session)
    keep_fresh(publisher, role, LIVES[role] - 1)
    assert not updater.update()
    keep_fresh(publisher, role, 2)
    with pytest.raises(TrustError, match="expired") as caught:
        updater.update()
    assert "clock" in caught.value.hint
    assert "no attack" in caught.value.hint
    publisher.repository().publish("channels.notes", [])
    publisher.repository().publish("app.notes", [])
    if role != "targets":
        assert not updater.update()
    assert updater.status().version == "1.0"


@pytest.mark.parametrize("now", [1_769_000_000, 4_000_000_000], ids=["2026", "2096"])
def test_our_clock_decides_what_has_expired_and_no_other(
    now: int, tmp_path: Path, trust: Callable[..., Catalogue]
) -> None:
    """Fails if python-tuf moves its private reference time, or asks the machine's clock."""
    publisher = Publisher(tmp_path / "publisher", now=now)
    publisher.release("1.0", ONE)
    with served(publisher.folder) as url:
        assert trust(publisher, url).releases
        assert trust(publisher, url, now=now + 6 * DAY).releases
        with pytest.raises(TrustError, match="expired"):
            trust(publisher, url, now=now + 8 * DAY)
        assert trust(publisher, url).releases


@pytest.mark.parametrize("now", [253_402_300_800, 2**62])
def test_a_clock_that_is_thousands_of_years_ahead_is_told_as_that(
    now: int, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    with pytest.raises(TrustError, match="expired") as caught:
        trust(publisher, url, now=now)
    assert "it says 9999-12-31" in caught.value.hint
    assert trust(publisher, url).releases


PAGE = b"<!DOCTYPE html><html><body>Welcome to the hotel</body></html>"


@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        b"\n\n  " + PAGE,
        b"",
        b"ok",
        b"\xff\xfe\x00{",
        b"{",
        b'{"signatures": [',
        b'{"signed": "\xff"}',
        b"[1, 2]",
    ],
)
@pytest.mark.parametrize("names", ["all", "app.notes"])
def test_a_login_page_or_garbage_is_the_network_and_no_attack(
    names: str, body: bytes, tmp_path: Path, publisher: Publisher, session: Session
) -> None:
    publisher.release("1.0", ONE)
    portal = True

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if not portal or (names != "all" and names not in path.name):
            return False
        send(handler, 200, body)
        return True

    with misserved(publisher.folder, misbehave) as url:
        portal = False
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
        updater = Updater(tmp_path / "app", session)
        publisher.release("2.0", TWO)
        portal = True
        for _ in range(2):
            with pytest.raises(TransportError) as caught:
                updater.update()
            assert (caught.value.exit_code, caught.value.retryable) == (3, True)
            assert caught.value.hint
        assert read_tree(tmp_path / "app") == ONE
        portal = False
        assert updater.update()


@pytest.mark.parametrize("status", [302, 401, 403, 404, 500, 503])
def test_a_server_that_refuses_metadata_is_the_network(
    status: int, publisher: Publisher, trust: Callable[..., Catalogue]
) -> None:
    with raw_served(says(message(status))) as server, pytest.raises(TransportError) as caught:
        trust(publisher, server.url)
    assert caught.value.exit_code == 3


def test_trouble_that_passes_while_metadata_is_fetched_is_not_told(
    publisher: Publisher, trust: Callable[..., Catalogue]
) -> None:
    publisher.release("1.0", ONE)
    asked: set[str] = set()

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        first = path.name not in asked
        asked.add(path.name)
        if first:
            send(handler, 503, b"busy")
        return first

    with misserved(publisher.folder, misbehave) as url:
        assert trust(publisher, url).releases
    assert "timestamp.json" in asked


def test_metadata_that_breaks_off_is_the_network(
    publisher: Publisher, trust: Callable[..., Catalogue]
) -> None:
    publisher.release("1.0", ONE)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if "timestamp" in path.name:
            data = path.read_bytes()
            send(handler, 200, data[:100], Content_Length=str(len(data)))
            handler.close_connection = True
        return "timestamp" in path.name

    with misserved(publisher.folder, misbehave) as url, pytest.raises(TransportError):
        trust(publisher, url)


def test_endless_metadata_ends(publisher: Publisher, trust: Callable[..., Catalogue]) -> None:
    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if "timestamp" not in path.name:
            return False
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"{")
        try:
            while True:
                handler.wfile.write(b" " * 65536)
        except OSError:
            handler.close_connection = True
        return True

    with misserved(publisher.folder, misbehave) as url, pytest.raises(TransportError):
        trust(publisher, url)


def nested(depth: int) -> bytes:
    return b'{"signed": ' + b"[" * depth + b"]" * depth + b', "signatures": []}'


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"signed": 1, "signatures": []}',
        b'{"signed": {}, "signatures": []}',
        nested(3000),
        b'{"signed": ' + b"9" * 10_000 + b', "signatures": []}',
        b'{"signed": NaN, "signatures": []}',
        b'{"signed": {"_type": "timestamp", "_type": "root"}, "signatures": []}',
    ],
    ids=["empty", "number", "object", "nested", "digits", "nan", "twice"],
)
def test_json_that_is_no_metadata_is_an_error_of_ours(
    data: bytes, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    (publisher.folder / "metadata/timestamp.json").write_bytes(data)
    with pytest.raises((TrustError, TransportError)):
        trust(publisher, url)


@pytest.mark.parametrize("key", ["_type", "version", "spec_version", "expires", "meta"])
def test_metadata_without_a_field_or_with_a_senseless_one_is_refused(
    key: str, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    path = publisher.folder / "metadata/timestamp.json"
    honest = json.loads(path.read_bytes())
    values: list[object] = [-1, 1.5, "x", [], {}]
    missing = {name: value for name, value in honest["signed"].items() if name != key}
    for signed in (missing, *({**missing, key: value} for value in values)):
        path.write_text(json.dumps({**honest, "signed": signed}))
        with pytest.raises(TrustError):
            trust(publisher, url)


@pytest.mark.parametrize("damage", [b"", b"{}", PAGE, b"\x00" * 500, b'{"signed":{}}'])
def test_a_root_that_is_none_is_not_blamed_on_the_network(
    damage: bytes, tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    with pytest.raises(TrustError, match=r"root\.json") as caught:
        install(tmp_path / "app", url, damage, "notes", session=session)
    assert "publisher" in caught.value.hint
    assert not (tmp_path / "app").exists()
    assert not (tmp_path / ".app.upswap").exists()


def test_a_root_of_somebody_else_is_refused(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", ONE)
    other = Publisher(tmp_path / "other")
    with pytest.raises(TrustError):
        install(tmp_path / "app", url, other.root, "notes", session=session)


@pytest.mark.parametrize(
    ("app", "channel"), [("notes", "beta"), ("other", "stable"), ("notes2", "stable")]
)
def test_an_unknown_app_or_channel_is_told_by_name(
    app: str, channel: str, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    with pytest.raises(InstallError) as caught:
        trust(publisher, url, app=app, channel=channel)
    assert app in str(caught.value)
    assert channel in str(caught.value)
    assert caught.value.hint


def without_role(metadata: Metadata[Any]) -> None:
    del metadata.signed.delegations.roles["app.notes"]


def for_other_paths(metadata: Metadata[Any]) -> None:
    metadata.signed.delegations.roles["app.notes"].paths = ["other/*"]


def behind_the_last_word(metadata: Metadata[Any]) -> None:
    """A role before it has its paths, and whoever asks goes no further."""
    roles = metadata.signed.delegations.roles
    roles["channels.notes"].paths.append("notes/patches/*")
    roles["channels.notes"].terminating = True
    roles["app.notes"] = roles.pop("app.notes")


@pytest.mark.parametrize("taken_back", [without_role, for_other_paths, behind_the_last_word])
def test_an_app_whose_delegation_was_taken_back_is_refused(
    taken_back: Callable[[Metadata[Any]], None],
    publisher: Publisher,
    trust: Callable[..., Catalogue],
    url: str,
) -> None:
    """What was believed of it before proves nothing."""
    publisher.release("1.0", ONE)
    trust(publisher, url)
    publisher.repository().publish("targets", [])
    rewrite(newest(publisher, "targets"), taken_back, right_signer(publisher, "targets"))
    with pytest.raises(InstallError):
        trust(publisher, url)


HEADER = {"length": 10, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"surprise": 1}, "surprise"),
        ({"header": None}, "header"),
        ({"header": {}}, "length"),
        ({"header": {**HEADER, "more": 1}}, "more"),
        ({"header": {**HEADER, "length": 0, "sha256": "0" * 63}}, "SHA-256"),
        ({"header": {**HEADER, "sha256": "A" * 64}}, "SHA-256"),
        ({"header": {**HEADER, "length": "10"}}, "length"),
        ({"header": {**HEADER, "length": -1}}, "length"),
        ({"header": {**HEADER, "length": 1 << 20}}, "length"),
        ({"write_bytes": True}, "write_bytes"),
        ({"write_bytes": "1"}, "write_bytes"),
        ({"write_bytes": -1}, "write_bytes"),
        ({"write_bytes": 1 << 62}, "write_bytes"),
        ({"scratch_bytes": None}, "scratch_bytes"),
        ({"scratch_bytes": []}, "scratch_bytes"),
    ],
)
@pytest.mark.parametrize("name", ["releases/1.0/bundle", "patches/1.0_2.0"])
def test_what_is_said_of_a_patch_has_a_closed_schema(
    name: str,
    change: dict[str, Any],
    where: str,
    publisher: Publisher,
    trust: Callable[..., Catalogue],
    url: str,
) -> None:
    publisher.release("1.0", ONE)
    custom = custom_of(publisher, "notes/releases/1.0/bundle") | change
    publish(
        publisher, f"notes/{name}", b"x" * 1000, {k: v for k, v in custom.items() if v is not None}
    )
    with pytest.raises(FormatError, match=where) as caught:
        trust(publisher, url)
    assert f"notes/{name.replace('1.0/bundle', '1.0')}" in caught.value.context


@pytest.mark.parametrize(
    ("custom", "where"),
    [
        ({"surprise": 1}, "surprise"),
        ({"stop": 1}, "stop"),
        ({"required": "yes"}, "required"),
        ({"min_updater": 1}, "min_updater"),
        ({"min_updater": ""}, "min_updater"),
        ({"min_updater": "soon"}, "min_updater"),
        ({"confirm": {}}, "confirm"),
        ({"confirm": {"mode": "maybe", "seconds": 1, "starts": 1}}, "confirm"),
        ({"recalled": True}, "recalled"),
        ({"recalled": {}}, "recalled"),
        ({"recalled": {"floor": 1}}, "recalled.floor"),
        ({"recalled": {"floor": "x"}}, "recalled.floor"),
        ({"recalled": {"floor": "1.0.post1"}}, "recalled.floor"),
        ({"recalled": {"floor": "0.9", "why": "?"}}, "why"),
        ([1], "object"),
    ],
)
def test_what_is_said_of_a_release_has_a_closed_schema(
    custom: Any, where: str, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    publish(publisher, "notes/releases/1.0/manifest", b"{}", custom)
    with pytest.raises(FormatError, match=where) as caught:
        trust(publisher, url)
    assert "notes/releases/1.0" in str(caught.value)


def test_what_is_said_of_a_release_is_what_comes_out(
    publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    confirm = {"mode": "app", "seconds": 30, "starts": 2}
    said = {"stop": True, "required": True, "min_updater": "0.0.1", "confirm": confirm}
    publish(publisher, "notes/releases/1.0/manifest", b"{}", {**said, "recalled": {"floor": "0.9"}})
    release = trust(publisher, url).releases["1.0"]
    assert (release.stop, release.required, release.min_updater) == (True, True, "0.0.1")
    assert (release.confirm.mode, release.confirm.seconds, release.confirm.starts) == ("app", 30, 2)
    assert release.floor == "0.9"
    assert release.manifest.url.startswith(f"{url}/targets/notes/releases/1.0/")


@pytest.mark.parametrize(
    "name",
    ["releases/1.0+local/manifest", "releases/1.00/manifest", "patches/1.0_x"],
)
def test_a_version_in_another_spelling_is_refused(
    name: str, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    targets = NewTarget.of(f"notes/{name}", b"x", {})
    publisher.repository().publish("app.notes", [targets])
    with pytest.raises(FormatError, match="refused"):
        trust(publisher, url)


def test_targets_of_another_app_signed_by_this_one_count_for_nothing(
    publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    custom = custom_of(publisher, "notes/releases/1.0/bundle")
    publish(publisher, "other/releases/9.0/bundle", b"x" * 1000, custom)
    publish(publisher, "other/releases/9.0/manifest", b"{}", {})
    publish(publisher, "other/patches/1.0_9.0", b"x" * 1000, custom)
    publish(publisher, "notes/else/9.0/manifest", b"{}", {"?": 1})
    found = trust(publisher, url)
    assert (set(found.releases), set(found.patches)) == ({"1.0"}, set())


@pytest.mark.parametrize("key", ["app", "channel"])
def test_the_head_of_another_app_or_channel_is_refused(
    key: str, publisher: Publisher, trust: Callable[..., Catalogue]
) -> None:
    publisher.release("1.0", ONE)
    repository = publisher.repository()
    name = "notes/channels/stable"
    head = dict(repository.look().targets("channels.notes")[name].unrecognized_fields["custom"])
    for value, match in (("other", "head of"), ("UPPER", "refused"), (1, key)):
        publisher.repository().publish(
            "channels.notes", [NewTarget.of(name, b"", {**head, key: value})]
        )
        with served(publisher.folder) as url, pytest.raises(FormatError, match=match):
            trust(publisher, url)


def test_the_kill_trap_of_a_missing_root_link_is_none(
    tmp_path: Path, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    """faults P1: killed between remove and symlink; for ever without the embedded root."""
    publisher.release("1.0", ONE)
    trust(publisher, url)
    (tmp_path / "trust/root.json").unlink()
    assert trust(publisher, url).releases
    assert (tmp_path / "trust/root.json").exists()


@pytest.mark.parametrize("left", [b"", b"\x00" * 300, b'{"signed": {"_ty'])
def test_metadata_files_that_a_power_cut_emptied_are_fetched_again(
    left: bytes, tmp_path: Path, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    trust(publisher, url)
    files = [path for path in (tmp_path / "trust").rglob("*.json") if not path.is_symlink()]
    assert len(files) == 6
    for path in files:
        path.write_bytes(left)
    assert trust(publisher, url).releases
    assert all(path.stat().st_size > len(left) for path in files)


def test_what_a_killed_refresh_was_writing_is_removed_by_the_next(
    tmp_path: Path, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    trust(publisher, url)
    (tmp_path / "trust/tmp0123abcd").write_bytes(b"half of a timest")
    (tmp_path / "trust/tmp.json").write_bytes(b"the name of a role, none of python-tuf's")
    assert trust(publisher, url).releases
    assert [path.name for path in (tmp_path / "trust").glob("tmp*")] == ["tmp.json"]


def test_the_metadata_folder_is_harmless_to_lose(
    tmp_path: Path, publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    trust(publisher, url)
    shutil.rmtree(tmp_path / "trust")
    assert trust(publisher, url).releases


@pytest.mark.parametrize(
    ("wiped", "words"), [("trust", "was seen here"), ("downloads", "refused"), ("old", "refused")]
)
def test_a_wiped_folder_of_the_state_installs_nothing_older_than_what_runs(
    wiped: str, words: str, tmp_path: Path, publisher: Publisher, session: Session
) -> None:
    publisher.release("1.0", ONE)
    past = shutil.copytree(publisher.folder, tmp_path / "past")
    publisher.release("2.0", TWO)
    old: dict[str, bool] = {"served": False}

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        place = past / path.relative_to(publisher.folder)
        if old["served"]:
            exists = place.is_file()
            send(handler, 200 if exists else 404, place.read_bytes() if exists else b"")
        return old["served"]

    with misserved(publisher.folder, misbehave) as url:
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
        shutil.rmtree(tmp_path / ".app.upswap" / wiped, ignore_errors=wiped != "trust")
        old["served"] = True
        publisher.now += 2 * 86_400  # no cache is behind for so long
        for _ in range(2):
            with pytest.raises(TrustError, match=words):
                Updater(tmp_path / "app", session).update()
        old["served"] = False
        assert not Updater(tmp_path / "app", session).update()
    assert read_tree(tmp_path / "app") == TWO


def test_metadata_is_durable_before_it_is_used(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    synced: list[str] = []

    class Noting(Disk):
        def sync_file(self, path: Path) -> None:
            synced.append(path.name)
            super().sync_file(path)

    publisher.release("1.0", ONE)
    transport = HttpTransport(QUICK)
    folder = tmp_path / "trust"
    seen = tmp_path / "seen.json"
    trust = Trust(folder, url, publisher.root, transport, seen=seen, disk=Noting())
    trust.refresh("notes", "stable", NOW)
    transport.close()
    expected = {f"{role}.json" for role in (*ROLES, "1.root")} | {"trust", "root_history"}
    assert expected <= set(synced)


REFRESH = """
import sys
from pathlib import Path
from tests.support.repository.sessions import QUICK
from updater.net.http import HttpTransport
from updater.check.trust import Trust
folder, url, root, now = sys.argv[1:]
for _ in range(5):
    seen = Path(folder).with_name("seen.json")
    trust = Trust(Path(folder), url, Path(root).read_bytes(), HttpTransport(QUICK), seen=seen)
    print(len(trust.refresh("notes", "stable", int(now)).releases))
"""


def environment(**extra: str) -> dict[str, str]:
    path = os.pathsep.join(str(ROOT / name) for name in ("", "tools", "tests"))
    return {**os.environ, "PYTHONPATH": path, **extra}


def test_six_processes_may_refresh_one_folder_at_once(
    tmp_path: Path, publisher: Publisher, url: str
) -> None:
    """faults P2: the plain library dies of it, one time in eight."""
    publisher.release("1.0", ONE)
    root = tmp_path / "root.json"
    root.write_bytes(publisher.root)
    arguments = [str(tmp_path / "trust"), url, str(root), str(NOW)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REFRESH, *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    ended = [process.communicate(timeout=60) for process in processes]
    assert ended == [("1\n" * 5, "")] * 6


def test_a_refresh_that_never_ends_is_not_waited_for_for_ever(
    tmp_path: Path, publisher: Publisher
) -> None:
    folder = tmp_path / "trust"
    folder.mkdir()
    config = type(QUICK)(trust_lock_timeout=0.2)
    transport, seen = HttpTransport(config), tmp_path / "seen.json"
    url = "http://127.0.0.1:1"
    trust = Trust(folder, url, publisher.root, transport, seen=seen, config=config)
    before = time.monotonic()
    with locked(folder / ".lock", "testing"), pytest.raises(UpdateInProgress, match="testing"):
        trust.refresh("notes", "stable", NOW)
    assert 0.2 <= time.monotonic() - before < 5


WITHOUT_CRYPTOGRAPHY = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"cryptography", "nacl"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from updater.cli.commands import main
code = main(sys.argv[1:])
assert "cryptography" not in sys.modules
sys.exit(code)
"""


def test_the_client_needs_no_cryptography_library(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "publisher", now=int(time.time()))
    publisher.release("1.0", ONE)
    root = tmp_path / "root.json"
    root.write_bytes(publisher.root)
    app = str(tmp_path / "app")

    def run(*arguments: str) -> int:
        line = [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY, *arguments]
        done = subprocess.run(line, env=environment(), capture_output=True, timeout=60, check=False)
        return done.returncode

    with served(publisher.folder) as url:
        assert run("install", "--url", url, "--root", str(root), "--app", "notes", app) == 0
        publisher.release("2.0", TWO)
        assert run("check", "--dir", app) == 0
        assert run("update", "--dir", app) == 0
        assert read_tree(tmp_path / "app") == TWO
        publisher.release("3.0", THREE)
        rewrite(publisher.folder / "metadata/timestamp.json", lambda _: None)
        assert run("update", "--dir", app) == 4  # a check that cannot be made does not pass


def test_the_root_may_be_rotated(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    """By its own rules: a new one signed by the old; one signed by itself alone is refused."""
    publisher.release("1.0", ONE)
    key = CryptoSigner.generate_ed25519()
    folder = publisher.folder / "metadata"

    def rotate(metadata: Metadata[Any]) -> None:
        metadata.signed.version += 1
        metadata.signed.add_key(key.public_key, "root")
        metadata.signed.revoke_key(right_signer(publisher, "root").public_key.keyid, "root")

    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    updater = Updater(tmp_path / "app", session)
    (folder / "2.root.json").write_bytes((folder / "1.root.json").read_bytes())
    for signers in ([key], [right_signer(publisher, "root")]):
        rewrite(folder / "2.root.json", rotate, *signers)
        with pytest.raises(TrustError):
            updater.update()
        (folder / "2.root.json").write_bytes((folder / "1.root.json").read_bytes())
    rewrite(folder / "2.root.json", rotate, key, right_signer(publisher, "root"))
    publisher.release("2.0", TWO)
    assert updater.update()
    assert (
        json.loads((tmp_path / ".app.upswap/trust/root.json").read_bytes())["signed"]["version"]
        == 2
    )


def test_every_refusal_says_nothing_was_installed_or_whom_to_ask(
    publisher: Publisher, trust: Callable[..., Catalogue], url: str
) -> None:
    publisher.release("1.0", ONE)
    rewrite(publisher.folder / "metadata/timestamp.json", lambda _: None)
    with pytest.raises(UpdaterError) as caught:
        trust(publisher, url)
    assert "nothing was installed" in caught.value.hint
    assert url in str(caught.value)
