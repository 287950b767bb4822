"""Worlds of an install: one application, its releases, its user and its machine."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.worlds.client import machine, people, updates
from tests.worlds.client.draft import Actions, Draft
from tests.worlds.client.prelude import CLIENT, HELPERS
from tests.worlds.client.releases import Shelf, make_shelf
from tests.worlds.world import World

SHELVES = 4
"""How many lists of releases the worlds of one seed share, besides the plain one."""
MOST_STEPS = 7
BASICS: Actions = [(8, updates.update), (3, updates.start)]
THEMES: dict[str, Actions] = {
    "all": [*updates.ACTIONS, *people.ACTIONS, *machine.ACTIONS],
    "machine": [*BASICS, *machine.ACTIONS],
    "people": [*BASICS, *people.ACTIONS],
    "updates": updates.ACTIONS,
}
"""A world that mixes everything seldom has two of a kind; most worlds keep to one."""


def client_worlds(seed: int) -> Iterator[World]:
    """Those of a seed, without end."""
    chance = Random(f"client {seed}")
    shelves = [0, *range(seed * SHELVES + 1, (seed + 1) * SHELVES + 1)]
    while True:
        yield _world(chance, make_shelf(chance.choice(shelves)))


def _world(chance: Random, shelf: Shelf) -> World:
    draft = Draft(chance, shelf)
    updates.begin(draft)
    theme = draft.pick(sorted(THEMES))
    draft.drawn.append(f"theme: {theme}")
    for _ in range(draft.number(2, MOST_STEPS)):
        draft.weighted(THEMES[theme])(draft)
    updates.end(draft)
    steps, drawn = tuple(draft.steps), tuple(draft.drawn)
    return World(shelf.ground, steps, CLIENT, HELPERS, warm=True, drawn=drawn)
