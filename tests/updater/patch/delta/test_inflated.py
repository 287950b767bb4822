"""The inflated view on the client: what it writes, and that nothing hostile gets far."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS
from updater.errors import FormatError, PatchError
from updater.format.encoding.limits import DEFAULT
from updater.format.encoding.wire import Writer
from updater.patch.delta import inflated
from updater.patch.delta.inflated import (
    CHUNK,
    CHUNKED,
    WHOLE,
    InflatedView,
    LookaheadReader,
    Parameters,
    deflate,
    predict,
    probe,
    probe_checksum,
    write_close_recipe,
    write_open_recipe,
)
from updater.patch.delta.view import INFLATED, KNOWN

VIEW = InflatedView()
USUAL = Parameters(6, 15, 8, 0)
CONTENT = b"what a stream holds, " * 20
STREAM = b"".join(deflate([CONTENT], USUAL))
FILE = b"before" + STREAM + b"between" + STREAM + b"behind"
OPEN = write_open_recipe([(WHOLE, 6), (WHOLE, 7)])
CLOSE = write_close_recipe([(WHOLE, USUAL)] * 2)
VIEWED = b"\6before\xa4\3" + CONTENT + b"\7between\xa4\3" + CONTENT + b"behind"


def opened(file: bytes, recipe: bytes) -> bytes:
    view = io.BytesIO()
    VIEW.open(io.BytesIO(file), recipe, view)
    return view.getvalue()


def closed(view: bytes, recipe: bytes) -> bytes:
    file = io.BytesIO()
    VIEW.close(io.BytesIO(view), recipe, file)
    return file.getvalue()


def numbers(*values: int) -> bytes:
    writer = Writer()
    writer.column(list(values))
    return writer.data()


def image(*lengths: int) -> tuple[bytes, bytes]:
    """An image's chunks, and its separators; the last chunk has the rest."""
    rest, parts = b"x\x9c" + STREAM, []
    for length in (*lengths, len(rest)):
        parts.append(rest[:length])
        rest = rest[length:]
    joined = bytearray()
    for n, part in enumerate(parts):
        joined += struct.pack(">I", len(part)) + b"IDAT" + part + bytes([n]) * 4
    separators = b"".join(
        bytes([n]) * 4 + struct.pack(">I", len(part)) + b"IDAT" for n, part in enumerate(parts[1:])
    )
    return bytes(joined), separators


def test_the_view_of_a_file_is_what_the_format_says() -> None:
    assert opened(FILE, OPEN) == VIEWED
    assert closed(VIEWED, CLOSE) == FILE


def test_it_is_view_number_one() -> None:
    assert isinstance(KNOWN[INFLATED], InflatedView)
    assert INFLATED == 1


def test_the_bytes_of_an_open_recipe() -> None:
    starts = [(WHOLE, 0)] * 300 + [(CHUNKED, -2)]
    assert write_open_recipe(starts) == numbers(301, 300, WHOLE, 0, 1, CHUNKED, 3)


def test_the_bytes_of_a_close_recipe() -> None:
    other = Parameters(9, 12, 9, 3)
    usual = probe_checksum(USUAL).to_bytes(4, "big")
    rare = probe_checksum(other).to_bytes(4, "big")
    recipe = write_close_recipe([(WHOLE, USUAL), (CHUNKED, other), (WHOLE, USUAL)])
    sets = numbers(2, 6, 15, 8, 0) + usual + numbers(9, 12, 9, 3) + rare
    assert recipe == sets + numbers(3, 1, WHOLE, 0, 1, CHUNKED, 1, 1, WHOLE, 0)


def test_a_file_without_streams_is_its_own_view() -> None:
    assert opened(b"anything", write_open_recipe([])) == b"anything"
    assert closed(b"anything", write_close_recipe([])) == b"anything"


@pytest.mark.parametrize("lengths", [(), (10,), (2, 5), (10, 0, 0, 3), (2,)])
def test_pieces_of_an_image(lengths: tuple[int, ...]) -> None:
    file, separators = image(*lengths)
    view = opened(file, write_open_recipe([(CHUNKED, 10 - predict(file))]))
    count = len(separators) // 12
    length = b"\xa4\3" + bytes([count])
    assert view == b"\x0a" + file[:10] + length + separators + CONTENT + file[-4:]
    assert closed(view, write_close_recipe([(CHUNKED, USUAL)])) == file


def test_a_stream_takes_no_piece_it_does_not_need() -> None:
    """zlib holds the end of a match, and all packed bytes, when a chunk of content is full."""
    content = bytes(CHUNK + 1)
    stream = b"".join(deflate([content], USUAL))
    parts = (b"x\x9c" + stream, zlib.adler32(content).to_bytes(4, "big"))
    file = b"".join(struct.pack(">I", len(part)) + b"IDAT" + part + b"crc." for part in parts)
    view = opened(file, write_open_recipe([(CHUNKED, 10 - predict(file))]))
    assert (
        view == b"\x0a" + file[:10] + numbers(len(content), 0) + content + file[10 + len(stream) :]
    )
    assert closed(view, write_close_recipe([(CHUNKED, USUAL)])) == file


# --- the probe ---


def test_the_probe_is_what_the_format_says() -> None:
    assert len(probe()) == 98_304
    assert zlib.crc32(probe()) == 1_149_943_197


def test_the_probe_tells_levels_apart() -> None:
    checksums = {probe_checksum(Parameters(level, 15, 8, 0)) for level in (1, 2, 3, 4, 5, 6, 7, 8)}
    assert len(checksums) == 8


def other_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zlib that deflates well, and in its own way."""
    real: Callable[..., Any] = zlib.compressobj

    def other(level: int, *rest: int) -> Any:
        return real(1 if level > 1 else 2, *rest)

    monkeypatch.setattr(zlib, "compressobj", other)


@pytest.fixture
def _fresh() -> Iterator[None]:
    """Forgets what another zlib gave, before and behind."""
    probe_checksum.cache_clear()
    yield
    probe_checksum.cache_clear()


@pytest.mark.usefixtures("_fresh")
def test_another_zlib_is_found_out_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_zlib(monkeypatch)
    file = io.BytesIO()
    with pytest.raises(PatchError, match="deflates in another way") as caught:
        VIEW.check(CLOSE)
    with pytest.raises(PatchError):
        VIEW.close(io.BytesIO(VIEWED), CLOSE, file)
    assert caught.value.hint == "the file comes from the bundle"
    assert not file.getvalue()


def test_a_wrong_checksum_in_the_recipe_is_the_same() -> None:
    with pytest.raises(PatchError, match="another way"):
        VIEW.check(CLOSE[:5] + bytes(4) + CLOSE[9:])


def test_our_own_zlib_passes() -> None:
    VIEW.check(CLOSE)


# --- places in a zip's central directory ---


def record(name: bytes, packed: int, place: int) -> bytes:
    return (
        b"PK\1\2"
        + bytes(16)
        + struct.pack("<IIH", packed, 99, len(name))
        + bytes(12)
        + struct.pack("<I", place)
        + name
    )


def test_places_count_from_the_record_before() -> None:
    directory = record(b"one", 100, 7) + record(b"three", 200, 143) + b"end"
    view = record(b"one", 100, 7) + record(b"three", 200, 143 - 7 - 100 - 3) + b"end"
    assert opened(directory, write_open_recipe([])) == view
    assert closed(view, write_close_recipe([])) == directory


def test_a_place_before_the_likely_one_wraps() -> None:
    directory = record(b"", 100, 7) + record(b"", 200, 0)
    assert opened(directory, write_open_recipe([])).endswith(struct.pack("<I", (1 << 32) - 107))


@pytest.mark.parametrize("cut", [0, 1, 3, 10, 45, 46, 50])
def test_records_are_found_across_chunks_and_between_gaps(cut: int) -> None:
    places = b"".join(record(b"n", 100, 131 * n) for n in range(3000))
    file = bytes(inflated.CHUNK - cut) + places
    view = opened(file, write_open_recipe([]))
    assert view == bytes(inflated.CHUNK - cut) + record(b"n", 100, 0) + 2999 * record(b"n", 100, 30)
    assert closed(view, write_close_recipe([])) == file


@SETTINGS
@given(st.lists(st.binary(max_size=9) | st.just(b"PK\1\2") | st.just(record(b"a", 5, 9))))
def test_any_gap_comes_back(parts: list[bytes]) -> None:
    file = b"".join(parts)
    view = opened(file, write_open_recipe([]))
    assert len(view) == len(file)
    assert closed(view, write_close_recipe([])) == file


# --- prediction ---


@SETTINGS
@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from([b"PK\3\4", b"PK\7\x08", b"\x1f\x8b\x08", b"IDAT", b"x\x9c", bytes(12)])
    ).map(b"".join)
)
def test_any_window_has_a_prediction(window: bytes) -> None:
    assert predict(window) >= 0


@pytest.mark.parametrize("window", [b"", b"PK", b"PK\3\4", b"\x1f\x8b\x08", b"x", b"IDAT"])
def test_windows_cut_short(window: bytes) -> None:
    assert predict(window) >= 0


def test_nothing_known_is_expected_at_once() -> None:
    assert predict(b"no archive of any kind") == 0


# --- hostile documents ---


@pytest.mark.parametrize(
    "recipe",
    [
        b"",
        numbers(250_001),
        numbers(1),
        numbers(1, 0, 0, 0),
        numbers(2, 3, 0, 0),
        numbers(1, 1, 2, 0),
        numbers(1, 1, 0),
        numbers(0, 0),
        numbers(1, 1, 0, 1 << 42),
        b"\xff" * 20,
    ],
)
def test_an_open_recipe_that_is_none(recipe: bytes) -> None:
    with pytest.raises(FormatError):
        opened(FILE, recipe)


@pytest.mark.parametrize(
    "values", [(0, 15, 8, 0), (10, 15, 8, 0), (6, 8, 8, 0), (6, 16, 8, 0), (6, 15, 0, 0)]
)
def test_parameters_zlib_would_refuse(values: tuple[int, ...]) -> None:
    with pytest.raises(FormatError):
        closed(VIEWED, numbers(1, *values) + bytes(4) + numbers(0))


@pytest.mark.parametrize(
    "recipe",
    [
        b"",
        numbers(65),
        numbers(1, 6, 15, 8, 5),
        numbers(1, 6, 15),
        CLOSE[:7],
        CLOSE + b"\0",
        numbers(0, 1, 1, 0, 0),
        CLOSE[:-1] + b"\1",
    ],
)
def test_a_close_recipe_that_is_none(recipe: bytes) -> None:
    with pytest.raises(FormatError):
        closed(VIEWED, recipe)


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([(WHOLE, 6), (WHOLE, -1)], "before the end of another"),
        ([(WHOLE, 7)], "no deflate stream"),
        ([(WHOLE, 1000)], "cut short"),
        ([(CHUNKED, 6)], "no image chunk"),
        ([(CHUNKED, 40)], "no image chunk"),
        ([(WHOLE, 6), (WHOLE, 7), (WHOLE, 6)], "cut short"),
    ],
)
def test_an_open_recipe_of_another_file(starts: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(PatchError, match=message):
        opened(FILE, write_open_recipe(starts))


def test_a_stream_that_does_not_end() -> None:
    with pytest.raises(PatchError, match="cut short"):
        opened(FILE[:20], write_open_recipe([(WHOLE, 6)]))


def test_pieces_that_do_not_follow_each_other() -> None:
    file, _ = image(8, 8)
    recipe = write_open_recipe([(CHUNKED, 10 - predict(file))])
    assert file[24:28] == b"IDAT"
    with pytest.raises(PatchError, match="do not follow"):
        opened(file[:24] + b"IEND" + file[28:], recipe)


def test_more_separators_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflated, "SEPARATORS_MOST", 2)
    file, _ = image(3, 3, 3)
    with pytest.raises(PatchError, match="do not follow"):
        opened(file, write_open_recipe([(CHUNKED, 10 - predict(file))]))


@pytest.mark.parametrize(
    "view",
    [b"", VIEWED[:3], VIEWED[:9], VIEWED[:30], VIEWED[:430], b"\xff" * 30, b"\0\xff\xff\xff\x7f"],
)
def test_a_view_cut_short_or_none(view: bytes) -> None:
    with pytest.raises((FormatError, PatchError)):
        closed(view, CLOSE)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_stream_of_another_length_than_its_pieces(change: int) -> None:
    file, separators = image(10, 10)
    count = len(separators) // 12 + change
    view = b"\x0a" + file[:10] + b"\xa4\3" + bytes([count])
    view += (separators + bytes(8) + b"IDAT")[: 12 * count] + CONTENT
    with pytest.raises(PatchError, match="its pieces"):
        closed(view, write_close_recipe([(CHUNKED, USUAL)]))


def test_a_bomb_is_stopped_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = b"".join(deflate([bytes(1 << 24)], USUAL))
    limits = type(DEFAULT)(view_bytes=1 << 20)
    monkeypatch.setattr(inflated, "DEFAULT", limits)
    view = io.BytesIO()
    with pytest.raises(PatchError, match="a view passes"):
        VIEW.open(io.BytesIO(bomb), write_open_recipe([(WHOLE, 0)]), view)
    assert len(view.getvalue()) < 10


def test_a_view_of_gaps_is_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflated, "DEFAULT", type(DEFAULT)(view_bytes=100))
    with pytest.raises(PatchError, match="a view passes"):
        opened(bytes(101), write_open_recipe([]))


class Short:
    """A file that takes no more than was announced."""

    def __init__(self, most: int) -> None:
        self.left = most

    def write(self, data: bytes) -> int:
        self.left -= len(data)
        if self.left < 0:
            raise EOFError
        return len(data)


def test_what_the_callers_file_raises_passes_through() -> None:
    view: Any = Short(100)
    with pytest.raises(EOFError):
        VIEW.open(io.BytesIO(FILE), OPEN, view)


@st.composite
def mutations(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    gone = draw(st.integers(0, 3))
    return data[:at] + draw(st.binary(max_size=3)) + data[at + gone :]


IMAGE, SEPARATORS = image(10, 10)
IMAGE_OPEN = write_open_recipe([(CHUNKED, 10 - predict(IMAGE))])
IMAGE_CLOSE = write_close_recipe([(CHUNKED, USUAL)])
IMAGE_VIEW = opened(IMAGE, IMAGE_OPEN)


@SETTINGS
@given(st.data())
@pytest.mark.parametrize(("file", "recipe"), [(FILE, OPEN), (IMAGE, IMAGE_OPEN)])
def test_any_mutation_of_what_is_opened_opens_or_is_refused(
    file: bytes, recipe: bytes, data: st.DataObject
) -> None:
    try:
        view = opened(data.draw(mutations(file)), data.draw(mutations(recipe)))
    except (FormatError, PatchError):
        return
    assert len(view) < 1033 * len(file)


@SETTINGS
@given(st.data())
@pytest.mark.parametrize(("view", "recipe"), [(VIEWED, CLOSE), (IMAGE_VIEW, IMAGE_CLOSE)])
def test_any_mutation_of_what_is_closed_closes_or_is_refused(
    view: bytes, recipe: bytes, data: st.DataObject
) -> None:
    try:
        file = closed(data.draw(mutations(view)), data.draw(mutations(recipe)))
    except (FormatError, PatchError):
        return
    assert len(file) < 2 * len(view)


# --- the source ---


@SETTINGS
@given(st.lists(st.tuples(st.sampled_from("ptx"), st.integers(0, 200_000)), max_size=20))
def test_a_source_reads_forward_whatever_is_looked_at(steps: list[tuple[str, int]]) -> None:
    data = random.Random(1).randbytes(300_000)
    source = LookaheadReader(io.BytesIO(data))
    for step, length in steps:
        at = source.position
        if step == "p":
            assert source.peek(length) == data[at : at + length]
        elif step == "t":
            part = source.take(length)
            assert data.startswith(part, at)
            assert part or not length or at == len(data)
            source.back(len(part) // 2)
            assert source.position == at + len(part) - len(part) // 2
        else:
            source.seek(length)
            assert source.position == length
