"""Cutting new content into blocks that keep every limit, and encoding each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchtool import blocks
from patchtool.blocks import BUNDLE_BLOCK, Content, Draft, cut, encode
from trees import noise

from updater.delta.block import decode_block
from updater.format.limits import MIB, Limits
from updater.format.patch import LZMA2, STORED, Extent

NOWHERE = Path("nowhere")
SMALL = Limits(block_new_bytes=100, block_old_bytes=100)


@contextmanager
def small_limits() -> Iterator[None]:
    """Limits so small that tests reach them."""
    with mock.patch.object(blocks, "DEFAULT", SMALL):
        yield


def content(number: int, size: int, old_size: int = 0) -> Content:
    return Content(number, size, NOWHERE, NOWHERE if old_size else None, old_size)


contents = st.lists(st.tuples(st.integers(1, 350), st.integers(0, 350)), max_size=12).map(
    lambda sizes: [content(n, size, old) for n, (size, old) in enumerate(sizes)]
)


def length(extents: tuple[Extent, ...]) -> int:
    return sum(extent.length for extent in extents)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(contents, st.integers(1, 120))
def test_blocks_give_every_byte_once_in_order_and_keep_the_limits(
    files: list[Content], target: int
) -> None:
    with small_limits():
        drafts = list(cut(files, target))
    given = [(e.file, e.offset + n) for d in drafts for e in d.new for n in range(e.length)]
    assert given == [(file.number, n) for file in files for n in range(file.size)]
    for draft in drafts:
        assert 0 < length(draft.new) <= SMALL.block_new_bytes
        assert length(draft.old) <= SMALL.block_old_bytes
        numbers = {extent.file for extent in draft.new}
        for extent in draft.old:
            assert extent.file in numbers
            assert extent.length > 0
            assert extent.offset + extent.length <= files[extent.file].old_size


@settings(max_examples=100, deadline=None, derandomize=True)
@given(contents)
def test_a_block_ends_only_where_it_must_or_may(files: list[Content]) -> None:
    with small_limits():
        drafts = list(cut(files, target=50))
    for draft, after in pairwise(drafts):
        last, following = draft.new[-1], after.new[0]
        is_file_end = last.offset + last.length == files[last.file].size
        is_full = length(draft.new) + following.length > SMALL.block_new_bytes
        if not (is_file_end and length(draft.new) >= 50) and not is_full:
            first_old = sum(e.length for e in after.old if e.file == following.file)
            assert length(draft.old) + first_old > SMALL.block_old_bytes


def test_small_files_share_blocks_of_a_bundle_and_large_ones_are_cut() -> None:
    sizes = [MIB // 2, MIB // 2, 10, 40 * MIB, 10]
    drafts = list(cut([content(n, size) for n, size in enumerate(sizes)], BUNDLE_BLOCK))
    assert [[(e.file, e.length // MIB) for e in draft.new] for draft in drafts] == [
        [(0, 0), (1, 0)],
        [(2, 0)],
        [(3, 16)],
        [(3, 16)],
        [(3, 8)],
        [(4, 0)],
    ]


def test_parts_of_a_large_file_are_matched_with_the_same_part_of_its_old_self() -> None:
    drafts = list(cut([content(0, 40 * MIB, old_size=20 * MIB)]))
    assert [[(e.offset // MIB, e.length // MIB) for e in draft.old] for draft in drafts] == [
        [(0, 16)],
        [(16, 4)],
        [],
    ]


def test_nothing_new_is_no_block() -> None:
    assert list(cut([])) == []


def test_a_hundred_thousand_small_files_are_cut_in_seconds() -> None:
    begin = time.monotonic()
    drafts = list(cut(content(n, 100, 100) for n in range(100_000)))
    assert sum(len(draft.new) for draft in drafts) == 100_000
    assert time.monotonic() - begin < 10


def encoded(folder: Path, old: bytes, new: bytes) -> tuple[int, int, bytes]:
    """Number of old extents, codec and packed bytes of the block from ``old`` to ``new``."""
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    file = Content(0, len(new), folder / "new", folder / "old" if old else None, len(old))
    (draft,) = cut([file])
    block, packed = encode(draft, {0: file}, preset=1)
    assert decode_block(block, packed, old if block.old else b"") == new
    return len(block.old), block.codec, packed


def test_new_content_is_told_by_its_difference_from_the_old(tmp_path: Path) -> None:
    old = noise(50_000)
    new = old[:20_000] + b"a word in between" + old[20_100:]
    olds, _, packed = encoded(tmp_path, old, new)
    assert olds == 1
    assert len(packed) < 300


@pytest.mark.parametrize(
    ("old", "new", "codec"),
    [
        (noise(500, 1), b"\0" * 500, LZMA2),
        (noise(500, 1), noise(500, 2), STORED),
        (b"", b"line\n" * 100, LZMA2),
        (b"", noise(500), STORED),
        (b"", b"1", STORED),
    ],
    ids=["old of no use", "nothing alike", "text", "noise", "one byte"],
)
def test_a_block_is_never_larger_than_its_content_packed(
    old: bytes, new: bytes, codec: int, tmp_path: Path
) -> None:
    olds, used, packed = encoded(tmp_path, old, new)
    assert (olds, used) == (0, codec)
    assert len(packed) <= len(new) + 16


def test_a_draft_that_reads_an_old_file_needs_one(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    draft = Draft((Extent(0, 0, 3),), (Extent(0, 0, 3),))
    with pytest.raises(ValueError, match="no old self"):
        encode(draft, {0: Content(0, 3, tmp_path / "new")}, preset=1)
