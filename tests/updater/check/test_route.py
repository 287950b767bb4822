"""The plan: which version, and the cheapest way there. Pure: no network, no disk."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import fields, replace
from typing import Any

import pytest

from updater.check.catalogue import Catalogue, PatchTarget, PublishedRelease, SignedTarget
from updater.check.route import Route, choose, find_route, is_required
from updater.errors import InstallError
from updater.format.head import EVERYONE, Head, HeadEntry, RolloutStep
from updater.format.names import Digest
from updater.version import __version__

NOW = 1000
WHOLE = 1000
"""Bytes of every bundle unless a test says otherwise."""


def blob(name: str, length: int, write: int = 0, scratch: int = 0) -> PatchTarget:
    return PatchTarget(
        name, "", length, Digest.of(name.encode()), 1, Digest.of(b""), write, scratch
    )


def release(
    version: str,
    bundle: int | None = WHOLE,
    *,
    stop: bool = False,
    required: bool = False,
    min_updater: str = "",
    floor: str | None = None,
) -> PublishedRelease:
    signed = SignedTarget(f"a/releases/{version}/manifest", "", 1, Digest.of(version.encode()))
    whole = None if bundle is None else blob(f"a/releases/{version}/bundle", bundle)
    return PublishedRelease(version, signed, whole, stop, required, min_updater, floor=floor)


def offers(*versions: str) -> tuple[HeadEntry, ...]:
    return tuple(HeadEntry(version, (RolloutStep(0, EVERYONE),)) for version in versions)


def catalogue(
    *releases: PublishedRelease | str,
    patches: dict[tuple[str, str], int | PatchTarget] | None = None,
    head: tuple[HeadEntry, ...] | None = None,
) -> Catalogue:
    """Releases by version or in full; the newest is offered to everyone unless ``head`` says."""
    known = [release(r) if isinstance(r, str) else r for r in releases]
    blobs = {
        pair: way if isinstance(way, PatchTarget) else blob("_".join(pair), way)
        for pair, way in (patches or {}).items()
    }
    entries = offers(known[-1].version) if head is None else head
    return Catalogue(Head("a", "stable", 0, "seed", entries), {r.version: r for r in known}, blobs)


def chosen(published: Catalogue, installed: str = "1.0", *bad: str) -> str | None:
    return choose(published, "id", NOW, installed=installed, bad=frozenset(bad))


def way(plan: Route) -> list[str]:
    return [f"{hop.old or ''}>{hop.new}" for hop in plan.hops]


def test_a_patch_smaller_than_the_bundle_is_taken() -> None:
    published = catalogue("1.0", "2.0", patches={("1.0", "2.0"): 10})
    assert way(find_route(published, "1.0", "2.0")) == ["1.0>2.0"]


def test_a_patch_larger_than_the_bundle_is_not_taken() -> None:
    published = catalogue("1.0", "2.0", patches={("1.0", "2.0"): WHOLE + 1})
    assert way(find_route(published, "1.0", "2.0")) == [">2.0"]


def test_a_chain_is_taken_if_it_is_smaller_than_one_patch_and_than_the_bundle() -> None:
    links = {("1.0", "2.0"): 100, ("2.0", "3.0"): 100, ("1.0", "3.0"): 201}
    published = catalogue("1.0", "2.0", "3.0", patches={**links})
    assert way(find_route(published, "1.0", "3.0")) == ["1.0>2.0", "2.0>3.0"]
    published = catalogue("1.0", "2.0", "3.0", patches={**links, ("1.0", "3.0"): 199})
    assert way(find_route(published, "1.0", "3.0")) == ["1.0>3.0"]
    published = catalogue("1.0", "2.0", release("3.0", 150), patches={**links})
    assert way(find_route(published, "1.0", "3.0")) == [">3.0"]


def test_a_small_bundle_and_a_patch_on_it_beat_a_large_bundle() -> None:
    published = catalogue("1.0", release("2.0", 10), "3.0", patches={("2.0", "3.0"): 10})
    assert way(find_route(published, "1.0", "3.0")) == [">2.0", "2.0>3.0"]
    assert way(find_route(published, None, "3.0")) == [">2.0", "2.0>3.0"]


def test_of_two_ways_of_equal_bytes_the_one_that_writes_less_is_taken() -> None:
    for writes, best in (((5, 1), "1.0>3.0"), ((1, 5), "1.0>2.0")):
        direct = blob("1.0_3.0", 20, write=writes[1])
        chain = {("1.0", "2.0"): blob("x", 10, write=writes[0]), ("2.0", "3.0"): blob("y", 10)}
        published = catalogue("1.0", "2.0", "3.0", patches={**chain, ("1.0", "3.0"): direct})
        assert way(find_route(published, "1.0", "3.0"))[0] == best


def test_ways_that_are_equal_in_everything_are_no_fault() -> None:
    versions = [f"{n}.0" for n in range(1, 7)]
    same = dict.fromkeys(itertools.permutations(versions, 2), 0)
    published = catalogue(*(release(v, 0) for v in versions), patches={**same})
    assert find_route(published, "1.0", "6.0").fetch_bytes == 0


def test_cycles_of_patches_end() -> None:
    round_about = {("1.0", "2.0"): 1, ("2.0", "1.0"): 1, ("2.0", "2.0"): 0, ("1.0", "1.0"): 0}
    published = catalogue("1.0", "2.0", "3.0", patches={**round_about, ("2.0", "3.0"): 5})
    assert way(find_route(published, "1.0", "3.0")) == ["1.0>2.0", "2.0>3.0"]
    nowhere = catalogue("1.0", "2.0", release("3.0", None), patches={**round_about})
    with pytest.raises(InstallError, match=r"leads to 3\.0"):
        find_route(nowhere, "1.0", "3.0")


def test_a_chain_of_a_thousand_links_is_planned() -> None:
    versions = [f"1.{number}" for number in range(1001)]
    links = dict.fromkeys(itertools.pairwise(versions), 1)
    known = [release(version, 10_000) for version in versions]
    plan = find_route(catalogue(*known, patches={**links}), versions[0], versions[-1])
    assert way(plan) == [f"{old}>{new}" for old, new in links]


def test_a_missing_link_gives_way_to_the_bundle_or_is_told() -> None:
    link = {("2.0", "3.0"): 1}
    published = catalogue("1.0", release("2.0", None), "3.0", patches={**link})
    assert way(find_route(published, "1.0", "3.0")) == [">3.0"]
    pruned = catalogue("1.0", release("2.0", None), release("3.0", None), patches={**link})
    with pytest.raises(InstallError, match="leads to") as caught:
        find_route(pruned, "1.0", "3.0")
    assert caught.value.hint


def test_a_patch_over_a_release_that_is_not_published_is_not_used() -> None:
    links = {("1.0", "1.5"): 1, ("1.5", "2.0"): 1}
    assert way(find_route(catalogue("1.0", "2.0", patches={**links}), "1.0", "2.0")) == [">2.0"]


def test_an_installed_version_nobody_knows_any_more_goes_by_the_bundle() -> None:
    published = catalogue("2.0", "3.0", patches={("2.0", "3.0"): 1})
    assert chosen(published, "1.0") == "3.0"
    assert way(find_route(published, "1.0", "3.0")) == [">3.0"]


def test_without_trust_in_what_is_installed_only_bundles_are_used() -> None:
    published = catalogue("1.0", "2.0", patches={("1.0", "2.0"): 1})
    assert way(find_route(published, None, "2.0")) == [">2.0"]


def test_a_plan_says_what_it_will_cost() -> None:
    links = {("1.0", "2.0"): blob("a", 10, 200, 3000), ("2.0", "3.0"): blob("b", 20, 500, 6000)}
    plan = find_route(catalogue("1.0", "2.0", "3.0", patches={**links}), "1.0", "3.0")
    assert (plan.fetch_bytes, plan.write_bytes, plan.disk_bytes) == (30, 700, 30 + 700 + 9000)


@pytest.mark.parametrize("seed", range(30))
def test_no_way_is_cheaper_than_the_planned_one(seed: int) -> None:
    """Against every simple way there is, counted one by one."""
    draw = random.Random(seed)
    versions = [f"{n}.0" for n in range(1, 6)]
    pairs = [pair for pair in itertools.permutations(versions, 2) if draw.random() < 0.5]
    patches = {pair: blob("_".join(pair), draw.randrange(6), draw.randrange(4)) for pair in pairs}
    published = catalogue(
        *(release(v, draw.randrange(20) if draw.random() < 0.5 else None) for v in versions[:-1]),
        release(versions[-1], 20),
        patches={**patches},
    )
    plan = find_route(published, "1.0", "5.0")
    assert (plan.fetch_bytes, plan.write_bytes) == min(_costs(published, "1.0", "5.0"))
    at: str | None = "1.0"
    for hop in plan.hops:
        assert hop.old in {at, None}
        at = hop.new
    assert at == "5.0"


def _costs(published: Catalogue, start: str, end: str) -> list[tuple[int, int]]:
    costs = []
    middles = [v for v in published.releases if v not in {start, end}]
    for count in range(len(middles) + 1):
        for between in itertools.permutations(middles, count):
            stations = [start, *between, end]
            first = published.releases[stations[1]].bundle
            ways = [published.patches.get((start, stations[1])), first]
            rest = [published.patches.get(pair) for pair in itertools.pairwise(stations[1:])]
            for begin in ways:
                hops = [begin, *rest]
                if all(hops):
                    whole = [hop for hop in hops if hop is not None]
                    costs.append((sum(h.length for h in whole), sum(h.write_bytes for h in whole)))
    return costs


def test_what_everyone_is_offered_is_chosen_and_what_is_installed_is_not() -> None:
    published = catalogue("1.0", "2.0")
    assert chosen(published, "1.0") == "2.0"
    assert chosen(published, "2.0") is None
    assert chosen(published, "3.0") is None
    assert chosen(published, "") == "2.0"


def test_versions_are_compared_as_versions_not_as_text() -> None:
    published = catalogue("1.9", "1.10")
    assert chosen(published, "1.9") == "1.10"
    assert chosen(catalogue("1.10", "1.9"), "1.10") is None
    assert chosen(catalogue("2.0rc1", "2.0"), "2.0rc1") == "2.0"


def test_no_plan_jumps_over_a_stop() -> None:
    stops = (release("2.0", stop=True), release("3.0", stop=True))
    published = catalogue("1.0", *stops, "4.0", patches={("1.0", "4.0"): 1})
    assert [chosen(published, v) for v in ("1.0", "2.0", "3.0", "4.0")] == [
        "2.0",
        "3.0",
        "4.0",
        None,
    ]
    assert chosen(published, "1.5") == "2.0"
    assert chosen(published, "") == "4.0"


def test_a_stop_outside_the_way_stops_nobody() -> None:
    published = catalogue(
        release("0.5", stop=True),
        release("1.0", stop=True),
        "2.0",
        release("3.0", stop=True),
        head=offers("2.0"),
    )
    assert chosen(published, "1.0") == "2.0"


def test_a_recalled_stop_stops_nobody() -> None:
    published = catalogue("1.0", release("2.0", stop=True, floor="1.0"), "3.0")
    assert chosen(published, "1.0") == "3.0"


def test_a_stop_that_is_bad_here_is_neither_tried_again_nor_jumped_over() -> None:
    published = catalogue("1.0", release("2.0", stop=True), "3.0")
    with pytest.raises(InstallError, match=r"2\.0 has to come first, and it failed here"):
        chosen(published, "1.0", "2.0")


def test_a_bad_version_is_passed_over_for_the_next_offer() -> None:
    published = catalogue("1.0", "2.0", "3.0", head=offers("3.0", "2.0"))
    assert chosen(published, "1.0") == "3.0"
    assert chosen(published, "1.0", "3.0") == "2.0"
    assert chosen(published, "1.0", "3.0", "2.0") is None
    assert chosen(published, "", "3.0") == "2.0"


def test_a_recalled_version_is_offered_to_nobody() -> None:
    published = catalogue("1.0", "2.0", release("3.0", floor="2.0"), head=offers("3.0", "2.0"))
    assert chosen(published, "1.0") == "2.0"
    assert chosen(published, "") == "2.0"


def test_an_install_of_a_recalled_version_goes_down_to_its_floor_and_not_lower() -> None:
    recalled = release("3.0", floor="2.0")
    for offered, expected in (("2.0", "2.0"), ("2.5", "2.5"), ("4.0", "4.0"), ("1.0", None)):
        published = catalogue("1.0", "2.0", "2.5", recalled, "4.0", head=offers(offered))
        assert chosen(published, "3.0") == expected


def test_nobody_else_ever_goes_down() -> None:
    published = catalogue(
        "1.0", "2.0", release("3.0", floor="1.0"), "4.0", head=offers("2.0", "1.0")
    )
    assert chosen(published, "4.0") is None
    assert chosen(published, "2.0") is None


DOWN: list[tuple[str, dict[str, str], str, str, str | None]] = [
    # installed, floor of what was recalled, head, bad here -> where it goes
    ("3.0", {}, "2.0", "", None),
    ("3.0", {"3.0": "2.0"}, "2.0", "", "2.0"),
    ("3.0", {"3.0": "2.0"}, "1.0", "", None),
    ("3.0", {"3.0": "1.0"}, "1.0", "", "1.0"),
    ("3.0", {"3.0": "3.0"}, "2.0", "", None),
    ("3.0", {"3.0": "3.0"}, "4.0", "", "4.0"),
    ("3.0", {"3.0": "1.0"}, "4.0 2.0", "", "4.0"),
    ("3.0", {"3.0": "1.0"}, "4.0 2.0", "4.0", "2.0"),
    ("3.0", {"3.0": "1.0"}, "3.0 2.0", "", "2.0"),
    ("3.0", {"3.0": "1.0"}, "3.0", "", None),
    ("3.0", {"3.0": "1.0"}, "2.0", "2.0", None),
    ("3.0", {"3.0": "1.0", "2.0": "1.0"}, "2.0", "", None),
    ("3.0", {"3.0": "2.0", "2.0": "1.0"}, "1.0", "", None),
    ("2.0", {"3.0": "1.0"}, "3.0 1.0", "", None),
    ("2.0", {"3.0": "1.0"}, "3.0", "", None),
    ("4.0", {"3.0": "1.0"}, "2.0", "", None),
    ("3.5", {"3.0": "1.0"}, "2.0", "", None),
    ("", {"3.0": "1.0"}, "3.0 2.0", "", "2.0"),
    ("", {"3.0": "1.0"}, "3.0", "", None),
]


@pytest.mark.parametrize(("installed", "floors", "head", "bad", "expected"), DOWN)
def test_who_may_go_down_and_how_far(
    installed: str, floors: dict[str, str], head: str, bad: str, expected: str | None
) -> None:
    known = [release(v, floor=floors.get(v)) for v in ("1.0", "2.0", "3.0", "4.0")]
    published = catalogue(*known, head=offers(*head.split()))
    assert chosen(published, installed, *bad.split()) == expected


def test_the_way_down_is_a_reverse_patch_if_there_is_one_else_the_bundle() -> None:
    recalled = release("3.0", floor="1.0")
    published = catalogue("1.0", "2.0", recalled, patches={("3.0", "2.0"): 10})
    assert way(find_route(published, "3.0", "2.0")) == ["3.0>2.0"]
    assert way(find_route(published, "3.0", "1.0")) == [">1.0"]
    chain = {("3.0", "2.0"): 10, ("2.0", "1.0"): 10}
    assert way(find_route(catalogue("1.0", "2.0", recalled, patches={**chain}), "3.0", "1.0")) == [
        "3.0>2.0",
        "2.0>1.0",
    ]


def test_a_stop_on_the_way_down_stops_nobody() -> None:
    """Its publisher chose the floor: a stop is about what must not be jumped over going up."""
    published = catalogue(
        "1.0", release("2.0", stop=True), release("3.0", floor="1.0"), head=offers("1.0")
    )
    assert chosen(published, "3.0") == "1.0"


def test_a_head_that_names_what_is_not_published_offers_nothing() -> None:
    assert chosen(catalogue("1.0", head=offers("9.0"))) is None
    assert chosen(catalogue("1.0", head=()), "") is None


def test_a_paused_offer_and_one_that_does_not_reach_this_install_are_passed_over() -> None:
    paused = replace(offers("3.0")[0], paused=True)
    later = HeadEntry("3.0", (RolloutStep(NOW + 1, EVERYONE),))
    for entry in (paused, later, HeadEntry("3.0", (RolloutStep(0, 0),))):
        published = catalogue("1.0", "2.0", "3.0", head=(entry, *offers("2.0")))
        assert chosen(published, "1.0") == "2.0"


def test_a_rollout_reaches_its_share_of_installs() -> None:
    published = catalogue("1.0", "2.0", head=(HeadEntry("2.0", (RolloutStep(0, 3000),)),))
    served = sum(
        choose(published, str(n), NOW, installed="1.0", bad=frozenset()) == "2.0"
        for n in range(2000)
    )
    assert 500 < served < 700


@pytest.mark.parametrize("needed", ["99.0", __version__ + ".post1"])
def test_a_release_for_a_newer_updater_is_refused_with_its_reason(needed: str) -> None:
    published = catalogue("1.0", release("2.0", min_updater=needed))
    with pytest.raises(InstallError, match=f"needs updater {needed}") as caught:
        find_route(published, "1.0", "2.0")
    assert caught.value.hint


@pytest.mark.parametrize("needed", ["", "0.0.1", __version__])
def test_a_release_for_this_updater_is_not_refused(needed: str) -> None:
    published = catalogue("1.0", release("2.0", min_updater=needed))
    assert find_route(published, "1.0", "2.0").version == "2.0"


DEMANDS: dict[str, dict[str, Any]] = {
    "stop": {"stop": True},
    "required": {"required": True},
    "min_updater": {"min_updater": "99.0"},
}
"""What a release may demand of updates to it; each is a field of the signed metadata."""


def test_every_demand_of_a_release_is_in_these_tables() -> None:
    of_updates = {"version", "manifest", "bundle", "floor", "confirm"}  # the last: of its trial
    assert {field.name for field in fields(PublishedRelease)} == of_updates | set(DEMANDS)


def told(published: Catalogue, installed: str) -> str:
    """The demand that an update from ``installed`` meets."""
    version = chosen(published, installed)
    if version == "1.1":
        return "stop"
    try:
        find_route(published, installed or None, version or "")
    except InstallError:
        return "min_updater"
    return "required" if is_required(published, installed, version or "") else ""


@pytest.mark.parametrize("demand", DEMANDS)
@pytest.mark.parametrize(
    ("installed", "floor", "holds"),
    [
        ("1.0", None, True),  # jumped over
        ("1.1", None, False),  # installed: it was met
        ("", None, False),  # a new install jumps over nothing
        ("1.0", "1.0", False),  # recalled, with all it said
    ],
)
def test_what_a_release_demands_holds_when_it_is_jumped_over(
    demand: str, installed: str, floor: str | None, holds: bool
) -> None:
    between = release("1.1", floor=floor, **DEMANDS[demand])
    published = catalogue("1.0", between, "1.2", "1.3")
    assert told(published, installed) == (demand if holds else "")


@pytest.mark.parametrize("demand", ["required", "min_updater"])
def test_what_is_demanded_beyond_a_stop_counts_when_that_is_reached(demand: str) -> None:
    beyond = release("1.2", **DEMANDS[demand])
    published = catalogue("1.0", release("1.1", stop=True), beyond, "1.3")
    assert chosen(published) == "1.1"
    assert not is_required(published, "1.0", "1.1")
    assert find_route(published, "1.0", "1.1").version == "1.1"
    assert told(published, "1.1") == demand


def test_on_the_way_down_nothing_above_the_goal_is_demanded() -> None:
    between = release("1.1", required=True, min_updater="99.0")
    published = catalogue("1.0", between, release("1.2", floor="1.0"), head=offers("1.0"))
    assert told(published, "1.2") == ""


def test_three_hundred_releases_with_all_their_patches_are_planned_at_once() -> None:
    versions = [f"1.{n}" for n in range(300)]
    patches = {
        (old, new): 10 + (b - a) ** 2
        for a, old in enumerate(versions)
        for b, new in enumerate(versions)
        if 0 < b - a <= 10
    }
    published = catalogue(*(release(v, 10_000_000) for v in versions), patches={**patches})
    before = time.process_time()
    assert chosen(published, "1.0") == "1.299"
    plan = find_route(published, "1.0", "1.299")
    assert time.process_time() - before < 2
    assert len(plan.hops) > 90
