"""The benchmark: every method on a tiny pair, through the same code as the real ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import server
from benchmarks.deployment import missing
from benchmarks.figures import checks
from benchmarks.load import LEAST, Load, Rate, load_load, save
from benchmarks.measure import StepError, measure
from benchmarks.methods import BY_KEY, METHODS, Method
from benchmarks.pairs import PAIRS, _moved
from benchmarks.plot import draw
from benchmarks.reference import BEST_PEER
from benchmarks.report import render
from benchmarks.results import Cell, Fetched, Measured, Results, load
from benchmarks.trees import fingerprint
from benchmarks.trial import Options, find_pairs, run_pair
from tests.support.paths import ROOT
from tests.support.trees.trees import Content, Exe, Link, Tree, noise, write_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

BODY = noise(20_000)
OLD: Tree = {
    "bin/tool": Exe(BODY + b"one"),
    "data/kept.txt": b"kept",
    "data/gone.txt": b"gone",
    "data/turns.sh": b"#!/bin/sh\n",
    "lib/long.bin": BODY * 2,
    "here": Link("bin/tool"),
}
NEW: Tree = {
    "bin/tool": Exe(BODY + b"two, longer"),
    "data/kept.txt": b"kept",
    "data/turns.sh": Exe(b"#!/bin/sh\n"),
    "fresh/new.txt": b"new\n" * 50,
    "moved/long.bin": BODY * 2,
    "there": Link("bin/tool"),
    "nothing": None,
}


ONCE = Options(repeat=1, limit=60)


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A folder with one pair in which everything that can change does."""
    for side, tree in (("old", OLD), ("new", NEW)):
        write_tree(tmp_path / "corpora" / "tiny" / side, tree)
    return tmp_path / "corpora"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.key)
def test_every_method_makes_the_new_folder(method: Method, corpora: Path, tmp_path: Path) -> None:
    (pair,) = find_pairs(corpora)
    wanted = [m for m in METHODS if m in {method, BY_KEY.get(method.patch_of)}]
    *_, cell = run_pair(pair, wanted, tmp_path, ONCE, print)
    if "not installed" in cell.note or "no --jobs" in cell.note:
        pytest.skip(cell.note)

    assert cell.note == ""
    assert cell.apply is not None
    assert cell.apply.peak > 1_000_000
    assert (cell.size is None) == method.is_floor


def test_one_command_writes_results_page_and_plot(corpora: Path, tmp_path: Path) -> None:
    words = ["--methods", "fast,bsdiff,floor", "--repeat", "1", "--date", "2026-01-02"]
    places = ["--corpora", corpora, "--results", tmp_path / "r.json", "--docs", tmp_path]
    line = [sys.executable, "-m", "benchmarks", *words, *map(str, places)]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)

    results = load(tmp_path / "r.json")
    assert [cell.note for cell in results.cells] == ["", "", ""]
    page = (tmp_path / "benchmarks.md").read_text()
    assert page == render(results)
    assert "2026-01-02" in page
    assert "### tiny" in page
    assert (tmp_path / "benchmarks.svg").read_text() == draw(results)


def test_a_method_that_fails_keeps_its_reason_and_costs_no_other(
    corpora: Path, tmp_path: Path
) -> None:
    (pair,) = find_pairs(corpora)
    broken = replace(BY_KEY["bsdiff"], build="-m benchmarks.peers.bsdiff_files build nowhere")
    wrong = replace(BY_KEY["bsdiff"], apply=BY_KEY["floor"].apply)
    absent = replace(BY_KEY["bsdiff"], needs=("no-such-command",))
    floor = BY_KEY["floor"]

    cells = run_pair(pair, [broken, wrong, absent, floor], tmp_path, ONCE, print)

    assert cells[0].note.startswith("failed: ValueError")
    assert cells[1].note == "failed: the folder it made is not the right one"
    assert cells[2].note == "no-such-command is not installed"
    assert cells[3].note == ""


def test_peak_memory_is_that_of_all_processes_together() -> None:
    child = "import time; held = b'x' * 60_000_000; time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    cost = measure([sys.executable, "-c", f"held = b'x' * 60_000_000; {parent}"], 60)
    assert 120_000_000 < cost.peak < 200_000_000
    assert cost.seconds > 0.5


def test_a_command_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(StepError, match="stopped after 0 s"):
        measure([sys.executable, "-c", "import time; time.sleep(30)"], 0.2)


def test_figures_come_from_the_sizes_of_the_run() -> None:
    cells = [
        Cell(pair, method, int(size * share))
        for pair, (size, _) in BEST_PEER.items()
        for method, share in (("default", 0.5), ("best", 0.25), ("xz", 2))
    ]
    pairs = [Measured(name, 1, 1, 1, 1) for name in BEST_PEER]
    results = Results("", {}, {}, 1, pairs, cells, [Fetched("numpy", 30, 10)])

    found = {check.what: check for check in checks(results)}
    mean = found["patch size against the best peer, geometric mean"]
    assert mean.found == pytest.approx(0.5, rel=1e-3)
    assert mean.met == "yes"
    assert [check.met for check in found.values()].count("not measured") == 4
    assert "| numpy | 30 | 10 | 20 |" in render(results)


def test_a_mean_over_a_part_of_the_pairs_is_not_told() -> None:
    cells = [Cell("numpy", "default", 1)]
    results = Results("", {}, {}, 1, [Measured("numpy", 1, 1, 1, 1)], cells, [])
    found = {check.what: check.met for check in checks(results)}
    assert found["patch size against the best peer, geometric mean"] == "not measured"
    assert found["patch size against the best peer, highest: numpy"] == "yes"


def test_the_moved_pairs_follow_the_hash_of_their_paths() -> None:
    moved = {path: str(_moved(path)) for path in (f"a/b{n}/c.txt" for n in range(60))}
    relocated = [place for place in moved.values() if place.startswith("relocated/x0")]
    renamed = [place for place in moved.values() if place.endswith("/c_renamed.txt")]
    assert 10 < len(relocated) < 30
    assert 0 < len(renamed) < 15
    assert set(BEST_PEER) < set(PAIRS)


def test_trees_that_differ_in_anything_an_update_carries_differ(tmp_path: Path) -> None:
    base = write_tree(tmp_path / "base", {"a": b"a", "l": Link("a"), "e": None})
    changes: list[dict[str, Content]] = [
        {"a": b"b"}, {"a": Exe(b"a")}, {"l": Link("b")}, {"f": None},
    ]  # fmt: skip
    for number, change in enumerate(changes):
        tree: dict[str, Content] = {"a": b"a", "l": Link("a"), "e": None}
        other = write_tree(tmp_path / str(number), tree | change)
        assert fingerprint(other) != fingerprint(base)


def test_load_is_told_as_ratios_of_nginx(tmp_path: Path) -> None:
    rates = [Rate("check", "nginx", 200.0)]
    rates += [Rate("check", name, 50.0 * (n + 1)) for n, name in enumerate(LEAST)]
    save(Load("today", {"system": "x"}, 32, rates), tmp_path / "load.json")
    assert list(load_load(tmp_path / "load.json").rows()) == [["check", "200", "0.25", "0.50"]]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None or missing() != "", reason="wrk or nginx missing")
def test_load_is_measured_on_all_three_servers(tmp_path: Path) -> None:
    rates = server.measure(tmp_path, rounds=1, seconds=1)
    assert len(rates) == 9
    assert all(rate.per_second > 0 for rate in rates)
