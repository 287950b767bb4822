"""Canonical JSON: one document, one spelling, so that a digest names content.

UTF-8, keys sorted, no blanks, integers only, one final newline. The parser accepts no other
spelling: what it accepts is exactly what :func:`encode` writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from updater.errors import FormatError

T = TypeVar("T")

INTEGER_MAX = (1 << 63) - 1


def encode(value: object) -> bytes:
    """The canonical bytes of ``value`` (dicts, lists, strings, integers, booleans, None)."""
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return text.encode() + b"\n"


def decode(data: bytes, max_bytes: int) -> Any:
    """The value that ``data`` spells.

    Raises:
        FormatError: too long, not JSON, a float, a huge integer, nested too deeply, or any
            spelling but the canonical one (duplicate keys, blanks, escapes, byte order mark).
    """
    value = read_json(data, max_bytes)
    if encode(value) != data:
        raise FormatError("not canonical JSON: another spelling of the same value")
    return value


def read_json(data: bytes, max_bytes: int) -> Any:
    """The value of a JSON document that others may spell as they like.

    Raises:
        FormatError: too long, not JSON, a float, a huge integer, a key twice, a text that is none
            (lone surrogates), nested too deeply.
    """
    if len(data) > max_bytes:
        raise FormatError(f"document of {len(data)} bytes, {max_bytes} allowed")
    try:
        value = json.loads(
            data,
            parse_float=_refuse,
            parse_constant=_refuse,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
        encode(value)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON of ours: {type(error).__name__}") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _integer(text: str) -> int:
    if len(text) > len(str(INTEGER_MAX)) + 1 or abs(int(text)) > INTEGER_MAX:
        raise ValueError("integer out of range")
    return int(text)


class Record:
    """One JSON object being taken apart, field by field; :meth:`end` refuses what is left."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"object expected, got {type(value).__name__}")
        self._left: dict[str, object] = dict(value)

    def has(self, key: str) -> bool:
        """True if ``key`` is there and not yet taken."""
        return key in self._left

    def text(self, key: str, default: str | None = None) -> str:
        """A string field."""
        return self._take(key, str, default)

    def integer(self, key: str, high: int, *, low: int = 0) -> int:
        """An integer field in ``low..high``."""
        value = self._take(key, int, None)
        if not low <= value <= high:
            raise FormatError(f"{value} is not in {low}..{high}", context=key)
        return value

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """A boolean field."""
        return self._take(key, bool, default)

    def value(self, key: str) -> object:
        """A field of any type, for a parser of its own."""
        return self._take(key, object, None)

    def items(self, key: str, parse: Callable[[Any], T], most: int) -> tuple[T, ...]:
        """A list of at most ``most`` elements, each given to ``parse``; absent = empty."""
        values = self._take(key, list, [])
        if len(values) > most:
            raise FormatError(f"{len(values)} elements, {most} allowed", context=key)
        return tuple(within(f"{key}[{i}]", parse, value) for i, value in enumerate(values))

    def end(self) -> None:
        """Refuse fields nobody took: a closed schema, so that nothing is silently ignored."""
        if self._left:
            raise FormatError(
                f"unknown field {min(self._left)!a}", hint="a newer updater may know it"
            )

    def _take(self, key: str, kind: type[T], default: T | None) -> T:
        if key not in self._left:
            if default is None:
                raise FormatError("missing", context=key)
            return default
        value = self._left.pop(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise FormatError(f"{kind.__name__} expected, got {type(value).__name__}", context=key)
        return value


def within(context: str, parse: Callable[[Any], T], value: object) -> T:
    """``parse(value)``, its errors located at ``context``."""
    try:
        return parse(value)
    except FormatError as error:
        raise error.within(context) from error


def string(value: object) -> str:
    """``value`` if it is a string."""
    if not isinstance(value, str):
        raise FormatError(f"str expected, got {type(value).__name__}")
    return value
