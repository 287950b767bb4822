"""The protocol of the public TUF conformance suite, after the list of its tests.

The suite itself comes from a package registry and runs `tuf_client` from outside; these tests say
the same in our words, so that a fault is seen before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from tests.support.repository.tuf_repository import DAY, TOP, TufRepository, now
from tests.support.servers.serving import misserved
from updater.version import BUILT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

PROGRAM = Path(__file__).with_name("tuf_client")
FIRST = [("root", 2), ("timestamp", None), ("snapshot", 1), ("targets", 1)]
"""What a new client of a new repository asks for."""


def load() -> ModuleType:
    """The program as a module, to run it without starting Python a hundred times."""
    spec = spec_from_loader("tuf_client", SourceFileLoader("tuf_client", str(PROGRAM)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULE = load()


@pytest.fixture
def repository() -> TufRepository:
    return TufRepository()


@dataclass
class Client:
    """The client under test, and what it keeps."""

    folder: Path
    url: str
    repository: TufRepository
    run: Callable[[list[str]], int]

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    def init(self, root: bytes | None = None) -> int:
        """Begin with a root; with the first one of the repository unless it is given."""
        path = self.folder / "initial_root.json"
        path.write_bytes(root or self.repository.published["root"][0][1])
        return self.run(["--metadata-dir", str(self.metadata), "init", str(path)])

    def refresh(self) -> int:
        return self.run([*self._where(), "refresh"])

    def download(self, *names: str) -> int:
        named = [word for name in names for word in ("--target-name", name)]
        target = ["--target-base-url", f"{self.url}/targets/", "--target-dir", str(self.targets)]
        return self.run([*self._where(), *named, *target, "download"])

    def _where(self) -> list[str]:
        return ["--metadata-url", f"{self.url}/metadata/", "--metadata-dir", str(self.metadata)]

    @property
    def targets(self) -> Path:
        return self.folder / "targets"

    @property
    def files(self) -> dict[str, bytes]:
        """What was downloaded, by file name."""
        return {path.name: path.read_bytes() for path in self.targets.iterdir()}

    @property
    def versions(self) -> dict[str, int]:
        """The trusted roles, by file name."""
        files = sorted(self.metadata.glob("*.json"))
        return {
            path.name.removesuffix(".json"): Metadata[Any].from_file(str(path)).signed.version
            for path in files
        }

    def has(self, role: str) -> bool:
        """Whether the newest published bytes of a role are kept, exactly."""
        kept = (self.metadata / f"{role}.json").read_bytes()
        return kept == self.repository.published[role][-1][1]


@pytest.fixture
def fresh(tmp_path: Path, repository: TufRepository) -> Iterator[Client]:
    """A client that was not even begun."""
    for name in ("metadata", "targets"):
        (tmp_path / name).mkdir()
    with misserved(tmp_path, repository.answer) as url:
        yield Client(tmp_path, url, repository, MODULE.main)


@pytest.fixture
def client(fresh: Client) -> Client:
    """A client that has its first root."""
    assert fresh.init() == 0
    return fresh


def versions(root: int, timestamp: int, snapshot: int, targets: int) -> dict[str, int]:
    return {"root": root, "snapshot": snapshot, "targets": targets, "timestamp": timestamp}


class TestBasics:
    def test_a_refresh_asks_for_each_role_once_and_keeps_what_it_got(self, client: Client) -> None:
        assert client.repository.asked == []
        assert client.refresh() == 0
        assert client.repository.asked == FIRST
        assert client.versions == versions(1, 1, 1, 1)
        assert all(client.has(role) for role in TOP)

    def test_a_second_refresh_asks_for_root_and_timestamp_only(self, client: Client) -> None:
        client.refresh()
        client.repository.asked.clear()
        assert client.refresh() == 0
        assert client.repository.asked == [("root", 2), ("timestamp", None)]

    def test_only_what_changed_is_fetched(self, client: Client) -> None:
        client.refresh()
        client.repository.publish("snapshot", "timestamp")
        client.repository.asked.clear()
        assert client.refresh() == 0
        assert client.repository.asked == [("root", 2), ("timestamp", None), ("snapshot", 2)]
        assert client.versions == versions(1, 2, 2, 1)

    def test_a_download_refreshes_first(self, client: Client) -> None:
        assert client.download("nothing of this name") == 1
        assert client.repository.asked == FIRST
        assert client.versions == versions(1, 1, 1, 1)

    @pytest.mark.parametrize("damage", ["version", "signature", "type", "json", "empty"])
    def test_an_initial_root_that_is_none_is_never_used(self, damage: str, fresh: Client) -> None:
        document = json.loads(fresh.repository.published["root"][0][1])
        if damage == "version":
            del document["signed"]["version"]
        elif damage == "signature":
            document["signatures"][0]["sig"] = "00" * 64
        elif damage == "type":
            document["signed"]["_type"] = "targets"
        data = json.dumps(document).encode()
        fresh.init({"json": b"<html>", "empty": b" "}.get(damage, data))
        assert fresh.refresh() == 1
        assert fresh.repository.asked == []

    def test_a_refresh_without_a_root_is_refused(self, fresh: Client) -> None:
        assert fresh.refresh() == 1
        assert fresh.repository.asked == []

    def test_unknown_fields_are_signed_and_kept(self, client: Client) -> None:
        root = client.repository.root
        root.unrecognized_fields["custom-field"] = "value"
        root.keys[root.roles["root"].keyids[0]].unrecognized_fields["extra"] = {"a": 1}
        root.roles["root"].unrecognized_fields["another"] = ["x"]
        client.repository.publish("root")
        assert client.refresh() == 0
        assert client.has("root")

    @pytest.mark.parametrize("version", ["2.0.0", "1", "x", ""])
    def test_an_unknown_version_of_the_specification_is_refused(
        self, version: str, client: Client
    ) -> None:
        client.repository.root.spec_version = version
        client.repository.publish("root")
        assert client.refresh() == 1
        assert client.versions == {"root": 1}

    def test_a_later_version_of_the_specification_is_read(self, client: Client) -> None:
        for role in TOP:
            client.repository.roles[role].signed.spec_version = "1.99.9"
        client.repository.publish("targets", "snapshot", "timestamp", "root")
        assert client.refresh() == 0
        assert client.versions == versions(2, 2, 2, 2)

    @pytest.mark.parametrize("role", TOP)
    def test_the_metadata_of_another_role_is_refused(self, role: str, client: Client) -> None:
        """Signed by the right key."""
        repository = client.repository
        repository.publish_all()
        wrong = Metadata[Any](repository.root if role == "targets" else repository.targets)
        wrong.signed.version = 2
        for signer in repository.signers[role]:
            wrong.sign(signer, append=True)
        repository.published[role].append((2, wrong.to_bytes(JSONSerializer())))
        assert client.refresh() == 1
        assert client.versions.get(role) == (1 if role == "root" else None)

    def test_it_begins_where_it_stopped(self, client: Client) -> None:
        """A second `init` with the first root forgets nothing that was seen."""
        client.repository.publish("root")
        client.refresh()
        assert client.init() == 0
        client.repository.asked.clear()
        assert client.refresh() == 0
        assert client.repository.asked[0] == ("root", 3)
        assert client.versions["root"] == 2


class TestThatDoNotAgree:
    @pytest.mark.parametrize("role", ["timestamp", "snapshot"])
    def test_other_content_under_a_version_that_is_kept_is_not_taken(
        self, role: str, client: Client
    ) -> None:
        client.refresh()
        client.repository.roles[role].signed.unrecognized_fields["other"] = "content"
        client.repository.roles[role].signed.version -= 1
        client.repository.publish(role)
        assert client.refresh() == 0
        assert not client.has(role)

    @pytest.mark.parametrize("role", ["snapshot", "targets"])
    @pytest.mark.parametrize("what", ["hashes", "length", "version"])
    def test_a_file_that_is_not_as_named_is_refused(
        self, what: str, role: str, client: Client
    ) -> None:
        client.repository.with_hashes = True
        client.refresh()
        before = client.versions
        client.repository.publish("targets", "snapshot")
        by = client.repository.timestamp.snapshot_meta
        if role == "targets":
            by = client.repository.snapshot.meta["targets.json"]
        if what == "hashes":
            by.hashes = {"sha256": "0" * 64}
        elif what == "length":
            assert by.length
            by.length -= 1
        else:
            by.version, by.hashes, by.length = 3, None, None
        client.repository.publish(*(["snapshot"] if role == "targets" else []), "timestamp")
        assert client.refresh() == 1
        assert client.versions[role] == before[role]

    def test_unsigned_hashes_are_as_good_as_none(self, client: Client) -> None:
        client.repository.with_hashes = True
        client.repository.publish_all()
        assert client.refresh() == 0
        assert client.versions == versions(1, 2, 2, 2)

    def test_a_snapshot_that_no_longer_names_a_role_is_refused(self, client: Client) -> None:
        client.repository.delegate("a")
        client.repository.publish_all()
        client.download("x")
        del client.repository.snapshot.meta["a.json"]
        client.repository.publish("snapshot", "timestamp")
        assert client.refresh() == 1
        assert client.versions["snapshot"] == 2

    @pytest.mark.parametrize("role", ["root", "timestamp"])
    def test_metadata_larger_than_any_is_refused(self, role: str, client: Client) -> None:
        client.repository.roles[role].signed.unrecognized_fields["fat"] = "x" * 600_000
        client.repository.publish(role)
        assert client.refresh() == 1
        assert client.versions == {"root": 1}


class TestExpiry:
    @pytest.mark.parametrize("role", TOP)
    def test_an_expired_role_ends_the_refresh(self, role: str, client: Client) -> None:
        client.refresh()
        client.repository.roles[role].signed.expires = now() - DAY
        client.repository.publish("targets", "snapshot", "timestamp", "root")
        assert client.refresh() == 1
        reached = TOP[: TOP.index(role)]
        kept = {name: 2 if name in {*reached, "root"} else 1 for name in TOP}
        if role == "timestamp":  # kept, to be followed, but never used
            assert client.versions.pop("timestamp") in {1, 2}
            del kept["timestamp"]
        assert {name: client.versions[name] for name in kept} == kept

    def test_an_expired_root_on_the_way_to_a_good_one_passes(self, client: Client) -> None:
        client.repository.root.expires = now() - DAY
        client.repository.publish("root")
        client.repository.root.expires = now() + DAY
        client.repository.publish("root")
        assert client.refresh() == 0
        assert client.versions["root"] == 3

    def test_expired_metadata_is_where_an_update_begins(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repository, start = client.repository, now()
        repository.timestamp.expires = start + 7 * DAY
        repository.publish("timestamp")
        assert client.refresh() == 0
        repository.timestamp.expires = start + 21 * DAY
        repository.publish_all()
        moment = time.time() + 18 * 86_400
        monkeypatch.setattr(MODULE, "time", FakeTime(moment))
        assert client.refresh() == 0
        assert client.versions == versions(1, 3, 2, 2)
        monkeypatch.setattr(MODULE, "time", FakeTime(moment + 4 * 86_400))
        assert client.refresh() == 1

    def test_a_clock_before_this_version_was_built_is_believed(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The suite has old repositories and sets the clock back to their time."""
        then = dt.datetime.fromtimestamp(BUILT - 86_400, dt.timezone.utc)
        for role in TOP:
            client.repository.roles[role].signed.expires = then
        client.repository.publish("targets", "snapshot", "timestamp", "root")
        monkeypatch.setattr(MODULE, "time", FakeTime(BUILT - 2 * 86_400))
        assert client.refresh() == 0
        monkeypatch.setattr(MODULE, "time", FakeTime(BUILT - 86_400))
        assert client.refresh() == 1

    def test_an_expired_delegated_role_gives_nothing(self, client: Client) -> None:
        repository = client.repository
        repository.delegate("old")
        repository.add("file", b"content", "old")
        repository.roles["old"].signed.expires = now() - DAY
        repository.publish_all()
        assert client.refresh() == 0
        assert client.download("file") == 1
        assert client.files == {}
        assert "old" not in client.versions

    def test_a_delegated_role_that_expires_later_gives_nothing_from_then_on(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repository = client.repository
        repository.delegate("role")
        repository.add("one", b"1", "role")
        repository.add("two", b"2", "role")
        repository.roles["role"].signed.expires = now() + 7 * DAY
        repository.publish_all()
        assert client.download("one") == 0
        monkeypatch.setattr(MODULE, "time", FakeTime(time.time() + 18 * 86_400))
        assert client.download("two") == 1
        assert client.files == {"one": b"1"}
        repository.roles["role"].signed.expires = now() + 21 * DAY
        repository.publish("role", "snapshot", "timestamp")
        assert client.download("two") == 0


@dataclass
class FakeTime:
    """In place of the module `time`."""

    moment: float

    def time(self) -> float:
        return self.moment


class TestRollback:
    def test_an_older_timestamp_is_refused(self, client: Client) -> None:
        client.repository.publish("timestamp")
        client.refresh()
        client.repository.timestamp.version = 0
        client.repository.publish("timestamp")
        assert client.refresh() == 1
        assert client.versions["timestamp"] == 2
        assert client.repository.asked[-1] == ("timestamp", None)

    @pytest.mark.parametrize("hashes", [False, True])
    def test_an_older_snapshot_is_refused(self, hashes: bool, client: Client) -> None:
        client.repository.with_hashes = hashes
        client.repository.publish("snapshot", "timestamp")
        client.refresh()
        client.repository.snapshot.version = 0
        client.repository.publish("snapshot", "timestamp")
        assert client.refresh() == 1
        assert client.versions == versions(1, 2, 2, 1)
        assert client.repository.asked[-1] == ("timestamp", None)

    @pytest.mark.parametrize("hashes", [False, True])
    @pytest.mark.parametrize("role", ["targets", "delegated"])
    def test_older_targets_are_refused(self, role: str, hashes: bool, client: Client) -> None:
        client.repository.with_hashes = hashes
        client.repository.delegate("delegated")
        client.repository.publish_all()
        client.repository.publish(role, "snapshot", "timestamp")
        client.download("x")
        before = client.versions
        client.repository.roles[role].signed.version = 0
        client.repository.publish(role, "snapshot", "timestamp")
        assert client.refresh() == 1
        assert client.versions == {**before, "timestamp": 4}

    def test_a_timestamp_of_today_with_a_snapshot_of_last_week(self, client: Client) -> None:
        """Mix and match: the timestamp names another version than is served under it."""
        client.repository.publish_all()
        old = client.repository.published["snapshot"][0][1]
        client.repository.published["snapshot"].append((2, old))
        assert client.refresh() == 1
        assert client.versions == {"root": 1, "timestamp": 2}

    @pytest.mark.parametrize("role", ["timestamp", "snapshot"])
    def test_new_keys_undo_a_fast_forward(self, role: str, client: Client) -> None:
        repository = client.repository
        repository.roles[role].signed.version = 2**31 - 2
        repository.publish("snapshot", "timestamp")
        assert client.refresh() == 0
        assert client.versions[role] == 2**31 - 1
        repository.roles[role].signed.version = 0
        repository.publish("snapshot", "timestamp")
        assert client.refresh() == 1
        repository.rotate("timestamp")
        repository.rotate("snapshot")
        repository.publish("root", "snapshot", "timestamp")
        assert client.refresh() == 0
        assert client.versions[role] < 10

    def test_new_keys_undo_a_fast_forward_of_targets(self, client: Client) -> None:
        repository = client.repository
        repository.targets.version = 99
        repository.publish_all()
        assert client.refresh() == 0
        repository.rotate("snapshot")
        repository.targets.version = 0
        repository.publish("root", "targets", "snapshot", "timestamp")
        assert client.refresh() == 0
        assert client.versions["targets"] == 1


KEYS = [CryptoSigner.generate_ed25519() for _ in range(10)]


@dataclass(frozen=True)
class Signing:
    """The keys of one version of a role, its threshold, and who signed."""

    keys: str
    threshold: int
    signers: str
    good: bool = True


def rotate(repository: TufRepository, role: str, signing: Signing) -> None:
    """Make a role's keys and signers as described; not published."""
    repository.rotate(role, *(KEYS[int(n)] for n in signing.keys), threshold=signing.threshold)
    repository.signers[role] = [KEYS[int(n)] for n in signing.signers]


class TestKeys:
    @pytest.mark.parametrize(
        "line",
        [
            [Signing("1", 1, "1"), Signing("2", 1, "21"), Signing("2", 1, "2")],
            [Signing("1", 1, "314"), Signing("2", 1, "3214"), Signing("2", 1, "324")],
            [Signing("01234", 3, "024"), Signing("01234", 3, "041"), Signing("01234", 3, "013")],
            [Signing("01234", 3, "024"), Signing("01345", 3, "041")],
            [Signing("01234", 3, "024"), Signing("01345", 3, "0245"), Signing("01345", 3, "045")],
            [Signing("01234", 3, "024"), Signing("56789", 3, "024567"), Signing("56789", 3, "567")],
            [Signing("123", 1, "1"), Signing("123", 2, "12")],
            [Signing("123", 2, "12"), Signing("123", 1, "12"), Signing("123", 1, "1")],
            [Signing("1", 1, "1"), Signing("12", 2, "12")],
            [Signing("1", 1, "1"), Signing("2", 1, "234", good=False)],
            [Signing("1", 1, "1"), Signing("2", 1, "134", good=False)],
            [Signing("01234", 3, "024"), Signing("01345", 3, "024", good=False)],
            [Signing("01234", 3, "024"), Signing("01345", 3, "045", good=False)],
            [Signing("123", 1, "1"), Signing("123", 2, "2", good=False)],
            [Signing("123", 2, "12"), Signing("123", 1, "1", good=False)],
        ],
    )
    def test_a_root_follows_if_old_and_new_keys_signed_it(
        self, line: list[Signing], fresh: Client
    ) -> None:
        repository = fresh.repository
        repository.published["root"].clear()
        repository.root.version = 0
        for signing in line:
            rotate(repository, "root", signing)
            repository.publish("root")
        assert fresh.init() == 0
        assert fresh.refresh() == (0 if line[-1].good else 1)
        assert fresh.versions["root"] == len(line) - (not line[-1].good)
        assert fresh.has("root") == line[-1].good

    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    @pytest.mark.parametrize(
        "signing",
        [
            Signing("2", 1, "2"),
            Signing("1", 1, "314"),
            Signing("01234", 3, "024"),
            Signing("01234", 3, "234"),
            Signing("2", 1, "134", good=False),
            Signing("01345", 3, "024", good=False),
            Signing("01345", 3, "04", good=False),
            Signing("1", 1, "", good=False),
        ],
    )
    def test_a_role_counts_if_enough_of_its_keys_signed_it(
        self, signing: Signing, role: str, client: Client
    ) -> None:
        rotate(client.repository, role, signing)
        client.repository.publish("root", "targets", "snapshot", "timestamp")
        assert client.refresh() == (0 if signing.good else 1)
        assert (client.versions.get(role) == 2) == signing.good

    def test_one_key_under_many_names_is_one_key(self, client: Client) -> None:
        repository = client.repository
        key = KEYS[0]
        signers = []
        for number in range(3):
            public = type(key.public_key).from_dict(f"{number:064x}", key.public_key.to_dict())
            signers.append(CryptoSigner(key._private_key, public))
        repository.rotate("targets", *signers, threshold=2)
        repository.add("file", b"content")
        repository.publish("root", "targets", "snapshot", "timestamp")
        assert client.download("file") == 1
        assert client.files == {}
        repository.rotate("targets", KEYS[0], KEYS[1], threshold=2)
        repository.publish("root", "targets", "snapshot", "timestamp")
        assert client.download("file") == 0

    def test_one_signature_many_times_is_one_signature(self, client: Client) -> None:
        repository = client.repository
        repository.rotate("timestamp", KEYS[0], KEYS[1], threshold=2)
        repository.signers["timestamp"] = [KEYS[0]]
        repository.publish("root", "timestamp")
        _, data = repository.published["timestamp"].pop()
        document = json.loads(data)
        document["signatures"] *= 2
        repository.serve("timestamp", json.dumps(document).encode())
        assert client.refresh() == 1
        assert "timestamp" not in client.versions

    def test_a_key_that_is_named_and_not_there_does_not_count(self, client: Client) -> None:
        repository = client.repository
        repository.root.roles["snapshot"].keyids.append("0" * 64)
        repository.root.roles["snapshot"].threshold = 2
        repository.publish("root", "snapshot", "timestamp")
        assert client.refresh() == 1
        assert "snapshot" not in client.versions

    def test_a_hint_of_old_specifications_in_a_key_says_nothing(self, client: Client) -> None:
        root = client.repository.root
        key = root.keys[root.roles["snapshot"].keyids[0]]
        key.unrecognized_fields["keyid_hash_algorithms"] = ["md5"]
        client.repository.publish("root", "snapshot", "timestamp")
        assert client.refresh() == 0
        assert client.versions == versions(2, 2, 2, 1)

    @pytest.mark.parametrize(
        "make",
        [
            CryptoSigner.generate_ed25519,
            CryptoSigner.generate_ecdsa,
            CryptoSigner.generate_rsa,
            lambda: CryptoSigner.generate_rsa(scheme="rsa-pkcs1v15-sha256"),
        ],
        ids=["ed25519", "ecdsa", "rsa-pss", "rsa-pkcs1v15"],
    )
    def test_the_kinds_of_keys_of_the_specification(
        self, make: Callable[[], CryptoSigner], client: Client
    ) -> None:
        client.repository.rotate("snapshot", make())
        client.repository.publish("root", "snapshot", "timestamp")
        assert client.refresh() == 0

    def test_a_root_that_leaves_a_number_out_is_not_found(self, client: Client) -> None:
        client.repository.root.version = 2
        client.repository.publish("root")
        assert client.refresh() == 0
        assert client.versions["root"] == 1

    def test_a_root_under_the_number_of_another_is_refused(self, client: Client) -> None:
        client.repository.root.version = 2
        client.repository.publish("root")
        _, data = client.repository.published["root"].pop()
        client.repository.published["root"].append((2, data))
        assert client.refresh() == 1
        assert client.versions == {"root": 1}

    def test_many_roots_are_followed_one_by_one(self, client: Client) -> None:
        for _ in range(40):
            client.repository.publish("root")
        assert client.refresh() == 0
        assert client.versions["root"] == 41
        assert client.repository.asked[:41] == [("root", version) for version in range(2, 43)]


GRAPHS = {
    "one": ("t>A", "A"),
    "two": ("t>A t>B", "AB"),
    "two levels": ("t>A t>B B>C", "ABC"),
    "depth first": ("t>A t>B A>C A>D", "ACDB"),
    "three levels": ("t>A t>B A>C C>D", "ACDB"),
    "terminating": ("t>A t>B A>!C A>D", "AC"),
    "terminating with more below": ("t>A t>B A>!C C>D", "ACD"),
    "not for this path": ("t>?A t>B A>C", "B"),
    "not for this path below": ("t>A t>B A>?C C>D", "AB"),
    "cycle": ("t>A t>B B>C C>D D>B", "ABCD"),
    "third": ("t>A t>B B>C A>C", "ACB"),
    "third for another path": ("t>A t>B B>C A>?C", "ABC"),
}


class TestDelegations:
    @pytest.mark.parametrize("graph", GRAPHS)
    def test_roles_are_searched_in_order_depth_first(self, graph: str, client: Client) -> None:
        arrows, order = GRAPHS[graph]
        for by, _, role in (arrow.partition(">") for arrow in arrows.split()):
            paths = ["*.py"] if role.startswith("?") else ["*"]
            client.repository.delegate(
                role.strip("!?"),
                *paths,
                by="targets" if by == "t" else by,
                terminating=role.startswith("!"),
            )
        client.repository.publish_all()
        assert client.download("missing") == 1
        assert client.repository.asked[4:] == [(role, 1) for role in order]

    @pytest.mark.parametrize(
        ("name", "order", "found"),
        [
            ("file", "", True),
            ("README.md", "A", True),
            ("releases/x/x_v1", "BC", True),
            ("releases/y/y_v1.zip", "BD", True),
            ("releases/z/z_v1.zip", "B", False),
            ("releases/x/deep/er", "", False),
            ("releases/README.md", "", False),
            ("README.MD", "", False),
            ("foo-1.tgz", "A", True),
            ("foo-alpha.tgz", "", False),
        ],
    )
    def test_targets_are_found_where_all_on_the_way_delegate_them(
        self, name: str, order: str, found: bool, client: Client
    ) -> None:
        repository = client.repository
        repository.delegate("A", "*.doc", "*.md", "foo-?.tgz")
        repository.delegate("B", "releases/*/*")
        repository.delegate("C", "releases/x/*", by="B")
        repository.delegate("D", "releases/y/*.zip", by="B")
        targets = {
            "targets": ["file"],
            "A": ["README.md", "README.MD", "releases/README.md", "foo-1.tgz", "foo-alpha.tgz"],
            "C": ["releases/x/x_v1", "releases/x/deep/er"],
            "D": ["releases/y/y_v1.zip", "releases/z/z_v1.zip"],
        }
        for role, target in ((role, target) for role, many in targets.items() for target in many):
            repository.add(target, target.encode(), role)
        repository.publish_all()
        assert client.download(name) == (0 if found else 1)
        assert list(client.files.values()) == ([name.encode()] if found else [])
        assert repository.asked[4:] == [(role, 1) for role in order]

    def test_the_first_role_that_has_a_target_decides(self, client: Client) -> None:
        client.repository.delegate("A")
        client.repository.delegate("B")
        client.repository.add("file", b"of B", "B")
        client.repository.add("file", b"of A", "A")
        client.repository.publish_all()
        assert client.download("file") == 0
        assert list(client.files.values()) == [b"of A"]

    def test_a_role_may_be_for_hashes_of_paths(self, client: Client) -> None:
        name = "path/file"
        digest = hashlib.sha256(name.encode()).hexdigest()
        client.repository.delegate("other", prefixes=["ffffff"])
        client.repository.delegate("ours", prefixes=[digest[:3]])
        client.repository.add(name, b"content", "ours")
        client.repository.publish_all()
        assert client.download(name) == 0
        assert client.repository.asked[4:] == [("ours", 1)]

    def test_a_target_in_a_hash_bin(self, client: Client) -> None:
        name = "path/file"
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:1], "big") >> 4
        client.repository.delegate_bins(4, "bin")
        client.repository.add(name, b"content", f"bin-{number:x}")
        client.repository.publish_all()
        assert client.download(name) == 0
        assert client.repository.asked[4:] == [(f"bin-{number:x}", 1)]

    def test_a_role_with_two_delegators_is_verified_for_each(self, client: Client) -> None:
        """One of them trusts other keys: what it delegates is not there."""
        repository = client.repository
        repository.delegate("A", "a/*")
        repository.delegate("B", "b/*")
        repository.delegate("shared", "a/*", by="A")
        keys = repository.signers["shared"]
        repository.signers["shared"] = [CryptoSigner.generate_ed25519()]
        repository.delegate("shared", "b/*", by="B")
        repository.signers["shared"] = keys
        repository.add("a/file", b"of A", "shared")
        repository.add("b/file", b"never of B", "shared")
        repository.publish_all()
        assert client.download("a/file", "b/file") == 1
        assert list(client.files.values()) == [b"of A"]

    def test_a_delegated_role_that_no_snapshot_names_is_not_asked_for(self, client: Client) -> None:
        repository = client.repository
        repository.delegate("A")
        repository.publish("A", "targets")
        del repository.snapshot.meta["A.json"]
        repository.publish("snapshot", "timestamp")
        assert client.refresh() == 0
        repository.asked.clear()
        assert client.download("x") == 1
        assert repository.asked == [("root", 2), ("timestamp", None)]

    def test_a_delegated_role_signed_by_another_gives_nothing(self, client: Client) -> None:
        client.repository.delegate("A")
        client.repository.add("file", b"content", "A")
        client.repository.signers["A"] = client.repository.signers["targets"]
        client.repository.publish_all()
        assert client.download("file") == 1
        assert client.files == {}
        assert "A" not in client.versions

    @pytest.mark.parametrize("role", ["?", "#", "/delegated", "../delegated", "ä ö", "%2e%2e", "."])
    def test_a_role_may_have_any_name(self, role: str, client: Client) -> None:
        client.repository.delegate(role)
        client.repository.publish_all()
        assert client.download("missing") == 1
        assert client.repository.asked[-1] == (role, 1)
        assert len(client.versions) == 5
        assert sorted(path.name for path in client.folder.iterdir()) == [
            "initial_root.json",
            "metadata",
            "targets",
        ]


class TestDownload:
    @pytest.mark.parametrize("name", ["file", "a/b/file.txt", "ä", "a b", "x.json"])
    @pytest.mark.parametrize("consistent", [True, False])
    def test_a_target_is_fetched_once_and_kept_under_its_quoted_name(
        self, consistent: bool, name: str, client: Client
    ) -> None:
        repository = client.repository
        repository.root.consistent_snapshot = consistent
        repository.add(name, b"<html> or any other content")
        repository.publish("root", "targets", "snapshot", "timestamp")
        for _ in range(2):
            assert client.download(name) == 0
            assert list(client.files.values()) == [b"<html> or any other content"]
        assert "/" not in next(iter(client.files))
        (fetched,) = repository.fetched
        digest = hashlib.sha256(b"<html> or any other content").hexdigest()
        assert (digest in fetched) == consistent

    @pytest.mark.parametrize("name", ["../../evil", "/evil", "..", "a/../../../evil", "x" * 300])
    def test_a_target_never_lands_outside_its_folder(self, name: str, client: Client) -> None:
        client.repository.add(name, b"evil")
        client.repository.publish_all()
        client.download(name)
        names = {path.name for path in client.folder.iterdir()}
        assert names == {"initial_root.json", "metadata", "targets"}
        assert all(path.is_file() for path in client.targets.iterdir())

    def test_roles_have_no_numbers_without_consistent_snapshots(self, client: Client) -> None:
        client.repository.root.consistent_snapshot = False
        client.repository.delegate("A")
        client.repository.publish("root", "A", "targets", "snapshot", "timestamp")
        assert client.download("missing") == 1
        tops = ["timestamp", "snapshot", "targets", "A"]
        assert client.repository.asked == [("root", 2), ("root", 3), *((r, None) for r in tops)]

    def test_several_targets_in_one_call(self, client: Client) -> None:
        client.repository.add("one", b"1")
        client.repository.add("two", b"")
        client.repository.publish_all()
        assert client.download("one", "two") == 0
        assert client.files == {"one": b"1", "two": b""}
        assert client.repository.asked[-1] == ("targets", 2)
        assert client.download("one", "three") == 1

    @pytest.mark.parametrize("evil", [b"other content", b"1", b"", b"far more content than signed"])
    def test_other_content_than_signed_is_not_kept(self, evil: bytes, client: Client) -> None:
        client.repository.add("one", b"some content")
        client.repository.add("two", b"good content!")
        client.repository.publish_all()
        assert client.download("one") == 0
        client.repository.artifacts.update(one=evil, two=evil)
        assert client.download("one") == 0  # is there
        assert client.download("two") == 1
        assert client.files == {"one": b"some content"}

    def test_a_target_that_changes_is_fetched_again_to_the_same_place(self, client: Client) -> None:
        for number in range(4):
            content = b"%d" % number
            client.repository.add("file", content)
            client.repository.publish_all()
            assert client.download("file") == 0
            assert client.files == {"file": content}
            client.repository.artifacts["file"] = b"?"
            client.repository.publish_all()
            assert client.download("file") == 0
            assert client.files == {"file": content}

    def test_a_target_that_is_not_there_is_an_error(self, client: Client) -> None:
        client.repository.add("file", b"content")
        client.repository.artifacts.clear()
        client.repository.publish_all()
        assert client.download("file") == 1
        assert client.files == {}


def environment() -> dict[str, str]:
    """In which ``env python3`` is this Python, and nothing but the program finds the checkout."""
    found = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    found.pop("PYTHONPATH", None)
    return found


class TestProgram:
    def test_it_runs_from_anywhere(self, fresh: Client) -> None:
        def run(words: list[str]) -> int:
            return subprocess.run(
                [str(PROGRAM), *words], env=environment(), cwd=fresh.folder, check=False
            ).returncode

        fresh.run = run
        fresh.repository.add("file", b"content")
        fresh.repository.publish_all()
        assert (fresh.init(), fresh.refresh(), fresh.download("file")) == (0, 0, 0)
        assert fresh.files == {"file": b"content"}
        fresh.repository.timestamp.expires = now() - DAY
        fresh.repository.publish("timestamp")
        assert fresh.refresh() == 1

    def test_many_at_once_in_one_folder_wait_for_each_other(self, client: Client) -> None:
        line = [str(PROGRAM), *client._where(), "refresh"]
        processes = [subprocess.Popen(line, env=environment()) for _ in range(4)]
        assert [process.wait(60) for process in processes] == [0] * 4
        assert client.versions == versions(1, 1, 1, 1)
