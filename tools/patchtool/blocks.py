"""Cutting new content into blocks, and encoding each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from patchtool.match import find_delta, whole
from updater.delta.block import encode_block
from updater.format.limits import DEFAULT, MIB
from updater.format.names import Digest
from updater.format.patch import Block, Extent

BUNDLE_BLOCK = MIB
"""A bundle's block ends at the first file end after this, so that a repair fetches little."""


@dataclass(frozen=True)
class Content:
    """New content of one file: where its bytes lie, and those of its old self, if any."""

    number: int
    """Number of its change; old file and new file have the same."""
    size: int
    new: Path
    old: Path | None = None
    old_size: int = 0


@dataclass(frozen=True)
class Draft:
    """A block to be encoded: matching extents of new and old files."""

    new: tuple[Extent, ...]
    old: tuple[Extent, ...]


def cut(contents: Iterable[Content], target: int = DEFAULT.block_new_bytes) -> Iterator[Draft]:
    """Blocks that give every byte of ``contents`` once, in order.

    A block ends at the first file end after ``target`` new bytes, or before it would pass a
    limit; larger files are cut, their parts matched with the same part of their old self.
    """
    draft = _Draft()
    for content in contents:
        for part, base in _parts(content):
            if not draft.has_room(part, base):
                yield draft.closed()
                draft = _Draft()
            draft.add(part, base)
        if draft.new_length >= target:
            yield draft.closed()
            draft = _Draft()
    if draft.new_length:
        yield draft.closed()


def encode(draft: Draft, files: dict[int, Content], preset: int) -> tuple[Block, bytes]:
    """The block of a draft and its packed bytes: a delta, or whole where that is as small."""
    new = b"".join(_read(files[e.file].new, e) for e in draft.new)
    old = b"".join(_read(_old_place(files[e.file]), e) for e in draft.old)
    delta = find_delta(old, new)
    packed = _pack(draft.new, draft.old, encode_block(delta, preset))
    if not old or len(delta.extra) <= len(new) // 2:
        return packed  # so much matches that packing the whole would be time lost
    best = _pack(draft.new, (), encode_block(whole(new), preset))
    return min(best, packed, key=lambda candidate: len(candidate[1]))


def _pack(
    new: tuple[Extent, ...], old: tuple[Extent, ...], encoded: tuple[int, bytes, bytes]
) -> tuple[Block, bytes]:
    codec, raw, packed = encoded
    return Block(old, new, codec, len(raw), len(packed), Digest.of(packed)), packed


def _parts(content: Content) -> Iterator[tuple[Extent, list[Extent]]]:
    most = DEFAULT.block_new_bytes
    for offset in range(0, content.size, most):
        part = Extent(content.number, offset, min(most, content.size - offset))
        left = min(most, content.old_size - offset)
        yield part, [Extent(content.number, offset, left)] if left > 0 else []


class _Draft:
    """A draft being filled; keeps count, because a block may hold 100,000 small files."""

    def __init__(self) -> None:
        self._new: list[Extent] = []
        self._old: list[Extent] = []
        self.new_length = 0
        self._old_length = 0

    def has_room(self, part: Extent, base: list[Extent]) -> bool:
        new_length = self.new_length + part.length
        old_length = self._old_length + _length(base)
        return new_length <= DEFAULT.block_new_bytes and old_length <= DEFAULT.block_old_bytes

    def add(self, part: Extent, base: list[Extent]) -> None:
        self._new.append(part)
        self._old += base
        self.new_length += part.length
        self._old_length += _length(base)

    def closed(self) -> Draft:
        return Draft(tuple(self._new), tuple(self._old))


def _length(extents: list[Extent]) -> int:
    return sum(extent.length for extent in extents)


def _old_place(content: Content) -> Path:
    if content.old is None:
        raise ValueError(f"file {content.number} has no old self")
    return content.old


def _read(path: Path, extent: Extent) -> bytes:
    with path.open("rb") as file:
        file.seek(extent.offset)
        return file.read(extent.length)
