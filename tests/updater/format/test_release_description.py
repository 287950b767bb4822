"""The release description: defaults cost nothing and have one spelling."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, releases
from updater.errors import FormatError
from updater.format.encoding.canonical import encode
from updater.format.encoding.limits import Limits
from updater.format.release_description import Confirm, Release

json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "app", "keep", "../x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["mode", "health", "starts", "seconds"]), inner)
    ),
    max_leaves=6,
)


@SETTINGS
@given(releases())
def test_parsing_is_the_inverse_of_writing(release: Release) -> None:
    assert Release.parse(release.to_json()) == release


def test_a_release_without_description_costs_three_bytes() -> None:
    assert encode(Release().to_json()) == b"{}\n"
    assert Release.parse({}) == Release()


@SETTINGS
@given(st.dictionaries(st.sampled_from(sorted(vars(Release()))), json_values, max_size=3))
def test_any_fields_are_a_description_or_a_format_error(fields: dict[str, Any]) -> None:
    try:
        release = Release.parse(fields)
    except FormatError:
        return
    assert release.to_json() == fields


@pytest.mark.parametrize("field", sorted(vars(Release())))
def test_no_default_may_be_spelled_out(field: str) -> None:
    default = getattr(Release(), field)
    spelt = default.to_json() if isinstance(default, Confirm) else default
    value = list(spelt) if isinstance(spelt, tuple) else spelt
    with pytest.raises(FormatError, match="spelled out"):
        Release.parse({field: value})


def test_a_health_command_belongs_to_health_only() -> None:
    for mode, health in (("health", ()), ("app", ("x",)), ("none", ("x",))):
        with pytest.raises(FormatError, match="mode health"):
            Confirm.parse({"mode": mode, "health": list(health), "starts": 1, "seconds": 1})


def test_paths_obey_the_release_s_own_portability() -> None:
    value = {"launcher": "aux"}
    with pytest.raises(FormatError, match="Windows"):
        Release.parse(value)
    assert Release.parse({**value, "portable": False}).launcher == "aux"


@pytest.mark.parametrize("value", [{"entry": ["a", "b\0"]}, {"entry": ["a\0"]}])
def test_no_argument_has_a_nul(value: Any) -> None:
    with pytest.raises(FormatError, match=r"NUL|control"):
        Release.parse(value)


def test_it_has_a_size_limit() -> None:
    size = len(encode({"notes": "xxx"}))
    assert Release.parse({"notes": "xxx"}, Limits(release_bytes=size)).notes == "xxx"
    with pytest.raises(FormatError, match=f"{size} bytes, {size - 1} allowed"):
        Release.parse({"notes": "xxx"}, Limits(release_bytes=size - 1))
