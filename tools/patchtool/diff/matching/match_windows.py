"""Windows: pairs of old and new bytes to match, so that matching stays within memory.

First every new file against its old self: among many files a matcher takes equal bytes from
anywhere, and loses the long alignments in which executables differ by addresses only. Then what
has found nothing there, from all files at once, against whatever old bytes resemble it: so moved
code, split and merged files cost once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from patchtool.diff.matching.corpus import Corpus, Span
from patchtool.diff.matching.fingerprints import anchors
from patchtool.diff.matching.match import Cover
from updater.format.encoding.limits import MIB

OLD_COST, NEW_COST = 6, 3
"""Memory of matching, as bytes for each byte: suffix array and copies; copies and differences."""
WINDOW = 16 * MIB
"""New bytes of small files matched together."""
CELL = MIB // 16
"""Old bytes are chosen in pieces of this."""
SMALL = 16 * MIB
"""Old bytes that are searched whole."""
NAMES = 1 << 20
"""Anchors of new bytes looked for at once; of more content, a sample."""
WORTH = 32
"""New bytes in a row that are worth a search."""


@dataclass(frozen=True)
class Pair:
    """New bytes, and the old ones they are matched against."""

    new: tuple[Span, ...]
    old: tuple[Span, ...]

    @property
    def new_length(self) -> int:
        """Bytes of the new spans."""
        return sum(span.length for span in self.new)

    @property
    def memory(self) -> int:
        """Bytes of memory that matching takes, about."""
        old = sum(span.length for span in self.old)
        return old * OLD_COST + self.new_length * NEW_COST


def own_pairs(old: Corpus, new: Corpus, memory: int) -> Iterator[Pair]:
    """New files and their old selves, which have the same number; small ones several at once.

    A file too large for ``memory`` bytes is matched in windows.
    """
    selves = [(span, old.spans[n]) for n, span in new.spans.items() if n in old.spans]
    for group in _groups(selves, memory):
        news, olds = zip(*group, strict=True)
        pair = Pair(news, olds)
        if pair.memory > memory:
            yield from _own_windows(*group[0], memory)
        else:
            yield pair


def _groups(selves: Iterable[tuple[Span, Span]], memory: int) -> Iterator[list[tuple[Span, Span]]]:
    """(new span, old span) in groups of up to `WINDOW` new bytes; what is larger stands alone."""
    group: list[tuple[Span, Span]] = []
    length = taken = 0
    for new, old in selves:
        more = Pair((new,), (old,)).memory
        if group and (length + new.length > WINDOW or taken + more > memory):
            yield group
            group, length, taken = [], 0, 0
        group.append((new, old))
        length, taken = length + new.length, taken + more
    if group:
        yield group


def _own_windows(new: Span, old: Span, memory: int) -> Iterator[Pair]:
    """A large file in windows, each with twice as many old bytes from around its place.

    Searched for like moved content it would lose its alignment: a library of 133 MB cost twice.
    """
    width = memory // (2 * OLD_COST + NEW_COST)
    count = -(-new.length // width)
    for number in range(count):
        start = new.start + new.length * number // count
        end = new.start + new.length * (number + 1) // count
        middle = old.start + old.length * (2 * number + 1) // (2 * count)
        first = max(old.start, min(middle - width, old.end - 2 * width))
        yield Pair((Span(start, end),), (Span(first, min(first + 2 * width, old.end)),))


def uncovered(covers: Iterable[Cover], new: Corpus) -> list[Span]:
    """Return the parts of ``new`` that no cover gives and that are worth a search."""
    spans, at = [], 0
    for cover in (*covers, Cover(0, new.length, 0)):
        if cover.new - at >= WORTH:
            spans.append(Span(at, cover.new))
        at = cover.new + cover.length
    return spans


def other_pairs(old: Corpus, new: Corpus, spans: Sequence[Span], memory: int) -> Iterator[Pair]:
    """``spans`` of ``new``, each with the old bytes that resemble it, as far as memory goes.

    Raises:
        OSError: the disk.
    """
    if not spans or not old.length:
        return
    window = max(memory // (OLD_COST + NEW_COST), 2 * CELL)
    windows = list(_windows(spans, window))
    if old.length <= min(SMALL, window):
        yield from (Pair(new_spans, (Span(0, old.length),)) for new_spans in windows)
        return
    for new_spans, hits in zip(windows, _hits(old, new, windows), strict=True):
        if hits:
            yield Pair(new_spans, tuple(_cells(hits, window // CELL, old.length)))


def _windows(spans: Iterable[Span], most: int) -> Iterator[tuple[Span, ...]]:
    """``spans`` in groups of up to ``most`` bytes; longer ones are cut."""
    group: list[Span] = []
    length = 0
    for span in spans:
        for start in range(span.start, span.end, most):
            piece = Span(start, min(start + most, span.end))
            if length + piece.length > most:
                yield tuple(group)
                group, length = [], 0
            group.append(piece)
            length += piece.length
    if group:
        yield tuple(group)


def _hits(old: Corpus, new: Corpus, windows: list[tuple[Span, ...]]) -> list[Counter[int]]:
    """For each window, how many of its anchors stand in which cells of ``old``."""
    length = sum(span.length for window in windows for span in window)
    one_in = max(1, length // 64 // NAMES)
    names = _names(new, windows, one_in)
    hits: list[Counter[int]] = [Counter() for _ in windows]
    for cell in range(-(-old.length // CELL)):
        data = old.read([Span(cell * CELL, min((cell + 1) * CELL, old.length))])
        for name, _ in anchors(data, one_in):
            if name in names:
                hits[names[name]][cell] += 1
    return hits


def _names(new: Corpus, windows: list[tuple[Span, ...]], one_in: int) -> Mapping[int, int]:
    """The window in which each anchor of new bytes stands; the last one, if in several."""
    return {
        name: number
        for number, window in enumerate(windows)
        for span in window
        for start in range(span.start, span.end, MIB)
        for name, _ in anchors(new.read([Span(start, min(start + MIB, span.end))]), one_in)
    }


def _cells(hits: Counter[int], most: int, length: int) -> Iterator[Span]:
    """Up to ``most`` cells with the most hits, near ones joined, in order."""
    ranked = sorted(hits, key=lambda cell: (-hits[cell], cell))
    chosen = enumerate(sorted(ranked[:most]))
    for _, run in groupby(chosen, key=lambda item: item[1] - item[0]):
        numbers = [cell for _, cell in run]
        yield Span(numbers[0] * CELL, min((numbers[-1] + 1) * CELL, length))
