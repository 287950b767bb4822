"""Many files read as one, so that a match is found wherever a byte moved to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from updater.format.patch_header.patch import Extent


@dataclass(frozen=True, slots=True)
class CorpusPart:
    """The view bytes of one file, and its number in the patch header."""

    number: int
    length: int
    place: Path


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes ``start`` to ``end`` of a corpus."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Bytes from start to end."""
        return self.end - self.start


class Corpus:
    """Parts one after the other; positions count from the start of the first."""

    def __init__(self, parts: Iterable[CorpusPart]) -> None:
        self.parts = tuple(part for part in parts if part.length)
        self._ends = tuple(accumulate(part.length for part in self.parts))

    @property
    def length(self) -> int:
        """Bytes of all parts."""
        return self._ends[-1] if self._ends else 0

    @cached_property
    def spans(self) -> dict[int, Span]:
        """The span of each part, by its number, in order."""
        starts = (0, *self._ends[:-1])
        ends = zip(self.parts, starts, self._ends, strict=False)
        return {part.number: Span(start, end) for part, start, end in ends}

    def pieces(self, span: Span) -> Iterator[Span]:
        """``span`` cut where one part ends and the next begins."""
        start, part = span.start, self.part_at(span.start)
        while start < span.end:
            end = min(self._ends[part], span.end)
            yield Span(start, end)
            start, part = end, part + 1

    def part_at(self, position: int) -> int:
        """Return the number of the part that holds the byte at ``position``, counted from 0."""
        return bisect_right(self._ends, position)

    def extents(self, spans: Iterable[Span]) -> tuple[Extent, ...]:
        """The extents of files that ``spans`` are."""
        return tuple(self._extent(piece) for span in spans for piece in self.pieces(span))

    def read(self, spans: Sequence[Span]) -> bytes:
        """The bytes of ``spans``, one after the other.

        Raises:
            OSError: the disk. A file that became shorter gives fewer bytes.
        """
        return b"".join(self._read(piece) for span in spans for piece in self.pieces(span))

    def _extent(self, piece: Span) -> Extent:
        part, offset = self._find(piece)
        return Extent(part.number, offset, piece.length)

    def _read(self, piece: Span) -> bytes:
        part, offset = self._find(piece)
        with part.place.open("rb") as file:
            file.seek(offset)
            return file.read(piece.length)

    def _find(self, piece: Span) -> tuple[CorpusPart, int]:
        index = self.part_at(piece.start)
        part = self.parts[index]
        return part, piece.start - (self._ends[index] - part.length)


class Joined:
    """Spans of a corpus, in any order, read one after the other: positions there and back."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._ends = tuple(accumulate(span.length for span in spans))
        self._order = sorted(range(len(spans)), key=lambda number: spans[number])
        self._starts = [spans[number].start for number in self._order]

    def position(self, offset: int) -> tuple[int, int]:
        """Return the position of the byte at ``offset``, and how many follow it in its span."""
        number = bisect_right(self._ends, offset)
        left = self._ends[number] - offset
        return self._spans[number].end - left, left

    def offset(self, position: int) -> int:
        """Return the offset of the byte at ``position`` of the corpus, if the spans have it."""
        number = self._order[bisect_right(self._starts, position) - 1]
        span = self._spans[number]
        return self._ends[number] - span.length + position - span.start
