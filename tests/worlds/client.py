"""Worlds of an install: one application, its releases, its user and its machine."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from worlds.client_prelude import CLIENT, HELPERS
from worlds.client_steps import Draft
from worlds.releases import make_shelf
from worlds.world import World

SHELVES = 5
"""How many lists of releases the worlds of one seed share, besides the plain one."""
MOST_STEPS = 9


def client_worlds(seed: int) -> SearchStrategy[World]:
    """Those of a seed."""
    numbers = [0, *range(seed * SHELVES + 1, (seed + 1) * SHELVES + 1)]
    return _worlds(st.sampled_from(numbers))


@st.composite
def _worlds(draw: st.DrawFn, numbers: SearchStrategy[int]) -> World:
    shelf = make_shelf(draw(numbers))
    draft = Draft(draw, shelf)
    draft.begin()
    for _ in range(draw(st.integers(2, MOST_STEPS))):
        draft.go_on()
    draft.end()
    return World(
        shelf.ground, tuple(draft.steps), CLIENT, HELPERS, warm=True, drawn=tuple(draft.drawn)
    )
