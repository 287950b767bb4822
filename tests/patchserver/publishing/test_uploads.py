"""What every storage of uploads keeps to; one to come is a line in `STORAGES`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from patchserver.publishing.uploads import FolderUploads, Uploads, WrongDigest, WrongOffset
from updater.errors import UpdaterError

STORAGES: list[Callable[[Path], Uploads]] = [FolderUploads]
PUSH, OTHER = "a" * 64, "b" * 64
DATA = b"0123456789" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=STORAGES)
def uploads(request: pytest.FixtureRequest, tmp_path: Path) -> Uploads:
    found: Uploads = request.param(tmp_path / "uploads")
    found.begin(PUSH, b"document")
    return found


def send(uploads: Uploads, *parts: bytes) -> int:
    received = 0
    for part in parts:
        received = uploads.append(PUSH, DIGEST, received, part, len(DATA))
    return received


def test_a_push_has_the_document_it_was_begun_with(uploads: Uploads) -> None:
    uploads.begin(PUSH, b"another")
    assert uploads.document(PUSH) == b"document"
    assert uploads.document(OTHER) is None


def test_what_comes_in_pieces_is_whole_in_the_end(uploads: Uploads) -> None:
    assert uploads.received(PUSH, DIGEST) == 0
    assert send(uploads, DATA[:7], DATA[7:500]) == uploads.received(PUSH, DIGEST) == 500
    assert uploads.place(PUSH, DIGEST) is None
    assert uploads.append(PUSH, DIGEST, 500, DATA[500:], len(DATA)) == len(DATA)
    place = uploads.place(PUSH, DIGEST)
    assert place is not None
    assert place.read_bytes() == DATA
    assert uploads.received(PUSH, DIGEST) == len(DATA)


@pytest.mark.parametrize("offset", [0, 4, 6, len(DATA)])
def test_a_piece_that_is_not_next_changes_nothing(offset: int, uploads: Uploads) -> None:
    send(uploads, DATA[:5])
    with pytest.raises(WrongOffset) as caught:
        uploads.append(PUSH, DIGEST, offset, DATA[5:9], len(DATA))
    assert caught.value.received == uploads.received(PUSH, DIGEST) == 5


def test_more_than_was_announced_is_not_taken(uploads: Uploads) -> None:
    with pytest.raises(WrongOffset):
        uploads.append(PUSH, DIGEST, 0, DATA + b"x", len(DATA))
    assert uploads.received(PUSH, DIGEST) == 0


def test_other_content_is_dropped_and_can_come_again(uploads: Uploads) -> None:
    with pytest.raises(WrongDigest):
        send(uploads, DATA[:-1] + b"x")
    assert (uploads.received(PUSH, DIGEST), uploads.place(PUSH, DIGEST)) == (0, None)
    assert send(uploads, DATA) == len(DATA)


def test_what_is_whole_takes_nothing_more(uploads: Uploads) -> None:
    send(uploads, DATA)
    with pytest.raises(WrongOffset):
        uploads.append(PUSH, DIGEST, 0, DATA, len(DATA))


def test_of_two_that_send_the_same_one_is_told(uploads: Uploads) -> None:
    told: list[str] = []

    def bring() -> None:
        try:
            send(uploads, DATA)
            told.append("stored")
        except WrongOffset as error:
            told.append(str(error.received))

    threads = [threading.Thread(target=bring) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == sorted(["stored", *[str(len(DATA))] * 4])


def test_a_push_that_ends_is_gone_and_no_other(uploads: Uploads) -> None:
    uploads.begin(OTHER, b"other")
    send(uploads, DATA[:9])
    uploads.end(PUSH)
    uploads.end(PUSH)
    assert uploads.document(PUSH) is None
    assert uploads.received(PUSH, DIGEST) == 0
    assert [push for push, _ in uploads.pushes()] == [OTHER]


def test_a_piece_for_a_push_that_is_gone_is_refused(uploads: Uploads) -> None:
    uploads.end(PUSH)
    with pytest.raises(UpdaterError):
        send(uploads, DATA)


def test_there_is_room_for_something(uploads: Uploads) -> None:
    assert uploads.free() > 0
