"""Rollout: a head follows from the one before, and what is paused serves nobody more by waiting."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS
from updater.errors import FormatError, InstallError
from updater.format.encoding.limits import DEFAULT
from updater.format.head import EVERYONE, Head, HeadEntry, RolloutStep
from updater.format.next_head import (
    is_paused,
    parse_percent,
    parse_ramp,
    paused,
    promoted,
    resumed,
    without,
)

NOW = 1_800_000_000
HOUR, DAY = 3_600, 86_400
RAMP = "10@now,50@+24h,100@+48h"

times = st.integers(0, 100 * DAY).map(lambda seconds: NOW + seconds)
ramps = st.dictionaries(times, st.integers(0, EVERYONE), min_size=1, max_size=6).map(
    lambda steps: tuple(RolloutStep(*step) for step in sorted(steps.items()))
)


def head(*offers: HeadEntry, issued: int = NOW) -> Head:
    return Head("notes", "stable", issued, "seed", offers)


def offer(version: str, *steps: RolloutStep, halted: bool = False) -> HeadEntry:
    return HeadEntry(version, steps or (RolloutStep(0, EVERYONE),), halted)


def promote(before: Head | None, version: str, *steps: RolloutStep, now: int = NOW) -> Head:
    ramp = steps or (RolloutStep(now, EVERYONE),)
    return promoted(before, "notes", "stable", version, steps=ramp, now=now, seed="new")


def versions(of: Head) -> list[str]:
    return [offer.version for offer in of.entries]


class TestPromoted:
    def test_the_first_head_takes_the_seed_and_later_ones_keep_it(self) -> None:
        first = promote(None, "1.0")
        assert first == Head(
            "notes", "stable", NOW, "new", (offer("1.0", RolloutStep(NOW, EVERYONE)),)
        )
        assert promote(head(offer("1.0")), "2.0").seed == "seed"

    def test_the_last_version_that_reached_everyone_is_the_fallback(self) -> None:
        rolling = offer("1.1", RolloutStep(0, 500))
        assert versions(promote(head(rolling, offer("1.0")), "2.0")) == ["2.0", "1.0"]

    def test_a_paused_version_is_no_fallback(self) -> None:
        before = head(offer("1.1", halted=True), offer("1.0"))
        assert versions(promote(before, "2.0")) == ["2.0", "1.0"]

    def test_what_was_still_to_come_makes_way(self) -> None:
        before = head(offer("2.0", RolloutStep(NOW - 9, 100), RolloutStep(NOW + DAY, EVERYONE)))
        after = promote(before, "2.0", RolloutStep(NOW + HOUR, 5_000))
        assert after.entries[0].steps == (RolloutStep(NOW - 9, 100), RolloutStep(NOW + HOUR, 5_000))

    def test_a_paused_version_is_refused(self) -> None:
        with pytest.raises(InstallError, match="paused") as caught:
            promote(head(offer("2.0", halted=True)), "2.0")
        assert "resume" in caught.value.hint

    def test_time_never_goes_back(self) -> None:
        assert promote(head(issued=NOW + DAY), "1.0").issued == NOW + DAY

    @given(ramp=ramps)
    @SETTINGS
    def test_any_ramp_gives_a_head_clients_allow_and_does_what_it_says(
        self, ramp: tuple[RolloutStep, ...]
    ) -> None:
        before: Head | None = None
        for _ in range(DEFAULT.rollout_steps):
            before = promote(before, "1.0", *ramp)
            assert Head.parse(before.to_json()) == before
        assert before is not None
        for step in ramp:
            assert before.entries[0].reach(step.utc) == step.basis_points

    def test_steps_that_clients_refuse_are_refused(self) -> None:
        with pytest.raises(FormatError):
            promote(None, "1.0", RolloutStep(NOW, EVERYONE + 1))
        with pytest.raises(FormatError):
            promote(None, "1.0", RolloutStep(NOW + 1, 5), RolloutStep(NOW, 6))


class TestPaused:
    def test_serves_nobody_and_the_fallback_everyone(self) -> None:
        before = head(offer("2.0"), offer("1.0"))
        after = paused(before, "2.0", NOW + 9)
        assert is_paused(after, "2.0")
        assert not is_paused(after, "1.0")
        assert after.choose("i", NOW + 9, floor="1.0", excluded=lambda _: False) == "1.0"
        assert after.issued == NOW + 9
        assert resumed(after, "2.0", NOW + 9).entries == before.entries

    def test_what_is_not_offered_is_refused_with_what_is(self) -> None:
        for edit in (paused, resumed):
            with pytest.raises(InstallError, match=r"does not offer notes 3\.0") as caught:
                edit(head(offer("2.0"), offer("1.0")), "3.0", NOW)
            assert caught.value.hint == "it offers 2.0, 1.0"
        with pytest.raises(InstallError) as caught:
            is_paused(head(), "1.0")
        assert caught.value.hint == "it offers nothing"

    @given(ramp=ramps, stop=times, rest=st.integers(0, 100 * DAY), between=st.integers(0, 100))
    @SETTINGS
    def test_and_resumed_goes_on_where_it_was(
        self, ramp: tuple[RolloutStep, ...], stop: int, rest: int, between: int
    ) -> None:
        """Whatever else is done to the head meanwhile, such as pausing another version."""
        before = head(offer("2.0", *ramp), offer("1.0"))
        halted = paused(before, "2.0", stop)
        halted = paused(halted, "1.0", stop + rest * between // 100)
        after = resumed(halted, "2.0", stop + rest)
        for later in (0, 1, HOUR, DAY, 50 * DAY):
            reach = after.entries[0].reach(stop + rest + later)
            assert reach == before.entries[0].reach(stop + later)


def test_without_leaves_the_others_out_of_it() -> None:
    assert versions(without(head(offer("2.0"), offer("1.0")), {"2.0", "3.0"})) == ["1.0"]


class TestRamp:
    def test_has_steps_from_now_on(self) -> None:
        steps = (
            RolloutStep(NOW, 1_000),
            RolloutStep(NOW + DAY, 5_000),
            RolloutStep(NOW + 2 * DAY, EVERYONE),
        )
        assert parse_ramp(RAMP, NOW) == steps
        assert parse_ramp("2.5@+30m, 100@+2d", NOW) == (
            RolloutStep(NOW + 1_800, 250),
            RolloutStep(NOW + 2 * DAY, EVERYONE),
        )

    def test_may_name_a_minute_in_utc(self) -> None:
        assert parse_ramp("100@2027-01-31T09:00Z", NOW) == (RolloutStep(1_801_386_000, EVERYONE),)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "10", "10@", "@now", "10@now,", "10@tomorrow", "10@+1y", "10@+h", "10@-1h"),
            *("ten@now", "101@now", "-1@now", "1.234@now", "NaN@now", "10@2027-01-31"),
            *("10@now,50@now", "10@+2h,50@+1h", "50@now,10@+1h", "10@now,10@+1h"),
            *("10@2027-13-01T00:00Z", "10@+999999d", "1@now," * 40, "1@\u0661"),
        ],
    )
    def test_with_a_slip_is_refused(self, text: str) -> None:
        with pytest.raises(FormatError):
            parse_ramp(text, NOW)

    @given(text=st.text(max_size=30))
    @SETTINGS
    def test_is_a_ramp_clients_allow_or_a_format_error(self, text: str) -> None:
        try:
            steps = parse_ramp(text, NOW)
        except FormatError:
            assume(True)
            return
        assert promote(None, "1.0", *steps).entries[0].steps == steps


@pytest.mark.parametrize("text", ["", "x", "NaN", "Infinity", "1e99", "-1", "100.01", "0.001"])
def test_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_percent(text)


def test_a_percentage_has_two_decimals() -> None:
    assert [parse_percent(text) for text in ("0", "12.34", "100")] == [0, 1_234, EVERYONE]
