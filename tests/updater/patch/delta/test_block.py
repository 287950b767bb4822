"""Blocks: encoded and decoded alike, bound by what the header says, FormatError for damage."""

from __future__ import annotations

import random
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.vectors.generate import CORE, CORE_DELTA, OLD_FILES, delta, whole
from tests.support.trees.decoding import decode_block
from tests.support.trees.strategies import SETTINGS, damages, deltas, patched
from updater.errors import FormatError, PatchError
from updater.format.encoding import zstandard
from updater.format.encoding.lzma2 import pack
from updater.format.names import Digest
from updater.format.patch_header.patch import LZMA2, STORED, ZSTD, Block, Extent, raw_limit
from updater.patch.delta.block import encode_block
from updater.patch.delta.bsdiff import Delta

MIB = 1 << 20


def block(raw_length: int, packed: bytes, new_length: int, codec: int = STORED) -> Block:
    new = (Extent(0, 0, new_length),) if new_length else ()
    return Block((), new, codec, raw_length, len(packed), Digest.of(packed))


def decode(raw: bytes, new_length: int, old: bytes = b"") -> bytes:
    """``raw`` as the raw bytes of a stored block."""
    return decode_block(block(len(raw), raw, new_length), raw, old)


@SETTINGS
@given(deltas())
def test_decoding_is_the_inverse_of_encoding(case: tuple[bytes, Delta]) -> None:
    old, given_delta = case
    new = patched(old, given_delta)
    codec, raw, packed = encode_block(given_delta, preset=1)
    assert len(raw) <= raw_limit(len(new))
    assert decode_block(block(len(raw), packed, len(new), codec), packed, old) == new
    assert decode(raw, len(new), old) == new


def test_whatever_packs_badly_is_stored() -> None:
    chance = random.Random(1).randbytes(1_000)
    codec, raw, packed = encode_block(Delta((0,), (1_000,), (0,), b"", chance))
    assert (codec, packed) == (STORED, raw)
    codec, raw, packed = encode_block(Delta((0,), (1_000,), (0,), b"", bytes(1_000)))
    assert codec == LZMA2
    assert len(packed) < len(raw)


@pytest.mark.parametrize("start", [b"", b"\x01", b"\x01" * 300])
@pytest.mark.parametrize("end", [b"", b"\x02"])
def test_megabytes_of_equal_bytes_cost_bytes(start: bytes, end: bytes) -> None:
    difference = start + bytes(16 * MIB - len(start) - len(end)) + end
    of = Delta((len(difference),), (0,), (0,), difference, b"")
    codec, raw, packed = encode_block(of)
    assert len(raw) < len(start) + 30
    old = bytes(16 * MIB)
    assert decode_block(block(len(raw), packed, 16 * MIB, codec), packed, old) == difference


@pytest.mark.parametrize("zeros", [0, 1, 255, 256, 257, 10_000])
def test_zeros_of_any_length_come_back(zeros: int) -> None:
    difference = b"\x01" + bytes(zeros) + b"\x02\x03" + bytes(zeros)
    of = Delta((len(difference),), (0,), (0,), difference, b"")
    _, raw, _ = encode_block(of)
    assert decode(raw, len(difference), bytes(len(difference))) == difference


@pytest.mark.parametrize("zeros", [100, 255])
def test_cutting_out_zeros_takes_linear_time(zeros: int) -> None:
    """Looked for naively, each run that is just too short costs its length squared."""
    difference = (bytes(zeros) + b"\x01") * 10_000
    of = Delta((len(difference),), (0,), (0,), difference, b"")
    _, raw, _ = encode_block(of, preset=0)
    assert decode(raw, len(difference), bytes(len(difference))) == difference


def test_an_encoder_may_cut_out_shorter_runs_than_ours() -> None:
    raw = delta([(5, 0, 0)], [1, 1, 1, 2], b"\x01\x01", b"")
    assert decode(raw, 5, b"aaaaa") == b"babaa"


class TestDamage:
    RAW = CORE_DELTA
    OLD = OLD_FILES["lib/core.dat"]

    def test_the_block_itself(self) -> None:
        assert decode(self.RAW, len(CORE), self.OLD) == CORE

    @pytest.mark.parametrize("codec", [STORED, LZMA2])
    def test_of_any_byte_is_seen_before_it_is_parsed(self, codec: int) -> None:
        packed = self.RAW if codec == STORED else pack(self.RAW)
        of = block(len(self.RAW), packed, len(CORE), codec)
        assert decode_block(of, packed, self.OLD) == CORE
        for damaged in damages(packed):
            if damaged != packed:
                with pytest.raises(FormatError, match="not the one its header names"):
                    decode_block(of, damaged, self.OLD)

    def test_that_was_signed_gives_the_announced_length_or_one_of_two_errors(self) -> None:
        for raw in damages(self.RAW):
            with suppress(FormatError, PatchError):
                assert len(decode(raw, len(CORE), self.OLD)) == len(CORE)

    def test_of_the_stream_that_was_signed_gives_the_length_or_one_of_two_errors(self) -> None:
        for packed in damages(pack(self.RAW)):
            with suppress(FormatError, PatchError):
                of = block(len(self.RAW), packed, len(CORE), LZMA2)
                assert len(decode_block(of, packed, self.OLD)) == len(CORE)

    @SETTINGS
    @given(st.binary(max_size=40), st.integers(0, 20), st.binary(max_size=8))
    def test_garbage_that_was_signed_gives_the_length_or_one_of_two_errors(
        self, raw: bytes, new_length: int, old: bytes
    ) -> None:
        for codec in (STORED, LZMA2):
            with suppress(FormatError, PatchError):
                new = decode_block(block(len(raw), raw, new_length, codec), raw, old)
                assert len(new) == new_length

    @SETTINGS
    @given(deltas(), st.randoms(use_true_random=False))
    def test_of_random_blocks_gives_the_length_or_one_of_two_errors(
        self, case: tuple[bytes, Delta], chance: random.Random
    ) -> None:
        old, given_delta = case
        new_length = sum(given_delta.adds) + sum(given_delta.copies)
        _, raw, _ = encode_block(given_delta, preset=0)
        for _ in range(10):
            damaged = bytearray(raw)
            damaged[chance.randrange(len(raw))] = chance.randrange(256)
            with suppress(FormatError, PatchError):
                assert len(decode(bytes(damaged), new_length, old)) == new_length

    def test_other_old_bytes_give_other_new_bytes_or_a_patch_error(self) -> None:
        assert decode(self.RAW, len(CORE), b"?" + self.OLD[1:]) != CORE
        for old in (b"", self.OLD[:-1], self.OLD[:10]):
            with pytest.raises(PatchError):
                decode(self.RAW, len(CORE), old)


class TestLengths:
    def test_of_the_packed_bytes(self) -> None:
        raw = whole(b"abc")
        of = block(len(raw), raw, 3)
        for packed in (raw[:-1], raw + b"\0", b""):
            with pytest.raises(FormatError, match="not the one its header names"):
                decode_block(of, packed, b"")

    @pytest.mark.parametrize("difference", [-1, 1])
    @pytest.mark.parametrize("codec", [STORED, LZMA2])
    def test_of_the_raw_bytes(self, difference: int, codec: int) -> None:
        raw = whole(b"abc" * 100)
        packed = raw if codec == STORED else pack(raw)
        with pytest.raises(FormatError):
            decode_block(block(len(raw) + difference, packed, 300, codec), packed, b"")

    @pytest.mark.parametrize("new_length", [0, 2, 4, 16 * MIB])
    def test_of_the_new_bytes(self, new_length: int) -> None:
        with pytest.raises(FormatError):
            decode(whole(b"abc"), new_length)

    def test_a_block_of_nothing(self) -> None:
        assert decode(delta([], [], b"", b""), 0) == b""


@pytest.mark.parametrize("new_length", [0, 10, 1_000])
def test_a_bomb_is_cut_at_the_length_the_header_announces(new_length: int) -> None:
    bomb = pack(bytes(64 * MIB), preset=0)
    of = block(raw_limit(new_length), bomb, new_length, LZMA2)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            decode_block(of, bomb, b"")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB


@pytest.mark.parametrize(
    "control",
    [
        b"\xff\xff\xff\xff\x0f\x00",  # 2^32 triples
        b"\x00\xff\xff\xff\xff\x0f",  # 2^32 gaps
        b"\x01\x00" + b"\xff" * 8 + b"\x7f\x00\x00",  # one that adds 2^63 bytes
        b"\x01\x01\x03\x00\x00\x00" + b"\xff" * 8 + b"\x7f",  # a gap of 2^63 zeros
        b"\x01\x01\x03\x00\x00" + b"\xff" * 8 + b"\x7f\x00",  # 2^63 literals
    ],
)
def test_huge_numbers_are_refused_before_anything_is_made(control: bytes) -> None:
    refuse_small(bytes([len(control)]) + control)


def test_a_huge_length_of_numbers_is_refused_before_they_are_made() -> None:
    refuse_small(b"\xff\xff\xff\xff\x0f")


def refuse_small(raw: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            decode(raw, 3, b"abc")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB


class TestZstd:
    """A block that is one frame, the old bytes in front of it."""

    OLD = bytes(range(256)) * 4
    NEW = OLD[100:] + b"inserted" + OLD[:100]
    PACKED = zstandard.pack(NEW, OLD)

    def of(self, packed: bytes, new_length: int = len(NEW)) -> Block:
        return block(new_length, packed, new_length, ZSTD)

    def test_gives_its_new_bytes(self) -> None:
        assert decode_block(self.of(self.PACKED), self.PACKED, self.OLD) == self.NEW
        assert len(self.PACKED) < 60

    def test_damage_is_seen_before_it_is_parsed(self) -> None:
        for damaged in damages(self.PACKED):
            if damaged != self.PACKED:
                with pytest.raises(FormatError, match="not the one its header names"):
                    decode_block(self.of(self.PACKED), damaged, self.OLD)

    def test_damage_that_was_signed_gives_the_length_or_a_format_error(self) -> None:
        for damaged in damages(self.PACKED):
            with suppress(FormatError):
                assert len(decode_block(self.of(damaged), damaged, self.OLD)) == len(self.NEW)

    @pytest.mark.parametrize("new_length", [0, 10, 1_000])
    def test_a_bomb_is_cut_at_the_length_the_header_announces(self, new_length: int) -> None:
        bomb = zstandard.pack(bytes(64 * MIB), b"", 1)
        with pytest.raises(FormatError):
            decode_block(self.of(bomb, new_length), bomb, b"")
