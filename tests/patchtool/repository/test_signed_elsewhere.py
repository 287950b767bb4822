"""Roles signed elsewhere: the server publishes what a release key signed, byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patchtool.keys.signing_keys import Keys
from patchtool.release.refresh import refresh
from patchtool.release.rollout import promote
from patchtool.repository.repository import NotNext, Repository
from patchtool.repository.repository_folder import Author
from patchtool.repository.writer import name_writer
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Targets

from tests.support.attacks.hostile import FORGERS, newest, rewrite
from tests.support.repository.dying import NEW, OLD, killed_everywhere
from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from tests.support.trees.junk import JUNK, changed, places
from tests.support.trees.strategies import SETTINGS
from updater.disk.durable import Disk
from updater.errors import FormatError, InstallError, TrustError, UpdaterError

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


ROLE = "app.notes"


@dataclass
class Hosting:
    """A publisher, and the server that his releases go to: it has the online key alone."""

    publisher: Publisher
    server: Publisher

    def repository(self) -> Repository:
        server = self.server
        return Repository(server.folder, server.keys, server.now, server.disk, Author("server"))

    def upload(self) -> bytes:
        """Bring the files of the publisher's newest role to the server; the role itself."""
        targets = self.server.folder / "targets"
        shutil.copytree(self.publisher.folder / "targets", targets, dirs_exist_ok=True)
        return newest(self.publisher, ROLE).read_bytes()

    def take(self, data: bytes, role: str = ROLE) -> None:
        with self.repository().writing():
            self.repository().publish_signed(role, data)

    def visible(self, memory: Path) -> set[str]:
        seen = look(self.server.folder, memory, self.server.root)
        return offered(self.server.folder, seen)


def hosting_in(folder: Path) -> Hosting:
    publisher = Publisher(folder / "publisher")
    publisher.release("1.0", OLD)
    name_writer(Disk(), publisher.folder, "server")
    server = Publisher(folder / "server")
    shutil.rmtree(server.folder)
    shutil.copytree(publisher.folder, server.folder)
    shutil.rmtree(server.keys.folder)
    server.keys.folder.mkdir()
    (publisher.keys.folder / "online.pem").rename(server.keys.folder / "online.pem")
    return Hosting(publisher, server)


@pytest.fixture
def hosting(tmp_path: Path) -> Hosting:
    return hosting_in(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Hosting:
    """One whose next role waits to be taken."""
    hosting = hosting_in(tmp_path_factory.mktemp("shared"))
    hosting.publisher.add("2.0", NEW)
    hosting.upload()
    return hosting


def test_what_a_release_key_signed_is_published_byte_for_byte(
    hosting: Hosting, tmp_path: Path
) -> None:
    hosting.publisher.add("2.0", NEW)
    data, before = hosting.upload(), files(hosting.server.folder)
    hosting.take(data)
    after = files(hosting.server.folder)
    assert newest(hosting.server, ROLE).read_bytes() == data
    new = {"metadata/3.app.notes.json", "metadata/4.snapshot.json"}
    assert after.keys() - before.keys() == new
    assert {n for n in before if after[n] != before[n]} == {"metadata/timestamp.json"}
    assert hosting.visible(tmp_path / "memory") == {"1.0", "2.0"}


def test_the_server_offers_what_it_took_and_nothing_it_did_not(
    hosting: Hosting, tmp_path: Path
) -> None:
    hosting.publisher.add("2.0", NEW)
    data = hosting.upload()
    stopped = hosting.server.folder / "metadata" / newest(hosting.publisher, ROLE).name
    stopped.write_bytes(data)  # as a server that was killed leaves it
    with pytest.raises(InstallError, match=r"2\.0"):
        promote(hosting.repository(), "notes", "stable", "2.0", now=NOW)
    hosting.take(data)
    promote(hosting.repository(), "notes", "stable", "2.0", now=NOW)
    head = look(hosting.server.folder, tmp_path / "m", hosting.server.root).head
    assert [offer.version for offer in head.entries] == ["2.0", "1.0"]


def test_releases_signed_on_top_of_each_other_are_taken_in_their_order(
    hosting: Hosting, tmp_path: Path
) -> None:
    hosting.publisher.add("2.0", NEW)
    first = hosting.upload()
    hosting.publisher.add("3.0", {**NEW, "g": b"3"})
    second = hosting.upload()
    with pytest.raises(NotNext):
        hosting.take(second)
    hosting.take(first)
    hosting.take(second)
    assert hosting.visible(tmp_path / "memory") == {"1.0", "2.0", "3.0"}


def test_who_was_slower_is_told_and_clients_keep_what_they_saw(
    hosting: Hosting, tmp_path: Path
) -> None:
    hosting.publisher.add("2.0", NEW)
    data = hosting.upload()
    hosting.take(data)
    before = files(hosting.server.folder)
    with pytest.raises(NotNext, match=r"version 3 of app\.notes does not follow 3") as caught:
        hosting.take(data)
    assert "sign on top of it" in caught.value.hint
    assert files(hosting.server.folder) == before


@pytest.mark.parametrize("signers", FORGERS)
def test_what_others_signed_is_refused(
    signers: Callable[[Publisher, str], list[CryptoSigner]], hosting: Hosting
) -> None:
    shutil.copy(hosting.server.keys.folder / "online.pem", hosting.publisher.keys.folder)
    hosting.publisher.add("2.0", NEW)
    hosting.upload()
    path = newest(hosting.publisher, ROLE)
    rewrite(path, lambda _: None, *signers(hosting.publisher, ROLE))
    before = files(hosting.server.folder)
    with pytest.raises(TrustError, match="too few signatures"):
        hosting.take(path.read_bytes())
    assert files(hosting.server.folder) == before


def test_a_signature_that_has_expired_is_refused(hosting: Hosting) -> None:
    hosting.publisher.add("2.0", NEW)
    data, before = hosting.upload(), files(hosting.server.folder)
    hosting.server.now += 366 * 86400
    with pytest.raises(TrustError, match="expired"):
        hosting.take(data)
    assert files(hosting.server.folder) == before


@pytest.mark.parametrize("kind", ["nothing", "half", "a snapshot", "nesting"])
def test_what_is_no_role_of_an_app_is_refused(kind: str, hosting: Hosting) -> None:
    hosting.publisher.add("2.0", NEW)
    data = hosting.upload()
    snapshot = newest(hosting.publisher, "snapshot").read_bytes()
    given = {"nothing": b"", "half": data[:-9], "a snapshot": snapshot, "nesting": b"[" * 9**5}
    before = files(hosting.server.folder)
    with pytest.raises(FormatError):
        hosting.take(given[kind])
    assert files(hosting.server.folder) == before


def test_a_role_of_no_app_here_is_refused(hosting: Hosting) -> None:
    hosting.publisher.add("2.0", NEW)
    data = hosting.upload()
    with pytest.raises(InstallError, match=r"does not know app\.draw"):
        hosting.take(data, "app.draw")
    with pytest.raises(ValueError, match="signed by whoever writes"):
        hosting.take(data, "channels.notes")


def test_the_server_keeps_clients_going_with_the_online_key_alone(
    hosting: Hosting, tmp_path: Path
) -> None:
    """Its own daily job; what others must sign is named."""

    def missing(day: int) -> list[str]:
        hosting.server.now = NOW + day * 86_400
        done = refresh(hosting.repository())
        look(hosting.server.folder, tmp_path / "memory", hosting.server.root, hosting.server.now)
        return [standing.role for standing in done.missing]

    day, roles = next((day, roles) for day in range(300, 400, 3) if (roles := missing(day)))
    assert roles == ["app.notes"]
    assert 330 < day < 340


@pytest.mark.parametrize("fault", ["missing", "of another repository"])
def test_without_the_right_online_key_nothing_is_written(
    fault: str, hosting: Hosting, tmp_path: Path
) -> None:
    hosting.publisher.add("2.0", NEW)
    data, before = hosting.upload(), files(hosting.server.folder)
    key = hosting.server.keys.folder / "online.pem"
    key.unlink()
    if fault != "missing":
        Keys(tmp_path / "others", PASSWORD).make_missing(threshold=1)
        (tmp_path / "others" / key.name).replace(key)
    with pytest.raises(InstallError, match="online key"):
        hosting.take(data)
    assert files(hosting.server.folder) == before


@SETTINGS
@given(data=st.data())
def test_anything_in_any_place_of_it_is_refused_with_an_error_of_ours(
    shared: Hosting, data: st.DataObject
) -> None:
    document = json.loads(newest(shared.publisher, ROLE).read_bytes())
    part = data.draw(st.sampled_from(["signed", "signatures"]))
    where = data.draw(st.sampled_from(places(document[part])))
    junk = {**document, part: changed(document[part], where, data.draw(JUNK))}
    present = shared.repository().look().versions()
    with suppress(UpdaterError):
        shared.repository().publish_signed(ROLE, json.dumps(junk).encode())
        assert Metadata[Targets].from_dict(junk).signed_bytes  # another spelling of the same
        return
    assert shared.repository().look().versions() == present


@pytest.mark.crash
def test_a_role_taken_by_a_server_that_is_killed_anywhere_is_seen_whole_or_not_at_all(
    hosting: Hosting, tmp_path: Path
) -> None:
    hosting.publisher.add("2.0", NEW)
    data = hosting.upload()
    seen = []
    runs = killed_everywhere(hosting.server, tmp_path, lambda: hosting.take(data))
    for n, _ in enumerate(runs):
        seen.append(hosting.visible(tmp_path / f"{n}"))
        if seen[-1] == {"1.0"}:
            hosting.take(data)
            assert hosting.visible(tmp_path / f"{n}") == {"1.0", "2.0"}
    assert seen == sorted(seen, key=len)
    assert (seen[0], seen[-1]) == ({"1.0"}, {"1.0", "2.0"})


def test_a_server_does_not_write_what_it_was_not_handed(hosting: Hosting) -> None:
    hosting.publisher.add("2.0", NEW)
    data = hosting.upload()
    name_writer(Disk(), hosting.server.folder, "local")
    before = files(hosting.server.folder)
    commands: tuple[Callable[[], object], ...] = (
        lambda: hosting.take(data),
        lambda: promote(hosting.repository(), "notes", "stable", "1.0", now=NOW),
        lambda: refresh(hosting.repository(), 100),
    )
    for command in commands:
        with pytest.raises(InstallError, match="patchtool writes") as caught:
            command()
        assert "patchtool writer REPO server" in caught.value.hint
    with (
        pytest.raises(InstallError, match="patchtool writes"),
        hosting.repository().writing(releases=True),
    ):
        pass
    assert files(hosting.server.folder) == before
