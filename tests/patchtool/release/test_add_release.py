"""What add-release and promote promise, but for their interruption (see repository)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from patchtool.release.add_release import Added
from patchtool.release.release_toml import Description
from patchtool.release.rollout import promote

from tests.support.repository.publisher import NOW, Publisher, publish
from tests.support.trees.trees import Exe, Tree, noise, write_tree
from updater.errors import FormatError, InstallError
from updater.format.encoding.limits import DEFAULT
from updater.format.head import EVERYONE, Head, HeadEntry, RolloutStep
from updater.format.manifest import Manifest
from updater.format.release_description import Release
from updater.patch.apply import PatchFile

BIG = noise(20_000)


def tree(n: int) -> Tree:
    """Release number ``n``: a patch between two of them is far smaller than a bundle."""
    return {"app": Exe(b"%d" % n), "data": BIG}


def added(publisher: Publisher, version: str, n: int, bases: Sequence[str] | None = None) -> Added:
    result = publisher.add(version, tree(n), bases=bases)
    assert result is not None
    return result


def head(publisher: Publisher, channel: str = "stable") -> Head:
    target = publisher.repository().look().targets("channels.notes")[f"notes/channels/{channel}"]
    return Head.parse(target.custom)


def offers(publisher: Publisher) -> dict[str, list[tuple[int, int]]]:
    """What the head offers: version -> seconds since the beginning and share of each step."""
    return {
        offer.version: [(step.utc - NOW, step.basis_points) for step in offer.steps]
        for offer in head(publisher).entries
    }


def test_a_release_is_a_manifest_and_a_bundle_that_gives_it(publisher: Publisher) -> None:
    result = added(publisher, "1.0", 1)
    repository = publisher.repository()
    targets = repository.look().targets("app.notes")
    assert set(targets) == {"notes/releases/1.0/manifest", "notes/releases/1.0/bundle"}
    manifest = Manifest.parse(
        repository.path_of(targets["notes/releases/1.0/manifest"]).read_bytes()
    )
    bundle = PatchFile(repository.path_of(targets["notes/releases/1.0/bundle"]))
    assert (manifest.app, manifest.version, set(manifest.by_path)) == ("notes", "1.0", set(tree(1)))
    assert bundle.header.old is None
    assert bundle.header.new.digest == manifest.digest
    assert result == Added("1.0", bundle.path.stat().st_size, {}, ())


def test_patches_come_from_the_last_three_releases_before(publisher: Publisher) -> None:
    for n, version in enumerate(["1.9", "1.10", "2.0rc1", "2.0"]):
        added(publisher, version, n)
    assert list(added(publisher, "3.0", 5).patches) == ["2.0", "2.0rc1", "1.10"]
    assert list(added(publisher, "1.11", 6).patches) == ["1.10", "1.9"], "a late fix of an old one"


def test_patches_come_from_the_versions_that_are_named(publisher: Publisher) -> None:
    for n in range(5):
        added(publisher, f"{n}.0", n)
    assert list(added(publisher, "5.0", 5, ["0.0", "3.0", "0.0"]).patches) == ["0.0", "3.0"]
    assert list(added(publisher, "6.0", 6, []).patches) == []


def test_what_is_told_of_a_patch_is_what_clients_will_see(publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    result = added(publisher, "2.0", 2)
    repository = publisher.repository()
    target = repository.look().targets("app.notes")["notes/patches/1.0_2.0"]
    patch = PatchFile(repository.path_of(target))
    assert result.patches == {"1.0": target.length}
    assert target.custom is not None
    assert target.custom["header"]["length"] == patch.start
    assert target.custom["write_bytes"] == len(b"2")
    assert target.custom["scratch_bytes"] == 0


def test_a_patch_larger_than_the_bundle_is_left_out_and_told(publisher: Publisher) -> None:
    publisher.add("1.0", {f"{n}": b"%d" % n for n in range(50)})
    result = publisher.add("2.0", {"only": b"1"})
    assert result is not None
    assert (result.patches, result.skipped) == ({}, ("1.0",))
    assert "notes/patches/1.0_2.0" not in publisher.repository().look().targets("app.notes")


def test_the_same_release_again_is_nothing_to_do(publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    before = (publisher.folder / "metadata/timestamp.json").read_bytes()
    assert publisher.add("1.0", tree(1)) is None
    assert (publisher.folder / "metadata/timestamp.json").read_bytes() == before


@pytest.mark.parametrize(
    ("other", "release"),
    [(tree(2), Release()), (tree(1), Release(stop=True)), ({}, Release())],
    ids=["content", "description", "nothing"],
)
def test_a_version_that_is_taken_is_refused(
    other: Tree, release: Release, publisher: Publisher
) -> None:
    added(publisher, "1.0", 1)
    with pytest.raises(FormatError, match=r"notes 1\.0 is published with other content") as caught:
        publisher.add("1.0", other, release=release)
    assert "new version" in caught.value.hint


@pytest.mark.parametrize("base", ["0.9", "2.0", "1", "../1.0"])
def test_a_base_that_is_not_published_is_told(base: str, publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    with pytest.raises(InstallError, match="has no bundle to make a patch from"):
        publisher.add("2.0", tree(2), bases=["1.0", base])
    assert len(publisher.repository().look().targets("app.notes")) == 2


@pytest.mark.parametrize("version", ["", "1.0.0-beta", "1.0+local", "1!1.0", "v1", "1_0", "../1"])
def test_a_version_in_another_spelling_is_refused(version: str, publisher: Publisher) -> None:
    with pytest.raises(FormatError, match="version"):
        publisher.add(version, tree(1))
    with pytest.raises(FormatError, match="version"):
        publisher.promote(version)


def test_what_is_excluded_is_not_published(publisher: Publisher, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "r", {**tree(1), "notes.tmp": b"draft"})
    result = publish(publisher.repository(), "1.0", folder, Description(Release(), ("*.tmp",)))
    assert result is not None
    assert publisher.add("1.0", tree(1)) is None, "it is the release without that file"


def test_a_release_folder_is_left_as_it_was_and_nothing_beside_it(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    added(publisher, "1.0", 1)
    added(publisher, "2.0", 2)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_new_channel_offers_one_version(publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    publisher.promote("1.0")
    assert head(publisher) == Head(
        "notes",
        "stable",
        NOW,
        head(publisher).seed,
        (HeadEntry("1.0", (RolloutStep(NOW, EVERYONE),)),),
    )


def test_the_last_version_that_reached_everyone_stays_as_the_fallback(
    publisher: Publisher,
) -> None:
    for n in range(4):
        added(publisher, f"{n}.0", n)
    for version, points in (("0.0", EVERYONE), ("1.0", EVERYONE), ("2.0", 500), ("3.0", 100)):
        publisher.now += 60
        publisher.promote(version, basis_points=points)
    assert offers(publisher) == {"3.0": [(240, 100)], "1.0": [(120, EVERYONE)]}


def test_promoting_again_adds_a_step(publisher: Publisher) -> None:
    added(publisher, "0.0", 0)
    publisher.promote("0.0")
    added(publisher, "1.0", 1)
    seed = head(publisher).seed
    for points in (100, 2500, EVERYONE):
        publisher.now += 60
        publisher.promote("1.0", basis_points=points)
    assert offers(publisher) == {
        "1.0": [(60, 100), (120, 2500), (180, EVERYONE)],
        "0.0": [(0, EVERYONE)],
    }
    assert (head(publisher).seed, head(publisher).issued) == (seed, NOW + 180)


def test_two_steps_within_a_second_are_the_last_one(publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    publisher.promote("1.0", basis_points=100)
    publisher.promote("1.0", basis_points=200)
    assert offers(publisher) == {"1.0": [(0, 200)]}


def test_a_clock_that_was_set_back_does_not_break_the_head(publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    publisher.promote("1.0", basis_points=100)
    publisher.now -= 1000
    publisher.promote("1.0", basis_points=200)
    assert offers(publisher) == {"1.0": [(-1000, 200)]}
    assert head(publisher).issued == NOW, "no client may think the head older than it knew"


def test_a_rollout_of_more_steps_than_a_head_may_have_keeps_the_last(
    publisher: Publisher,
) -> None:
    added(publisher, "1.0", 1)
    for points in range(DEFAULT.rollout_steps + 3):
        publisher.now += 1
        publisher.promote("1.0", basis_points=points)
    steps = offers(publisher)["1.0"]
    assert len(steps) == DEFAULT.rollout_steps
    assert steps[-1] == (DEFAULT.rollout_steps + 3, DEFAULT.rollout_steps + 2)


def test_the_draw_of_who_comes_first_differs_by_channel(publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    for channel in ("stable", "beta"):
        promote_on(publisher, channel)
    assert head(publisher, "stable").seed != head(publisher, "beta").seed


def promote_on(publisher: Publisher, channel: str, version: str = "1.0") -> None:
    promote(publisher.repository(), "notes", channel, version, now=publisher.now)


def test_an_app_has_at_most_twenty_channels(publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    for n in range(DEFAULT.channels):
        promote_on(publisher, f"c{n}")
    with pytest.raises(InstallError, match="has 20 channels, 20 allowed"):
        promote_on(publisher, "one-more")
    promote_on(publisher, "c0")
    assert len(publisher.repository().look().targets("channels.notes")) == DEFAULT.channels


@pytest.mark.parametrize("version", ["1.1", "0.9"])
def test_a_version_that_is_not_published_cannot_be_promoted(
    version: str, publisher: Publisher
) -> None:
    added(publisher, "1.0", 1)
    with pytest.raises(InstallError, match="is not published") as caught:
        publisher.promote(version)
    assert "add-release" in caught.value.hint


@pytest.mark.parametrize("channel", ["", "Stable", "a/b", "../up", "root", "x" * 41])
def test_a_channel_of_another_spelling_is_refused(channel: str, publisher: Publisher) -> None:
    added(publisher, "1.0", 1)
    with pytest.raises(FormatError, match="channel name"):
        promote_on(publisher, channel)


@pytest.mark.parametrize("points", [-1, EVERYONE + 1])
def test_a_share_that_is_none_is_refused_and_not_published(
    points: int, publisher: Publisher
) -> None:
    added(publisher, "1.0", 1)
    with pytest.raises(FormatError, match="out of range"):
        publisher.promote("1.0", basis_points=points)
    assert publisher.repository().look().targets("channels.notes") == {}


def test_another_spelling_of_a_published_version_is_refused(publisher: Publisher) -> None:
    publisher.add("1.0", {"f": b"1"})
    with pytest.raises(FormatError, match="same version"):
        publisher.add("1.0.0", {"f": b"2"})
