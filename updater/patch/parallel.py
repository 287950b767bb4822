"""Work done by several threads, its results taken in order and never piled up.

Decompression, hashing and the disk release the interpreter lock, so threads are enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: int
) -> Iterator[Iterator[Result]]:
    """The results of ``work`` on each item, in order; at the end nothing runs any more.

    At most ``jobs`` items are begun and not yet given back; one counts as given back when the
    next is asked for, so let go of it before. One job needs no thread; where this machine gives
    fewer threads, fewer are used, or none.
    """
    if jobs < 1:
        raise ValueError(f"{jobs} jobs, at least 1 is needed")
    pools = _threads(jobs) if jobs > 1 else []
    try:
        yield _ahead(pools, work, items) if pools else map(work, items)
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _threads(most: int) -> list[ThreadPoolExecutor]:
    """As many threads as this machine gives, each begun, and no more than ``most``."""
    pools: list[ThreadPoolExecutor] = []
    for _ in range(most):
        pool = ThreadPoolExecutor(1, "upswap")
        try:
            pool.submit(int)
        except RuntimeError:  # can't start new thread
            break
        pools.append(pool)
    return pools


def _ahead(
    pools: list[ThreadPoolExecutor], work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Each thread in its turn, so that it begins only when its last result was let go.

    C libraries keep freed memory by thread: if any idle thread took the next item, one would
    hold a result and work beside it while another kept the same room empty.
    """
    begun: deque[Future[Result]] = deque()
    for item, pool in zip(items, cycle(pools), strict=False):
        begun.append(pool.submit(work, item))
        if len(begun) == len(pools):
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
