"""The patch header: written and read alike, one body a header, FormatError for all else."""

from __future__ import annotations

import dataclasses
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.vectors import generate
from tests.conformance.vectors.generate import wrapped
from tests.support.trees.strategies import SETTINGS, damages, headers
from updater.errors import FormatError
from updater.format.changes import Change, Kind
from updater.format.encoding import lzma2
from updater.format.encoding.limits import Limits
from updater.format.encoding.wire import Reader
from updater.format.names import Digest
from updater.format.patch_header.header import (
    MAGIC,
    PREAMBLE_MOST,
    decode_header,
    encode_header,
    header_length,
)
from updater.format.patch_header.patch import (
    Block,
    Extent,
    FileView,
    Header,
    TreeDescriptor,
    check_header,
)
from updater.format.release_description import Release

BODY = b"".join(generate.PATCH_FIELDS.values())
NEW = TreeDescriptor("1.1", Digest.of(b"new"), 100, Release())
BLOCK = Block((), (Extent(0, 0, 3),), 0, 8, 8, Digest.of(b"block"))
ONE = Header("notes", None, NEW, (Change(Kind.ADD, "a", size=3),), (), (), (), (BLOCK,))


def body(data: bytes) -> bytes:
    """The body of a header."""
    reader = Reader(data[len(MAGIC) :])
    length = reader.varint(1 << 24)
    reader.varint(1 << 24)
    return lzma2.unpack(data[len(MAGIC) + reader.position :], length, "body")


@SETTINGS
@given(headers())
def test_decoding_is_the_inverse_of_encoding(header: Header) -> None:
    check_header(header)
    data = encode_header(header)
    assert decode_header(data) == header
    assert encode_header(header) == data
    assert header_length(data[:PREAMBLE_MOST]) == len(data)


@SETTINGS
@given(headers())
def test_sums_are_those_of_the_parts(header: Header) -> None:
    assert header.write_bytes == sum(change.size or 0 for change in header.changes)
    assert header.blocks_length == sum(block.packed_length for block in header.blocks)
    lengths = {**header.contents, **{view.file: view.length for view in header.new_views}}
    assert sum(block.new_length for block in header.blocks) == sum(lengths.values())


def test_every_damaged_byte_of_a_body_is_refused_or_is_another_header_s_only_spelling() -> None:
    refused = 0
    cases = damages(BODY)
    for data in cases:
        try:
            header = decode_header(wrapped(data))
        except FormatError:
            refused += 1
            continue
        assert body(encode_header(header)) == data
    assert refused > 0.5 * len(cases)


@SETTINGS
@given(headers(), st.randoms(use_true_random=False))
def test_a_mutated_body_is_refused_or_is_another_header_s_only_spelling(
    header: Header, chance: random.Random
) -> None:
    original = body(encode_header(header))
    for _ in range(20):
        data = bytearray(original)
        data[chance.randrange(len(data))] = chance.choice(
            [0, 1, 2, 127, 128, 255, chance.randrange(256)]
        )
        with suppress(FormatError):
            assert body(encode_header(decode_header(wrapped(bytes(data))))) == data


def test_every_damaged_byte_of_a_header_gives_a_header_or_a_format_error() -> None:
    for packed in (encode_header(ONE), wrapped(body(encode_header(ONE)))):
        for data in damages(packed):
            with suppress(FormatError):
                assert isinstance(decode_header(data), Header)
        for length in range(len(packed)):
            with pytest.raises(FormatError):
                decode_header(packed[:length])
        for more in (b"\0", b"x" * 100, packed):
            with pytest.raises(FormatError):
                decode_header(packed + more)


@SETTINGS
@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for start in (b"", MAGIC):
        with pytest.raises(FormatError):
            decode_header(start + data)
    with suppress(FormatError):
        decode_header(wrapped(data))


@pytest.mark.parametrize(
    "data", [b"", b"BSDIFF40", b"\x7fELF", b"PK\3\4", b"<html>", b"upswap\n\1"]
)
def test_other_files_are_told_apart(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"not an upswap patch|cut short"):
        decode_header(data.ljust(8, b" ") if data else data)


@pytest.mark.parametrize(
    "data",
    [
        MAGIC[:-1] + b"\x02" + encode_header(ONE)[len(MAGIC) :],
        generate.header(generate.ONE_FIELDS, kinds=b"\x0a"),
        generate.header(generate.ONE_FIELDS, codecs=b"\x03"),
    ],
    ids=["format version", "kind of change", "codec"],
)
def test_what_a_newer_tool_writes_is_refused_with_a_hint(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        decode_header(data)
    assert caught.value.hint == "a newer updater is needed"


def changed(**fields: Any) -> Header:
    return dataclasses.replace(ONE, **fields)


def block(**fields: Any) -> Header:
    return changed(blocks=(dataclasses.replace(BLOCK, **fields),))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (changed(blocks=()), "do not give every new byte"),
        (changed(blocks=(BLOCK, BLOCK)), "overlap or miss"),
        (changed(changes=()), "overlap or miss"),
        (changed(changes=(Change(Kind.ADD, "a"),)), "content without a size"),
        (block(new=(Extent(0, 0, 2),)), "do not give every new byte"),
        (block(new=(Extent(0, 1, 2),)), "overlap or miss"),
        (block(new=(Extent(0, 0, 2), Extent(0, 1, 2))), "overlap or miss"),
        (block(new=(Extent(0, 0, 3), Extent(0, 3, 0))), "overlap or miss"),
        (block(new=(Extent(0, 0, 3), Extent(1, 0, 1))), "overlap or miss"),
        (block(raw_length=64 + 3 + 20 * 7 + 1), "208 decompressed bytes, 207 allowed"),
        (block(codec=7), "codec 7 is unknown"),
        (changed(new_views=(FileView(0, 9, 0, b""),)), "view of 0 bytes"),
        (changed(new_views=(FileView(0, 9, 25, b""),)), "view of 25 bytes"),
        (changed(new_views=(FileView(1, 9, 3, b""),)), "view of 3 bytes for None"),
        (changed(new_views=(FileView(0, 9, 3, b""), FileView(0, 8, 3, b""))), "two views"),
        (changed(old_views=(FileView(5, 9, 3, b""), FileView(5, 8, 3, b""))), "two views"),
    ],
)
def test_parts_that_do_not_agree_are_refused(header: Header, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        check_header(header)
    if "without a size" not in reason:  # which has no spelling
        with pytest.raises(FormatError, match=reason):
            decode_header(encode_header(header))


def test_pieces_of_a_file_may_stand_in_any_block_in_any_order() -> None:
    pieces = [Extent(0, 2, 1), Extent(0, 0, 1), Extent(0, 1, 1)]
    blocks = tuple(dataclasses.replace(BLOCK, new=(piece,)) for piece in pieces)
    header = changed(blocks=blocks)
    assert decode_header(encode_header(header)) == header


def test_names_windows_refuses_may_stand_there_if_one_tree_declares_it() -> None:
    linux = dataclasses.replace(NEW, release=Release(portable=False))
    changes = (Change(Kind.ADD, "aux", size=3), Change(Kind.SYMLINK, "l", target="nul"))
    for old, new in ((None, linux), (linux, NEW), (NEW, linux)):
        header = changed(old=old, new=new, changes=changes)
        assert decode_header(encode_header(header)) == header
    for old in (None, NEW):
        with pytest.raises(FormatError, match="Windows"):
            decode_header(encode_header(changed(old=old, changes=changes)))


def test_thousands_of_like_changes_cost_next_to_nothing() -> None:
    changes = tuple(
        Change(Kind.MODE, f"lib/module_{i:05d}.py", executable=True) for i in range(5_000)
    )
    assert len(encode_header(changed(changes=changes, blocks=()))) < 12_000


def test_names_that_repeat_each_other_into_gigabytes_are_refused_before_they_are_made() -> None:
    path = "/".join("x" * 200 for _ in range(5))
    paths = (f"{path}/{number:06d}" for number in range(2_000))
    changes = tuple(Change(Kind.MODE, path, executable=True) for path in paths)
    data = encode_header(changed(changes=changes, blocks=()))
    assert len(decode_header(data).changes) == 2_000
    with pytest.raises(FormatError, match="names of 2022000 bytes"):
        decode_header(data, Limits(names_bytes=2_021_999))
    moves = tuple(Change(Kind.MOVE_DIRECTORY, f"{n:06d}", source=path) for n in range(2_000))
    data = encode_header(changed(changes=moves, blocks=()))
    with pytest.raises(FormatError, match="names of 2008000 bytes"):
        decode_header(data, Limits(names_bytes=2_000_000))
