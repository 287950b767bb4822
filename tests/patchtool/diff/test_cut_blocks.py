"""Cutting new content into blocks that keep every limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchtool.diff import cut_blocks
from patchtool.diff.cut_blocks import BlockDraft, cut_bundle, cut_patch, join
from patchtool.diff.matching.corpus import Corpus, Span
from patchtool.diff.matching.match import Cover

from tests.support.trees.corpora import sized
from updater.format.encoding.limits import DEFAULT, MIB, Limits

SMALL = Limits(block_new_bytes=100, block_old_bytes=60, block_triples=6)


@contextmanager
def small_limits() -> Iterator[None]:
    """Limits so small that tests reach them."""
    with mock.patch.multiple(cut_blocks, DEFAULT=SMALL, PAGE=4):
        yield


@st.composite
def matched(draw: st.DrawFn) -> tuple[Corpus, Corpus, list[Cover]]:
    """Two corpora and covers in the order of the new one."""
    old = sized(draw(st.lists(st.integers(1, 150), max_size=6)))
    new = sized(draw(st.lists(st.integers(1, 200), max_size=6)))
    covers, at = [], 0
    while old.length and at < new.length and draw(st.integers(0, 9)):
        at += draw(st.integers(0, 60))
        length = draw(st.integers(1, 120))
        start = draw(st.integers(0, old.length - 1))
        length = min(length, new.length - at, old.length - start)
        if length > 0:
            covers.append(Cover(start, at, length))
            at += length
    return old, new, covers


def as_copied(drafts: list[BlockDraft]) -> list[tuple[int, int]]:
    """(old position, new position) of every byte that a cover gives, in the corpora."""
    return [
        (old, draft.new.start + cover.new + n)
        for draft in drafts
        for cover in draft.covers
        for n, old in enumerate(
            [at for span in draft.old for at in range(span.start, span.end)][
                cover.old : cover.old + cover.length
            ]
        )
    ]


@settings(max_examples=150, deadline=None)
@given(matched())
def test_blocks_give_every_byte_once_keep_every_match_and_the_limits(
    pair: tuple[Corpus, Corpus, list[Cover]],
) -> None:
    old, new, covers = pair
    with small_limits():
        drafts = list(cut_patch(covers, old, new, SMALL.block_new_bytes))
    assert [n for d in drafts for n in range(d.new.start, d.new.end)] == list(range(new.length))
    assert as_copied(drafts) == [(c.old + n, c.new + n) for c in covers for n in range(c.length)]
    for draft in drafts:
        assert 0 < draft.new.length <= SMALL.block_new_bytes
        assert sum(span.length for span in draft.old) <= SMALL.block_old_bytes
        assert len(draft.covers) < SMALL.block_triples


def test_a_block_reads_only_what_its_matches_touch_near_pieces_at_once() -> None:
    old, new = sized([100 * MIB]), sized([3000])
    covers = [Cover(0, 0, 1000), Cover(2000, 1000, 1000), Cover(90 * MIB, 2000, 1000)]
    (draft,) = cut_patch(covers, old, new)
    assert draft.old == (Span(0, 3000), Span(90 * MIB, 90 * MIB + 1000))
    assert draft.covers == (Cover(0, 0, 1000), Cover(2000, 1000, 1000), Cover(3000, 2000, 1000))


def test_pieces_of_two_files_are_never_joined_over_what_lies_between() -> None:
    old, new = sized([1000, 5, 1000]), sized([20])
    (draft,) = cut_patch([Cover(990, 0, 10), Cover(1005, 10, 10)], old, new)
    assert draft.old == (Span(990, 1000), Span(1005, 1015))


def test_joining_never_reads_much_more_than_is_needed() -> None:
    far = [(0, Span(n * 3 * MIB, n * 3 * MIB + 10)) for n in range(5)]
    assert join(far, DEFAULT.block_old_bytes) == tuple(span for _, span in far)
    near = [(0, Span(n * 1000, n * 1000 + 10)) for n in range(5)]
    assert join(near, DEFAULT.block_old_bytes) == (Span(0, 4010),)
    assert join(near, 50) == tuple(span for _, span in near)


def test_blocks_of_a_patch_are_of_about_the_same_size() -> None:
    new = sized([MIB] * 17)
    assert [d.new.length for d in cut_patch([], sized([]), new)] == [17 * MIB // 2] * 2


def test_a_match_longer_than_a_block_goes_on_in_the_next() -> None:
    old, new = sized([40 * MIB]), sized([40 * MIB])
    drafts = list(cut_patch([Cover(0, 0, 40 * MIB)], old, new))
    assert sum(cover.length for draft in drafts for cover in draft.covers) == 40 * MIB
    assert all(draft.new.length <= DEFAULT.block_new_bytes for draft in drafts)


def test_nothing_new_is_no_block() -> None:
    assert list(cut_patch([], sized([5]), sized([]))) == []
    assert list(cut_bundle(sized([]))) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 350), max_size=12))
def test_blocks_of_a_bundle_give_every_byte_once_in_order(lengths: list[int]) -> None:
    with small_limits():
        drafts = list(cut_bundle(sized(lengths)))
    assert [n for d in drafts for n in range(d.new.start, d.new.end)] == list(range(sum(lengths)))
    assert all(0 < draft.new.length <= SMALL.block_new_bytes for draft in drafts)


def test_small_files_share_blocks_of_a_bundle_and_large_ones_are_cut() -> None:
    half = MIB // 2
    lengths = [half, half, 10, 40 * MIB, 10]
    assert [draft.new.length for draft in cut_bundle(sized(lengths))] == [
        MIB,
        10,
        16 * MIB,
        16 * MIB,
        8 * MIB,
        10,
    ]


@pytest.mark.parametrize("count", [100_000])
def test_a_hundred_thousand_small_files_are_cut_in_seconds(count: int, tmp_path: Path) -> None:
    begin = time.monotonic()
    old, new = sized([100] * count), sized([100] * count)
    covers = [Cover(n * 100, n * 100, 90) for n in range(count)]
    drafts = list(cut_patch(covers, old, new))
    assert sum(len(draft.covers) for draft in drafts) == count
    assert len(new.extents(draft.new for draft in drafts)) == count
    assert time.monotonic() - begin < 20
