"""``python -m benchmarks``: measure, side by side, and write ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import pairs
from benchmarks.measure import ROOT
from benchmarks.metadata import metadata_of
from benchmarks.methods import BY_KEY, Method, Pair, chosen, versions
from benchmarks.report import write_page
from benchmarks.results import Cell, Measured, Results, load, machine
from benchmarks.trial import Options, find_pairs, run_pair

QUICK = ("django_patch", "esbuild", "numpy")
METADATA = ("django_patch", "numpy")
RESULTS = ROOT / "benchmarks" / "results.json"
DOCS = ROOT / "docs"
CORPORA = ROOT / "build" / "corpora"


def main() -> int:
    """Run what the command line asks for."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and clean up
    if options.page_only:
        write_page(load(options.results), options.docs)
        return 0
    found = _pairs(options)
    methods = chosen(options.methods.split(",") if options.methods else list(BY_KEY))
    results = Results(
        options.date,
        machine(),
        versions(),
        options.repeat,
        [_measured(pair) for pair in found],
        _measure(found, methods, options),
        [metadata_of(pair) for pair in found if options.metadata and pair.name in METADATA],
    )
    results.save(options.results)
    write_page(results, options.docs)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--corpora", type=Path,
        help=f"folder of NAME/old and NAME/new; default: {CORPORA}, where pairs.py makes what "
        "is missing")  # fmt: skip
    add("--only", help="names of pairs with commas between them; default: all there are")
    add("--quick", action="store_true", help=f"small pairs only: {', '.join(QUICK)}")
    add("--methods", help=f"with commas between them, of: {', '.join(BY_KEY)}; default: all")
    add("--repeat", type=int, default=3, help="applies of each; default: %(default)s")
    add("--limit", type=float, default=3600, help="seconds for one step; default: %(default)s")
    add("--metadata", action="store_true",
        help=f"also update through a repository: {', '.join(METADATA)}")  # fmt: skip
    add("--scratch", type=Path, help="where to write; default: the system's temporary folder")
    add("--date", default=f"{datetime.now(timezone.utc):%Y-%m-%d}", help="default: today")
    add("--results", type=Path, default=RESULTS, help="default: %(default)s")
    add("--docs", type=Path, default=DOCS,
        help="folder for benchmarks.md and benchmarks.svg; default: %(default)s")  # fmt: skip
    add("--page-only", action="store_true", help="make the page from --results; measure nothing")
    return parser


def _pairs(options: argparse.Namespace) -> list[Pair]:
    only = options.only.split(",") if options.only else list(QUICK) if options.quick else []
    if options.corpora:
        return find_pairs(options.corpora, only)
    for name in only or sorted(pairs.PAIRS.keys() - pairs.OPT_IN):
        pairs.make(name, CORPORA)
    return find_pairs(CORPORA, only)


def _measure(found: list[Pair], methods: list[Method], options: argparse.Namespace) -> list[Cell]:
    often = Options(options.repeat, options.limit)
    with tempfile.TemporaryDirectory(prefix="upswap-bench-", dir=options.scratch) as scratch:
        grids = [run_pair(pair, methods, Path(scratch), often, _say) for pair in found]
    return [cell for grid in grids for cell in grid]


def _measured(pair: Pair) -> Measured:
    return Measured(pair.name, pair.files, pair.old_bytes, pair.new_bytes, pair.largest)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
