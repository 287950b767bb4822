"""JSON values with something else in one of their places."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1 << 31, (1 << 63) - 1, -(1 << 63), 10**30, 1.5]),
    st.text(max_size=5),
    st.sampled_from(["../x", "a\0b", "1.0", "x" * 2000, "\U0001f600"]),
    st.sampled_from([[], {}, [[]], {"a": {}}, ["a"] * 3000]),
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where something stands in a JSON value."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(p for key, inner in items for p in places(inner, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """``value`` with something else at ``path``."""
    if not path:
        return new
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy
