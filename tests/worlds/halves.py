"""The kinds of worlds there are, by whose life they walk through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.worlds.client.worlds import client_worlds
from tests.worlds.publisher.worlds import publisher_worlds
from tests.worlds.world import World

HALVES: dict[str, Callable[[int], Iterator[World]]] = {
    "client": client_worlds,
    "publisher": publisher_worlds,
}
