"""The head: every client reads it alike, and no head leads below what it may."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, versions
from updater.errors import FormatError
from updater.format.head import Head, HeadEntry, RolloutStep
from updater.format.names import order
from updater.format.rollout_bucket import bucket

NOW = 1_000
IDS = [f"install-{n}" for n in range(2_000)]


def head(*offers: HeadEntry) -> Head:
    return Head("notes", "stable", NOW, "seed", offers)


def offer(version: str, points: int = 10_000, *, paused: bool = False) -> HeadEntry:
    return HeadEntry(version, (RolloutStep(0, points),), paused)


def choose(
    of: Head, install_id: str = "i", now: int = NOW, floor: str = "1.0", bad: str = ""
) -> str | None:
    return of.choose(install_id, now, floor=floor, excluded=lambda version: version in bad.split())


class TestRollout:
    def test_reaches_the_share_it_says(self) -> None:
        rolling = head(offer("2.0", 2_500), offer("1.0"))
        share = sum(choose(rolling, name) == "2.0" for name in IDS) / len(IDS)
        assert 0.2 < share < 0.3

    def test_only_ever_grows(self) -> None:
        served: set[str] = set()
        for points in (0, 100, 1_000, 5_000, 9_999, 10_000):
            now_served = {name for name in IDS if choose(head(offer("2.0", points)), name) == "2.0"}
            assert served <= now_served
            served = now_served
        assert served == set(IDS)

    def test_of_nothing_serves_nobody(self) -> None:
        assert not any(choose(head(offer("2.0", 0)), name) for name in IDS)

    def test_begins_with_other_installs_for_every_version_and_seed(self) -> None:
        def first(seed: str, version: str) -> set[str]:
            return {name for name in IDS if bucket(seed, version, name) < 1_000}

        assert first("a", "1.0") != first("b", "1.0")
        assert first("a", "1.0") != first("a", "1.1")
        assert len(first("a", "1.0") & first("a", "1.1")) < 60

    def test_steps_come_with_time(self) -> None:
        stepped = HeadEntry(
            "2.0", (RolloutStep(10, 0), RolloutStep(20, 5_000), RolloutStep(30, 10_000))
        )
        assert [stepped.reach(now) for now in (0, 9, 10, 19, 20, 30, 99)] == [
            *(0, 0, 0, 0, 5_000, 10_000, 10_000)
        ]

    def test_may_be_taken_back(self) -> None:
        stepped = HeadEntry("2.0", (RolloutStep(10, 10_000), RolloutStep(20, 0)))
        assert choose(head(stepped, offer("1.0")), now=19) == "2.0"
        assert choose(head(stepped, offer("1.0")), now=20) == "1.0"


class TestPaused:
    def test_gives_the_version_to_no_installed_client(self) -> None:
        assert choose(head(offer("2.0", paused=True), offer("1.0"))) == "1.0"
        assert choose(head(offer("2.0", paused=True))) is None

    def test_gives_a_fresh_install_the_fallback(self) -> None:
        assert choose(head(offer("2.0", paused=True), offer("1.0")), floor="") == "1.0"


class TestFreshInstall:
    def test_takes_the_newest_that_reaches_it(self) -> None:
        assert choose(head(offer("2.0"), offer("1.0")), floor="") == "2.0"

    def test_takes_the_last_entry_if_none_does(self) -> None:
        assert choose(head(offer("3.0", 0), offer("2.0", 0), offer("1.0", 0)), floor="") == "1.0"

    def test_takes_no_excluded_version(self) -> None:
        listed = head(offer("2.0", 0), offer("1.0", 0))
        assert choose(listed, floor="", bad="1.0") == "2.0"
        assert choose(listed, floor="", bad="1.0 2.0") is None

    def test_gets_nothing_from_an_empty_head(self) -> None:
        assert choose(head(), floor="") is None


class TestFloor:
    def test_no_downgrade(self) -> None:
        assert choose(head(offer("2.0"), offer("1.0")), floor="3.0") is None
        assert choose(head(offer("2.0rc1")), floor="2.0") is None
        assert choose(head(offer("1.9")), floor="1.10") is None

    def test_a_recall_allows_down_to_its_floor_and_no_lower(self) -> None:
        listed = head(offer("2.0"), offer("1.5"), offer("1.0"))
        assert choose(listed, floor="1.5", bad="2.0") == "1.5"
        assert choose(listed, floor="1.6", bad="2.0") is None

    def test_the_installed_version_may_be_the_answer(self) -> None:
        assert choose(head(offer("2.0", 0), offer("1.0"))) == "1.0"

    @SETTINGS
    @given(st.lists(versions, max_size=5), versions, st.data())
    def test_what_is_chosen_is_never_below_it(
        self, listed: list[str], floor: str, data: st.DataObject
    ) -> None:
        unique = {order(version): version for version in listed}
        offers = [
            offer(unique[key], data.draw(st.integers(0, 10_000)), paused=data.draw(st.booleans()))
            for key in sorted(unique, reverse=True)
        ]
        chosen = choose(Head.parse(head(*offers).to_json()), floor=floor)
        if chosen is not None:
            assert order(chosen) >= order(floor)
            assert not next(o for o in offers if o.version == chosen).paused


@SETTINGS
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a", "1.0", "é"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*vars(head()), "version", "steps", "paused"]), inner)
        ),
        max_leaves=20,
    )
)
def test_any_value_is_a_head_or_a_format_error(value: Any) -> None:
    try:
        parsed = Head.parse(value)
    except FormatError:
        return
    assert Head.parse(parsed.to_json()) == parsed


@pytest.mark.parametrize("field", ["app", "channel", "issued", "seed"])
def test_every_field_is_needed(field: str) -> None:
    value = head(offer("1.0")).to_json()
    assert Head.parse(value) == head(offer("1.0"))
    del value[field]
    with pytest.raises(FormatError, match=f"{field}: missing"):
        Head.parse(value)


def test_an_entry_with_a_wrong_step_is_located() -> None:
    value = head(offer("2.0"), offer("1.0")).to_json()
    value["entries"][1]["steps"] = [[0, 1], [1, 10_001]]
    with pytest.raises(FormatError) as caught:
        Head.parse(value)
    assert caught.value.context == "entries[1].steps[1]"
