"""Applying a patch: old files and blocks become new files, each hashed while it is written.

Used alike by the client, by ``patchtool apply`` and by ``patchtool diff``, which proves every
patch with it. Writes only into the folder it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from updater.delta.block import decode_block
from updater.delta.view import KNOWN, Views, view_of
from updater.errors import FormatError, PatchError
from updater.format.changes import Layout
from updater.format.header import PREAMBLE_MOST, decode_header, header_length
from updater.format.limits import DEFAULT, Limits
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.format.patch import Block, Extent, Header
from updater.format.paths import shown
from updater.progress import Progress, Silent

CHUNK = 1 << 20


@dataclass(frozen=True)
class Tree:
    """A manifest, and where on disk the bytes of each of its files lie now."""

    manifest: Manifest
    places: Mapping[str, Path]


def tree_at(folder: Path, manifest: Manifest) -> Tree:
    """The tree whose files lie in ``folder`` at their own paths."""
    return Tree(manifest, {file.path: folder / file.path for file in manifest.files()})


def nothing(app: str) -> Tree:
    """The tree a bundle starts from."""
    return Tree(Manifest.empty(app), {})


class PatchFile:
    """A patch on disk: its header, read and checked; its blocks, read when asked for."""

    def __init__(self, path: Path, limits: Limits = DEFAULT) -> None:
        """Read the header of ``path``.

        Raises:
            FormatError: not a patch, or its length is not what its header announces.
        """
        self.path = path
        with path.open("rb") as file:
            self.start = header_length(file.read(PREAMBLE_MOST), limits)
            file.seek(0)
            self.header = decode_header(file.read(self.start), limits)
        length = self.start + self.header.blocks_length
        if path.stat().st_size != length:
            raise FormatError(
                f"patch of {path.stat().st_size} bytes, its header announces {length}"
            )

    def blocks(self) -> Iterator[tuple[Block, bytes]]:
        """Every block with its bytes, in file order."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            for block in self.header.blocks:
                yield block, file.read(block.packed_length)


def apply_patch(
    patch: PatchFile,
    old: Tree,
    out: Path,
    *,
    views: Views = KNOWN,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
) -> Tree:
    """The new tree, its decoded files written into the empty folder ``out``.

    Files that are carried over whole keep the places they have in ``old``: nothing is copied.
    ``out`` gets files with numbers for names, no folders; on an error it holds rubbish.

    Raises:
        PatchError: ``old`` is not the tree the patch is for, a file of it has changed, or the
            result is not the tree the header names.
        FormatError: the patch is not one; its author or its transport is at fault.
        OSError: the disk.
    """
    header = patch.header
    _check_base(header, old)
    layout = Layout(old.manifest, header.changes)
    run = _Application(header, layout, old, out, views)
    digests = run.decode(patch, limits, progress or Silent())
    manifest = layout.manifest(header.app, header.new.version, header.new.release, digests)
    if manifest.digest != header.new.digest or len(manifest.data) != header.new.length:
        raise PatchError(
            f"the result is not {header.app} {header.new.version} as its publisher knows it",
            hint="the installed files are not those of the version they claim to be",
        )
    return Tree(manifest, {path: run.place(path) for path in _file_paths(manifest)})


def check_file(file: File, place: Path) -> None:
    """Refuse a file on disk that is not ``file``.

    Raises:
        PatchError: it is missing, of another kind, or has other bytes.
    """
    try:
        regular = place.is_file() and not place.is_symlink()
        same = regular and place.stat().st_size == file.size and digest_of(place) == file.digest
    except OSError as error:
        raise PatchError(f"{shown(file.path)} cannot be read: {error.strerror}") from error
    if not same:
        raise PatchError(
            f"{shown(file.path)} is missing or not as released",
            hint="it was changed or damaged after it was installed",
        )


def digest_of(path: Path) -> Digest:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return Digest(digest.digest())


def _check_base(header: Header, old: Tree) -> None:
    if header.old is None:
        if old.manifest.entries:
            raise PatchError("a bundle starts from nothing, not from an installed tree")
    elif header.old.digest != old.manifest.digest:
        raise PatchError(
            f"the patch is for {header.app} {header.old.version}, and this is another tree",
            hint="apply it to exactly the release it was made from",
        )


def _file_paths(manifest: Manifest) -> Iterator[str]:
    return (file.path for file in manifest.files())


class _Output:
    """One new file's view bytes, hashed as they come while they come in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._hashed = 0

    def write(self, offset: int, data: bytes) -> None:
        if self.file is None:
            self.file = self.path.open("w+b")
        self.file.seek(offset)
        self.file.write(data)
        if offset == self._hashed:
            self._digest.update(data)
            self._hashed += len(data)

    def close(self, length: int) -> Digest:
        """Close the file of ``length`` bytes and give its digest."""
        if self.file is not None:
            self.file.close()
            self.file = None
        return Digest(self._digest.digest()) if self._hashed == length else digest_of(self.path)


class _Application:
    """One patch being applied: which file numbers are which files."""

    def __init__(self, header: Header, layout: Layout, old: Tree, out: Path, views: Views) -> None:
        self._header = header
        self._layout = layout
        self._old = old
        self._out = out
        self._views = views
        self._lengths = dict(header.contents)
        self._lengths.update((view.file, view.length) for view in header.new_views)
        self._recipes = {view.file: view for view in header.new_views}
        self._opened: dict[int, Path] = {}
        self._outputs: dict[int, _Output] = {}
        self._left = dict(self._lengths)
        self._digests: dict[str, Digest] = {}

    def place(self, path: str) -> Path:
        """Where the bytes of the new file ``path`` lie."""
        slot = self._layout.slots[path]
        if slot.change is not None and self._layout.changes[slot.change].size is not None:
            return self._file(slot.change)
        assert slot.source is not None  # noqa: S101 - what is not decoded is carried over
        return self._old.places[slot.source]

    def decode(self, patch: PatchFile, limits: Limits, progress: Progress) -> dict[str, Digest]:
        """Write every new file; their digests by path."""
        for view in (*self._header.old_views, *self._header.new_views):
            view_of(self._views, view.id)  # one we do not know is found before any work
        self._open_old_files()
        self._make_empty_files()
        progress.start("apply", self._header.write_bytes)
        try:
            for block, packed in patch.blocks():
                new = decode_block(block, packed, self._read(block.old), limits)
                self._write(block.new, new)
                progress.advance(len(new))
        finally:
            progress.finish()
            self._close_outputs()
        return self._digests

    def _open_old_files(self) -> None:
        """Check every old file that blocks read, and open those that have a view."""
        views = {view.file: view for view in self._header.old_views}
        read = {extent.file for block in self._header.blocks for extent in block.old}
        for number in sorted(read):
            file = self._old_file(number)
            place = self._old.places[file.path]
            check_file(file, place)
            view = views.get(number)
            if view is None:
                self._opened[number] = place
                continue
            opened = self._out / f"old-{number}"
            with place.open("rb") as reader, opened.open("wb") as writer:
                view_of(self._views, view.id).open(reader, view.recipe, writer)
            if opened.stat().st_size != view.length:
                raise PatchError(f"view of {shown(file.path)} has another length than announced")
            self._opened[number] = opened

    def _old_file(self, number: int) -> File:
        """The old file of a number.

        Raises:
            FormatError: there is none.
        """
        count = len(self._header.changes)
        sources = self._header.sources
        if number >= count:
            path = sources[number - count] if number - count < len(sources) else None
        else:
            path = self._layout.olds.get(number)
        file = self._old.manifest.by_path.get(path or "")
        if not isinstance(file, File):
            raise FormatError(f"old file {number} is not a file", context="blocks")
        return file

    def _make_empty_files(self) -> None:
        for number, change in enumerate(self._header.changes):
            if change.size == 0:
                self._file(number).touch()

    def _file(self, number: int) -> Path:
        return self._out / str(number)

    def _read(self, extents: tuple[Extent, ...]) -> bytes:
        parts = []
        for extent in extents:
            with self._opened[extent.file].open("rb") as file:
                file.seek(extent.offset)
                part = file.read(extent.length)
            if len(part) != extent.length:
                raise PatchError(f"old file {extent.file} ends before {extent}")
            parts.append(part)
        return b"".join(parts)

    def _write(self, extents: tuple[Extent, ...], new: bytes) -> None:
        taken = 0
        for extent in extents:
            part = new[taken : taken + extent.length]
            taken += extent.length
            self._output(extent.file).write(extent.offset, part)
            self._left[extent.file] -= extent.length
            if not self._left[extent.file]:
                self._finish(extent.file)

    def _output(self, number: int) -> _Output:
        if number not in self._outputs:
            name = f"view-{number}" if number in self._recipes else str(number)
            self._outputs[number] = _Output(self._out / name)
        return self._outputs[number]

    def _finish(self, number: int) -> None:
        """The last bytes of a file are in: close its view, keep its digest."""
        output = self._outputs.pop(number)
        digest = output.close(self._lengths[number])
        view = self._recipes.get(number)
        if view is not None:
            with output.path.open("rb") as reader, self._file(number).open("wb") as writer:
                view_of(self._views, view.id).close(reader, view.recipe, writer)
            output.path.unlink()
            digest = digest_of(self._file(number))
        change = self._header.changes[number]
        if self._file(number).stat().st_size != change.size:
            raise PatchError(f"{shown(change.path)} comes out with another size than announced")
        self._digests[change.path] = digest

    def _close_outputs(self) -> None:
        for output in self._outputs.values():
            if output.file is not None:
                output.file.close()
