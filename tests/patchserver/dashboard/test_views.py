"""What pages are made of, without a server: numbers, steps and the chart."""

from __future__ import annotations

import pytest

from patchserver.dashboard import formatting
from patchserver.dashboard.chart import BOTTOM, HEIGHT, LEFT, OTHERS, RIGHT, TOP, WIDTH, chart
from patchserver.dashboard.offers import Offered, offered
from patchserver.database.tables import Halt
from patchserver.rollouts.halting import Evidence, Rule
from patchserver.rollouts.version_counts import VersionCounts
from updater.format.head import EVERYONE, HeadEntry, RolloutStep

NOW = 1_800_000_000
DAY = 86_400
RAMP = (RolloutStep(NOW - DAY, 1000), RolloutStep(NOW, 5000), RolloutStep(NOW + DAY, EVERYONE))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-59, "just now"),
        (59, "in a moment"),
        (-60, "1 minute ago"),
        (7200, "in 2 hours"),
        (-36 * 3600, "36 hours ago"),
        (47 * 3600, "in 47 hours"),
        (-3 * DAY, "3 days ago"),
    ],
)
def test_spans_are_told_in_the_unit_that_says_enough(seconds: int, words: str) -> None:
    assert formatting.span(seconds) == words


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 40, "3072.0 GiB"),
    ],
)
def test_sizes_have_units(length: int, words: str) -> None:
    assert formatting.size(length) == words


def test_a_time_that_no_calendar_has_is_shown_all_the_same() -> None:
    assert formatting.moment(2**53) == "9999-12-31 23:59"
    assert formatting.iso(NOW) == "2027-01-15T08:00:00Z"


def _offered(*, paused: bool = False, halts: tuple[Halt, ...] = (), now: int = NOW) -> Offered:
    offer = HeadEntry("2.0", RAMP, paused)
    return offered(offer, Evidence(0, 0), Rule(), halts, now=now)


def test_steps_are_done_now_or_to_come() -> None:
    one = _offered()
    assert [stage.state for stage in one.stages] == ["done", "now", "to come"]
    assert (one.state, one.reach, one.next) == ("ramp", 5000, one.stages[2])
    early, late = _offered(now=NOW - 2 * DAY), _offered(now=NOW + DAY)
    assert [stage.state for stage in early.stages] == ["to come"] * 3
    assert (early.state, late.state, late.next) == ("to come", "everyone", None)


def test_a_pause_holds_steps_back() -> None:
    one = _offered(paused=True)
    assert [stage.state for stage in one.stages] == ["done", "paused here", "put off"]
    assert (one.state, one.reach, one.next) == ("paused", 0, None)


def test_what_was_recalled_is_offered_to_nobody() -> None:
    one = offered(HeadEntry("2.0", RAMP), Evidence(0, 0), Rule(), (), now=NOW, is_recalled=True)
    assert (one.state, one.reach) == ("recalled", 0)


def test_a_halt_is_told_until_it_is_resumed() -> None:
    halt = Halt(version="2.0", resumed=None)
    assert _offered(paused=True, halts=(halt,)).state == "halted"
    assert _offered(halts=(halt,)).halt is None
    assert _offered(paused=True, halts=(Halt(version="1.0", resumed=None),)).state == "paused"
    assert _offered(paused=True, halts=(Halt(version="2.0", resumed=NOW),)).state == "paused"


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence(3, 1), "16 more reports are needed to judge it"),
        (Evidence(10, 10), "above the threshold"),
        (Evidence(20, 0), "within the threshold"),
    ],
)
def test_the_evidence_is_judged_in_words(evidence: Evidence, words: str) -> None:
    one = offered(HeadEntry("2.0", RAMP), evidence, Rule(500, 20), (), now=NOW)
    assert one.judged == words


def _corners(points: str) -> list[tuple[float, float]]:
    pairs = (point.split(",") for point in points.split())
    return [(float(x), float(y)) for x, y in pairs]


def test_areas_stand_on_each_other_and_stay_inside() -> None:
    made = chart(VersionCounts(20_000, 3, {"1.10": (1, 2, 3), "1.9": (8, 5, 0)}))
    assert [area.name for area in made.areas] == ["1.9", "1.10"]
    low, high = (_corners(area.points) for area in made.areas)
    assert low[:3] == list(reversed(high[3:]))
    for x, y in [*low, *high]:
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM


def test_versions_that_few_have_share_an_area() -> None:
    installs = {f"1.{n}": (n, n) for n in range(1, 11)}
    made = chart(VersionCounts(20_000, 2, installs))
    assert [area.name for area in made.areas] == [OTHERS, *(f"1.{n}" for n in range(4, 11))]
    assert made.areas[0].counts == (6, 6)
    assert sum(area.counts[0] for area in made.areas) == sum(range(1, 11))


def test_the_table_has_the_numbers_of_the_chart_newest_first() -> None:
    made = chart(VersionCounts(20_000, 3, {"1.0": (1, 2, 3), "2.0": (0, 0, 4)}))
    assert made.table == [(20_002, [3, 4]), (20_001, [2, 0]), (20_000, [1, 0])]


@pytest.mark.parametrize("days", [1, 30, 90])
def test_a_chart_of_nothing_is_empty_and_of_one_day_is_drawn(days: int) -> None:
    assert chart(VersionCounts(20_000, days, {})).is_empty
    made = chart(VersionCounts(20_000, days, {"1.0": (5,) * days}))
    assert len(made.areas) == 1


@pytest.mark.parametrize("most", [1, 4, 9, 41, 99, 1_234, 1_000_000])
def test_the_scale_reaches_the_top_and_its_lines_are_round(most: int) -> None:
    made = chart(VersionCounts(20_000, 1, {"1.0": (most,)}))
    values = [tick.value for tick in made.rows]
    assert values[-1] >= most
    assert values[0] == 0
    assert len(set(values)) == 5
    assert values[-1] <= max(3 * most, 4)
