"""Running the methods on a pair, step by step; a failure costs its own cell only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import Cost, StepError, measure
from benchmarks.methods import Method, Pair, words
from benchmarks.results import Cell
from benchmarks.trees import fingerprint, read_tree

Say = Callable[[str], None]
SIDES = ("old", "new")
LONG = 20.0
"""Seconds from which one build tells enough; shorter ones are repeated as applies are."""


@dataclass(frozen=True)
class Options:
    """How often and how long."""

    repeat: int  # builds, unless they are long, and applies of each method
    limit: float  # seconds for one step


def find_pairs(corpora: Path, only: Sequence[str] = ()) -> list[Pair]:
    """The pairs of a folder, the smallest first: every ``NAME/old`` beside ``NAME/new``."""
    folders = (place.parent for place in corpora.glob("*/old") if (place.parent / "new").is_dir())
    found = [_pair(folder) for folder in folders if not only or folder.name in only]
    if missing := set(only) - {pair.name for pair in found}:
        raise SystemExit(f"no such pair in {corpora}: {', '.join(sorted(missing))}")
    return sorted(found, key=lambda pair: (pair.old_bytes, pair.name))


def _pair(folder: Path) -> Pair:
    sizes = {
        side: [(folder / side / path).stat().st_size for path in read_tree(folder / side).files]
        for side in SIDES
    }
    old, new = (sum(sizes[side]) for side in SIDES)
    largest = max(sizes["old"] + sizes["new"], default=0)
    return Pair(folder.name, folder.resolve(), len(sizes["old"]), old, new, largest)


def run_pair(
    pair: Pair, methods: Sequence[Method], scratch: Path, options: Options, say: Say
) -> list[Cell]:
    """Measure all methods on one pair: they take turns building, then applying.

    Both folders are read before the first step, so that nobody finds them in memory who
    profits from another's reading. What is left in ``scratch`` must stay until the last pair
    is measured: ext4 makes files slowly, up to five times, after many were deleted.
    """
    trees = {side: fingerprint(pair.folder / side) for side in SIDES}
    trials = [Trial(pair, method, scratch / pair.name, options.limit) for method in methods]
    (scratch / pair.name).mkdir()
    for _ in range(options.repeat):
        for trial in trials:
            trial.build(say)
    for _ in range(options.repeat):
        for trial in trials:
            trial.apply(trees["old" if trial.method.is_floor else "new"], say)
    return [trial.cell() for trial in trials]


class Trial:
    """One method on one pair."""

    def __init__(self, pair: Pair, method: Method, scratch: Path, limit: float) -> None:
        self.method = method
        self._pair = pair
        self._patch = scratch / f"{method.patch_of or method.key}.patch"
        self._outputs = scratch
        self._limit = limit
        self._note = method.hindrance(pair)
        self._built: list[Cost] = []
        self._applied: list[Cost] = []

    def build(self, say: Say) -> None:
        """Make the patch, if this method makes its own, quickly enough, and nothing hinders it."""
        if self._note or not self.method.build or any(cost.seconds > LONG for cost in self._built):
            return
        self._patch.unlink(missing_ok=True)
        with self._noting():
            self._built.append(self._measure(self.method.build, self._patch))
        self._tell("build", self._built, say)

    def apply(self, expected: dict[str, str], say: Say) -> None:
        """Make the new folder, and compare it outside the measured time."""
        if self._note:
            return
        out = self._outputs / f"{self.method.key}-{len(self._applied)}"
        with self._noting():
            if not (self.method.is_floor or self._patch.exists()):
                raise StepError("there is no patch to apply")
            self._applied.append(self._measure(self.method.apply, out))
            if fingerprint(out) != expected:
                raise StepError("the folder it made is not the right one")
            _empty(out)
        self._tell("apply", self._applied, say)

    def cell(self) -> Cell:
        """What was found; figures of a method that made a wrong folder are not told."""
        pair, key = self._pair.name, self.method.key
        if self._note:
            return Cell(pair, key, note=self._note)
        size = self._patch.stat().st_size if self._patch.exists() else None
        return Cell(pair, key, size, _typical(self._built), _typical(self._applied))

    def _tell(self, step: str, costs: list[Cost], say: Say) -> None:
        cost = f"{costs[-1].seconds:.2f} s, {costs[-1].peak:,} bytes" if costs else ""
        say(f"{self._pair.name}: {self.method.title}: {step}: {self._note or cost}")

    def _measure(self, template: str, out: Path) -> Cost:
        os.sync()  # nobody pays for what the one before left to write
        pair = self._pair
        line = words(template, old=pair.old, new=pair.new, patch=self._patch, out=out)
        return measure(line, self._limit)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except (StepError, OSError) as error:
            self._note = f"failed: {error}"


def _empty(folder: Path) -> None:
    """Give the disk its room back without deleting anything; linked files are not ours alone."""
    for path in read_tree(folder).files:
        if (folder / path).stat().st_nlink == 1:
            os.truncate(folder / path, 0)


def _typical(costs: list[Cost]) -> Cost | None:
    if not costs:
        return None
    return Cost(median(cost.seconds for cost in costs), max(cost.peak for cost in costs))
