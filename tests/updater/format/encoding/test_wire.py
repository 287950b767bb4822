"""Numbers and strings of the patch header: one spelling each, every bound kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS
from updater.errors import FormatError
from updater.format.encoding.wire import Reader, Writer, utf8

MOST = (1 << 63) - 1


def written(value: int) -> bytes:
    writer = Writer()
    writer.varint(value)
    return writer.data()


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16383, "ff7f"),
        (16384, "808001"),
        (MOST, "ffffffffffffffff7f"),
    ],
)
def test_unsigned_numbers(value: int, data: str) -> None:
    assert written(value).hex() == data
    assert Reader(bytes.fromhex(data)).varint(MOST) == value


@pytest.mark.parametrize(
    ("value", "data"),
    [(0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (63, "7e"), (-64, "7f"), (64, "8001")],
)
def test_signed_numbers(value: int, data: str) -> None:
    writer = Writer()
    writer.signed(value)
    assert writer.data().hex() == data
    assert Reader(bytes.fromhex(data)).signed(100) == value


@SETTINGS
@given(st.integers(0, MOST), st.integers(-(1 << 61), 1 << 61))
def test_reading_is_the_inverse_of_writing(number: int, signed: int) -> None:
    writer = Writer()
    writer.varint(number)
    writer.signed(signed)
    reader = Reader(writer.data())
    assert (reader.varint(MOST), reader.signed(1 << 61)) == (number, signed)
    reader.end()


@SETTINGS
@given(st.binary(min_size=1, max_size=12))
def test_what_is_read_is_spelled_as_it_would_be_written(data: bytes) -> None:
    reader = Reader(data)
    try:
        value = reader.varint(MOST)
    except FormatError:
        return
    assert written(value) == data[: reader.position]


@pytest.mark.parametrize("data", ["8000", "ff00", "808000", "80" * 8 + "00"])
def test_a_longer_form_than_needed_is_refused(data: str) -> None:
    with pytest.raises(FormatError):
        Reader(bytes.fromhex(data)).varint(MOST)


@pytest.mark.parametrize("data", ["", "80", "8080", "ff" * 8])
def test_a_number_cut_short_is_refused(data: str) -> None:
    with pytest.raises(FormatError, match="cut short"):
        Reader(bytes.fromhex(data)).varint(MOST)


def test_a_number_of_ten_bytes_is_refused() -> None:
    with pytest.raises(FormatError, match="longer than 9 bytes"):
        Reader(b"\x80" * 9 + b"\x01").varint(1 << 70)


@pytest.mark.parametrize(("value", "fits"), [(100, True), (101, False)])
def test_a_number_keeps_its_bound(value: int, fits: bool) -> None:
    if fits:
        assert Reader(written(value)).varint(100) == value
    else:
        with pytest.raises(FormatError, match="101 refused, 100 allowed"):
            Reader(written(value)).varint(100)


@pytest.mark.parametrize("value", [-100, 100])
def test_a_signed_number_keeps_its_bound_on_both_sides(value: int) -> None:
    writer = Writer()
    writer.signed(value)
    assert Reader(writer.data()).signed(100) == value
    with pytest.raises(FormatError):
        Reader(writer.data()).signed(99)


def test_bytes_are_all_there_or_refused() -> None:
    assert Reader(b"\x03abc").block(3, "x") == b"abc"
    for data in (b"\x03ab", b"\x04abcd", b""):
        with pytest.raises(FormatError):
            Reader(data).block(3, "x")


def test_a_length_is_refused_before_anything_is_taken() -> None:
    with pytest.raises(FormatError, match="length of x"):
        Reader(written(1 << 40)).block(1 << 20, "x")


@pytest.mark.parametrize(
    "data", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"]
)
def test_only_utf8_is_text(data: bytes) -> None:
    with pytest.raises(FormatError, match="not UTF-8"):
        utf8(data, "x")


def test_nothing_may_stand_behind_the_end() -> None:
    reader = Reader(b"\x01\x02\x03")
    reader.varint(9)
    with pytest.raises(FormatError, match="2 bytes too many"):
        reader.end()
