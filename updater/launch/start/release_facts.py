"""``release.json``: what the launcher must know of the installed release.

The manifest says it too, but may have 64 MiB. It is swapped together with the tree.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from updater.disk.json_file import encode, read
from updater.errors import MachineError
from updater.launch.state import State

MOST = 1 << 31
"""Seconds, or starts: more than any release asks for, and less than a clock can wait."""
_HALF = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class ReleaseFacts:
    """The installed release, in short."""

    version: str
    entry: tuple[str, ...] = ()
    """Release path of what to start, then its arguments; empty: nothing."""
    mode: str = "none"
    """The way a new version is confirmed: ``none``, ``app`` or ``health``."""
    health: tuple[str, ...] = ()
    """Command that finds the application healthy; its first word is a release path."""
    starts: int = 1
    """Starts that must fail before the old version comes back."""
    seconds: int = 60
    """Seconds it may run in a start without being confirmed."""

    @property
    def data(self) -> bytes:
        """The bytes of ``release.json``."""
        return encode(asdict(self))


def read_release_facts(state: State) -> ReleaseFacts:
    """Read the facts of the installed release.

    Raises:
        InstallError: it is missing or damaged.
        OSError: the disk.
    """
    document = read(state.release)
    if document is None:
        raise MachineError(
            f"{state.release} is missing", hint="run updater recover, or updater repair"
        )
    try:
        facts = ReleaseFacts(**document)
        _check(facts)
        return ReleaseFacts(
            **document | {"entry": tuple(facts.entry), "health": tuple(facts.health)}
        )
    except (TypeError, ValueError) as error:
        raise MachineError(
            f"{state.release} is damaged: {error}", hint="run updater repair"
        ) from error


def _check(facts: ReleaseFacts) -> None:
    words: list[object] = [facts.version, facts.mode, *facts.entry, *facts.health]
    numbers: list[object] = [facts.starts, facts.seconds]
    if not all(is_text(word) for word in words):
        raise ValueError("a text expected")
    if not all(isinstance(number, int) and number < MOST for number in numbers):
        raise ValueError("a number expected")


def is_text(value: object) -> bool:
    """True if ``value`` is a text for a program: no NUL, and no half of a character."""
    return isinstance(value, str) and "\0" not in value and not _HALF.search(value)
