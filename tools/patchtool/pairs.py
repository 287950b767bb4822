"""Which old bytes to match which new bytes against, so that matching stays within memory.

Everything is one pair as long as the budget allows: then what moved between files, was split or
merged costs nothing. Beyond it the new corpus is cut into windows, each matched against those
parts of the old one that share the most anchors with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from patchtool.anchors import anchors
from patchtool.corpus import Corpus, Span
from updater.format.limits import MIB

OLD_COST, NEW_COST = 6, 3
"""Memory of matching, as bytes for each byte: suffix array and copies; copies and differences."""
ONE_IN = 64
"""Anchors used to find windows: about one in 4 KiB of mixed content."""
CELL = MIB
"""Old bytes are chosen for a window in pieces of this."""


@dataclass(frozen=True)
class Pair:
    """New bytes, and the old ones they are matched against."""

    new: Span
    old: tuple[Span, ...]

    @property
    def memory(self) -> int:
        """Bytes of memory that matching takes, about."""
        old = sum(span.length for span in self.old)
        return old * OLD_COST + self.new.length * NEW_COST


def pairs(old: Corpus, new: Corpus, memory: int) -> Iterator[Pair]:
    """Pairs that cover ``new`` once, in order, none of which takes more than ``memory`` bytes.

    Raises:
        OSError: the disk.
    """
    whole = Pair(Span(0, new.length), (Span(0, old.length),) if old.length else ())
    if whole.memory <= memory:
        yield whole
        return
    window = max(memory // (OLD_COST + NEW_COST), CELL)
    cells = _cells_by_anchor(old)
    for start in range(0, new.length, window):
        span = Span(start, min(start + window, new.length))
        yield Pair(span, tuple(_choose(cells, old, new, span, window // CELL)))


def _cells_by_anchor(corpus: Corpus) -> dict[int, int]:
    """Cell of the first place where each anchor stands."""
    cells: dict[int, int] = {}
    for start in range(0, corpus.length, CELL):
        data = corpus.read([Span(start, min(start + CELL, corpus.length))])
        for name, _ in anchors(data, ONE_IN):
            cells.setdefault(name, start // CELL)
    return cells


def _choose(
    cells: dict[int, int], old: Corpus, new: Corpus, window: Span, most: int
) -> Iterator[Span]:
    """Up to ``most`` cells of ``old`` that resemble ``window``, near ones joined, in order."""
    hits: Counter[int] = Counter()
    for start in range(window.start, window.end, CELL):
        data = new.read([Span(start, min(start + CELL, window.end))])
        hits.update(cells[name] for name, _ in anchors(data, ONE_IN) if name in cells)
    first = window.start * (old.length - 1) // new.length // CELL
    for cell in range(first, first + most):  # about the same place, where anchors do not tell
        hits[cell] += 1
    count = -(-old.length // CELL)
    ranked = sorted((c for c in hits if 0 <= c < count), key=lambda cell: (-hits[cell], cell))
    chosen = enumerate(sorted(ranked[:most]))
    for _, run in groupby(chosen, key=lambda item: item[1] - item[0]):
        numbers = [cell for _, cell in run]
        yield Span(numbers[0] * CELL, min((numbers[-1] + 1) * CELL, old.length))
