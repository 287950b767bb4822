"""Downloads over real sockets that break in every way: verified, resumed, and never endless."""

from __future__ import annotations

import errno
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path, PosixPath
from typing import Any

import pytest

from tests.support.attacks.hostile import (
    Answer,
    Patch,
    Request,
    Server,
    flip,
    honest,
    make_patch,
    message,
    raw_served,
    resets_after,
    says,
    whole_or_part,
)
from updater.check.catalogue import PatchTarget
from updater.config import UpdaterConfig
from updater.errors import FormatError, PatchError, TransportError, TrustError, UpdaterError
from updater.format.names import Digest
from updater.format.patch_header.patch import Header
from updater.net.download import Download
from updater.net.http import CHUNK, HttpTransport

PATCH = make_patch()
LARGE = make_patch(blocks=8, size=300_000)
"""Blocks larger than what is read at once, so that bytes saved can be counted."""
CONFIG = UpdaterConfig(read_timeout=5, attempts=4, backoff=0)


@dataclass
class Run:
    """One download, its transport and its waits."""

    path: Path
    blob: PatchTarget
    transport: HttpTransport
    waits: list[float]

    def __call__(self, config: UpdaterConfig = CONFIG, **fields: Any) -> bytes:
        Download(
            self.transport, self.blob, self.path, config=config, sleep=self.waits.append, **fields
        ).run()
        return self.path.read_bytes()

    def fails(self, kind: type[UpdaterError], config: UpdaterConfig = CONFIG) -> UpdaterError:
        with pytest.raises(kind) as caught:
            self(config)
        return caught.value


@contextmanager
def running(
    folder: Path, *answers: Answer, patch: Any = PATCH, config: UpdaterConfig = CONFIG
) -> Iterator[tuple[Run, Server]]:
    transport = HttpTransport(config)
    with raw_served(*answers) as server:
        yield Run(folder / "part", patch.at(server.url), transport, []), server
    transport.close()


def test_a_download_is_the_patch(tmp_path: Path) -> None:
    with running(tmp_path, honest(PATCH.data)) as (run, server):
        assert run() == PATCH.data
        assert run() == PATCH.data
        assert server.starts == [0]


def test_a_connection_reset_at_any_byte_costs_nothing_that_came(tmp_path: Path) -> None:
    """Every byte of the answer, its headers included."""
    end = len(message(200, PATCH.data))
    transport = HttpTransport(CONFIG)
    for count in range(end):
        with raw_served(resets_after(PATCH.data, count), honest(PATCH.data)) as server:
            run = Run(tmp_path / str(count), PATCH.at(server.url), transport, [])
            assert run() == PATCH.data, count
            assert len(server.requests) == 2
    transport.close()


def test_what_came_before_the_network_went_is_kept_for_the_next_run(tmp_path: Path) -> None:
    for count in range(0, len(PATCH.data), 7):
        cut = message(200, PATCH.data[:count], length=len(PATCH.data))
        gone = says(b"")
        with running(tmp_path, says(cut), gone) as (run, _):
            run.path.unlink(missing_ok=True)
            run.fails(TransportError)
            assert run.path.read_bytes() == PATCH.data[:count]
        with running(tmp_path, honest(PATCH.data)) as (run, server):
            assert run() == PATCH.data
            assert server.starts == [count]
            assert run.transport.received == len(PATCH.data) - count


def test_a_line_that_breaks_often_but_brings_something_each_time_does_finish(
    tmp_path: Path,
) -> None:
    def three_bytes(connection: socket.socket, request: Request) -> None:
        answer = whole_or_part(PATCH.data, request)
        connection.sendall(answer[: answer.index(b"\r\n\r\n") + 4 + 3])

    with running(tmp_path, three_bytes) as (run, server):
        assert run() == PATCH.data
        assert run.transport.received == len(PATCH.data)
        assert server.starts == list(range(0, len(PATCH.data), 3))
        assert not run.waits


def test_a_line_that_brings_nothing_more_is_given_up(tmp_path: Path) -> None:
    cut = says(message(200, PATCH.data[:100], length=len(PATCH.data)))
    nothing = says(message(206, length=1, Content_Range="bytes 100-"))
    with running(tmp_path, cut, nothing) as (run, server):
        error = run.fails(TransportError)
        assert "cut off" in str(error)
        assert len(server.requests) == 1 + CONFIG.attempts


def test_waits_between_tries_are_as_configured(tmp_path: Path) -> None:
    config = UpdaterConfig(attempts=6, backoff=0.5, backoff_limit=3)
    nothing = says(message(200, length=len(PATCH.data)))
    with running(tmp_path, nothing, config=config) as (run, server):
        run.fails(TransportError, config)
        assert run.waits == [0.5, 1, 2, 3, 3]
        assert len(server.requests) == config.attempts


def test_nobody_waits_after_success(tmp_path: Path) -> None:
    nothing = says(message(200, length=len(PATCH.data)))
    with running(tmp_path, nothing, honest(PATCH.data)) as (run, _):
        run(replace(CONFIG, backoff=0.5))
        assert run.waits == [0.5]


def test_a_server_without_ranges_is_read_from_its_start(tmp_path: Path) -> None:
    """It answers 200 with everything; what we have is skipped, not doubled."""
    for have in range(0, len(PATCH.data), 11):
        with running(tmp_path, says(message(200, PATCH.data))) as (run, server):
            run.path.write_bytes(PATCH.data[:have])
            assert run() == PATCH.data
            assert server.starts == [have]


@pytest.mark.parametrize(
    "refusal",
    [
        message(416, Content_Range="bytes */5"),
        message(206, PATCH.data, Content_Range=f"bytes 0-{len(PATCH.data) - 1}/{len(PATCH.data)}"),
        message(206, PATCH.data[51:], Content_Range=f"bytes 51-{len(PATCH.data) - 1}/*"),
        message(206, PATCH.data[50:]),
        message(206, PATCH.data[50:], Content_Type="multipart/byteranges; boundary=x"),
    ],
    ids=["416", "206-from-0", "206-from-51", "206-unlabelled", "multipart"],
)
def test_a_server_with_broken_ranges_is_asked_for_everything(
    refusal: bytes, tmp_path: Path
) -> None:
    """Else a download once cut could never be finished from it."""

    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(refusal if request.start else message(200, PATCH.data))

    with running(tmp_path, answer) as (run, server):
        run.path.write_bytes(PATCH.data[:50])
        assert run() == PATCH.data
        assert server.starts == [50, 0]


def test_a_server_whose_file_is_too_short_is_told_as_the_network(tmp_path: Path) -> None:
    with running(tmp_path, honest(PATCH.data[:-10])) as (run, server):
        run.fails(TransportError)
        assert run.path.read_bytes() == PATCH.data[:-10]
        assert len(server.requests) <= CONFIG.attempts + 1


def test_a_file_that_goes_on_behind_its_signed_length_is_cut_there(tmp_path: Path) -> None:
    for answer in (
        message(200, PATCH.data + b"more"),
        message(200, PATCH.data, length=None) + b"m",
    ):
        with running(tmp_path, says(answer)) as (run, _):
            assert run() == PATCH.data
            run.path.unlink()


def test_an_endless_body_ends_at_the_signed_length(tmp_path: Path) -> None:
    def endless(connection: socket.socket, request: Request) -> None:
        connection.sendall(message(200, PATCH.data, length=None))
        while True:
            connection.sendall(bytes(CHUNK))

    with running(tmp_path, endless) as (run, _):
        assert run() == PATCH.data
        assert run.transport.received <= len(PATCH.data) + CHUNK


def test_an_endless_body_of_rubbish_is_refused_without_filling_the_disk(tmp_path: Path) -> None:
    def endless(connection: socket.socket, request: Request) -> None:
        connection.sendall(message(200, length=None))
        while True:
            connection.sendall(bytes(CHUNK))

    with running(tmp_path, endless) as (run, _):
        run.fails(TrustError)
        assert run.path.stat().st_size <= len(PATCH.data)
        assert run.transport.received <= CONFIG.attempts * 2 * CHUNK


@pytest.mark.parametrize("block", range(8))
def test_a_byte_flipped_once_on_the_way_costs_one_block(block: int, tmp_path: Path) -> None:
    bad = flip(LARGE.data, LARGE.starts[block] + 1234)
    with running(tmp_path, honest(bad), honest(LARGE.data), patch=LARGE) as (run, server):
        assert run() == LARGE.data
        assert server.starts == [0, LARGE.starts[block]]
        assert run.transport.received <= len(LARGE.data) + 300_000 + CHUNK


def test_a_byte_flipped_at_every_try_is_no_network_error(tmp_path: Path) -> None:
    at = PATCH.starts[2] + 5
    with running(tmp_path, honest(flip(PATCH.data, at))) as (run, server):
        error = run.fails(TrustError)
        assert PATCH.blob.name in str(error)
        assert server.starts == [0, *[PATCH.starts[2]] * CONFIG.attempts]
    with running(tmp_path, honest(PATCH.data)) as (run, server):
        assert run() == PATCH.data
        assert server.starts == [PATCH.starts[2]]


def test_no_flipped_byte_anywhere_ever_passes(tmp_path: Path) -> None:
    transport = HttpTransport(CONFIG)
    for at in range(len(PATCH.data)):
        with raw_served(honest(flip(PATCH.data, at)), honest(PATCH.data)) as server:
            run = Run(tmp_path / "part", PATCH.at(server.url), transport, [])
            assert run() == PATCH.data
            assert len(server.requests) == 2
            run.path.unlink()
    transport.close()


def test_a_header_flipped_at_every_try_is_never_parsed(tmp_path: Path) -> None:
    for at in (0, 9, PATCH.starts[0] - 1):
        with running(tmp_path, honest(flip(PATCH.data, at))) as (run, _):
            run.fails(TrustError)


def test_a_part_corrupted_on_disk_costs_only_its_damaged_blocks(tmp_path: Path) -> None:
    for damaged in ([0], [3], [7], [1, 5], [2, 3]):
        data = LARGE.data
        for block in damaged:
            data = flip(data, LARGE.starts[block] + 1)
        with running(tmp_path, honest(LARGE.data), patch=LARGE) as (run, server):
            run.path.write_bytes(data)
            assert run() == LARGE.data
            assert run.transport.received <= len(damaged) * (300_000 + CHUNK)
            assert set(server.starts) <= {LARGE.starts[block] for block in damaged}


def test_a_part_with_a_corrupted_header_keeps_its_blocks(tmp_path: Path) -> None:
    with running(tmp_path, honest(LARGE.data), patch=LARGE) as (run, server):
        run.path.write_bytes(flip(LARGE.data, 5))
        assert run() == LARGE.data
        assert server.starts == [0]
        assert run.transport.received <= LARGE.starts[0] + CHUNK


def test_a_part_corrupted_in_the_middle_and_cut_goes_on_with_both(tmp_path: Path) -> None:
    cut = LARGE.starts[5] + 1000
    with running(tmp_path, honest(LARGE.data), patch=LARGE) as (run, server):
        run.path.write_bytes(flip(LARGE.data, LARGE.starts[2])[:cut])
        assert run() == LARGE.data
        assert server.starts == [LARGE.starts[2], cut]


def test_a_part_of_zeros_or_rubbish_is_fetched_again(tmp_path: Path) -> None:
    for rubbish in (bytes(len(PATCH.data)), b"x", bytes(10 * len(PATCH.data)), PATCH.data * 2):
        with running(tmp_path, honest(PATCH.data)) as (run, _):
            run.path.write_bytes(rubbish)
            assert run() == PATCH.data


def test_a_damaged_end_is_resumed_within_its_block_when_the_line_breaks(tmp_path: Path) -> None:
    start = LARGE.starts[7]

    def cut(connection: socket.socket, request: Request) -> None:
        connection.sendall(message(206, LARGE.data[start:-10_000], Content_Range=f"bytes {start}-"))

    with running(tmp_path, cut, honest(LARGE.data), patch=LARGE) as (run, server):
        run.path.write_bytes(flip(LARGE.data, -1))
        assert run() == LARGE.data
        assert server.starts == [start, len(LARGE.data) - 10_000]


def test_a_block_mended_over_a_line_that_breaks_once_keeps_what_stands_behind(
    tmp_path: Path,
) -> None:
    cut = resets_after(LARGE.data, 100_000)
    with running(tmp_path, cut, honest(LARGE.data), patch=LARGE) as (run, _):
        run.path.write_bytes(flip(LARGE.data, LARGE.starts[2]))
        assert run() == LARGE.data
        assert run.transport.received < 2 * (300_000 + CHUNK)


def test_a_block_is_mended_over_a_line_that_never_carries_a_whole_one(tmp_path: Path) -> None:
    def breaks(connection: socket.socket, request: Request) -> None:
        connection.sendall(whole_or_part(LARGE.data, request)[:100_000])

    with running(tmp_path, breaks, patch=LARGE) as (run, _):
        run.path.write_bytes(flip(LARGE.data, LARGE.starts[2]))
        assert run() == LARGE.data


def test_a_server_with_broken_ranges_is_not_asked_for_a_range_again(tmp_path: Path) -> None:
    cut = message(200, PATCH.data[:60], length=len(PATCH.data))
    with running(tmp_path, says(message(416)), says(cut), says(message(200, PATCH.data))) as (
        run,
        server,
    ):
        run.path.write_bytes(PATCH.data[:50])
        assert run() == PATCH.data
        assert server.starts == [50, 0, 0]


def test_a_content_that_changes_between_two_parts_is_refused(tmp_path: Path) -> None:
    other = make_patch(blocks=4, size=51)
    cut = message(200, PATCH.data[:100], length=len(PATCH.data))
    with running(tmp_path, says(cut), honest(other.data)) as (run, _):
        run.fails(TrustError)


@pytest.mark.parametrize("status", [403, 404, 401, 302])
def test_a_refusal_is_told_at_once(status: int, tmp_path: Path) -> None:
    with running(tmp_path, says(message(status))) as (run, server):
        error = run.fails(TransportError)
        assert len(server.requests) == 1
        assert error.exit_code == 3


def test_a_login_page_of_the_right_length_is_refused(tmp_path: Path) -> None:
    page = b"<html>" + b" " * (len(PATCH.data) - 6)
    with running(tmp_path, says(message(200, page))) as (run, server):
        assert "page" in str(run.fails(TransportError))
        assert len(server.requests) == 1


def test_a_signed_header_that_does_not_fit_its_blocks_is_refused(tmp_path: Path) -> None:
    for length in (PATCH.blob.length - 1, PATCH.blob.length + 1):
        with running(tmp_path, says(message(200, PATCH.data + b"x"))) as (run, _):
            run.blob = replace(run.blob, length=length)
            run.fails(FormatError)


def test_what_was_signed_and_is_no_patch_is_refused(tmp_path: Path) -> None:
    rubbish = b"signed, and no patch"
    with running(tmp_path, honest(rubbish)) as (run, _):
        run.blob = replace(
            run.blob,
            length=len(rubbish),
            header_length=10,
            header_digest=Digest.of(rubbish[:10]),
        )
        run.fails(FormatError)


class Full(io.FileIO):
    """A file on a disk that is full after some bytes."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(str(path), "w+")
        self._room = room

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


class FullDisk(PosixPath):
    """A path on such a disk."""

    room = 0

    def open(self, *_: Any, **__: Any) -> Any:
        return Full(self, self.room)


@pytest.mark.parametrize("room", [0, 10, 200])
def test_a_full_disk_is_not_told_as_the_network(room: int, tmp_path: Path) -> None:
    with running(tmp_path, honest(PATCH.data)) as (run, server):
        run.path = FullDisk(run.path)
        run.path.room = room
        with pytest.raises(OSError, match="No space left"):
            run()
        assert len(server.requests) == 1


@dataclass
class Shown:
    """A progress sink that adds up."""

    total: int = -1
    done: int = 0
    highest: int = 0
    finished: int = 0

    def start(self, task: str, total: int) -> None:
        assert (task, self.total) == ("download", -1)
        self.total = total

    def advance(self, done: int) -> None:
        self.done += done
        assert 0 <= self.done <= self.total
        self.highest = max(self.highest, self.done)

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("have", [0, 70, len(PATCH.data)])
def test_progress_ends_at_the_whole_whatever_happened(have: int, tmp_path: Path) -> None:
    cut = resets_after(PATCH.data, 250)
    with running(tmp_path, honest(flip(PATCH.data, 150)), cut, honest(PATCH.data)) as (run, _):
        run.path.write_bytes(PATCH.data[:have])
        shown = Shown()
        run(progress=shown)
    assert (shown.total, shown.done, shown.finished) == (len(PATCH.data), len(PATCH.data), 1)


def test_progress_is_finished_when_the_download_is_given_up(tmp_path: Path) -> None:
    shown = Shown()
    with running(tmp_path, says(message(404))) as (run, _), suppress(TransportError):
        run(progress=shown)
    assert shown.finished == 1


def test_a_server_in_trouble_is_not_asked_more_often_than_configured(tmp_path: Path) -> None:
    with running(tmp_path, says(message(503))) as (run, server):
        run.fails(TransportError)
        assert len(server.requests) == CONFIG.attempts


SELECTIONS = list(chain.from_iterable(combinations(range(4), count) for count in range(5)))


def partial(blocks: tuple[int, ...], patch: Patch = PATCH) -> bytes:
    """What a download of some blocks of ``patch`` has on disk."""
    bounds = [*patch.starts, len(patch.data)]
    return patch.data[: bounds[0]] + b"".join(
        patch.data[bounds[number] : bounds[number + 1]] for number in blocks
    )


def runs(blocks: tuple[int, ...]) -> int:
    """How many stretches of the patch the blocks lie in."""
    return sum(number - 1 not in blocks for number in blocks)


class TestSelection:
    """Only some blocks are wanted."""

    @pytest.mark.parametrize("blocks", SELECTIONS)
    def test_nothing_else_is_fetched(self, blocks: tuple[int, ...], tmp_path: Path) -> None:
        with running(tmp_path, honest(PATCH.data)) as (run, server):
            for requests in (1 + runs(blocks), 0):  # the second time it is all there
                assert run(select=lambda _: blocks) == partial(blocks)
                assert len(server.requests) == requests
                assert run.transport.received == len(partial(blocks))
                server.requests.clear()
        assert not run.waits

    @pytest.mark.parametrize("blocks", SELECTIONS)
    def test_a_connection_cut_anywhere_costs_nothing_that_came(
        self, blocks: tuple[int, ...], tmp_path: Path
    ) -> None:
        whole = partial(blocks)
        for count in range(0, len(whole), 9):
            with running(tmp_path, honest(PATCH.data)) as (run, _):
                run.path.write_bytes(whole[:count])
                assert run(select=lambda _: blocks) == whole
                assert run.transport.received == len(whole) - count

    def test_a_line_that_breaks_often_but_brings_something_each_time_does_finish(
        self, tmp_path: Path
    ) -> None:
        def seven_bytes(connection: socket.socket, request: Request) -> None:
            answer = whole_or_part(PATCH.data, request)
            connection.sendall(answer[: answer.index(b"\r\n\r\n") + 4 + 7])

        with running(tmp_path, seven_bytes) as (run, _):
            assert run(select=lambda _: (0, 2)) == partial((0, 2))
            assert run.transport.received == len(partial((0, 2)))
            assert not run.waits

    @pytest.mark.parametrize("blocks", SELECTIONS)
    def test_a_server_without_ranges_is_read_once_over_the_rest(
        self, blocks: tuple[int, ...], tmp_path: Path
    ) -> None:
        with running(tmp_path, says(message(200, PATCH.data))) as (run, server):
            assert run(select=lambda _: blocks) == partial(blocks)
            assert len(server.requests) == (2 if blocks else 1)

    def test_a_server_without_ranges_is_not_read_beyond_the_last_block(
        self, tmp_path: Path
    ) -> None:
        with running(tmp_path, says(message(200, LARGE.data)), patch=LARGE) as (run, _):
            assert run(select=lambda _: (0, 2)) == partial((0, 2), LARGE)
            assert run.transport.received <= LARGE.starts[3] + LARGE.starts[0] + 2 * CHUNK

    def test_a_server_without_ranges_that_breaks_is_skipped_through_again(
        self, tmp_path: Path
    ) -> None:
        cut = says(message(200, LARGE.data[: LARGE.starts[6] + 1000], length=len(LARGE.data)))
        answers = (cut, cut, says(message(200, LARGE.data)))
        with running(tmp_path, *answers, patch=LARGE) as (run, server):
            assert run(select=lambda _: (1, 3, 6)) == partial((1, 3, 6), LARGE)
            assert server.starts == [0, LARGE.starts[1], LARGE.starts[6] + 1000]

    @pytest.mark.parametrize("refusal", [message(416), message(206, PATCH.data[5:])])
    def test_a_server_with_broken_ranges_is_asked_for_everything(
        self, refusal: bytes, tmp_path: Path
    ) -> None:
        def answer(connection: socket.socket, request: Request) -> None:
            asked = "range" in request.headers
            connection.sendall(refusal if asked else message(200, PATCH.data))

        with running(tmp_path, answer) as (run, server):
            assert run(select=lambda _: (1, 3)) == partial((1, 3))
            assert len(server.requests) == 3

    def test_a_server_that_sends_less_than_asked_is_asked_for_the_rest(
        self, tmp_path: Path
    ) -> None:
        def answer(connection: socket.socket, request: Request) -> None:
            shorter = replace(request, headers={"range": f"bytes={request.start}-{request.start}"})
            connection.sendall(whole_or_part(PATCH.data, shorter))

        with running(tmp_path, answer) as (run, _):
            assert run(select=lambda _: (3,)) == partial((3,))

    def test_a_server_that_sends_more_than_asked_is_not_believed(self, tmp_path: Path) -> None:
        def answer(connection: socket.socket, request: Request) -> None:
            everything = replace(request, headers={"range": f"bytes={request.start}-"})
            connection.sendall(whole_or_part(PATCH.data, everything))

        with running(tmp_path, answer) as (run, _):
            assert run(select=lambda _: (0, 2)) == partial((0, 2))

    @pytest.mark.parametrize("ranges", [True, False])
    def test_a_byte_flipped_once_costs_one_block(self, ranges: bool, tmp_path: Path) -> None:
        bad = flip(PATCH.data, PATCH.starts[2] + 7)
        header, first, good = (
            [honest(PATCH.data), honest(bad), honest(PATCH.data)]
            if ranges
            else [says(message(200, data)) for data in (PATCH.data, bad, PATCH.data)]
        )
        with running(tmp_path, header, first, good) as (run, server):
            assert run(select=lambda _: (1, 2, 3)) == partial((1, 2, 3))
            assert server.starts == [0, PATCH.starts[1], PATCH.starts[2]]

    @pytest.mark.parametrize("ranges", [True, False])
    def test_a_byte_flipped_at_every_try_is_no_network_error(
        self, ranges: bool, tmp_path: Path
    ) -> None:
        bad = flip(PATCH.data, PATCH.starts[2] + 7)
        answer = honest(bad) if ranges else says(message(200, bad))
        with running(tmp_path, answer) as (run, server):
            with pytest.raises(TrustError):
                run(select=lambda _: (0, 2))
            assert run.path.read_bytes()[: PATCH.starts[1]] == PATCH.data[: PATCH.starts[1]]
            assert len(server.requests) <= 2 + CONFIG.attempts

    def test_damage_in_what_is_not_wanted_is_not_seen(self, tmp_path: Path) -> None:
        for bad in (flip(PATCH.data, PATCH.starts[1]), flip(PATCH.data, PATCH.starts[3])):
            with running(tmp_path, says(message(200, bad))) as (run, _):
                assert run(select=lambda _: (2,)) == partial((2,))

    @pytest.mark.parametrize("before", SELECTIONS)
    def test_what_another_selection_left_is_not_taken_for_this_one(
        self, before: tuple[int, ...], tmp_path: Path
    ) -> None:
        with running(tmp_path, honest(PATCH.data)) as (run, _):
            for left in (partial(before), partial(before)[:-20], PATCH.data * 2):
                run.path.write_bytes(left)
                assert run(select=lambda _: (1, 2)) == partial((1, 2))

    @pytest.mark.parametrize("blocks", SELECTIONS)
    @pytest.mark.parametrize("have", [0, 70, 500])
    def test_progress_counts_what_is_wanted(
        self, blocks: tuple[int, ...], have: int, tmp_path: Path
    ) -> None:
        shown = Shown()
        cut = resets_after(PATCH.data, 120)
        with running(tmp_path, honest(PATCH.data), cut, honest(PATCH.data)) as (run, _):
            run.path.write_bytes(partial(blocks)[:have])
            run(select=lambda _: blocks, progress=shown)
        assert (shown.total, shown.done, shown.finished) == (*[len(partial(blocks))] * 2, 1)

    def test_who_selects_sees_the_header_and_may_refuse(self, tmp_path: Path) -> None:
        def refuse(header: Header) -> tuple[int, ...]:
            raise PatchError(f"{header.app} is not for us")

        with running(tmp_path, honest(PATCH.data)) as (run, server):
            with pytest.raises(PatchError, match="notes is not for us"):
                run(select=refuse)
            assert run.path.read_bytes() == partial(())
            assert len(server.requests) == 1

    def test_a_network_that_goes_is_told_and_what_came_is_kept(self, tmp_path: Path) -> None:
        with running(tmp_path, honest(PATCH.data), says(b"")) as (run, _):
            with pytest.raises(TransportError):
                run(select=lambda _: (3,))
            assert run.path.read_bytes() == partial(())
