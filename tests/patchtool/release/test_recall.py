"""``patchtool recall``: what is withdrawn stays withdrawn, and its installs find their way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from patchtool.cli.parser import main
from patchtool.diff.options import Options
from patchtool.release.recall import Recalled, recall
from patchtool.release.rollout import promote

from tests.support.repository.dying import killed_everywhere
from tests.support.repository.publisher import PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look, offered
from tests.support.trees.trees import Tree, noise
from updater.errors import FormatError, InstallError
from updater.format.head import EVERYONE, Head

BIG = noise(20_000)
VERSIONS = ("1.0", "2.0", "3.0")


def tree(version: str) -> Tree:
    """A patch between two of them is far smaller than a bundle."""
    return {"version": version.encode(), "data": BIG}


@pytest.fixture
def publisher(publisher: Publisher) -> Publisher:
    """Three releases; the channel offers the last to everyone."""
    for version in VERSIONS:
        publisher.release(version, tree(version))
    return publisher


def recalled(
    publisher: Publisher, version: str, *, patch: bool = False, **more: Any
) -> Recalled | None:
    options = Options(effort="fast", jobs=1) if patch else None
    repository = publisher.repository()
    return recall(repository, "notes", version, now=publisher.now, patches=options, **more)


def floors(publisher: Publisher, memory: Path) -> dict[str, str | None]:
    """The floor of each release, as clients see it."""
    catalogue = look(publisher.folder, memory, publisher.root, publisher.now)
    return {version: release.floor for version, release in catalogue.releases.items()}


def heads(publisher: Publisher) -> list[str]:
    target = publisher.repository().look().targets("channels.notes")["notes/channels/stable"]
    return [offer.version for offer in Head.parse(target.custom).entries]


def test_the_floor_is_the_next_lower_release_that_is_not_recalled(
    publisher: Publisher, tmp_path: Path
) -> None:
    first = recalled(publisher, "2.0")
    second = recalled(publisher, "3.0")
    assert first == Recalled("2.0", "1.0", {"stable": "3.0"}, {}, (), ())
    assert second == Recalled("3.0", "1.0", {"stable": None}, {}, (), ())
    assert floors(publisher, tmp_path) == {"1.0": None, "2.0": "1.0", "3.0": "1.0"}


def test_a_floor_may_be_named_and_changed_later(publisher: Publisher, tmp_path: Path) -> None:
    recalled(publisher, "3.0", floor="1.0")
    assert recalled(publisher, "3.0") is None, "the floor it has stays"
    assert recalled(publisher, "3.0", floor="1.0") is None
    assert floors(publisher, tmp_path)["3.0"] == "1.0"
    assert recalled(publisher, "3.0", floor="2.0") is not None
    assert floors(publisher, tmp_path)["3.0"] == "2.0"


def test_whoever_has_the_lowest_release_when_it_is_recalled_waits_for_a_higher_one(
    publisher: Publisher, tmp_path: Path
) -> None:
    done = recalled(publisher, "1.0")
    assert done is not None
    assert done.floor == "1.0"
    recalled(publisher, "2.0")
    assert floors(publisher, tmp_path) == {"1.0": "1.0", "2.0": "2.0", "3.0": None}


def test_releases_that_were_recalled_to_the_one_recalled_now_are_named(
    publisher: Publisher, tmp_path: Path
) -> None:
    recalled(publisher, "3.0")
    done = recalled(publisher, "2.0")
    assert done is not None
    assert done.resting == ("3.0",)
    assert floors(publisher, tmp_path)["3.0"] == "2.0", "a floor is its publisher's word"
    recalled(publisher, "3.0", floor="1.0")
    assert floors(publisher, tmp_path)["3.0"] == "1.0"


def test_it_says_what_each_channel_has_for_installs_of_it(publisher: Publisher) -> None:
    for channel, version in (("beta", "3.0"), ("old", "1.0")):
        promote(publisher.repository(), "notes", channel, version, now=publisher.now)
    done = recalled(publisher, "3.0", floor="2.0")
    assert done is not None
    assert done.channels == {"beta": None, "old": None, "stable": "2.0"}


def test_a_reverse_patch_is_made_when_asked_and_to_what_installs_go_to(
    publisher: Publisher, tmp_path: Path
) -> None:
    plain = recalled(publisher, "3.0")
    assert plain is not None
    assert plain.patches == {}
    done = recalled(publisher, "3.0", patch=True)
    assert done is not None
    seen = look(publisher.folder, tmp_path, publisher.root)
    assert offered(publisher.folder, seen) == set(VERSIONS)
    assert done.patches == {"2.0": seen.patches["3.0", "2.0"].length}
    assert recalled(publisher, "3.0", patch=True) is None


def test_a_reverse_patch_larger_than_the_bundle_is_left_out_and_told(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.release("4.0", {f"{n}": b"%d" % n for n in range(50)})
    publisher.release("5.0", {"only": b"1"})
    publisher.release("6.0", {f"{n}": b"%d" % n for n in range(50)})
    publisher.now += 1
    publisher.promote("5.0")
    done = recalled(publisher, "6.0", patch=True)
    assert done is not None
    assert (done.patches, done.skipped) == ({}, ("5.0",))


def test_what_was_recalled_is_promoted_no_more_and_is_no_fallback(
    publisher: Publisher,
) -> None:
    recalled(publisher, "3.0")
    with pytest.raises(InstallError, match=r"notes 3\.0 was recalled") as caught:
        publisher.promote("3.0")
    assert "new version" in caught.value.hint
    publisher.add("3.1", tree("3.1"))
    publisher.promote("3.1")
    assert heads(publisher) == ["3.1", "2.0"]


def test_a_lower_release_may_be_promoted_in_place_of_the_recalled(
    publisher: Publisher,
) -> None:
    publisher.promote("1.0", basis_points=EVERYONE)
    recalled(publisher, "3.0")
    assert heads(publisher) == ["1.0"]
    publisher.promote("2.0")
    assert heads(publisher) == ["2.0", "1.0"]


def test_the_next_release_has_patches_for_those_who_have_the_recalled_one(
    publisher: Publisher,
) -> None:
    for version in VERSIONS[1:]:
        recalled(publisher, version)
    added = publisher.add("3.1", tree("3.1"))
    assert added is not None
    assert list(added.patches) == ["3.0", "2.0", "1.0"]
    for version in ("4.0", "5.0"):
        publisher.add(version, tree(version))
    later = publisher.add("6.0", tree("6.0"))
    assert later is not None
    assert list(later.patches) == ["5.0", "4.0", "3.1"], "they do not take a place"


@pytest.mark.parametrize(
    ("version", "floor", "error", "match"),
    [
        ("9.0", None, InstallError, r"notes 9\.0 is not published"),
        ("3.0", "9.0", InstallError, r"floor of 9\.0 is above 3\.0"),
        ("2.0", "3.0", InstallError, r"floor of 3\.0 is above 2\.0"),
        ("3.0", "0.1", InstallError, r"notes 0\.1 is not published"),
        ("3.0", "v1", FormatError, "version 'v1' refused"),
        ("3", None, InstallError, "is not published"),
        ("../1", None, FormatError, "refused"),
    ],
)
def test_a_recall_of_nothing_or_to_nowhere_is_refused(
    version: str,
    floor: str | None,
    error: type[Exception],
    match: str,
    publisher: Publisher,
) -> None:
    before = files(publisher.folder)
    with pytest.raises(error, match=match):
        recalled(publisher, version, floor=floor)
    assert files(publisher.folder) == before


@pytest.mark.parametrize("role", ["release", "online"])
def test_without_its_keys_nothing_is_recalled(role: str, publisher: Publisher) -> None:
    before = files(publisher.folder)
    (publisher.keys.folder / f"{role}.pem").unlink()
    with pytest.raises(InstallError, match=f"no {role} key"):
        recalled(publisher, "3.0")
    assert files(publisher.folder) == before


@pytest.mark.crash
def test_a_recall_that_is_killed_anywhere_is_seen_before_its_patches(
    publisher: Publisher, tmp_path: Path
) -> None:
    seen = []
    for n, lived in enumerate(
        killed_everywhere(publisher, tmp_path, lambda: recalled(publisher, "3.0", patch=True))
    ):
        catalogue = look(publisher.folder, tmp_path / f"{n}", publisher.root)
        assert offered(publisher.folder, catalogue) == set(VERSIONS)
        seen.append((catalogue.releases["3.0"].floor, ("3.0", "2.0") in catalogue.patches))
        if not lived:
            again = recalled(publisher, "3.0", patch=True)
            assert (again is None) == seen[-1][1]
    assert set(seen) == {(None, False), ("2.0", False), ("2.0", True)}
    assert sorted(seen, key=lambda state: (state[0] or "", state[1])) == seen, "the recall first"
    assert len(seen) > 10


def test_the_command_tells_people_and_programs(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(*next(iter(PASSWORD.items())))
    monkeypatch.setattr("time.time", lambda: publisher.now)
    line = f"recall {publisher.folder} --app notes --keys {publisher.keys.folder} --quiet --version"
    assert main([*line.split(), "3.0", "--patch", "--effort", "fast"]) == 0
    said = capsys.readouterr().out
    assert "notes 3.0 is recalled; its installs go to 2.0 at lowest" in said
    assert "stable: they go to 2.0" in said
    assert "patch to 2.0:" in said
    assert main([*line.split(), "2.0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": "2.0",
        "floor": "1.0",
        "channels": {"stable": None},
        "patches": {},
        "skipped": [],
        "resting": ["3.0"],
    }
    assert main([*line.split(), "2.0", "--json"]) == 10
    assert json.loads(capsys.readouterr().out) == {"version": "2.0", "state": "recalled before"}
    assert main([*line.split(), "9.0"]) == 7
