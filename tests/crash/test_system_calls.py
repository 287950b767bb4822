"""The real command, killed and failed by strace at every system call that changes the install.

What the fork layer (`test_crash`) cannot see is here: the interpreter, python-tuf, threads, and
every call between two changes of ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.crash.crash_process import (
    KILL,
    SCENARIOS,
    Scenario,
    Shelf,
    sampled,
    shelf_in_memory,
)
from tests.support.crash.crash_runs import tell
from tests.support.crash.syscalls import Call, Fault, refusal

pytestmark = [pytest.mark.crash, pytest.mark.timeout(3600)]
FAULTS = [KILL, *map(Fault, ("ENOSPC", "EIO", "EACCES", "EMFILE"))]
TRIES = 3
"""A thread may be late and another call be the n-th: a miss is seen, and tried again."""


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    if refusal():
        pytest.skip(refusal())
    with shelf_in_memory() as shelf:
        yield shelf


def disturbed(shelf: Shelf, scenario: Scenario, fault: Fault, call: Call) -> str:
    """One run, disturbed for certain, and looked at; what it led to."""
    what = f"{scenario.name}: {fault.name} at {call.name} {call.number} ({call.text})"
    for _ in range(TRIES):
        with shelf.copy(scenario.world(shelf)) as site:
            met = scenario.inject(shelf, site, fault, call)
            if met.hit:
                return scenario.check(shelf, site, met, what)
    pytest.fail(f"{what}: it never happened")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_fault_at_any_system_call_leaves_the_old_version_or_the_new(
    shelf: Shelf, scenario: Scenario, fault: Fault
) -> None:
    points = scenario.points(shelf, fault)
    chosen = sampled(points, FAULTS.index(fault))
    assert chosen, "nothing was found to disturb"
    outcomes = {disturbed(shelf, scenario, fault, call) for call in chosen}
    what = f"{fault.name} at each system call of {scenario.name}, led to {sorted(outcomes)}"
    tell(len(chosen), what, of=len(points))
    assert outcomes <= {"old", "new"}
    if fault.kills:
        scenario.check_outcomes(outcomes)
