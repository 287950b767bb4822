"""Control numbers: read back as written, and refused before they are made if too many."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, damages
from updater.errors import FormatError
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.encoding.wire import VARINT_BYTES, Writer
from updater.patch.delta.bsdiff import Triples
from updater.patch.delta.control import Control, decode_control, encode_control, most_bytes

MOST = DEFAULT.block_new_bytes
numbers = st.integers(0, 300) | st.integers(0, 1 << 20)


@st.composite
def controls(draw: st.DrawFn) -> Control:
    """Numbers that agree, whatever positions they lead to."""
    count = draw(st.integers(0, 6))
    column = st.lists(numbers, min_size=count, max_size=count)
    adds, copies = draw(column), draw(column)
    seeks = draw(st.lists(st.integers(-MOST, MOST), min_size=count, max_size=count))
    left, literals, gaps = sum(adds), [], []
    for _ in range(draw(st.integers(0, 4))):
        literals.append(draw(st.integers(0, left)))
        gaps.append(draw(st.integers(0, left - literals[-1])))
        left -= literals[-1] + gaps[-1]
    return Control(Triples(adds, copies, seeks), literals, gaps)


def new_length(control: Control) -> int:
    return sum(control.triples.adds) + sum(control.triples.copies)


def columns(control: Control) -> list[list[int]]:
    triples = control.triples
    five = (triples.adds, triples.copies, triples.seeks, control.literals, control.gaps)
    return [list(column) for column in five]


@SETTINGS
@given(controls())
def test_reading_is_the_inverse_of_writing(control: Control) -> None:
    data = encode_control(control)
    assert columns(decode_control(data, new_length(control))) == columns(control)


@SETTINGS
@given(controls())
def test_numbers_are_those_of_the_wire(control: Control) -> None:
    writer = Writer()
    adds, copies, seeks, literals, gaps = columns(control)
    for column in ([len(adds), len(gaps)], adds, copies):
        writer.column(column)
    for seek in seeks:
        writer.signed(seek)
    writer.column([*literals, *gaps])
    assert encode_control(control) == writer.data()


@SETTINGS
@given(controls())
def test_damage_gives_numbers_that_agree_or_a_format_error(control: Control) -> None:
    length = new_length(control)
    for data in damages(encode_control(control)[:40]):
        with suppress(FormatError):
            read = decode_control(data, length)
            assert new_length(read) == length
            assert sum(read.literals) + sum(read.gaps) <= sum(read.triples.adds)


def test_the_most_there_can_be_is_read() -> None:
    limits = Limits(block_triples=3)
    far = 1 << 24
    control = Control(Triples([far, 0, 0], [0, 0, 0], [-far, far, -far]), [0, far, 0], [0, 0, 0])
    data = encode_control(control)
    assert len(data) <= most_bytes(limits)
    assert columns(decode_control(data, far, limits)) == columns(control)


@pytest.mark.parametrize("count", [DEFAULT.block_triples, DEFAULT.block_triples + 1])
def test_triples_are_counted(count: int) -> None:
    none = [0] * count
    data = encode_control(Control(Triples(none, none, none), none[:5], none[:5]))
    if count <= DEFAULT.block_triples:
        assert len(decode_control(data, 0).triples.adds) == count
    else:
        with pytest.raises(FormatError, match="triples or gaps refused"):
            decode_control(data, 0)


def test_numbers_that_are_not_counted_are_never_made() -> None:
    data = b"\x01\x00" + bytes(5_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="control numbers"):
            decode_control(data, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(data)


@pytest.mark.parametrize("length", [VARINT_BYTES, 5_000_000])
def test_a_number_of_megabytes_is_refused_at_once(length: int) -> None:
    begin = time.monotonic()
    with pytest.raises(FormatError, match="longer than 9 bytes"):
        decode_control(b"\x00\x01" + b"\xff" * length + b"\x01\x00", 1 << 24)
    assert time.monotonic() - begin < 1
