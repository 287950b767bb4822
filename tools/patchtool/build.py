"""The blocks of a patch, made by several workers within the memory budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from patchtool import encode
from patchtool.blocks import cut_bundle, cut_patch
from patchtool.contents import Contents
from patchtool.corpus import Corpus, Span
from patchtool.encode import Encoded
from patchtool.match import Cover, hdiffpatch_covers
from patchtool.options import Options
from patchtool.pairs import Pair, pairs
from updater.format.patch import Block

AT_ONCE = 2
"""Pairs that fit the memory budget at once. Not the number of jobs, or the bytes of a patch
would depend on the machine that made it."""


def bundle_blocks(new: Corpus, spool: Path, options: Options) -> list[Block]:
    """The blocks of a bundle; their bytes go to the new file ``spool``, in order."""
    spending = options.spending
    with pool(options, encode.MEMORY) as workers:
        drafts = cut_bundle(new)
        blocks = workers.map(lambda draft: encode.encode_whole(draft, new, spending), drafts)
        return _write(blocks, new.length, spool, options)


def patch_blocks(contents: Contents, spool: Path, options: Options) -> list[Block]:
    """The blocks of a patch; their bytes go to the new file ``spool``, in order."""
    old, new, spending = contents.old, contents.new, options.spending
    covers = _find_all(old, new, options)
    with pool(options, encode.MEMORY) as workers:
        drafts = cut_patch(covers, old, new)
        blocks = workers.map(lambda draft: encode.encode(draft, old, new, spending), drafts)
        return _write(blocks, new.length, spool, options)


@contextmanager
def pool(options: Options, memory: int, *, writing: bool = False) -> Iterator[Executor]:
    """Workers for tasks of ``memory`` bytes each.

    On a fault what has not begun is dropped, and what has is waited for only if it is ``writing``:
    a matcher cannot be stopped, and takes minutes.
    """
    workers = ThreadPoolExecutor(max(min(options.jobs, options.memory // max(memory, 1)), 1))
    try:
        yield workers
    except BaseException:
        workers.shutdown(wait=writing, cancel_futures=True)
        raise
    workers.shutdown()


def _find_all(old: Corpus, new: Corpus, options: Options) -> list[Cover]:
    """Every match, in the order of ``new``."""
    todo = list(pairs(old, new, options.memory // AT_ONCE))
    options.progress.start("match", new.length)
    try:
        with pool(options, max(pair.memory for pair in todo)) as workers:
            found = []
            for pair, covers in zip(
                todo, workers.map(lambda pair: _find(pair, old, new), todo), strict=True
            ):
                found.append(covers)
                options.progress.advance(pair.new.length)
            return list(chain.from_iterable(found))
    finally:
        options.progress.finish()


def _find(pair: Pair, old: Corpus, new: Corpus) -> list[Cover]:
    """Matches of one pair, at their positions in the corpora."""
    covers = hdiffpatch_covers(old.read(pair.old), new.read([pair.new]))
    return list(_placed(covers, pair))


def _placed(covers: Iterable[Cover], pair: Pair) -> Iterator[Cover]:
    """``covers`` of a pair's bytes as covers of the corpora; cut where old spans meet."""
    spans = list(_with_starts(pair.old))
    for cover in covers:
        for start, span in spans:
            begin, end = max(cover.old, start), min(cover.old + cover.length, start + span.length)
            if begin < end:
                yield Cover(
                    span.start + begin - start,
                    pair.new.start + cover.new + begin - cover.old,
                    end - begin,
                )


def _with_starts(spans: Iterable[Span]) -> Iterator[tuple[int, Span]]:
    start = 0
    for span in spans:
        yield start, span
        start += span.length


def _write(encoded: Iterable[Encoded], length: int, spool: Path, options: Options) -> list[Block]:
    blocks = []
    options.progress.start("pack", length)
    try:
        with spool.open("wb") as file:
            for item in encoded:
                file.write(item.packed)
                blocks.append(item.block)
                options.progress.advance(item.block.new_length)
    finally:
        options.progress.finish()
    return blocks
