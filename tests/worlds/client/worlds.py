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
EPISODES = (2, 4)
ALL: Actions = [*updates.ACTIONS, *people.ACTIONS, *machine.ACTIONS]


def client_worlds(seed: int) -> Iterator[World]:
    """Those of a seed, without end."""
    chance = Random(f"client {seed}")
    shelves = [0, *range(seed * SHELVES + 1, (seed + 1) * SHELVES + 1)]
    while True:
        yield _world(chance, make_shelf(chance.choice(shelves)))


def _world(chance: Random, shelf: Shelf) -> World:
    draft = Draft(chance, shelf)
    updates.begin(draft)
    theme = _theme(draft)
    for _ in range(draft.number(*EPISODES)):
        _episode(draft, theme)
    updates.end(draft)
    steps, drawn = tuple(draft.steps), tuple(draft.drawn)
    return World(shelf.ground, steps, CLIENT, HELPERS, warm=True, drawn=drawn)


def _theme(draft: Draft) -> Actions:
    """Two or three actions a world keeps to: one that mixes all seldom has any of them twice."""
    if draft.chance(6):
        return ALL
    return [(1, draft.weighted(ALL)) for _ in range(draft.number(2, 3))]


def _episode(draft: Draft, theme: Actions) -> None:
    """Something happens, and then mostly an update, and a start."""
    offered = draft.offered
    draft.weighted(theme)(draft)
    if draft.offered == offered and not draft.chance(3):
        updates.update(draft)
    if draft.chance(2):
        updates.start(draft)
