"""Matches, whoever finds them, written as bsdiff triples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import hdiffpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchtool.diff.matching.match import (
    Cover,
    as_delta,
    bsdiff_covers,
    hdiffpatch_covers,
    is_repetitive,
)

from tests.support.trees.trees import noise
from updater.errors import PatchError
from updater.patch.delta.bsdiff import patch

PARTS = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.builds(noise, st.integers(1, 400), st.integers(0, 3)),
        st.builds(bytes, st.integers(0, 600)),
    ),
    max_size=8,
).map(b"".join)
Finder = Callable[[bytes, bytes], list[Cover]]
FINDERS = pytest.mark.parametrize("find", [hdiffpatch_covers, bsdiff_covers])


@FINDERS
@settings(max_examples=200, deadline=None)
@given(old=PARTS, new=PARTS)
def test_the_delta_of_any_two_gives_the_new(find: Finder, old: bytes, new: bytes) -> None:
    covers = find(old, new)
    for cover, after in pairwise([*covers, Cover(0, len(new), 0)]):
        assert cover.length > 0
        assert 0 <= cover.old <= len(old) - cover.length
        assert cover.new + cover.length <= after.new
    assert patch(old, as_delta(covers, old, new), len(new)) == new


@FINDERS
def test_the_same_bytes_give_the_same_covers(find: Finder) -> None:
    old, new = noise(5000, 1), noise(2000, 1) + noise(700, 2) + noise(5000, 1)[2500:]
    assert find(old, new) == find(bytes(old), bytes(new))


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.binary(min_size=1, max_size=200))
def test_differences_are_taken_byte_by_byte_without_borrowing(old: bytes, new: bytes) -> None:
    length = min(len(old), len(new))
    delta = as_delta([Cover(0, 0, length)], old, new)
    expected = bytes((n - o) % 256 for o, n in zip(old, new, strict=False))
    assert delta.difference == expected
    assert patch(old, delta, len(new)) == new


@FINDERS
def test_what_moved_is_found_where_it_was(find: Finder) -> None:
    a, b = noise(5000, 1), noise(5000, 2)
    found = [c for c in find(a + b, b + a) if c.length > 100]
    assert [(c.old // 4000, c.new // 4000) for c in found] == [(1, 0), (0, 1)]


@FINDERS
def test_a_long_run_of_one_byte_does_not_hang_the_build(find: Finder) -> None:
    zeros = bytes(8 << 20)  # an hour of searching for bsdiff4
    new = zeros[:-5] + b"12345"
    assert patch(zeros, as_delta(find(zeros, new), zeros, new), len(new)) == new


def test_repetition_is_known_wherever_it_stands() -> None:
    assert is_repetitive(noise(300_000) + bytes(600_000) + noise(300_000))
    assert not is_repetitive(noise(900_000))
    assert not is_repetitive(b"")


@FINDERS
@pytest.mark.parametrize(("old", "new"), [(b"", b"new"), (b"old", b""), (b"", b"")])
def test_nothing_matches_nothing(find: Finder, old: bytes, new: bytes) -> None:
    assert find(old, new) == []
    assert patch(old, as_delta([], old, new), len(new)) == new


def test_another_format_of_hdiffpatch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdiffpatch, "diff", lambda *_, **__: b"HDIFF14&\0")
    with pytest.raises(PatchError, match="HDIFF13"):
        hdiffpatch_covers(b"old", b"new")
