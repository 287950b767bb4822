"""The old files that blocks read: checked first, opened through their views, read by extents."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

from updater.errors import FormatError, PatchError
from updater.format.encoding.limits import Limits
from updater.format.manifest import File
from updater.format.patch_header.patch import Extent, FileView
from updater.format.paths import shown
from updater.patch.delta.view import Views, view_of
from updater.patch.file_digest import check_file
from updater.patch.new_files import Bounded
from updater.patch.parallel import in_order

BATCH = 4 << 20
"""Bytes of small files checked by one thread in a row: handing over each would cost more."""


class OldFiles:
    """Old files by number, each at the place where its (view) bytes lie."""

    def __init__(
        self, find: Callable[[int], tuple[File, Path]], folder: Path, views: Views, limits: Limits
    ) -> None:
        """``find``: the old file of a number and its place. ``folder`` takes opened views."""
        self._find = find
        self._folder = folder
        self._views = views
        self._limits = limits
        self._places: dict[int, Path] = {}

    def open(self, numbers: Iterable[int], views: Iterable[FileView], jobs: int) -> None:
        """Check the files of ``numbers``, and open those that have a view.

        Raises:
            PatchError: a file is not as released, or its view not as announced.
            FormatError: there is no such file, or its view is too large.
        """
        by_number = {view.file: view for view in views}
        found = [(number, *self._find(number)) for number in sorted(set(numbers))]

        def work(batch: list[tuple[int, File, Path]]) -> dict[int, Path]:
            return {
                number: self._opened(file, place, by_number.get(number))
                for number, file, place in batch
            }

        with in_order(work, _batches(found), jobs) as results:
            for places in results:
                self._places.update(places)

    def read(self, extents: Iterable[Extent]) -> bytes:
        """The bytes of ``extents`` joined; each run of extents of one file opens it once.

        Raises:
            PatchError: a file ends before an extent does.
        """
        extents = list(extents)
        buffer = io.BytesIO(bytes(sum(extent.length for extent in extents)))
        with buffer.getbuffer() as joined:
            at = 0
            for number, run in groupby(extents, lambda extent: extent.file):
                with self._places[number].open("rb") as file:
                    for extent in run:
                        file.seek(extent.offset)
                        end = at + extent.length
                        if file.readinto(joined[at:end]) != extent.length:
                            raise PatchError(f"old file {number} ends before {extent}")
                        at = end
        return buffer.getvalue()

    def _opened(self, file: File, place: Path, view: FileView | None) -> Path:
        check_file(file, place)
        if view is None:
            return place
        if view.length > self._limits.view_factor * file.size:
            raise FormatError(f"view of {view.length} bytes for {file.size}", context="old_views")
        opened = self._folder / f"old-{view.file}"
        with place.open("rb") as reader, opened.open("wb") as writer:
            bounded = Bounded(writer, view.length)
            view_of(self._views, view.id).open(reader, view.recipe, bounded.writer)
        if bounded.left:
            raise PatchError(f"view of {shown(file.path)} has another length than announced")
        return opened


def _batches(
    files: Iterable[tuple[int, File, Path]],
) -> Iterator[list[tuple[int, File, Path]]]:
    batch, size = [], 0
    for number, file, place in files:
        batch.append((number, file, place))
        size += file.size
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
