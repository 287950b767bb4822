"""Ratios and means of a run: what its table does not say by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import geometric_mean

from benchmarks import reference as limits
from benchmarks.methods import BY_KEY, METHODS
from benchmarks.results import Cell, Measured, Results

Ratios = Mapping[str, float | None]  # by pair; None: not measured
PEERS = [method.key for method in METHODS if not method.ours and not method.is_floor]


@dataclass(frozen=True)
class Check:
    """One figure against its limit; no figure: the run did not measure what it needs."""

    what: str
    found: float | None
    limit: float
    unit: str = ""

    @property
    def met(self) -> str:
        """The answer, in a word."""
        if self.found is None:
            return "not measured"
        return "yes" if self.found <= self.limit else "**no**"


def best_peer(results: Results, pair: str) -> Cell | None:
    """The peer with the smallest patch of a pair in this run."""
    cells = [results.cell(pair, key) for key in PEERS]
    return min((c for c in cells if c.size), key=lambda c: c.size or 0, default=None)


def here(results: Results, pair: str, method: str = "default") -> float | None:
    """Our patch size against the best peer of this run."""
    ours, peer = results.cell(pair, method).size, best_peer(results, pair)
    return ours / peer.size if ours and peer and peer.size else None


def elsewhere(results: Results, pair: str, method: str = "default") -> float | None:
    """Our patch size against the best peer measured elsewhere."""
    ours = results.cell(pair, method).size
    return ours / limits.BEST_PEER[pair][0] if ours and pair in limits.BEST_PEER else None


def build_ratio(results: Results, pair: str) -> float | None:
    """Our build seconds against hdiffpatch per file."""
    ours, peer = results.cell(pair, "default").build, results.cell(pair, "hdiffpatch").build
    return ours.seconds / peer.seconds if ours and peer else None


def apply_ratio(results: Results, pair: str, method: str = "default") -> float | None:
    """Our apply seconds against the floor."""
    ours, floor = results.cell(pair, method).apply, results.cell(pair, "floor").apply
    return ours.seconds / floor.seconds if ours and floor else None


def mean(ratios: Iterable[float | None]) -> float | None:
    """The geometric mean of the ratios there are."""
    known = [ratio for ratio in ratios if ratio is not None]
    return geometric_mean(known) if known else None


def checks(results: Results) -> Iterator[Check]:
    """Every figure that has a limit. Means need all public pairs: a part would flatter."""
    yield from _size_checks(results)
    builds = {pair: build_ratio(results, pair) for pair in limits.BEST_PEER}
    what = f"build seconds against {BY_KEY['hdiffpatch'].title}"
    yield _mean_check(what, builds, limits.MOST_BUILD)
    large = [pair.name for pair in results.pairs if pair.old_bytes > limits.FROM_BYTES]
    applies = {pair: apply_ratio(results, pair) for pair in large}
    what = "apply seconds against the floor, pairs of over 50 MB"
    yield _highest_check(what, applies, limits.MOST_APPLY)
    yield _memory_check(results, "default", limits.MOST_MEMORY)
    yield _memory_check(results, "one-job", limits.MOST_MEMORY_ONE_JOB)


def _size_checks(results: Results) -> Iterator[Check]:
    ratios = {pair: elsewhere(results, pair) for pair in limits.BEST_PEER}
    best = {pair: elsewhere(results, pair, "best") for pair in limits.BEST_PEER}
    without = {pair: ratio for pair, ratio in ratios.items() if pair != limits.JAR}
    against = "patch size against the best peer"
    yield _mean_check(against, ratios, limits.MOST_MEAN)
    yield _mean_check(f"{against}, without {limits.JAR}", without, limits.MOST_MEAN_WITHOUT_JAR)
    yield _highest_check(against, ratios, limits.MOST_PAIR)
    yield _highest_check(f"{against}, effort best", best, limits.MOST_PAIR_BEST)
    yield Check(f"{against}, {limits.JAR}", ratios[limits.JAR], limits.MOST_JAR)
    yield Check(f"{against}, {limits.MOVED}", ratios[limits.MOVED], limits.MOST_MOVED)


def _mean_check(what: str, ratios: Ratios, limit: float) -> Check:
    complete = None not in ratios.values()
    return Check(f"{what}, geometric mean", mean(ratios.values()) if complete else None, limit)


def _highest_check(what: str, ratios: Ratios, limit: float, unit: str = "") -> Check:
    known = {pair: ratio for pair, ratio in ratios.items() if ratio is not None}
    if not known:
        return Check(f"{what}, highest", None, limit, unit)
    pair = max(known, key=known.__getitem__)
    return Check(f"{what}, highest: {pair}", known[pair], limit, unit)


def _memory_check(results: Results, method: str, limit: int) -> Check:
    """The highest of all pairs, less what is allowed for each entry."""
    peaks = {pair.name: _memory(results, pair, method) for pair in results.pairs}
    what = f"{BY_KEY[method].title}: peak memory of an apply less 2 kB an entry"
    return _highest_check(what, peaks, limit / limits.MB, " MB")


def _memory(results: Results, pair: Measured, method: str) -> float | None:
    cost = results.cell(pair.name, method).apply
    return (cost.peak - limits.PER_ENTRY * pair.files) / limits.MB if cost else None
