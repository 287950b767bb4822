"""The bytes of a patch header: columns of numbers and names, in one compressed stream."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from updater.errors import FormatError
from updater.format.changes import OF_FILES, WITH_CONTENT, WITH_SOURCE, Change, Kind
from updater.format.encoding import lzma2
from updater.format.encoding.canonical import decode, encode, within
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.encoding.wire import Reader, Writer
from updater.format.names import Digest, check_app, check_version
from updater.format.patch_header import columns
from updater.format.patch_header.patch import Block, FileView, Header, TreeDescriptor, check_header
from updater.format.paths import check_path, check_target
from updater.format.release_description import Release

MAGIC = b"upswap\0\x01"
"""Six letters, a NUL so that no text file passes for it, and the format version."""
PREAMBLE_MOST = len(MAGIC) + 2 * 4
DIGEST_LENGTH = 32
ID_MOST = 255
"""Codecs and views there can ever be."""


def encode_header(header: Header, limits: Limits = DEFAULT) -> bytes:
    """The bytes of ``header``; the same header always gives the same bytes."""
    writer = Writer()
    _write_trees(writer, header)
    _write_changes(writer, header.changes)
    _write_names(writer, list(header.sources))
    for views in (header.old_views, header.new_views):
        _write_views(writer, views)
    _write_blocks(writer, header.blocks)
    raw = writer.data()
    if len(raw) > limits.header_bytes:
        raise FormatError(f"patch header of {len(raw)} bytes, {limits.header_bytes} allowed")
    packed = lzma2.pack(raw, pb=0)  # names and varints have no alignment
    preamble = Writer()
    preamble.raw(MAGIC)
    preamble.varint(len(raw))
    preamble.varint(len(packed))
    return preamble.data() + packed


def header_length(start: bytes, limits: Limits = DEFAULT) -> int:
    """Bytes of the header that begins with ``start`` (`PREAMBLE_MOST` bytes are enough)."""
    preamble = _preamble(start, limits)
    return preamble.start + preamble.packed_length


def decode_header(data: bytes, limits: Limits = DEFAULT) -> Header:
    """The header that ``data`` spells, and nothing behind it.

    Raises:
        FormatError: it is not one, or passes a limit; ``context`` says where.
    """
    preamble = _preamble(data, limits)
    reader = Reader(_decompress(data[preamble.start :], preamble))
    app, old, new = _read_trees(reader, limits)
    changes = _read_changes(reader, old, new, limits)
    sources = _read_names(reader, limits.entries, limits)
    views = [_read_views(reader, limits) for _ in range(2)]
    blocks = _read_blocks(reader, limits)
    reader.end()
    return check_header(
        Header(app, old, new, changes, tuple(sources), views[0], views[1], blocks), limits
    )


@dataclass(frozen=True)
class _Preamble:
    start: int
    raw_length: int
    packed_length: int


def _preamble(data: bytes, limits: Limits) -> _Preamble:
    reader = Reader(data[:PREAMBLE_MOST])
    magic = reader.raw(len(MAGIC), "patch magic")
    if magic[:-1] != MAGIC[:-1]:
        raise FormatError("not an upswap patch")
    if magic != MAGIC:
        raise FormatError(f"patch format {magic[-1]}, 1 known", hint="a newer updater is needed")
    raw = reader.varint(limits.header_bytes, "header length")
    packed = reader.varint(limits.header_bytes, "packed header length")
    return _Preamble(reader.position, raw, packed)


def _decompress(packed: bytes, preamble: _Preamble) -> bytes:
    if len(packed) != preamble.packed_length:
        raise FormatError(f"header of {len(packed)} bytes, {preamble.packed_length} announced")
    return lzma2.unpack(packed, preamble.raw_length, "header")


def _write_trees(writer: Writer, header: Header) -> None:
    writer.text(header.app)
    writer.varint(header.old is not None)
    if header.old is not None:
        _write_tree(writer, header.old, None)
    _write_tree(writer, header.new, header.old)


def _write_tree(writer: Writer, tree: TreeDescriptor, before: TreeDescriptor | None) -> None:
    writer.text(tree.version)
    writer.raw(tree.digest)
    writer.varint(tree.length)
    same = before is not None and before.release == tree.release
    release = b"" if same else encode(tree.release.to_json())
    writer.block(release)


def _read_trees(
    reader: Reader, limits: Limits
) -> tuple[str, TreeDescriptor | None, TreeDescriptor]:
    app = check_app(reader.text(limits.name_bytes, "app"))
    old = _read_tree(reader, None, limits) if reader.varint(1, "base flag") else None
    return app, old, _read_tree(reader, old, limits)


def _read_tree(reader: Reader, before: TreeDescriptor | None, limits: Limits) -> TreeDescriptor:
    version = check_version(reader.text(limits.name_bytes, "version"))
    digest = Digest(reader.raw(DIGEST_LENGTH, "manifest digest"))
    length = reader.varint(limits.manifest_bytes, "manifest length")
    data = reader.block(limits.release_bytes, "release description")
    if not data and before is not None:
        return TreeDescriptor(version, digest, length, before.release)
    release = within("release", Release.parse, decode(data, limits.release_bytes))
    if before is not None and release == before.release:
        raise FormatError("a description equal to its predecessor's is spelled out")
    return TreeDescriptor(version, digest, length, release)


def _write_changes(writer: Writer, changes: tuple[Change, ...]) -> None:
    writer.varint(len(changes))
    writer.raw(bytes(change.kind for change in changes))
    columns.write_names(writer, [change.path for change in changes])
    columns.write_edits(writer, [(c.path, c.source) for c in changes if c.kind in WITH_SOURCE])
    for change in changes:
        if change.kind in WITH_CONTENT:
            writer.varint(change.size or 0)
        elif change.kind == Kind.RENAME:
            writer.varint(0 if change.size is None else change.size + 1)
    for change in changes:
        if change.kind in OF_FILES or change.kind == Kind.RENAME:
            writer.varint(change.executable)
    for change in changes:
        if change.kind == Kind.SYMLINK:
            writer.text(change.target)


def _read_changes(
    reader: Reader, old: TreeDescriptor | None, new: TreeDescriptor, limits: Limits
) -> tuple[Change, ...]:
    count = reader.varint(limits.changes, "number of changes")
    kinds = [_kind(code) for code in reader.raw(count, "kinds of changes")]
    paths = columns.read_names(reader, count, limits)
    keys = zip(kinds, (path.encode() for path in paths), strict=True)
    if any(a >= b for a, b in pairwise(keys)):
        raise FormatError("not sorted by kind and path", context="changes")
    with_source = [k for k, kind in enumerate(kinds) if kind in WITH_SOURCE]
    named = columns.read_edits(reader, [paths[k] for k in with_source], limits)
    sources = dict(zip(with_source, named, strict=True))
    sizes = {k: _size(reader, kind, limits) for k, kind in enumerate(kinds)}
    modes = {
        k: bool(reader.varint(1, "executable flag"))
        for k, kind in enumerate(kinds)
        if kind in OF_FILES or kind == Kind.RENAME
    }
    targets = {
        k: reader.text(limits.path_bytes, "symlink target")
        for k, kind in enumerate(kinds)
        if kind == Kind.SYMLINK
    }
    changes = tuple(
        Change(kind, path, sources.get(k, ""), sizes[k], modes.get(k, False), targets.get(k, ""))
        for k, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    )
    portable = new.release.portable and (old is None or old.release.portable)
    for number, change in enumerate(changes):
        within(f"changes[{number}]", lambda c: _check_paths(c, portable, limits), change)
    return changes


def _check_paths(change: Change, portable: bool, limits: Limits) -> None:
    check_path(change.path, portable=portable, limits=limits)
    if change.kind in WITH_SOURCE:
        check_path(change.source, portable=portable, limits=limits)
    if change.kind == Kind.SYMLINK:
        check_target(change.path, change.target, portable=portable, limits=limits)


def _kind(code: int) -> Kind:
    try:
        return Kind(code)
    except ValueError:
        raise FormatError(
            f"kind of change {code} is unknown", hint="a newer updater is needed"
        ) from None


def _size(reader: Reader, kind: Kind, limits: Limits) -> int | None:
    if kind in WITH_CONTENT:
        return reader.varint(limits.file_bytes, "size")
    if kind == Kind.RENAME:
        size = reader.varint(limits.file_bytes + 1, "size")
        return size - 1 if size else None
    return None


def _write_names(writer: Writer, names: list[str]) -> None:
    writer.varint(len(names))
    columns.write_names(writer, names)


def _read_names(reader: Reader, most: int, limits: Limits) -> list[str]:
    return columns.read_names(reader, reader.varint(most, "number of names"), limits)


def _write_views(writer: Writer, views: tuple[FileView, ...]) -> None:
    writer.varint(len(views))
    for view in views:
        writer.column([view.file, view.id, view.length])
        writer.block(view.recipe)


def _read_views(reader: Reader, limits: Limits) -> tuple[FileView, ...]:
    count = reader.varint(limits.changes, "number of views")
    return tuple(
        FileView(
            reader.varint(limits.changes + limits.entries, "file number"),
            reader.varint(ID_MOST, "view id"),
            reader.varint(limits.view_bytes, "view length"),
            reader.block(limits.recipe_bytes, "view recipe"),
        )
        for _ in range(count)
    )


def _write_blocks(writer: Writer, blocks: tuple[Block, ...]) -> None:
    writer.varint(len(blocks))
    writer.column([block.codec for block in blocks])
    writer.column([block.raw_length for block in blocks])
    writer.column([block.packed_length for block in blocks])
    writer.column([len(block.old) for block in blocks])
    writer.column([len(block.new) for block in blocks])
    writer.raw(b"".join(block.digest for block in blocks))
    columns.write_extents(writer, [extent for block in blocks for extent in block.old])
    columns.write_extents(writer, [extent for block in blocks for extent in block.new])


def _read_blocks(reader: Reader, limits: Limits) -> tuple[Block, ...]:
    count = reader.varint(limits.blocks, "number of blocks")
    codecs = reader.column(count, ID_MOST, "codec")
    raws = reader.column(count, limits.header_bytes * 64, "decompressed length of a block")
    packed = reader.column(count, limits.block_packed_bytes, "length of a block")
    olds = reader.column(count, limits.extents, "number of old extents")
    news = reader.column(count, limits.extents, "number of new extents")
    digests = [Digest(reader.raw(DIGEST_LENGTH, "block digest")) for _ in range(count)]
    old = iter(columns.read_extents(reader, sum(olds), limits))
    new = iter(columns.read_extents(reader, sum(news), limits))
    return tuple(
        Block(
            tuple(next(old) for _ in range(olds[k])),
            tuple(next(new) for _ in range(news[k])),
            codecs[k],
            raws[k],
            packed[k],
            digests[k],
        )
        for k in range(count)
    )
