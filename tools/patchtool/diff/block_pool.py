"""The blocks of a patch, made by several workers within the memory budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from patchtool.diff import encode_block
from patchtool.diff.cut_blocks import cut_bundle, cut_patch
from patchtool.diff.encode_block import Encoded
from patchtool.diff.matching.corpus import Corpus, Joined
from patchtool.diff.matching.match import Cover, hdiffpatch_covers
from patchtool.diff.matching.match_windows import Pair, other_pairs, own_pairs, uncovered
from patchtool.diff.options import Options
from patchtool.diff.view_files import FileViews
from updater.format.patch_header.patch import Block

AT_ONCE = 2
"""Searches that fit the memory budget at once. Not the number of jobs, or the bytes of a patch
would depend on the machine that made it."""

LEAST = 8
"""Bytes below which what is cut off a match costs more than it saves."""


def bundle_blocks(new: Corpus, spool: Path, options: Options) -> list[Block]:
    """The blocks of a bundle; their bytes go to the new file ``spool``, in order."""
    spending = options.spending
    with pool(options, spending.block_memory) as workers:
        drafts = cut_bundle(new)
        blocks = workers.map(lambda draft: encode_block.encode_whole(draft, new, spending), drafts)
        return _write(blocks, new.length, spool, options)


def patch_blocks(contents: FileViews, spool: Path, options: Options) -> list[Block]:
    """The blocks of a patch; their bytes go to the new file ``spool``, in order."""
    old, new, spending = contents.old, contents.new, options.spending
    covers = _find_all(old, new, options)
    with pool(options, spending.block_memory) as workers:
        drafts = cut_patch(covers, old, new, spending.block)
        blocks = workers.map(lambda draft: encode_block.encode(draft, old, new, spending), drafts)
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
    """Every match, in the order of ``new``: with old selves, then with anything."""
    own = _find(list(own_pairs(old, new, options.memory)), old, new, "match", options)
    rest = uncovered(own, new)
    most = options.memory // AT_ONCE
    others = _find(list(other_pairs(old, new, rest, most)), old, new, "search", options)
    return sorted(own + others, key=lambda cover: cover.new)


def _find(pairs: list[Pair], old: Corpus, new: Corpus, task: str, options: Options) -> list[Cover]:
    """The matches of all ``pairs``, in their order."""
    found: list[Cover] = []
    options.progress.start(task, sum(pair.new_length for pair in pairs))
    try:
        with pool(options, max((pair.memory for pair in pairs), default=1)) as workers:
            results = workers.map(lambda pair: _find_in(pair, old, new), pairs)
            for pair, covers in zip(pairs, results, strict=True):
                found += covers
                options.progress.advance(pair.new_length)
    finally:
        options.progress.finish()
    return found


def _find_in(pair: Pair, old: Corpus, new: Corpus) -> list[Cover]:
    """Matches of one pair, at their positions in the corpora."""
    covers = hdiffpatch_covers(old.read(pair.old), new.read(pair.new))
    return list(placed(covers, pair))


def placed(covers: Iterable[Cover], pair: Pair) -> Iterator[Cover]:
    """Covers of a pair's bytes as covers of the corpora, cut where spans of the pair meet."""
    olds, news = Joined(pair.old), Joined(pair.new)
    for cover in covers:
        done = 0
        while done < cover.length:
            old, old_room = olds.position(cover.old + done)
            new, new_room = news.position(cover.new + done)
            length = min(cover.length - done, old_room, new_room)
            if length >= LEAST:
                yield Cover(old, new, length)
            done += length


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
