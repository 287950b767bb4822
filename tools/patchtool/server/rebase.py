"""Rebase: put what was signed here on top of what somebody else has published since. Pure.

Targets are as a role's metadata lists them: name -> length, hashes, custom. Whoever came first is
right: what both have changed in different ways is refused, and nothing of theirs is undone. What
was only removed here, because nobody seemed to need it, stays if they have changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from updater.errors import FormatError

Targets = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Ours:
    """Our changes since both had the same, as far as they are not theirs yet."""

    new: Mapping[str, Mapping[str, Any]]
    """Targets to add, by name."""
    said: Mapping[str, Any]
    """The new custom part of targets that are there, by name."""
    gone: tuple[str, ...]
    """Names of targets to remove."""

    def __bool__(self) -> bool:
        return bool(self.new or self.said or self.gone)


def ours(ancestor: Targets, here: Targets, there: Targets) -> Ours:
    """Return the changes that give ``there`` what was done here since ``ancestor``.

    Raises:
        FormatError: both have changed one target, and not in the same way.
    """
    changed = [name for name in {**ancestor, **here} if here.get(name) != ancestor.get(name)]
    open_ = sorted(name for name in changed if here.get(name) != there.get(name))
    theirs = {name for name in open_ if there.get(name) != ancestor.get(name)}
    for name in open_:
        if name in theirs and name in here:
            raise FormatError(
                f"{name} was changed on the server too, and in another way",
                hint="what clients have is not changed: publish this under a new version",
            )
    kept = [name for name in open_ if name in here]
    return Ours(
        {name: here[name] for name in kept if not _is_same(here[name], there.get(name))},
        {name: here[name].get("custom") for name in kept if _is_same(here[name], there.get(name))},
        tuple(name for name in open_ if name not in here and name not in theirs),
    )


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Return whether two targets have the same bytes, whatever is said of them."""
    parts = ("length", "hashes")
    return other is not None and all(one.get(part) == other.get(part) for part in parts)
