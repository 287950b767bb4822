"""Worlds of an install: one application, its releases, its user and its machine."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from worlds import client_machine, client_people, client_updates
from worlds.client_prelude import CLIENT, HELPERS
from worlds.draft import Actions, Draft
from worlds.releases import make_shelf
from worlds.world import World

SHELVES = 5
"""How many lists of releases the worlds of one seed share, besides the plain one."""
MOST_STEPS = 8
ACTIONS: Actions = [*client_updates.ACTIONS, *client_people.ACTIONS, *client_machine.ACTIONS]


def client_worlds(seed: int) -> SearchStrategy[World]:
    """Those of a seed."""
    numbers = [0, *range(seed * SHELVES + 1, (seed + 1) * SHELVES + 1)]
    return _worlds(st.sampled_from(numbers))


@st.composite
def _worlds(draw: st.DrawFn, numbers: SearchStrategy[int]) -> World:
    shelf = make_shelf(draw(numbers))
    draft = Draft(draw, shelf)
    client_updates.begin(draft)
    for _ in range(draft.number(2, MOST_STEPS)):
        draft.weighted(ACTIONS)(draft)
    client_updates.end(draft)
    steps, drawn = tuple(draft.steps), tuple(draft.drawn)
    return World(shelf.ground, steps, CLIENT, HELPERS, warm=True, drawn=drawn)
