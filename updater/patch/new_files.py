"""The new files that blocks give: written by extents, each hashed while it is written."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from updater.errors import PatchError
from updater.format.names import Digest
from updater.format.patch_header.patch import Extent, FileView
from updater.patch.delta.view import Views, view_of
from updater.patch.file_digest import digest_of
from updater.patch.parallel import in_order

OPEN_MOST = 64
"""Files held open at once: far fewer than a system allows, and an honest patch needs one."""


class Bounded(io.RawIOBase):
    """A file for a view to write: so many bytes and no more, hashed on their way."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self.left = length
        """Bytes not written yet."""
        self._digest = hashlib.sha256()

    @property
    def writer(self) -> BinaryIO:
        """This, as what a view takes; it can do nothing but write."""
        return cast("BinaryIO", self)

    @property
    def digest(self) -> Digest:
        """SHA-256 of what was written."""
        return Digest(self._digest.digest())

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write ``data``.

        Raises:
            PatchError: these are more bytes than announced; the author is at fault.
        """
        if len(data) > self.left:
            raise PatchError("a view gives more bytes than announced")
        self.left -= len(data)
        self._digest.update(data)
        return self._file.write(data)


class _NewFile:
    """One new file's (view) bytes, hashed as they come as long as they come in order."""

    def __init__(self, path: Path, length: int) -> None:
        self.path = path
        self.left = length
        """Bytes not written yet."""
        self._length = length
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._hashed = 0

    def write(self, offset: int, data: memoryview) -> None:
        if self._file is None:
            self._file = self.path.open("wb" if self.left == self._length else "r+b")
        self._file.seek(offset)
        self._file.write(data)
        self.left -= len(data)
        if offset == self._hashed:
            self._digest.update(data)
            self._hashed += len(data)

    def close(self) -> None:
        """Give the descriptor back; writing opens the file again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def digest(self) -> Digest:
        whole = self._hashed == self._length
        return Digest(self._digest.digest()) if whole else digest_of(self.path)


class NewFiles:
    """The new files of one patch, by number, in one folder with numbers for names."""

    def __init__(
        self, folder: Path, sizes: Mapping[int, int], views: Iterable[FileView], known: Views
    ) -> None:
        """``sizes``: bytes of each file that blocks give, for some through ``views``."""
        self._folder = folder
        self._sizes = sizes
        self._views = {view.file: view for view in views}
        self._known = known
        self._begun: dict[int, _NewFile] = {}
        self._open: OrderedDict[int, _NewFile] = OrderedDict()
        self.digests: dict[int, Digest] = {}
        """SHA-256 of every file that is complete."""

    def path(self, number: int) -> Path:
        """The place of a file, by its number, once it is complete."""
        return self._folder / str(number)

    def write(self, extents: Iterable[Extent], data: bytes) -> None:
        """Write a block's new bytes; extents of files that are not ours are left out."""
        rest = memoryview(data)
        for extent in extents:
            part, rest = rest[: extent.length], rest[extent.length :]
            if extent.file in self._sizes:
                self._write(extent, part)

    def finish(self, jobs: int) -> None:
        """Close the views, now that all bytes are in.

        Raises:
            PatchError: a view does not give its file.
        """
        with in_order(self._finish, sorted(self._views.keys() & self._sizes), jobs) as digests:
            self.digests.update(digests)

    def close(self) -> None:
        """Give all descriptors back, whatever happened."""
        while self._open:
            self._open.popitem()[1].close()

    def _write(self, extent: Extent, data: memoryview) -> None:
        number = extent.file
        output = self._output(number)
        output.write(extent.offset, data)
        if output.left:
            return
        self._open.pop(number).close()
        del self._begun[number]
        if number not in self._views:
            self.digests[number] = output.digest()

    def _output(self, number: int) -> _NewFile:
        if number not in self._begun:
            view = self._views.get(number)
            length = view.length if view else self._sizes[number]
            self._begun[number] = _NewFile(self._raw(number), length)
        if number not in self._open and len(self._open) == OPEN_MOST:
            self._open.popitem(last=False)[1].close()
        self._open[number] = self._begun[number]
        self._open.move_to_end(number)
        return self._begun[number]

    def _raw(self, number: int) -> Path:
        """The place of a file's bytes as blocks give them."""
        return self._folder / f"view-{number}" if number in self._views else self.path(number)

    def _finish(self, number: int) -> tuple[int, Digest]:
        view, raw = self._views[number], self._raw(number)
        with raw.open("rb") as reader, self.path(number).open("wb") as file:
            bounded = Bounded(file, self._sizes[number])
            view_of(self._known, view.id).close(reader, view.recipe, bounded.writer)
        if bounded.left:
            raise PatchError("a file comes out with another size than announced")
        raw.unlink()
        return number, bounded.digest
