"""zstd with the old bytes as prefix: as long as announced, and not a byte more is made."""

from __future__ import annotations

import random
import sys
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.decoding import unpack
from tests.support.trees.strategies import SETTINGS, damages
from updater.errors import FormatError
from updater.format.encoding.zstandard import pack

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"


@SETTINGS
@given(
    st.binary(max_size=200) | st.binary(max_size=20).map(lambda data: data * 1000),
    st.binary(max_size=100),
    st.sampled_from([1, 3, 19]),
)
def test_unpacking_is_the_inverse_of_packing(new: bytes, prefix: bytes, level: int) -> None:
    assert unpack(pack(new, prefix, level), len(new), prefix, "x") == new
    assert unpack(pack(new + prefix, prefix, level), len(new + prefix), prefix, "x") == new + prefix


def test_the_same_bytes_pack_alike() -> None:
    new, prefix = random.Random(1).randbytes(100_000), random.Random(2).randbytes(50_000)
    assert pack(new + prefix, prefix) == pack(new + prefix, prefix)


@pytest.mark.parametrize("length", [8, 1_000, 3 * MIB])
def test_what_the_prefix_holds_costs_next_to_nothing(length: int) -> None:
    prefix = random.Random(1).randbytes(length)
    packed = pack(prefix, prefix)
    assert len(packed) < 20 + length // 1_000
    assert unpack(packed, length, prefix, "x") == prefix


@pytest.mark.parametrize("end", [0, 1])
def test_both_ends_of_a_prefix_larger_than_the_new_bytes_are_reached(end: int) -> None:
    prefix = random.Random(1).randbytes(2 * MIB)
    new = prefix[-100_000:] if end else prefix[:100_000]
    packed = pack(new, prefix)
    assert len(packed) < 200
    assert unpack(packed, len(new), prefix, "x") == new


def test_a_prefix_that_looks_like_a_dictionary_is_a_prefix() -> None:
    prefix = DICTIONARY_MAGIC + random.Random(1).randbytes(1_000)
    packed = pack(prefix, prefix)
    assert len(packed) < 30
    assert unpack(packed, len(prefix), prefix, "x") == prefix


@pytest.mark.parametrize("announced", [0, 1, 4_095, 4_097, MIB])
def test_a_bomb_gives_no_more_than_it_announced(announced: int) -> None:
    bomb = pack(bytes(64 * MIB), b"", 1)
    assert len(bomb) < 64 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            unpack(bomb, announced, b"", "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * announced + MIB


def test_a_frame_that_asks_for_a_larger_window_is_refused() -> None:
    new = random.Random(1).randbytes(1_000)
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(new) + compressor.flush()
    assert zstd.decompress(packed) == new
    with pytest.raises(FormatError, match="damaged"):
        unpack(packed, len(new), b"", "x")


@pytest.mark.parametrize("difference", [-2, -1, 1, 2, 10_000])
def test_a_frame_of_another_length_is_refused(difference: int) -> None:
    new = b"abc" * 1_000
    with pytest.raises(FormatError, match=r"is not of|damaged"):
        unpack(pack(new, b""), len(new) + difference, b"", "x")


def test_a_frame_ends_where_its_bytes_end() -> None:
    packed = pack(b"abc", b"")
    skippable = b"\x50\x2a\x4d\x18\0\0\0\0"
    for data in (packed[:-1], packed + b"\0", packed + packed, skippable + packed, b""):
        with pytest.raises(FormatError):
            unpack(data, 3, b"", "x")


def test_every_damaged_byte_gives_as_many_bytes_or_a_format_error() -> None:
    prefix = b"the quick brown fox " * 5
    new = b"the quick brown cat jumps " * 5
    for data in damages(pack(new, prefix)):
        with suppress(FormatError):
            assert len(unpack(data, len(new), prefix, "x")) == len(new)


def test_another_prefix_gives_as_many_bytes_or_a_format_error() -> None:
    prefix = random.Random(1).randbytes(1_000)
    packed = pack(prefix, prefix)
    for other in (b"", prefix[:7], prefix[:8], prefix[:-1], prefix[1:] + b"?"):
        with suppress(FormatError):
            assert len(unpack(packed, len(prefix), other, "x")) == len(prefix)
