"""Cutting new content into blocks that keep every limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from patchtool.diff.matching.corpus import Corpus, Joined, Span
from patchtool.diff.matching.match import Cover
from updater.format.encoding.limits import DEFAULT, MIB

BUNDLE_BLOCK = MIB
"""A bundle's block ends at the first file end after this, so that a repair fetches little."""
PAGE = 4096
"""Old bytes a block reads are counted in pages; what lies on one page is read at once."""


@dataclass(frozen=True)
class BlockDraft:
    """A block to be encoded: new bytes, the old ones it reads, and where they match."""

    new: Span
    old: tuple[Span, ...] = ()
    covers: tuple[Cover, ...] = ()
    """Positions count from the start of the block's old bytes, and of its new ones."""


def cut_bundle(new: Corpus) -> Iterator[BlockDraft]:
    """Blocks of whole files, without matches; larger files are cut at the limit."""
    start = end = 0
    for part in new.parts:
        if end - start + part.length > DEFAULT.block_new_bytes and end > start:
            yield BlockDraft(Span(start, end))
            start = end
        end += part.length
        while end - start > DEFAULT.block_new_bytes:
            yield BlockDraft(Span(start, start + DEFAULT.block_new_bytes))
            start += DEFAULT.block_new_bytes
        if end - start >= BUNDLE_BLOCK:
            yield BlockDraft(Span(start, end))
            start = end
    if end > start:
        yield BlockDraft(Span(start, end))


def cut_patch(
    covers: Iterable[Cover], old: Corpus, new: Corpus, most: int = DEFAULT.block_new_bytes
) -> Iterator[BlockDraft]:
    """Blocks of about equal size, ``most`` bytes at most, that give ``new`` once, in order."""
    count = -(-new.length // most)
    target = -(-new.length // max(count, 1))
    draft = _Draft(0, target)
    for cover in covers:
        rest: Cover | None = cover
        while rest is not None:
            taken, rest = draft.take(rest)
            if not taken:
                yield draft.closed(old)
                draft = _Draft(draft.end, target)
    while draft.start < new.length:
        draft.end = min(draft.start + target, new.length)
        yield draft.closed(old)
        draft = _Draft(draft.end, target)


class _Draft:
    """A block being filled with covers; ``end`` is where it would end now."""

    def __init__(self, start: int, target: int) -> None:
        self.start = start
        self.end = start
        self._most = start + target
        self._covers: list[Cover] = []
        self._pages: set[int] = set()

    def take(self, cover: Cover) -> tuple[bool, Cover | None]:
        """Take what fits of ``cover``: whether the block has room for more, and what is left."""
        if cover.new >= self._most:
            self.end = self._most
            return False, cover
        self.end = cover.new
        room = self._room(cover)
        if room < min(cover.length, PAGE) and self.end > self.start:
            return False, cover
        length = min(cover.length, self._most - cover.new, room)
        self._covers.append(Cover(cover.old, cover.new, length))
        self._pages |= _pages(cover.old, length)
        self.end = cover.new + length
        rest = Cover(cover.old + length, self.end, cover.length - length)
        return rest.length == 0, rest if rest.length else None

    def _room(self, cover: Cover) -> int:
        """Bytes of ``cover`` the block may still read; none when it has triples enough."""
        if len(self._covers) + 2 > DEFAULT.block_triples:
            return 0
        pages = DEFAULT.block_old_bytes // PAGE - len(self._pages)
        return max(pages * PAGE - cover.old % PAGE, 0)

    def closed(self, old: Corpus) -> BlockDraft:
        touched = (Span(c.old, c.old + c.length) for c in self._covers)
        spans = join(sorted(_pieces(touched, old)), DEFAULT.block_old_bytes)
        base = Joined(spans)
        covers = tuple(
            Cover(base.offset(c.old), c.new - self.start, c.length) for c in self._covers
        )
        return BlockDraft(Span(self.start, self.end), spans, covers)


def join(pieces: list[tuple[int, Span]], most: int) -> tuple[Span, ...]:
    """Spans that hold ``pieces``, (part, span) in order: near ones of one part made one.

    An extent costs bytes in every download, reading a little more does not; so the widest gap is
    closed that keeps what is read within twice the need, and within ``most``.
    """
    need = sum(span.length for span in _joined(pieces, 0))
    allowed = min(most, 2 * need + MIB)
    for gap in (MIB, MIB // 4, MIB // 16, PAGE, 0):
        spans = tuple(_joined(pieces, gap))
        if sum(span.length for span in spans) <= allowed:
            return spans
    return tuple(_joined(pieces, 0))


def _joined(pieces: Iterable[tuple[int, Span]], gap: int) -> Iterator[Span]:
    part, start, end = -1, 0, 0
    for number, span in pieces:
        if number == part and span.start <= end + gap:
            end = max(end, span.end)
            continue
        if end > start:
            yield Span(start, end)
        part, start, end = number, span.start, span.end
    if end > start:
        yield Span(start, end)


def _pieces(spans: Iterable[Span], corpus: Corpus) -> Iterator[tuple[int, Span]]:
    """``spans`` cut at the ends of parts, each with the number of its part."""
    for span in spans:
        for piece in corpus.pieces(span):
            yield corpus.part_at(piece.start), piece


def _pages(start: int, length: int) -> set[int]:
    return set(range(start // PAGE, (start + length - 1) // PAGE + 1))
