"""What is matched against what, within the memory budget."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from corpora import corpus, sized
from hypothesis import given, settings
from hypothesis import strategies as st
from patchtool.build import patch_blocks
from patchtool.contents import Contents
from patchtool.corpus import Span
from patchtool.options import Options
from patchtool.pairs import CELL, NEW_COST, OLD_COST, pairs
from trees import noise

from updater.format.limits import MIB


def test_what_fits_the_budget_is_one_pair() -> None:
    old, new = sized([5 * MIB, 9]), sized([7 * MIB])
    (pair,) = pairs(old, new, 100 * MIB)
    assert (pair.new, pair.old) == (Span(0, 7 * MIB), (Span(0, 5 * MIB + 9),))


@settings(max_examples=40, deadline=None)
@given(
    olds=st.lists(st.integers(0, 9), max_size=4),
    news=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_pairs_give_every_new_byte_once_and_keep_the_budget(
    tmp_path_factory: pytest.TempPathFactory, olds: list[int], news: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    old = corpus(folder, [noise(n * 300, n) for n in olds], "old")
    new = corpus(folder, [noise(n * 300, n) for n in news], "new")
    budget = 2000 * (OLD_COST + NEW_COST)
    with mock.patch("patchtool.pairs.CELL", 1000):
        found = list(pairs(old, new, budget))
    assert [pair.new.start for pair in found] == [0, *(pair.new.end for pair in found[:-1])]
    assert found[-1].new.end == new.length
    for pair in found:
        assert pair.memory <= budget
        assert all(0 <= s.start < s.end <= old.length for s in pair.old)
        assert list(pair.old) == sorted(pair.old)


def test_a_window_is_matched_against_what_it_came_from_however_far_it_moved(
    tmp_path: Path,
) -> None:
    files = [noise(2 * MIB, seed) for seed in range(8)]
    old, new = corpus(tmp_path, files, "old"), corpus(tmp_path, files[::-1], "new")
    found = list(pairs(old, new, 2 * MIB * (OLD_COST + NEW_COST)))
    for number, pair in enumerate(found):
        origin = 7 - number
        cells = {n for s in pair.old for n in range(s.start // CELL, -(-s.end // CELL))}
        assert cells >= {2 * origin, 2 * origin + 1}


def test_a_file_larger_than_the_budget_still_costs_little_where_its_parts_moved(
    tmp_path: Path,
) -> None:
    a, b = noise(20 * MIB, 1), noise(20 * MIB, 2)
    old, new = corpus(tmp_path, [a + b], "old"), corpus(tmp_path, [b + b"!" + a], "new")
    contents = Contents(old, new, (), ())
    options = Options(effort="fast", jobs=2, memory=4 * 9 * 2 * MIB)
    blocks = patch_blocks(contents, tmp_path / "spool", options)
    assert sum(block.packed_length for block in blocks) < 20_000
