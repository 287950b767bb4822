"""The drill: every loss is rehearsed, on a copy, and what does not survive is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from patchtool.ceremonies.drill import Rehearsal, drill
from patchtool.ceremonies.rotation import rotate
from patchtool.keys.signing_keys import Keys
from patchtool.repository.repository import Repository

from tests.support.repository.publisher import PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files
from tests.support.trees.trees import Tree
from updater.errors import InstallError, TrustError

ONE: Tree = {"f": b"1"}


def rehearse(publisher: Publisher) -> list[Rehearsal]:
    return list(drill(publisher.folder, publisher.keys, publisher.now))


def failed(results: list[Rehearsal]) -> list[str]:
    return [result.loss for result in results if not result.survived]


def test_the_loss_of_each_key_is_rehearsed_and_survived(publisher: Publisher) -> None:
    results = rehearse(publisher)
    assert [result.loss for result in results] == [
        "the root key",
        "2 root keys, with fewer than the 2 that must sign left",
        "the targets key",
        "the release key",
        "the online key",
    ]
    assert failed(results) == []


def test_root_keys_below_their_threshold_are_told_to_be_beyond_recovery(
    publisher: Publisher,
) -> None:
    words = rehearse(publisher)[1].words
    assert "cannot be recovered" in words
    assert "installer with a new root" in words


def test_nothing_real_is_touched(publisher: Publisher) -> None:
    before = files(publisher.folder), files(publisher.keys.folder)
    rehearse(publisher)
    assert (files(publisher.folder), files(publisher.keys.folder)) == before


def test_a_single_root_key_fails_the_drill_and_a_second_one_mends_it(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "alone")
    publisher.release("1.0", ONE)
    results = rehearse(publisher)
    assert failed(results) == ["a root key"]
    assert "Add one now: patchtool keys rotate --role root" in results[0].words
    rotate(publisher.repository(), "root")
    assert failed(rehearse(publisher)) == []


def test_keys_in_the_middle_of_a_rotation_are_rehearsed_too(publisher: Publisher) -> None:
    for role in ("root", "targets", "release", "online"):
        rotate(publisher.repository(), role)
    results = rehearse(publisher)
    assert failed(results) == []
    assert results[0].loss == "2 root keys"
    assert results[-1].loss == "2 online keys"


def test_keys_that_stand_in_no_file_are_lost_too(publisher: Publisher) -> None:
    path = publisher.keys.folder / "online.pem"
    publisher.keys = Keys(
        publisher.keys.folder, {**PASSWORD, "UPSWAP_KEY_ONLINE": path.read_text()}
    )
    path.unlink()
    assert failed(rehearse(publisher)) == []


@pytest.mark.parametrize("role", ["root", "targets", "release", "online"])
def test_a_drill_without_all_keys_says_which_are_missing(role: str, publisher: Publisher) -> None:
    for path in publisher.keys.folder.glob(f"{role}*.pem"):
        path.unlink()
    with pytest.raises(InstallError, match=f"no {role} key"):
        rehearse(publisher)


def test_keys_of_another_repository_do_not_pass_the_drill(
    publisher: Publisher, tmp_path: Path
) -> None:
    other = Publisher(tmp_path / "other")
    (other.keys.folder / "targets.pem").replace(publisher.keys.folder / "targets.pem")
    assert failed(rehearse(publisher)) == ["the release key", "the online key"]


def test_a_repository_that_clients_refuse_is_no_place_for_a_drill(publisher: Publisher) -> None:
    publisher.now += 8 * 86_400
    with pytest.raises(TrustError, match="expired"):
        list(drill(publisher.folder, publisher.keys, publisher.now))


def test_a_repository_that_offers_nothing_is_told(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "empty")
    with pytest.raises(InstallError, match="nothing is offered") as caught:
        rehearse(publisher)
    assert "promote" in caught.value.hint


def test_what_is_no_repository_is_told(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(InstallError):
        list(drill(tmp_path / "nowhere", publisher.keys, publisher.now))
    assert isinstance(publisher.repository(), Repository)
