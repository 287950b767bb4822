"""Raw LZMA2: what comes out is as long as announced, and not a byte more is made."""

from __future__ import annotations

import lzma
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, damages
from updater.errors import FormatError
from updater.format.encoding.limits import Limits
from updater.format.encoding.lzma2 import dictionary_size, pack, unpack

MIB = 1 << 20


@SETTINGS
@given(st.binary(max_size=200) | st.binary(max_size=20).map(lambda data: data * 1000))
def test_unpacking_is_the_inverse_of_packing(raw: bytes) -> None:
    assert unpack(pack(raw, preset=1), len(raw), "x") == raw


@pytest.mark.parametrize("preset", [0, 6, 9 | lzma.PRESET_EXTREME])
@pytest.mark.parametrize("pb", [0, 2, 4])
def test_every_encoder_s_settings_are_read(preset: int, pb: int) -> None:
    raw = bytes(range(256)) * 300
    assert unpack(pack(raw, preset=preset, pb=pb), len(raw), "x") == raw


@pytest.mark.parametrize("announced", [0, 1, 4_095, 4_097, MIB])
def test_a_bomb_gives_no_more_than_it_announced(announced: int) -> None:
    bomb = pack(bytes(64 * MIB), preset=0)
    assert len(bomb) < 64 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            unpack(bomb, announced, "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * announced + MIB


@pytest.mark.parametrize("difference", [-2, -1, 1, 2, 10_000])
def test_a_stream_of_another_length_is_refused(difference: int) -> None:
    raw = b"abc" * 1_000
    with pytest.raises(FormatError, match=r"is not of|damaged"):
        unpack(pack(raw), len(raw) + difference, "x")


def test_a_stream_ends_where_its_bytes_end() -> None:
    packed = pack(b"abc")
    for data in (packed[:-1], packed + b"\0", packed + packed, b""):
        with pytest.raises(FormatError):
            unpack(data, 3, "x")


def test_every_damaged_byte_gives_as_many_bytes_or_a_format_error() -> None:
    raw = b"the quick brown fox " * 5
    for data in damages(pack(raw)):
        with suppress(FormatError):
            assert len(unpack(data, len(raw), "x")) == len(raw)


@pytest.mark.parametrize(
    ("length", "size"),
    [
        *((0, 4096), (1, 4096), (4096, 4096), (4097, 8192), (8192, 8192), (8193, 16384)),
        *((MIB, MIB), (MIB + 1, 2 * MIB), (16 * MIB, 16 * MIB), (40 * MIB, 16 * MIB)),
    ],
)
def test_the_dictionary_follows_from_the_length(length: int, size: int) -> None:
    assert dictionary_size(length) == size


def test_the_dictionary_has_a_limit() -> None:
    assert dictionary_size(MIB, Limits(dictionary_bytes=8192)) == 8192


def test_a_stream_that_needs_a_larger_dictionary_is_refused() -> None:
    """Its length says 8 KiB; a match from further back has no place to come from."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": MIB}]
    incompressible = b"".join(i.to_bytes(4, "big") for i in range(0, 1 << 32, 1 << 19))
    raw = incompressible + bytes(40_000) + incompressible
    packed = lzma.compress(raw, lzma.FORMAT_RAW, filters=filters)
    assert unpack(packed, len(raw), "x") == raw
    with pytest.raises(FormatError):
        unpack(packed, 8_192, "x")
