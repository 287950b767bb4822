"""Places of a file where a deflate stream may begin, found at the speed of memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from updater.format.encoding.limits import MIB
from updater.patch.delta import inflated
from updater.patch.delta.inflated import CHUNKED, WHOLE, is_zlib_header, predict

STEP = MIB
"""Bytes of a file searched at once."""


class FileBytes:
    """A file's bytes by position.

    Not a map of the file: one that is cut short meanwhile would end this process.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = file.seek(0, 2)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._length)
        self._file.seek(start)
        return self._file.read(max(stop - start, 0))


Bytes = bytes | FileBytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a stream may begin."""

    found: int
    """The position of its mark."""
    start: int
    kind: int = WHOLE
    header: bytes = b""
    """zlib's two bytes, if there are any: they tell window and level."""
    is_bare: bool = False
    """True if only its checksum tells it from chance."""


class Scanner:
    """Finds places where streams may begin, each kind of mark at the speed of memory."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        self._searches = {mark: _Search(mark, data) for mark in _MARKS}
        self._found = dict.fromkeys(_MARKS, -1)

    def first(self, at: int) -> Candidate | None:
        """The first candidate whose mark is at ``at`` or behind."""
        while True:
            for mark, found in self._found.items():
                if found < at:
                    self._found[mark] = self._searches[mark].first(at)
            mark, at = min(self._found.items(), key=lambda item: item[1])
            if at == len(self._data):
                return None
            candidate = _MARKS[mark](self._data, at)
            if candidate and candidate.start < len(self._data):
                return candidate
            at += 1


class _Search:
    """Finds one kind of mark, in a window of the file that goes on with it."""

    def __init__(self, mark: re.Pattern[bytes], data: Bytes) -> None:
        self._mark = mark
        self._data = data
        self._start = -STEP
        self._window = b""

    def first(self, at: int) -> int:
        """Return the position of the first mark from ``at`` on; the file's length without one."""
        while at < len(self._data):
            if not self._start <= at < self._start + STEP:
                self._start, self._window = at, self._data[at : at + STEP + MARK_MOST - 1]
            if match := self._mark.search(self._window, at - self._start):
                return self._start + match.start()
            at = self._start + STEP
        return len(self._data)


def _zip_entry(data: Bytes, at: int) -> Candidate | None:
    """A local header: deflated, not encrypted."""
    header = data[at : at + 10]
    if header[8:] != b"\x08\0" or header[6] & 1:
        return None
    return Candidate(at, at + predict(data[at : at + inflated.WINDOW]))


def _gzip_member(data: Bytes, at: int) -> Candidate | None:
    return Candidate(at, at + predict(data[at : at + inflated.WINDOW]))


def _image_chunk(data: Bytes, at: int) -> Candidate | None:
    header = data[at + 4 : at + 6]
    return Candidate(at, at + 6, CHUNKED, header) if is_zlib_header(header) else None


def _zlib_stream(data: Bytes, at: int) -> Candidate | None:
    return Candidate(at, at + 2, WHOLE, data[at : at + 2], is_bare=True)


_FIRST_BYTES = b"".join(re.escape(bytes([b])) for b in range(256) if b >> 1 & 3 in {1, 2})
"""The first bytes of a stream: a Huffman block. Stored ones hide nothing."""
MARK_MOST = 4
"""Bytes of the longest mark."""
_MARKS: dict[re.Pattern[bytes], Callable[[Bytes, int], Candidate | None]] = {
    re.compile(rb"PK\x03\x04"): _zip_entry,
    re.compile(rb"\x1f\x8b\x08"): _gzip_member,
    re.compile(rb"IDAT"): _image_chunk,
    re.compile(rb"x[\x01\x5e\x9c\xda][" + _FIRST_BYTES + rb"]"): _zlib_stream,
}
