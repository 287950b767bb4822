"""The page: the words of ``page.md`` with the tables of a run in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import Template

from benchmarks import figures
from benchmarks.load import LEAST, REFERENCE, load_load
from benchmarks.measure import Cost
from benchmarks.methods import BY_KEY, METHODS
from benchmarks.pairs import PAIRS
from benchmarks.plot import draw
from benchmarks.reference import BEST_PEER, MB
from benchmarks.results import Cell, Measured, Results

LOAD = Path(__file__).with_name("server.json")
INGEST = Path(__file__).with_name("ingest.json")
PAGE = Path(__file__).with_name("page.md")
NOTHING = "-"


def write_page(results: Results, docs: Path) -> None:
    """Write ``benchmarks.md`` and ``benchmarks.svg`` into ``docs``."""
    (docs / "benchmarks.svg").write_text(draw(results), "utf-8")
    (docs / "benchmarks.md").write_text(render(results), "utf-8")


def render(results: Results) -> str:
    """The page of a run."""
    return Template(PAGE.read_text("utf-8")).substitute(
        date=results.date,
        repeat=results.repeat,
        machine=_list(results.machine),
        versions=_list(results.versions),
        checks=_table(["figure", "found", "at most", "met"], _check_rows(results), words=1),
        ratios=_ratios(results),
        costs=_costs(results),
        metadata=_metadata(results),
        pairs=_pairs(results),
        server=_server(),
        ingest=_ingest(),
        missing=_missing(results),
        cells="\n\n".join(_pair(results, pair) for pair in results.pairs),
    )


def _check_rows(results: Results) -> Iterator[list[str]]:
    for check in figures.checks(results):
        found = NOTHING if check.found is None else f"{check.found:.3f}{check.unit}"
        yield [check.what, found, f"{check.limit:.2f}{check.unit}", check.met]


def _pairs(results: Results) -> str:
    rows = (
        [
            pair.name,
            PAIRS[pair.name].what if pair.name in PAIRS else "",
            f"{pair.files:,}",
            f"{pair.old_bytes / MB:,.0f}",
            f"{pair.largest / MB:,.1f}",
        ]
        for pair in results.pairs
    )
    return _table(["pair", "what", "old files", "old MB", "largest file, MB"], rows, words=2)


def _ratios(results: Results) -> str:
    names = [pair.name for pair in results.pairs]
    columns: list[list[float | None]] = [
        [figures.here(results, name) for name in names],
        [figures.elsewhere(results, name) for name in names],
        [figures.elsewhere(results, name, "best") for name in names],
    ]
    rows = [
        [name, *_sizes(results, name), *map(_ratio, ratios)]
        for name, *ratios in zip(names, *columns, strict=True)
    ]
    means = ["geometric mean", *[""] * 4, *(_ratio(figures.mean(column)) for column in columns)]
    head = [
        "pair", "upswap default", "best peer of this run", "its bytes", "best peer elsewhere",
        "default / this run's", "default / elsewhere's", "best / elsewhere's",
    ]  # fmt: skip
    return _table(head, [*rows, means], words=1)


def _sizes(results: Results, pair: str) -> list[str]:
    peer = figures.best_peer(results, pair)
    known = BEST_PEER.get(pair)
    return [
        _integer(results.cell(pair, "default").size),
        BY_KEY[peer.method].title if peer else NOTHING,
        _integer(peer.size if peer else None),
        f"{known[0]:,} ({known[1]})" if known else NOTHING,
    ]


def _costs(results: Results) -> str:
    names = [pair.name for pair in results.pairs]
    columns: list[list[float | None]] = [
        [figures.build_ratio(results, name) for name in names],
        [figures.apply_ratio(results, name) for name in names],
        [figures.apply_ratio(results, name, "one-job") for name in names],
    ]
    rows = [
        [name, *map(_ratio, ratios), *_peaks(results, name)]
        for name, *ratios in zip(names, *columns, strict=True)
    ]
    means = ["geometric mean", *(_ratio(figures.mean(column)) for column in columns), *[""] * 3]
    head = [
        "pair", "build / hdiffpatch per file", "apply / floor", "apply --jobs 1 / floor",
        "build peak MB", "apply peak MB", "apply --jobs 1 peak MB",
    ]  # fmt: skip
    return _table(head, [*rows, means], words=1)


def _peaks(results: Results, pair: str) -> list[str]:
    ours = results.cell(pair, "default")
    return [_peak(ours.build), _peak(ours.apply), _peak(results.cell(pair, "one-job").apply)]


def _metadata(results: Results) -> str:
    if not results.metadata:
        return "Not measured in this run (`--metadata`)."
    rows = (
        [m.pair, m.note, NOTHING, NOTHING]
        if m.note
        else [m.pair, f"{m.fetched:,}", f"{m.patch:,}", f"{m.fetched - m.patch:,}"]
        for m in results.metadata
    )
    return _table(["pair", "fetched by the update", "of that patch", "metadata"], rows, words=1)


def _server() -> str:
    """The run of ``python -m benchmarks.server``, which has figures of its own."""
    load = load_load(LOAD)
    least = ", ".join(f"{ratio:.2f} ({name})" for name, ratio in LEAST.items())
    head = ["request", f"{REFERENCE}, a second", *(f"{name} / {REFERENCE}" for name in LEAST)]
    table = _table(head, load.rows(), words=1)
    return f"{load.date}. {_list(load.machine)}. Aim of update checks: {least}.\n\n{table}"


def _ingest() -> str:
    """The run of ``python -m benchmarks.ingest``."""
    run = json.loads(INGEST.read_text("utf-8"))
    head = ["database", "server", "a second", "kills", "acknowledged meanwhile", "stored"]
    rows = [
        [one["database"], one["server"], f"{one['per_second']:,.0f}", str(one["kills"])]
        + [f"{one[name]:,}" for name in ("acknowledged", "stored")]
        for one in run["ingested"]
    ]
    return f"{run['date']}. {_list(run['machine'])}.\n\n{_table(head, rows, words=2)}"


def _missing(results: Results) -> str:
    """What this run left out of all there is."""
    here = {pair.name for pair in results.pairs}
    pairs = [f"pair `{name}`" for name in PAIRS if name not in here]
    ran = {cell.method for cell in results.cells}
    methods = [f"method `{method.title}`" for method in METHODS if method.key not in ran]
    return "".join(f"- {what}: not part of this run\n" for what in pairs + methods)


def _pair(results: Results, pair: Measured) -> str:
    cells = sorted(
        (cell for cell in results.cells if cell.pair == pair.name),
        key=lambda cell: (cell.size or 1 << 62, cell.method),
    )
    head = ["method", "bytes", "build s", "build MB", "apply s", "apply MB", ""]
    return f"### {pair.name}\n\n{_table(head, map(_row, cells), words=1)}"


def _row(cell: Cell) -> list[str]:
    costs = [_seconds(cell.build), _peak(cell.build), _seconds(cell.apply), _peak(cell.apply)]
    return [BY_KEY[cell.method].title, _integer(cell.size), *costs, cell.note.replace("|", "/")]


def _integer(number: int | None) -> str:
    return NOTHING if number is None else f"{number:,}"


def _ratio(number: float | None) -> str:
    return NOTHING if number is None else f"{number:.3f}"


def _seconds(cost: Cost | None) -> str:
    return f"{cost.seconds:.2f}" if cost else NOTHING


def _peak(cost: Cost | None) -> str:
    return f"{cost.peak / MB:,.0f}" if cost else NOTHING


def _list(facts: dict[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in facts.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """A Markdown table; the first ``words`` columns to the left, the others to the right."""
    rule = ["---"] * words + ["--:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])
