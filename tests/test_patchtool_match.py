"""Matches found by HDiffPatch, written as bsdiff triples."""

from __future__ import annotations

import hdiffpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchtool.match import Cover, as_delta, find_covers, find_delta, whole
from trees import noise

from updater.delta.bsdiff import patch
from updater.errors import PatchError

PARTS = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.builds(noise, st.integers(1, 400), st.integers(0, 3)),
        st.builds(bytes, st.integers(0, 600)),
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(PARTS, PARTS)
def test_the_delta_of_any_two_gives_the_new(old: bytes, new: bytes) -> None:
    assert patch(old, find_delta(old, new), len(new)) == new


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.binary(min_size=1, max_size=200))
def test_differences_are_taken_byte_by_byte_without_borrowing(old: bytes, new: bytes) -> None:
    length = min(len(old), len(new))
    delta = as_delta([Cover(0, 0, length)], old, new)
    expected = bytes((n - o) % 256 for o, n in zip(old, new, strict=False))
    assert delta.difference == expected
    assert patch(old, delta, len(new)) == new


def test_what_moved_is_found_where_it_was() -> None:
    a, b = noise(5000, 1), noise(5000, 2)
    assert find_covers(a + b, b + a) == [Cover(5000, 0, 5000), Cover(0, 5000, 5000)]


def test_a_long_run_of_one_byte_does_not_hang_the_build() -> None:
    zeros = bytes(8 << 20)  # an hour of suffix sorting for bsdiff
    delta = find_delta(zeros, zeros[:-5] + b"12345")
    assert patch(zeros, delta, len(zeros)) == zeros[:-5] + b"12345"


def test_nothing_to_match_against_is_sent_whole() -> None:
    assert find_delta(b"", b"new") == whole(b"new")
    assert find_delta(b"old", b"") == whole(b"")


def test_another_format_of_hdiffpatch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdiffpatch, "diff", lambda *_, **__: b"HDIFF14&\0")
    with pytest.raises(PatchError, match="HDIFF13"):
        find_covers(b"old", b"new")
