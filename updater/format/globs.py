r"""Globs of a release description: patterns of paths, as in a ``.gitignore`` but for ``!``.

``*`` and ``?`` stand for what is no ``/``, ``[a-z]`` for one of its characters (``[!a-z]``: for
none of them), ``\`` takes the meaning of what follows. ``**`` as a part of its own stands for
any number of folders. A glob with a ``/`` at its beginning or in its middle names a path from
the release's root on; another one names what has its name anywhere. What matches a folder
matches everything in it; with a ``/`` at its end a glob matches folders only.

Matching takes time proportional to the lengths of glob and path, never a power of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

P = TypeVar("P")
T = TypeVar("T")

Token = Callable[[str], bool] | None
"""The test of one character; None: any number of any characters."""
Part = tuple[Token, ...] | None
"""The pattern of one name; None: any number of folders."""


class Globs:
    """Several globs; a path matches if one of them does."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._globs = [parts for pattern in patterns if (parts := _parts(pattern))]

    def match(self, path: str) -> bool:
        """True if ``path``, a file or symlink, or a folder it stands in, matches."""
        names = path.split("/")
        return any(_fits(parts, names, _name_fits) for parts in self._globs)


def _parts(pattern: str) -> tuple[Part, ...]:
    """The patterns of the names of a path, in order; empty: it matches nothing."""
    body = pattern.removesuffix("/")
    if not body.strip("/"):
        return ()
    start: tuple[Part, ...] = () if "/" in body else (None,)
    names = body.removeprefix("/").split("/")
    parts = [None if name == "**" else tuple(_tokens(name)) for name in names]
    some = (names[-1] == "**") + (body != pattern)  # "x/**" and "x/" are not x itself
    return (*start, *parts, *[_ANY_NAME] * some, None)


def _tokens(name: str) -> Iterator[Token]:
    at = 0
    while at < len(name):
        token, at = _token(name, at)
        yield token


def _token(name: str, at: int) -> tuple[Token, int]:
    """The token at ``at``, and where the next one begins."""
    character = name[at]
    if character == "*":
        return None, at + 1
    if character == "?":
        return _any, at + 1
    if character == "[" and (end := _end_of_set(name, at)):
        return _set(name[at + 1 : end]), end + 1
    if character == "\\" and at + 1 < len(name):
        at, character = at + 1, name[at + 1]
    return character.__eq__, at + 1


def _end_of_set(name: str, at: int) -> int:
    """The index of the ``]`` that ends the set at ``at``; 0: none, and ``[`` is a character."""
    first = at + 2 if name[at + 1 : at + 2] in {"!", "^"} else at + 1
    return max(name.find("]", first + 1), 0)  # a "]" that comes first is one of the characters


def _set(body: str) -> Callable[[str], bool]:
    wanted = body[:1] not in {"!", "^"}
    ranges = list(_ranges(body if wanted else body[1:]))
    return lambda character: any(low <= character <= high for low, high in ranges) == wanted


def _ranges(body: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(body):
        is_range = body[at + 1 : at + 2] == "-" and at + 2 < len(body)
        yield body[at], body[at + 2] if is_range else body[at]
        at += 3 if is_range else 1


def _any(_: str) -> bool:
    return True


_ANY_NAME: Part = (None,)


def _name_fits(part: tuple[Token, ...], name: str) -> bool:
    return _fits(part, name, lambda token, character: token(character))


def _fits(pattern: Sequence[P | None], items: Sequence[T], one: Callable[[P, T], bool]) -> bool:
    """True if ``items`` fit ``pattern`` one by one, None standing for any number of them.

    Only the last None can need another try: those before it took as little as they could.
    """
    at = place = 0
    star, mark = -1, 0
    while place < len(items):
        wanted = pattern[at] if at < len(pattern) else None
        if at < len(pattern) and wanted is None:
            star, mark, at = at, place, at + 1
        elif wanted is not None and one(wanted, items[place]):
            at, place = at + 1, place + 1
        elif star >= 0:
            mark += 1
            at, place = star + 1, mark
        else:
            return False
    return all(wanted is None for wanted in pattern[at:])
