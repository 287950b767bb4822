"""Push rules: a release role may follow the published one only if it takes nothing away; pure.

A valid signature is not enough. The key may be in the wrong hands, or a CI job run on an old copy:
what clients have installed, or may be about to, is neither changed nor taken from them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from patchserver.files.public_names import public_file
from updater.check.catalogue import ListedTarget, Listing
from updater.errors import FormatError
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.names import order
from updater.format.target_names import TargetName, file_name

Entries = Mapping[str, ListedTarget]


def check_push(
    app: str,
    before: Entries,
    after: Entries,
    offered: Collection[str] = (),
    limits: Limits = DEFAULT,
) -> list[ListedTarget]:
    """Refuse targets that may not follow others; those that are new.

    Args:
        app: whose they are.
        before: what is published.
        after: what is to be.
        offered: versions that a channel offers.
        limits: of every document.

    Raises:
        FormatError: a target is none of ours, is published with other content, or is gone though
            clients need it.
    """
    _check_format(app, after, limits)
    for name in sorted(before.keys() & after.keys()):
        _check_same(before[name], after[name])
    for name in sorted(before.keys() - after.keys()):
        _check_gone(before[name], offered, _stops(after.values()))
    return [after[name] for name in sorted(after.keys() - before.keys())]


def _check_format(app: str, after: Entries, limits: Limits) -> None:
    """Every target has a public name, and is what our format allows."""
    for entry in after.values():
        name = TargetName.parse(entry.name)
        place = public_file(file_name(entry.name, entry.sha256))
        if place is None or name is None or name.app != app or name.kind == "head":
            raise FormatError(f"{entry.name} is no target of {app}", hint="see docs/format.md")
    releases, patches = Listing("", app, limits).read(after.values())
    bundles = [name.last for name in map(TargetName.parse, after) if name and name.kind == "bundle"]
    for version in (*bundles, *(new for _, new in patches)):  # what a patch starts from may be gone
        if version not in releases:
            raise FormatError(f"{app} {version} has no manifest", hint="push all of a release")
    _check_apart(list(releases))


def _check_apart(versions: list[str]) -> None:
    """1.0 and 1.0.0 are one version to whoever compares them."""
    ordered = sorted(versions, key=order)
    for one, other in itertools.pairwise(ordered):
        if order(one) == order(other):
            raise FormatError(f"{one} and {other} are the same version", hint="choose a higher one")


def _check_same(before: ListedTarget, after: ListedTarget) -> None:
    if (before.length, before.sha256) != (after.length, after.sha256):
        raise FormatError(
            f"{before.name} is published with other content",
            hint="installed copies have it already: give this one a new version",
        )
    old, new = before.custom or {}, after.custom or {}
    if old.get("recalled") is not None and new.get("recalled") is None:
        raise FormatError(
            f"{before.name} was recalled", hint="that cannot be undone: publish a new version"
        )
    changed = sorted(_differences(old, new))
    if changed:
        raise FormatError(
            f"{before.name} says another {changed[0]}", hint="only a recall may be added"
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in old.keys() | new.keys():
        if key != "recalled" and old.get(key) != new.get(key):
            yield key


def _stops(entries: Iterable[ListedTarget]) -> set[str]:
    """Releases that installs must be able to come to: those that are recalled are jumped over."""
    said = ((TargetName.parse(entry.name), entry.custom or {}) for entry in entries)
    stops = (n for n, custom in said if custom.get("stop") and "recalled" not in custom)
    return {name.last for name in stops if name}


def _check_gone(entry: ListedTarget, offered: Collection[str], stops: Collection[str]) -> None:
    custom = entry.custom or {}
    name = TargetName.parse(entry.name)
    if name is None or name.kind == "patch":
        return
    needs: dict[str, Callable[[], bool]] = {
        "was recalled, which its installs must learn": lambda: "recalled" in custom,
        "is a stop on the way of old installs": lambda: (
            bool(custom.get("stop")) or name.last in stops
        ),
        "is offered by a channel": lambda: name.last in offered,
    }
    for why, is_so in needs.items():
        if is_so():
            raise FormatError(f"{entry.name} is gone, and {why}", hint="prune knows what may go")
