"""The power fails: at any system call, with another program's flush just before it or without.

The disk does nothing it was not asked for (power.py), and the last test shows that it does not.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.crash import power, syscalls
from tests.support.crash.crash_disk import copy_world
from tests.support.crash.crash_process import (
    KILL,
    SCENARIOS,
    UPDATE,
    Scenario,
    Shelf,
    Site,
    sampled,
    shelf_in_memory,
)
from tests.support.crash.crash_runs import tell
from tests.support.crash.syscalls import Call, Injected

pytestmark = [pytest.mark.crash, pytest.mark.timeout(3600)]
NOTHING_IS_FLUSHED = "fsync:retval=0"


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    reason = power.refusal() or syscalls.refusal()
    if reason:
        pytest.skip(reason)
    with shelf_in_memory() as shelf:
        yield shelf


class Bench:
    """A disk with the world of one scenario on it, to be copied for each run."""

    def __init__(self, shelf: Shelf, scenario: Scenario) -> None:
        self._shelf = shelf
        self._scenario = scenario
        self._folder = shelf.folder / "disks"
        self._folder.mkdir()
        self._image = power.formatted(self._folder / "image")
        with power.plugged(self._image) as disk:
            copy_world(scenario.world(shelf), disk / "world")

    def close(self) -> None:
        shutil.rmtree(self._folder)

    def cut(self, call: Call, fails: str = "") -> list[tuple[Path, Injected]]:
        """Two disks cut from power at ``call``: as it was, and after another's flush."""
        image = power.cut(self._image, self._folder / "running")
        log = self._shelf.folder / "log"
        with power.plugged(image) as disk:
            process = self._scenario.process(self._shelf, Site(disk / "world"))
            met = syscalls.inject(process, KILL, call, log, fails or self._scenario.fails)
            assert met.hit, f"{call}: it never happened"
            first = power.cut(image, self._folder / "cut")
            power.sync_elsewhere(disk)
            return [(first, met), (power.cut(image, self._folder / "cut-flushed"), met)]

    def check(self, image: Path, met: Injected, call: Call) -> str:
        """The oracle on the disk after the cut."""
        what = f"{self._scenario.name}: {image.name} at {call.name} {call.number} ({call.text})"
        with power.plugged(image) as disk:
            return self._scenario.check(self._shelf, Site(disk / "world"), met, what)


@contextmanager
def bench(shelf: Shelf, scenario: Scenario) -> Iterator[Bench]:
    made = Bench(shelf, scenario)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_power_cut_at_any_system_call_leaves_the_old_version_or_the_new(
    shelf: Shelf, scenario: Scenario
) -> None:
    points = scenario.points(shelf, KILL)
    chosen = sampled(points)
    with bench(shelf, scenario) as made:
        outcomes = [
            made.check(image, met, call) for call in chosen for image, met in made.cut(call)
        ]
    what = f"power cut at each system call of {scenario.name}, led to {sorted(set(outcomes))}"
    tell(len(outcomes), what, of=2 * len(points))
    scenario.check_outcomes(set(outcomes))


def breaks(made: Bench, image: Path, met: Injected, call: Call) -> bool:
    """Whether the oracle finds the install on ``image`` broken."""
    try:
        made.check(image, met, call)
    except (AssertionError, OSError, subprocess.CalledProcessError):
        return True
    return False


def test_without_flushes_the_same_cuts_break_the_application(shelf: Shelf) -> None:
    """The negative control: a harness that finds nothing here would find nothing anywhere."""
    renames = [call for call in UPDATE.points(shelf, KILL) if call.name == "rename"]
    with bench(shelf, UPDATE) as made:
        broken = [
            breaks(made, image, met, call)
            for call in renames[-12::3]
            for image, met in made.cut(call, NOTHING_IS_FLUSHED)
        ]
    tell(len(broken), f"power cuts without flushes, of which {sum(broken)} broke it")
    assert any(broken)
