"""What was seen is not unseen: by a stolen online key, a wiped folder, a wrong clock or a kill."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patchtool.keys.signing_keys import Keys
from patchtool.repository.targets import NewTarget
from tuf.api.metadata import Metadata

from tests.support.attacks.hostile import newest, rewrite, right_signer, roll_back
from tests.support.crash.crash_disk import FaultyDisk, Killed
from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.repository.sessions import QUICK, quick_session
from tests.support.servers.serving import served
from tests.support.trees.trees import Tree, read_tree
from updater.check.catalogue import Catalogue
from updater.check.trust import Trust
from updater.check.watermarks import KEYS_MOST, Watermark, Watermarks, read_watermarks
from updater.cli.commands import main
from updater.client import Updater
from updater.disk.durable import Disk
from updater.errors import FormatError, InstallError, TrustError
from updater.format.encoding.canonical import encode
from updater.local.session import Session
from updater.net.http import HttpTransport
from updater.update.install_new import install
from updater.version import BUILT

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


DAY = 86_400
ONE: Tree = {"f": b"1"}
TWO: Tree = {"f": b"2"}
THREE: Tree = {"f": b"3"}


class Client:
    """A client's memory, and the publisher it belongs to."""

    def __init__(self, folder: Path, publisher: Publisher, url: str) -> None:
        self.folder = folder
        self.seen = folder / "seen.json"
        self.trust = folder / "trust"
        self._publisher = publisher
        self._root = publisher.root
        self._url = url

    def look(self, *, now: int | None = None, disk: Disk | None = None) -> Catalogue:
        """Refresh, as it is at the publisher's time."""
        transport = HttpTransport(QUICK)
        self.folder.mkdir(exist_ok=True)
        trust = Trust(
            self.trust, self._url, self._root, transport, seen=self.seen, config=QUICK, disk=disk
        )
        try:
            return trust.refresh("notes", "stable", self._publisher.now if now is None else now)
        finally:
            transport.close()


@pytest.fixture
def client(tmp_path: Path, publisher: Publisher) -> Iterator[Client]:
    publisher.release("1.0", ONE)
    with served(publisher.folder) as url:
        yield Client(tmp_path / "client", publisher, url)


def wipe_all(client: Client) -> None:
    shutil.rmtree(client.trust)


def lose_snapshot(client: Client) -> None:
    (client.trust / "snapshot.json").unlink()


@pytest.mark.parametrize("lose", [lose_snapshot, wipe_all])
def test_a_stolen_online_key_rolls_no_release_back_whatever_tuf_forgot(
    lose: Callable[[Client], None], client: Client, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.release("2.0", TWO)
    assert set(client.look().releases) == {"1.0", "2.0"}
    honest = shutil.copytree(publisher.folder, tmp_path / "honest")
    lose(client)
    roll_back(publisher)
    for _ in range(2):
        with pytest.raises(TrustError, match=r"app role is offered, 3 was seen") as caught:
            client.look()
        assert "online key" in caught.value.hint
    shutil.rmtree(publisher.folder)
    shutil.copytree(honest, publisher.folder)
    publisher.release("3.0", THREE)
    assert set(client.look().releases) == {"1.0", "2.0", "3.0"}


def test_without_our_memory_the_same_attack_succeeds(client: Client, publisher: Publisher) -> None:
    """The attack is a real one: this is what plain python-tuf believes."""
    publisher.release("2.0", TWO)
    client.look()
    lose_snapshot(client)
    client.seen.unlink()
    roll_back(publisher)
    assert set(client.look().releases) == {"1.0"}


def test_what_was_refused_does_not_keep_the_honest_repository_out(
    client: Client, publisher: Publisher, tmp_path: Path
) -> None:
    """CVE-2025-2888: the attacker's timestamp has a higher version than the honest one."""
    publisher.release("2.0", TWO)
    client.look()
    honest = shutil.copytree(publisher.folder, tmp_path / "honest")
    lose_snapshot(client)
    roll_back(publisher)
    with pytest.raises(TrustError):
        client.look()
    shutil.copytree(honest, publisher.folder, dirs_exist_ok=True)
    (newest(publisher, "snapshot")).unlink()
    assert set(client.look().releases) == {"1.0", "2.0"}


def rekey(publisher: Publisher, folder: Path, *, version: int) -> None:
    """Delegate the app to a new key, whose first metadata has ``version``."""
    old = right_signer(publisher, "app.notes").public_key.keyid
    Keys(folder, PASSWORD).make_missing(threshold=1)
    (folder / "release.pem").replace(publisher.keys.folder / "release.pem")
    new = right_signer(publisher, "app.notes")
    repository = publisher.repository()
    repository.publish("targets", [])

    def delegate(metadata: Metadata[Any]) -> None:
        metadata.signed.revoke_key(old, "app.notes")
        metadata.signed.add_key(new.public_key, "app.notes")

    rewrite(newest(publisher, "targets"), delegate, right_signer(publisher, "targets"))
    target = publisher.folder / f"metadata/{version}.app.notes.json"
    target.write_bytes(newest(publisher, "app.notes").read_bytes())

    def again(metadata: Metadata[Any]) -> None:
        metadata.signed.version = version

    rewrite(target, again, new)


def test_new_keys_of_the_app_begin_a_new_count(
    client: Client, publisher: Publisher, tmp_path: Path
) -> None:
    """A stolen release key may have signed version 2^31; its successor need not go beyond."""
    publisher.release("2.0", TWO)
    client.look()
    before = read_watermarks(client.seen).app
    rekey(publisher, tmp_path / "new", version=1)
    roll_back(publisher, by=2)
    wipe_all(client)
    client.look()
    after = read_watermarks(client.seen).app
    assert (before.value, after.value) == (3, 1)
    assert before.keys != after.keys


def test_old_delegations_do_not_bring_the_old_keys_back(
    client: Client, publisher: Publisher, tmp_path: Path
) -> None:
    """Else the keys would change, and the memory of the app with them."""
    publisher.release("2.0", TWO)
    rekey(publisher, tmp_path / "new", version=4)
    roll_back(publisher, by=-1)
    client.look()
    wipe_all(client)
    roll_back(publisher, "targets")
    roll_back(publisher)
    with pytest.raises(TrustError, match="targets role"):
        client.look()


DAMAGED = [b"", b"{", b"\x00" * 200, b'{"format":1}\n', encode({"format": 2}), b"[]\n"]


@pytest.mark.parametrize("left", DAMAGED)
def test_a_damaged_memory_ends_no_updates_and_is_made_anew(
    left: bytes, client: Client, publisher: Publisher
) -> None:
    client.look()
    whole = client.seen.read_bytes()
    client.seen.write_bytes(left)
    assert client.look().releases
    assert client.seen.read_bytes() == whole
    publisher.release("2.0", TWO)
    client.look()
    lose_snapshot(client)
    roll_back(publisher)
    with pytest.raises(TrustError):
        client.look()


def test_a_damaged_memory_alone_lets_nothing_older_in(client: Client, publisher: Publisher) -> None:
    publisher.release("2.0", TWO)
    client.look()
    client.seen.write_bytes(b"")
    roll_back(publisher)
    with pytest.raises(TrustError):
        client.look()


def test_a_memory_that_cannot_be_read_now_is_not_forgotten(
    tmp_path: Path, publisher: Publisher, session: Session, url: str
) -> None:
    publisher.release("1.0", ONE)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    seen = tmp_path / ".app.upswap/seen.json"
    seen.rename(seen.with_name("aside"))
    seen.mkdir()
    with pytest.raises(InstallError, match=r"seen\.json"):
        Updater(tmp_path / "app", session).update()
    seen.rmdir()
    seen.with_name("aside").rename(seen)
    assert not Updater(tmp_path / "app", session).update()


def dies(step: int) -> FaultyDisk:
    return FaultyDisk(kill=step)


def fails(step: int) -> FaultyDisk:
    return FaultyDisk(fail=step)


@pytest.mark.parametrize("faulty", [dies, fails])
def test_a_refresh_stopped_anywhere_neither_forgets_nor_refuses(
    faulty: Callable[[int], FaultyDisk], client: Client, publisher: Publisher, tmp_path: Path
) -> None:
    client.look()
    start = shutil.copytree(client.folder, tmp_path / "start", symlinks=True)
    publisher.release("2.0", TWO)
    honest = shutil.copytree(publisher.folder, tmp_path / "honest")
    known: set[str] = set()
    for step in itertools.count(1):
        shutil.rmtree(client.folder)
        shutil.copytree(start, client.folder, symlinks=True)
        try:
            known = set(client.look(disk=faulty(step)).releases)
            break
        except (Killed, OSError):
            pass
        stopped = shutil.copytree(client.folder, tmp_path / f"{step}", symlinks=True)
        assert set(client.look().releases) == {"1.0", "2.0"}, "the good repository is taken"
        lose_snapshot(client)
        roll_back(publisher)
        with pytest.raises(TrustError):
            client.look()
        shutil.rmtree(publisher.folder)
        shutil.copytree(honest, publisher.folder)
        assert read_watermarks(stopped / "seen.json").app.value in {2, 3}, "never torn"
    assert step > 10
    assert known == {"1.0", "2.0"}
    assert read_watermarks(client.seen).app.value == 3, "durable before it is used"


def test_a_memory_of_many_keys_can_be_read_back() -> None:
    mark = Watermark.of(7, (f"{n:064x}" for n in range(KEYS_MOST)))
    seen = Watermarks(root=Watermark.of(1), targets=mark, app=mark, time=mark)
    assert Watermarks.parse(seen.data) == seen


MARK = {"keys": ["k"], "value": 1}
SEEN = {"app": MARK, "format": 1, "root": MARK, "targets": MARK, "time": MARK}


@pytest.mark.parametrize("key", SEEN)
@pytest.mark.parametrize(
    "value", [None, {}, 2, -1, {**MARK, "more": 1}, {"keys": [1], "value": 1}, {"value": -1}]
)
def test_a_memory_has_a_closed_schema(key: str, value: object) -> None:
    assert Watermarks.parse(encode(SEEN)).data == encode(SEEN)
    with pytest.raises(FormatError):
        Watermarks.parse(encode({**SEEN, key: value}))
    with pytest.raises(FormatError):
        Watermarks.parse(encode({**SEEN, "surprise": 1}))


class TestClock:
    """The time of a run is the latest of clock, this updater's own, and what was signed."""

    def test_a_clock_that_fell_back_is_not_believed(self, client: Client) -> None:
        assert client.look().now == NOW
        assert client.look(now=NOW - 3650 * DAY).now == NOW

    def test_a_clock_that_never_was_right_learns_the_time_from_what_is_signed(
        self, client: Client
    ) -> None:
        assert client.look(now=0).now == NOW
        assert read_watermarks(client.seen).time.value == NOW

    def test_it_is_never_before_this_updater_was_built(self, tmp_path: Path) -> None:
        publisher = Publisher(tmp_path / "publisher", now=BUILT - 30 * DAY)
        publisher.release("1.0", ONE)
        with served(publisher.folder) as url, pytest.raises(TrustError, match="expired"):
            Client(tmp_path / "client", publisher, url).look(now=0)

    def test_expired_metadata_is_refused_though_the_clock_stands_in_the_past(
        self, client: Client, publisher: Publisher, tmp_path: Path
    ) -> None:
        """Freeze protection: what was signed later tells that this is old."""
        old = shutil.copytree(publisher.folder, tmp_path / "old")
        publisher.now += 20 * DAY
        publisher.repository().publish("channels.notes", [])
        client.look()
        wipe_all(client)
        shutil.rmtree(publisher.folder)
        shutil.copytree(old, publisher.folder)
        with pytest.raises(TrustError, match="expired") as caught:
            client.look(now=0)
        assert "(1970-01-01)" in caught.value.hint
        assert "set this machine's clock right" in caught.value.hint

    def test_the_timestamp_tells_the_time_where_the_head_is_old(
        self, client: Client, publisher: Publisher
    ) -> None:
        publisher.now += 5 * DAY
        publisher.repository().publish("app.notes", [])
        assert client.look(now=0).now == publisher.now

    def test_a_time_at_which_the_metadata_had_expired_is_ignored(
        self, client: Client, publisher: Publisher
    ) -> None:
        repository = publisher.repository()
        name = "notes/channels/stable"
        head = dict(repository.look().targets("channels.notes")[name].unrecognized_fields["custom"])
        head["issued"] = NOW + 8 * DAY
        repository.publish("channels.notes", [NewTarget.of(name, encode(head), head)])
        assert client.look().now == NOW
        head["issued"] = NOW + 6 * DAY
        publisher.repository().publish("channels.notes", [NewTarget.of(name, encode(head), head)])
        assert client.look().now == NOW + 6 * DAY

    @pytest.mark.parametrize("issued", ["soon", -1, True, 1 << 63, None])
    def test_a_senseless_time_in_the_timestamp_is_refused(
        self, issued: object, client: Client, publisher: Publisher
    ) -> None:
        def senseless(metadata: Metadata[Any]) -> None:
            metadata.signed.unrecognized_fields["issued"] = issued

        path = newest(publisher, "timestamp")
        rewrite(path, senseless, right_signer(publisher, "timestamp"))
        with pytest.raises(FormatError, match="issued"):
            client.look()

    def test_a_time_a_stolen_key_signed_is_forgotten_with_that_key(
        self, client: Client, publisher: Publisher, tmp_path: Path
    ) -> None:
        thief = right_signer(publisher, "timestamp")

        def late(metadata: Metadata[Any]) -> None:
            metadata.signed.version += 1
            metadata.signed.expires = metadata.signed.expires.replace(year=2099)
            metadata.signed.unrecognized_fields["issued"] = NOW + 20 * DAY

        rewrite(newest(publisher, "timestamp"), late, thief)
        assert client.look().now == NOW + 20 * DAY
        publisher.repository().publish("channels.notes", [])
        with pytest.raises(TrustError, match="expired"):
            client.look()
        rotate_online_key(publisher, tmp_path / "new")
        publisher.repository().publish("channels.notes", [])
        assert client.look().now == NOW


def rotate_online_key(publisher: Publisher, folder: Path) -> None:
    """Root and targets name a new online key."""
    Keys(folder, PASSWORD).make_missing(threshold=1)
    old = right_signer(publisher, "timestamp").public_key.keyid
    publisher.repository().publish("targets", [])
    (folder / "online.pem").replace(publisher.keys.folder / "online.pem")
    key = right_signer(publisher, "timestamp").public_key

    def root(metadata: Metadata[Any]) -> None:
        metadata.signed.version += 1
        for role in ("timestamp", "snapshot"):
            metadata.signed.revoke_key(old, role)
            metadata.signed.add_key(key, role)

    def targets(metadata: Metadata[Any]) -> None:
        metadata.signed.revoke_key(old, "channels.notes")
        metadata.signed.add_key(key, "channels.notes")

    metadata = publisher.folder / "metadata"
    shutil.copy(metadata / "1.root.json", metadata / "2.root.json")
    rewrite(metadata / "2.root.json", root, right_signer(publisher, "root"))
    rewrite(newest(publisher, "targets"), targets, right_signer(publisher, "targets"))


def test_up_to_date_by_a_clock_that_is_behind_is_not_said_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    future = Publisher(tmp_path / "publisher", now=4_000_000_000)
    future.release("1.0", ONE)
    with served(future.folder) as url:
        session = quick_session(lambda: future.now)
        install(tmp_path / "app", url, future.root, "notes", session=session)
        assert not Updater(tmp_path / "app", session).clock_doubt
        for command in ("check", "update"):
            assert main([command, "--quiet", "--json", "--dir", str(tmp_path / "app")]) == 10
            said = capsys.readouterr()
            assert "days after this machine's clock" in said.err
            assert "set this machine's clock right" not in said.err, "the server agrees with it"
            assert json.loads(said.out)
    assert read_tree(tmp_path / "app") == ONE
