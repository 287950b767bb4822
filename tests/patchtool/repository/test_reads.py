"""How often a command opens the file that says what clients see."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from patchtool.cli.parser import main

from tests.support.repository.publisher import PASSWORD, Publisher

RELEASE = "--app notes --version 2.0"
COMMANDS = {
    f"promote {{repository}} --keys {{keys}} {RELEASE}": 1,
    f"pause {{repository}} --keys {{keys}} {RELEASE}": 1,
    f"recall {{repository}} --keys {{keys}} {RELEASE}": 1,
    "doctor {repository}": 1,
    "refresh {repository} --keys {keys}": 2,
}
"""Times by command. To refresh, a look says which keys to open before the repository is held."""
_opened: list[list[str]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _opened:
        _opened[-1].append(str(arguments[0]))


@cache
def _hook() -> None:
    sys.addaudithook(_audit)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The files that are opened meanwhile; a hook of the interpreter cannot be taken back."""
    _hook()
    _opened.append([])
    try:
        yield _opened[-1]
    finally:
        _opened.pop()


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    publisher = Publisher(tmp_path, now=int(time.time()))
    monkeypatch.setenv("UPSWAP_KEY_PASSWORD", PASSWORD["UPSWAP_KEY_PASSWORD"])
    publisher.release("1.0", {"f": b"1"})
    publisher.release("2.0", {"f": b"2"})
    return publisher


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_the_timestamp_is_opened_once_a_look(command: str, publisher: Publisher) -> None:
    keys, folder = publisher.keys.folder, publisher.folder
    with opened() as names:
        main(command.format(repository=folder, keys=keys).split())
    place = str(folder / "metadata" / "timestamp.json")
    assert names.count(place) == COMMANDS[command]
