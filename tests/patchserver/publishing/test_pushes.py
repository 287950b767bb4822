"""Pushes: what comes from CI is verified, goes on where it was stopped, and appears at once."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from patchtool.repository.repository import Repository
from tuf.api.metadata import Metadata, Targets

from patchserver.accounts.users import Scope
from patchserver.publishing.signer import OnlineSigner
from tests.support.servers.pusher import Pusher
from tests.support.servers.served import Server
from tests.support.trees.trees import Tree, noise
from updater.disk.durable import Disk
from updater.format.release_description import Release

OLD: Tree = {"app": noise(4000, 1), "data": b"same"}
NEW: Tree = {"app": noise(4000, 1) + b"more", "data": b"same"}


def seen(server: Server) -> set[str]:
    """Names of the targets that clients see."""
    return set(server.services.signer.look().targets("app.notes"))


def test_a_push_makes_a_release_visible_in_one_step(server: Server) -> None:
    document, pusher = server.add("1.0", OLD), Pusher(server)
    announced = pusher.announce(document).json
    assert announced is not None
    assert announced["version"] == 2
    assert {one["received"] for one in announced["missing"]} == {0}
    pusher.send_all(announced)
    assert seen(server) == set()
    assert pusher.publish(announced["id"]).json == {"version": 2}
    assert seen(server) == {"notes/releases/1.0/manifest", "notes/releases/1.0/bundle"}
    answer = server.client.get("/metadata/2.app.notes.json")
    assert answer.data == document


def test_a_push_that_was_published_is_published_again_without_a_change(server: Server) -> None:
    document, pusher = server.add("1.0", OLD), Pusher(server)
    pusher.push(document)
    before = server.client.get("/metadata/timestamp.json").data
    answer = pusher.announce(document)
    assert (answer.status_code, answer.json and answer.json["published"]) == (200, True)
    assert pusher.publish(hashlib.sha256(document).hexdigest()).json == {"version": 2}
    assert server.client.get("/metadata/timestamp.json").data == before


def test_an_upload_goes_on_where_it_was_stopped(server: Server) -> None:
    document, pusher = server.add("1.0", OLD), Pusher(server)
    announced = pusher.announce(document).json
    assert announced is not None
    for missing in announced["missing"]:
        data = server.blobs()[missing["sha256"]].read_bytes()
        assert pusher.send(announced["id"], missing["sha256"], data[:10]).status_code == 204
        wrong = pusher.send(announced["id"], missing["sha256"], data[5:], offset=5)
        assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, "10")
    again = pusher.announce(document).json
    assert again is not None
    assert {one["received"] for one in again["missing"]} == {10}
    for missing in again["missing"]:
        data = server.blobs()[missing["sha256"]].read_bytes()
        answer = pusher.send(again["id"], missing["sha256"], data[10:], offset=10)
        assert answer.headers["Upload-Offset"] == str(len(data))
    assert pusher.publish(again["id"]).status_code == 200


def test_a_file_with_other_content_is_dropped_and_can_be_sent_again(server: Server) -> None:
    document, pusher = server.add("1.0", OLD), Pusher(server)
    announced = pusher.announce(document).json
    assert announced is not None
    first = announced["missing"][0]
    assert pusher.send(announced["id"], first["sha256"], b"x" * first["length"]).status_code == 422
    incomplete = pusher.publish(announced["id"])
    assert incomplete.status_code == 409
    assert incomplete.json is not None
    assert first["sha256"] in {one["sha256"] for one in incomplete.json["missing"]}
    pusher.send_all(announced)
    assert pusher.publish(announced["id"]).status_code == 200


def test_more_than_was_announced_is_not_stored(server: Server) -> None:
    document, pusher = server.add("1.0", OLD), Pusher(server)
    announced = pusher.announce(document).json
    assert announced is not None
    first = announced["missing"][0]
    answer = pusher.send(announced["id"], first["sha256"], b"x" * (first["length"] + 1))
    assert answer.status_code == 409
    assert pusher.send(announced["id"], "0" * 64, b"x").status_code == 404
    assert pusher.send("0" * 64, first["sha256"], b"x").status_code == 404


def test_whoever_is_second_is_told_and_nothing_of_theirs_is_seen(server: Server) -> None:
    first, pusher = server.add("1.0", OLD), Pusher(server)
    rival = _signed_elsewhere(server, "1.1", NEW)
    announced = pusher.announce(rival).json
    assert announced is not None
    assert pusher.push(first).status_code == 200
    late = pusher.publish(announced["id"])
    assert late.status_code == 409
    assert late.json is not None
    assert late.json["version"] == 2
    assert pusher.announce(rival).status_code == 409
    assert "notes/releases/1.1/bundle" not in seen(server)


def _signed_elsewhere(server: Server, version: str, tree: Tree) -> bytes:
    """Another list of the same number, which another job signed."""
    place = server.publisher.folder / "metadata" / "2.app.notes.json"
    mine = place.read_bytes() if place.exists() else b""
    place.unlink(missing_ok=True)
    server.publisher.add(version, tree)
    theirs = place.read_bytes()
    if mine:
        place.write_bytes(mine)
    else:
        place.unlink()
    return theirs


def test_the_same_version_with_other_bytes_is_refused(server: Server) -> None:
    document, pusher = server.add("1.0", OLD), Pusher(server)
    assert pusher.push(document).status_code == 200
    other = _again_with(server, NEW)
    answer = pusher.announce(other, base=2)
    assert answer.status_code == 422
    assert "other content" in answer.text


def _again_with(server: Server, tree: Tree) -> bytes:
    """1.0 again, with other content: by a job that never saw the first one."""
    folder = server.publisher.folder / "metadata"
    (folder / "2.app.notes.json").unlink()
    server.publisher.add("1.0", tree)
    repository = server.publisher.repository()
    _bump(repository)
    return (folder / "3.app.notes.json").read_bytes()


def _bump(repository: Repository) -> None:
    repository.publish("app.notes", [])


def test_more_pushes_than_there_is_room_for_are_told_to_wait(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchserver.publishing.pushes.PUSHES_MOST", 1)
    pusher = Pusher(server)
    assert pusher.announce(_signed_elsewhere(server, "1.1", NEW)).status_code == 201
    refused = pusher.announce(server.add("1.0", OLD))
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    server.clock.now += 8 * 86_400
    server.services.pushes.sweep(int(time.time()) + 8 * 86_400)
    assert list(server.services.pushes.uploads.pushes()) == []


def test_pushes_that_were_overtaken_take_no_room_from_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pusher, first = Pusher(server), server.add("1.0", OLD)
    assert pusher.announce(_signed_elsewhere(server, "1.1", NEW)).status_code == 201
    assert pusher.push(first).status_code == 200
    monkeypatch.setattr("patchserver.publishing.pushes.PUSHES_MOST", 1)
    assert pusher.announce(server.add("1.2", NEW), base=2).status_code == 201


def test_a_push_that_is_published_twice_at_once_is_copied_and_published_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pusher = Pusher(server)
    announced = pusher.announce(server.add("1.0", OLD)).json
    assert announced is not None
    pusher.send_all(announced)
    copy, copying, most = Disk.copy, [0], [0]

    def slow(disk: Disk, source: Path, path: Path, *, executable: bool = False) -> None:
        copying[0] += 1
        most[0] = max(most[0], copying[0])
        time.sleep(0.2)
        copy(disk, source, path, executable=executable)
        copying[0] -= 1

    monkeypatch.setattr(Disk, "copy", slow)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(pusher.publish, [announced["id"]] * 2))
    assert [answer.status_code for answer in answers] == [200, 200], [a.text for a in answers]
    assert most[0] == 1


def test_a_full_disk_is_told_before_anything_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchserver.publishing.uploads.FolderUploads.free", lambda _: 1000)
    assert Pusher(server).announce(server.add("1.0", OLD)).status_code == 507
    assert list(server.services.pushes.uploads.pushes()) == []


def test_what_is_not_signed_by_the_release_key_is_refused(server: Server) -> None:
    document, pusher = server.add("1.0", OLD), Pusher(server)
    broken = document.replace(b'"version":2', b'"version":3')
    answer = pusher.announce(broken, base=2)
    assert answer.status_code == 409
    signature = document.index(b'"sig":"') + len(b'"sig":"')
    flipped = bytes([document[signature] ^ 1])
    forged = document[:signature] + flipped + document[signature + 1 :]
    assert pusher.announce(forged).status_code == 422
    for garbage in (b"", b"{}", b"\xff\xfe", b"[" * 10_000, document[:-1]):
        assert pusher.announce(garbage).status_code == 422
    assert seen(server) == set()


@pytest.mark.parametrize(
    ("scopes", "app", "status"),
    [
        ((Scope.PUBLISH,), "", 201),
        ((Scope.PUBLISH,), "notes", 201),
        ((Scope.PUBLISH,), "other", 403),
        ((Scope.PROMOTE,), "", 403),
    ],
)
def test_a_token_is_good_for_its_app_and_scope_only(
    server: Server, scopes: tuple[Scope, ...], app: str, status: int
) -> None:
    document = server.add("1.0", OLD)
    assert Pusher(server, *scopes, app=app).announce(document).status_code == status


def test_a_patch_to_the_new_release_reaches_clients(server: Server) -> None:
    pusher = Pusher(server)
    assert pusher.push(server.add("1.0", OLD)).status_code == 200
    _fetch(server)
    assert pusher.push(server.add("2.0", NEW), base=2).status_code == 200
    assert "notes/patches/1.0_2.0" in seen(server)
    headers = server.token(Scope.PROMOTE)
    path = "/api/v1/apps/notes/channels/stable/promote"
    answer = server.client.post(path, json={"version": "2.0"}, headers=headers)
    assert answer.status_code == 200, answer.text
    server.services.signer.remember()


def _fetch(server: Server) -> None:
    """The publisher takes what the server has signed."""
    shutil.rmtree(server.publisher.folder / "metadata")
    shutil.copytree(server.settings.repository / "metadata", server.publisher.folder / "metadata")


def _signed(server: Server, change: Callable[[Targets], None]) -> tuple[bytes, int]:
    """The next list as whoever has the release key can sign it; and what it follows."""
    metadata = Metadata[Targets].from_bytes(server.services.signer.look().data("app.notes"))
    before = metadata.signed.version
    metadata.signed.version += 1
    change(metadata.signed)
    metadata.signatures.clear()
    for signer in server.publisher.keys.signers("release"):
        metadata.sign(signer, append=True)
    return metadata.to_bytes(), before


def test_what_is_offered_while_a_push_is_verified_does_not_go_with_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pusher = Pusher(server)
    for base, version in enumerate(("1.0", "2.0"), start=1):
        assert pusher.push(server.add(version, {"app": version.encode()}), base).status_code == 200
    document, base = _signed(server, lambda targets: _drop(targets, "/releases/2.0/"))
    announced = pusher.announce(document, base).json
    assert announced is not None
    signer = server.services.signer
    publish = OnlineSigner.publish

    def late(self: OnlineSigner, app: str, data: bytes, settle: Callable[[], None]) -> None:
        signer.promote("notes", "stable", "2.0")
        publish(self, app, data, settle)

    monkeypatch.setattr(OnlineSigner, "publish", late)
    answer = pusher.publish(announced["id"])
    assert (answer.status_code, "offered" in answer.text) == (422, True)
    assert "notes/releases/2.0/bundle" in seen(server)


def _drop(targets: Targets, part: str) -> None:
    for name in [name for name in targets.targets if part in name]:
        del targets.targets[name]


def test_a_release_nobody_may_jump_over_stays_whole(server: Server) -> None:
    pusher = Pusher(server)
    server.publisher.add("1.1", OLD, release=Release(stop=True))
    document = (server.publisher.folder / "metadata" / "2.app.notes.json").read_bytes()
    assert pusher.push(document).status_code == 200
    document, base = _signed(server, lambda targets: _drop(targets, "/1.1/bundle"))
    answer = pusher.announce(document, base)
    assert (answer.status_code, "stop on the way" in answer.text) == (422, True)
