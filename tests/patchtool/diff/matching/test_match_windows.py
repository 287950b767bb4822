"""What is matched against what, within the memory budget."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchtool.diff.block_pool import patch_blocks, placed
from patchtool.diff.matching.corpus import Corpus, CorpusPart, Joined, Span
from patchtool.diff.matching.match import Cover
from patchtool.diff.matching.match_windows import (
    CELL,
    NEW_COST,
    OLD_COST,
    WINDOW,
    Pair,
    other_pairs,
    own_pairs,
    uncovered,
)
from patchtool.diff.options import Options
from patchtool.diff.view_files import FileViews

from tests.support.trees.corpora import corpus, sized
from tests.support.trees.trees import noise
from updater.format.encoding.limits import GIB, MIB

NOWHERE = Path("nowhere")


def numbered(lengths: dict[int, int]) -> Corpus:
    return Corpus(CorpusPart(number, length, NOWHERE) for number, length in lengths.items())


def length(spans: tuple[Span, ...]) -> int:
    return sum(span.length for span in spans)


def test_a_file_is_matched_against_its_old_self_small_ones_several_at_once() -> None:
    old, new = numbered({7: 50, 2: 30, 5: 10}), numbered({2: 20, 3: 99, 5: 40})
    assert list(own_pairs(old, new, GIB)) == [
        Pair((Span(0, 20), Span(119, 159)), (Span(50, 80), Span(80, 90)))
    ]


def test_large_files_are_matched_alone_and_those_beyond_the_budget_in_windows() -> None:
    files = numbered({1: WINDOW, 2: 2 * WINDOW, 3: 9 * WINDOW, 4: 5})
    memory = 3 * WINDOW * (OLD_COST + NEW_COST)
    pairs = list(own_pairs(files, files, memory))
    assert [length(pair.new) / WINDOW for pair in pairs[:-1]] == [1, 2, *[1.5] * 6]
    for pair in pairs[2:-1]:
        (new,), (old,) = pair.new, pair.old
        assert old.start <= new.start < new.end <= old.end, "with what stands around its place"


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 90)),
    st.dictionaries(st.integers(0, 9), st.integers(1, 90)),
    st.integers(100, 900),
)
def test_own_pairs_keep_the_budget_and_give_every_file_that_has_an_old_self_once(
    olds: dict[int, int], news: dict[int, int], memory: int
) -> None:
    old, new = numbered(olds), numbered(news)
    pairs = list(own_pairs(old, new, memory))
    assert all(pair.memory <= memory for pair in pairs)
    taken = [n for pair in pairs for span in pair.new for n in range(span.start, span.end)]
    spans = [new.spans[number] for number in new.spans if number in olds]
    assert taken == [n for span in spans for n in range(span.start, span.end)]
    for pair in pairs:
        assert all(
            any(o.start >= s.start and o.end <= s.end for s in old.spans.values()) for o in pair.old
        )


def test_a_large_executable_keeps_its_alignment_however_little_memory_there_is(
    tmp_path: Path,
) -> None:
    """Every 16th byte differs, as addresses do: no match is exact for long."""
    chance = random.Random(1)
    code = bytes(chance.choices(bytes([*range(40), *b"\n;}"]), k=6 * MIB))
    moved = bytes((b + 7) % 256 if n % 16 == 0 else b for n, b in enumerate(code))
    old, new = corpus(tmp_path, [code], "old"), corpus(tmp_path, [moved], "new")
    sizes = []
    for memory in (GIB, 3 * MIB * (OLD_COST + NEW_COST)):
        options = Options(effort="fast", jobs=1, memory=memory)
        blocks = patch_blocks(FileViews(old, new, (), ()), tmp_path / f"{memory}", options)
        sizes.append(sum(block.packed_length for block in blocks))
    assert sizes[1] < 1.05 * sizes[0]


def test_what_no_cover_gives_is_searched_for_unless_it_is_tiny() -> None:
    covers = [Cover(0, 40, 10), Cover(9, 55, 5), Cover(0, 100, 50)]
    assert uncovered(covers, sized([500])) == [Span(0, 40), Span(60, 100), Span(150, 500)]
    assert uncovered([Cover(0, 0, 500)], sized([500])) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=4),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.data(),
)
def test_a_search_keeps_the_budget_and_loses_nothing_that_resembles(
    tmp_path_factory: pytest.TempPathFactory,
    olds: list[int],
    news: list[int],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    old = corpus(folder, [noise(n * 300, n) for n in olds], "old")
    new = corpus(folder, [noise(n * 300, n) for n in news], "new")
    start = data.draw(st.integers(0, new.length - 1))
    budget = 2000 * (OLD_COST + NEW_COST)
    with mock.patch.multiple("patchtool.diff.matching.match_windows", CELL=500, SMALL=1000):
        pairs = list(other_pairs(old, new, [Span(start, new.length)], budget))
    for pair in pairs:
        assert pair.memory <= budget
        assert all(start <= span.start < span.end <= new.length for span in pair.new)
        assert all(0 <= span.start < span.end <= old.length for span in pair.old)
        assert all(a.end < b.start for a, b in pairwise(pair.old))


def test_moved_content_is_searched_where_it_came_from_however_far_that_is(tmp_path: Path) -> None:
    files = [noise(3 * MIB, seed) for seed in range(8)]
    old, new = corpus(tmp_path, files, "old"), corpus(tmp_path, files[::-1], "new")
    budget = 3 * MIB * (OLD_COST + NEW_COST)
    for number, pair in enumerate(other_pairs(old, new, [Span(0, new.length)], budget)):
        origin = 3 * MIB * (7 - number)
        found = {n for s in pair.old for n in range(s.start // CELL, -(-s.end // CELL))}
        expected = set(range(origin // CELL, (origin + 3 * MIB) // CELL))
        assert len(found & expected) > 0.95 * len(expected)


@pytest.mark.parametrize("spans", [[], [Span(0, 5)]])
def test_nothing_is_searched_for_in_nothing(spans: list[Span]) -> None:
    assert list(other_pairs(sized([]), sized([5]), spans, GIB)) == []
    assert list(other_pairs(sized([5]), sized([5]), [], GIB)) == []


SPANS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 20)), min_size=1, max_size=5)


def spans_of(steps: list[tuple[int, int]]) -> tuple[Span, ...]:
    spans, at = [], 0
    for size, gap in steps:
        spans.append(Span(at, at + size))
        at += size + gap
    return tuple(spans)


@given(SPANS, SPANS, st.data())
def test_covers_of_a_pair_say_the_same_in_the_corpora(
    olds: list[tuple[int, int]], news: list[tuple[int, int]], data: st.DataObject
) -> None:
    pair = Pair(spans_of(news), spans_of(olds))
    old_length, new_length = length(pair.old), length(pair.new)
    size = data.draw(st.integers(1, min(old_length, new_length)))
    cover = Cover(
        data.draw(st.integers(0, old_length - size)),
        data.draw(st.integers(0, new_length - size)),
        size,
    )
    with mock.patch("patchtool.diff.block_pool.LEAST", 1):
        told = list(placed([cover], pair))
    olds_at = [n for span in pair.old for n in range(span.start, span.end)]
    news_at = [n for span in pair.new for n in range(span.start, span.end)]
    assert [(c.old + n, c.new + n) for c in told for n in range(c.length)] == [
        (olds_at[cover.old + n], news_at[cover.new + n]) for n in range(size)
    ]


@given(SPANS, st.randoms())
def test_positions_lead_there_and_back_whatever_the_order(
    steps: list[tuple[int, int]], chance: random.Random
) -> None:
    spans = list(spans_of(steps))
    chance.shuffle(spans)
    joined = Joined(spans)
    for offset in range(length(tuple(spans))):
        position, room = joined.position(offset)
        assert room > 0
        assert joined.offset(position) == offset


def test_a_file_larger_than_the_budget_still_costs_little_where_its_parts_moved(
    tmp_path: Path,
) -> None:
    a, b = noise(6 * MIB, 1), noise(6 * MIB, 2)
    old, new = corpus(tmp_path, [a + b], "old"), corpus(tmp_path, [b + b"!" + a], "new")
    contents = FileViews(old, new, (), ())
    options = Options(effort="fast", jobs=2, memory=4 * 9 * 2 * MIB)
    blocks = patch_blocks(contents, tmp_path / "spool", options)
    assert sum(block.packed_length for block in blocks) < 20_000


def test_a_hundred_thousand_tiny_files_are_paired_in_seconds() -> None:
    files = numbered(dict.fromkeys(range(100_000), 100))
    begin = time.monotonic()
    (pair,) = own_pairs(files, files, GIB)
    assert pair.new == pair.old == tuple(files.spans.values())
    assert time.monotonic() - begin < 10
