"""The kinds of worlds there are, by whose life they walk through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from worlds.client import client_worlds
from worlds.publisher import publisher_worlds
from worlds.world import World

HALVES: dict[str, Callable[[int], Iterator[World]]] = {
    "client": client_worlds,
    "publisher": publisher_worlds,
}
