"""Merging: all of ours is there afterwards, nothing of theirs is lost, and quarrels are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patchtool.server.rebase import Targets, ours

from tests.support.trees.strategies import SETTINGS
from updater.errors import FormatError


def target(content: int, said: int = 0) -> dict[str, Any]:
    return {"length": content, "hashes": {"sha256": str(content)}, "custom": {"said": said}}


targets = st.dictionaries(
    st.sampled_from("abcdef"), st.builds(target, st.integers(0, 1), st.integers(0, 1))
)


def applied(there: Targets, ancestor: Targets, here: Targets) -> dict[str, Any]:
    change = ours(ancestor, here, there)
    after = {**there, **change.new}
    for name, custom in change.said.items():
        after[name] = {**after[name], "custom": custom}
    for name in change.gone:
        del after[name]
    return after


@given(ancestor=targets, here=targets)
@SETTINGS
def test_on_top_of_what_both_had_ours_is_ours(ancestor: Targets, here: Targets) -> None:
    assert applied(ancestor, ancestor, here) == here


@given(ancestor=targets, here=targets, there=targets)
@SETTINGS
def test_both_changes_are_there_afterwards_or_it_is_refused(
    ancestor: Targets, here: Targets, there: Targets
) -> None:
    try:
        after = applied(there, ancestor, here)
    except FormatError:
        return
    for name in {**ancestor, **here, **there}:
        if here.get(name) != ancestor.get(name) and not _is_needed(name, ancestor, here, there):
            assert after.get(name) == here.get(name)
        else:
            assert after.get(name) == there.get(name)
    assert not ours(ancestor, here, after), "to do it twice is to do it once"
    assert not ours(there, after, after)


def _is_needed(name: str, ancestor: Targets, here: Targets, there: Targets) -> bool:
    """Whether what was removed here was changed there, so that somebody wants it."""
    return name not in here and there.get(name) != ancestor.get(name)


def test_what_was_removed_here_and_recalled_there_stays_recalled() -> None:
    old, marked = {"a": target(1)}, {"a": target(1, 1)}
    assert not ours(old, {}, marked)


@pytest.mark.parametrize(
    ("ancestor", "here", "there"),
    [
        ({}, {"a": target(1)}, {"a": target(2)}),
        ({"a": target(1)}, {"a": target(1, 1)}, {"a": target(1, 2)}),
        ({"a": target(1)}, {"a": target(1, 1)}, {}),
    ],
)
def test_what_both_changed_in_different_ways_is_refused(
    ancestor: Targets, here: Targets, there: Targets
) -> None:
    with pytest.raises(FormatError, match="a was changed on the server too"):
        ours(ancestor, here, there)
