"""Worlds of an install: one application, its releases, its user and its machine."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from worlds import client_machine, client_people, client_updates
from worlds.client_prelude import CLIENT, HELPERS
from worlds.draft import Actions, Draft
from worlds.releases import Shelf, make_shelf
from worlds.world import World

SHELVES = 4
"""How many lists of releases the worlds of one seed share, besides the plain one."""
MOST_STEPS = 7
BASICS: Actions = [(8, client_updates.update), (3, client_updates.start)]
THEMES: dict[str, Actions] = {
    "all": [*client_updates.ACTIONS, *client_people.ACTIONS, *client_machine.ACTIONS],
    "machine": [*BASICS, *client_machine.ACTIONS],
    "people": [*BASICS, *client_people.ACTIONS],
    "updates": client_updates.ACTIONS,
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
    client_updates.begin(draft)
    theme = draft.pick(sorted(THEMES))
    draft.drawn.append(f"theme: {theme}")
    for _ in range(draft.number(2, MOST_STEPS)):
        draft.weighted(THEMES[theme])(draft)
    client_updates.end(draft)
    steps, drawn = tuple(draft.steps), tuple(draft.drawn)
    return World(shelf.ground, steps, CLIENT, HELPERS, warm=True, drawn=drawn)
