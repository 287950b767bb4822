"""Many files read as one."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from patchtool.diff.matching.corpus import Span

from tests.support.trees.corpora import corpus, sized
from updater.format.patch_header.patch import Extent

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=8)


def test_a_span_over_several_files_is_an_extent_of_each() -> None:
    files = sized([3, 0, 4, 2])
    assert files.length == 9
    assert files.extents([Span(1, 8), Span(8, 9)]) == (
        Extent(0, 1, 2),
        Extent(2, 0, 4),
        Extent(3, 0, 1),
        Extent(3, 1, 1),
    )


def test_reading_follows_the_spans_in_their_order(tmp_path: Path) -> None:
    files = corpus(tmp_path, [b"abc", b"", b"defg", b"hi"])
    assert files.read([Span(5, 9), Span(0, 4)]) == b"fghiabcd"
    assert files.read([Span(2, 2)]) == b""


def test_a_file_that_got_shorter_gives_fewer_bytes(tmp_path: Path) -> None:
    files = corpus(tmp_path, [b"abc", b"def"])
    (tmp_path / "file-0").write_bytes(b"a")
    assert files.read([Span(0, 6)]) == b"adef"


def test_nothing_has_no_length() -> None:
    assert sized([]).length == 0
    assert sized([0, 0]).length == 0


@given(LENGTHS, st.data())
def test_extents_say_the_same_bytes_as_the_span(lengths: list[int], data: st.DataObject) -> None:
    files = sized(lengths)
    end = data.draw(st.integers(0, files.length))
    start = data.draw(st.integers(0, end))
    starts = [0, *accumulate(lengths)]
    told = [
        starts[extent.file] + extent.offset + n
        for extent in files.extents([Span(start, end)])
        for n in range(extent.length)
    ]
    assert told == list(range(start, end))
