"""Columns of the patch header: lists of names and of extents, coded by what repeats in them.

Each field of a list is written for all elements before the next field, because like numbers
beside each other compress to little or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, pairwise

from updater.errors import FormatError
from updater.format.encoding.limits import Limits
from updater.format.encoding.wire import Reader, Writer, utf8
from updater.format.patch_header.patch import Extent


def write_names(writer: Writer, names: list[str]) -> None:
    """Each name as the length it shares with the one before, and the rest; in columns."""
    encoded = [name.encode() for name in names]
    shared = [_shared(a, b) for a, b in pairwise([b"", *encoded])]
    rests = [name[keep:] for name, keep in zip(encoded, shared, strict=True)]
    writer.column(shared)
    writer.column([len(rest) for rest in rests])
    writer.raw(b"".join(rests))


def read_names(reader: Reader, count: int, limits: Limits) -> list[str]:
    """``count`` names; one that shares more with its predecessor than it says is refused."""
    shared = reader.column(count, limits.path_bytes, "shared length of a name")
    lengths = reader.column(count, limits.path_bytes, "length of a name")
    _check_sum(chain(shared, lengths), limits)
    names: list[str] = []
    before = b""
    for keep, length in zip(shared, lengths, strict=True):
        name = before[:keep] + reader.raw(length, "name")
        if keep > len(before) or _shared(before, name) != keep or len(name) > limits.path_bytes:
            raise FormatError("name not front-coded as it must be")
        names.append(utf8(name, "name"))
        before = name
    return names


def write_edits(writer: Writer, edits: list[tuple[str, str]]) -> None:
    """Each (path, source) as what turns the path into the source: shared ends, the middle."""
    parts = [_edit(path.encode(), source.encode()) for path, source in edits]
    writer.column([head for head, _, _ in parts])
    writer.column([tail for _, tail, _ in parts])
    writer.column([len(middle) for _, _, middle in parts])
    writer.raw(b"".join(middle for _, _, middle in parts))


def read_edits(reader: Reader, paths: list[str], limits: Limits) -> list[str]:
    """The sources of ``paths``."""
    count = len(paths)
    columns = [reader.column(count, limits.path_bytes, "edit of a name") for _ in range(3)]
    _check_sum(chain(*columns), limits)
    sources = []
    for name, head, tail, length in zip(paths, *columns, strict=True):
        path, middle = name.encode(), reader.raw(length, "edit of a name")
        source = path[:head] + middle + path[max(len(path) - tail, 0) :]
        if _edit(path, source) != (head, tail, middle):
            raise FormatError("edit of a name not as it must be", context="changes")
        sources.append(utf8(source, "name"))
    return sources


def write_extents(writer: Writer, extents: list[Extent]) -> None:
    """Files and offsets as differences from where the extent before ended; in columns."""
    steps = list(pairwise([Extent(0, 0, 0), *extents]))
    for before, extent in steps:
        writer.signed(extent.file - before.file)
    for before, extent in steps:
        writer.signed(extent.offset - _expected(extent.file, before))
    writer.column([extent.length for extent in extents])


def read_extents(reader: Reader, count: int, limits: Limits) -> list[Extent]:
    """``count`` extents."""
    if count > limits.extents:
        raise FormatError(f"{count} extents, {limits.extents} allowed")
    files = [reader.signed(limits.changes + limits.entries, "file number") for _ in range(count)]
    offsets = [reader.signed(limits.file_bytes, "offset") for _ in range(count)]
    lengths = reader.column(count, limits.block_old_bytes, "length of an extent")
    extents = []
    before = Extent(0, 0, 0)
    for step, offset, length in zip(files, offsets, lengths, strict=True):
        file = before.file + step
        before = Extent(file, _expected(file, before) + offset, length)
        if file < 0 or before.offset < 0:
            raise FormatError("extent before the start", context="blocks")
        extents.append(before)
    return extents


def _expected(file: int, before: Extent) -> int:
    return before.offset + before.length if file == before.file else 0


def _check_sum(lengths: Iterable[int], limits: Limits) -> None:
    """Refuse names that are a few bytes each, and together more than memory holds."""
    length = sum(lengths)
    if length > limits.names_bytes:
        raise FormatError(f"names of {length} bytes, {limits.names_bytes} allowed")


def _shared(a: bytes, b: bytes) -> int:
    """Length of the common start of two byte strings."""
    same, other = 0, min(len(a), len(b)) + 1  # lengths of starts that are, and are not, in common
    while other - same > 1:
        middle = (same + other) // 2
        if a[same:middle] == b[same:middle]:
            same = middle
        else:
            other = middle
    return same


def _edit(path: bytes, source: bytes) -> tuple[int, int, bytes]:
    head = _shared(path, source)
    tail = _shared(path[head:][::-1], source[head:][::-1])
    return head, tail, source[head : len(source) - tail]
