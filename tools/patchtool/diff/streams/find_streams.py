"""Find the deflate streams of a file, and take apart those that zlib can write again.

A stream is taken apart only if one set of zlib's parameters gives it back bit for bit, so it does
not matter how a candidate was found: there is no wrong one.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from patchtool.diff.streams.candidates import Bytes, Candidate, FileBytes, Scanner
from patchtool.diff.streams.zlib_parameters import Trials
from updater.errors import PatchError
from updater.format.encoding.limits import DEFAULT, MIB
from updater.format.names import Digest
from updater.patch.apply import digest_of
from updater.patch.delta import inflated
from updater.patch.delta.inflated import (
    CHUNK,
    CHUNKED,
    LEAD,
    SEPARATOR,
    WHOLE,
    Deflated,
    InflatedView,
    LookaheadReader,
    Parameters,
    deflate,
    first_piece,
    predict,
)

WORTH = 1024
"""Inflated bytes below which a file is left as it is."""
PART_WORTH, SHARE_WORTH = 64 << 10, 32
"""Deflated bytes, or one part in so many of the file, below which it is left as it is: the view
of an executable with one icon in it costs its reader the scratch space of all of it."""
STREAM_WORTH = 64
"""Deflated bytes below which a zlib stream that stands alone is left as it is."""
SPOOL = 64 * MIB
"""Inflated bytes of one stream held in memory while parameters are tried."""
PROBE = 512
"""Deflated bytes that tell most false candidates."""


VAIN_LEAST, VAIN_SHARE = 64 * MIB, 8
"""Bytes, and times the size of the file, inflated in vain after which no stream is looked for:
where each of its bytes may begin a stream that never ends, looking for them would not either."""


@dataclass(frozen=True)
class Inflated:
    """A file's view, and what it takes to read and to write the file through it."""

    path: Path
    """The view's bytes."""
    length: int
    open_recipe: bytes
    """For the file as an old one."""
    close_recipe: bytes
    """For the file as a new one."""


@dataclass(frozen=True, slots=True)
class DeflateStream:
    """A stream that is taken apart."""

    start: int
    end: int
    length: int
    """Inflated bytes."""
    kind: int
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class FoundStream:
    """A deflate stream of a file, whoever wrote it."""

    candidate: Candidate
    end: int
    length: int
    """Inflated bytes."""
    digest: bytes
    """The digest of its deflated bytes: a stream of both releases need not be taken apart."""

    @property
    def start(self) -> int:
        """The position of its first byte."""
        return self.candidate.start


def find(place: Path) -> list[FoundStream]:
    """Every deflate stream of the file at ``place``, in order, none within another.

    None at all if they would inflate beyond what a view may be, or too much is none.

    Raises:
        OSError: the disk.
    """
    with _opened(place) as (data, file):
        try:
            return list(_Finder(data, file).found())
        except (_TooLarge, _TooMuchInVain):
            return []


def inflate(place: Path, found: list[FoundStream], view: Path) -> Inflated | None:
    """The view of the file at ``place`` in which the streams ``found`` are taken apart.

    It is written to ``view``, and proven to close again. A function of the file's bytes, the list
    and this machine's zlib alone. None, and no ``view``: too little can be taken apart.

    Raises:
        PatchError: the view does not close: a defect of ours, or the file changed meanwhile.
        OSError: the disk.
    """
    with _opened(place) as (data, file):
        if not _is_worth_it(found, len(data)):
            return None
        streams = _Finder(data, file).reproduced(found)
        if not _is_worth_it(streams, len(data)):
            return None
        made = Inflated(view, 0, _open_recipe(data, streams), _close_recipe(streams))
        return _written(place, file, made)


def _is_worth_it(streams: Sequence[FoundStream | DeflateStream], size: int) -> bool:
    deflated = sum(stream.end - stream.start for stream in streams)
    inflated_length = sum(stream.length for stream in streams)
    return inflated_length >= WORTH and deflated >= min(PART_WORTH, size // SHARE_WORTH)


@contextmanager
def _opened(place: Path) -> Iterator[tuple[FileBytes, BinaryIO]]:
    """A file by position and, with a position of its own, to be read forward."""
    with place.open("rb") as content, place.open("rb") as file:
        yield FileBytes(content), file


def _open_recipe(data: Bytes, streams: list[DeflateStream]) -> bytes:
    starts, end = [], 0
    for stream in streams:
        expected = end + predict(data[end : end + inflated.WINDOW])
        starts.append((stream.kind, stream.start - expected))
        end = stream.end
    return inflated.write_open_recipe(starts)


def _close_recipe(streams: list[DeflateStream]) -> bytes:
    return inflated.write_close_recipe([(stream.kind, stream.parameters) for stream in streams])


def _written(place: Path, file: BinaryIO, made: Inflated) -> Inflated | None:
    """Write the view and prove it; None if the bytes that describe it pass the limit."""
    size = file.seek(0, 2)
    file.seek(0)
    proof = _Proof()
    with made.path.open("w+b") as view:
        InflatedView().open(file, made.open_recipe, view)
        length = view.tell()
        view.seek(0)
        InflatedView().close(view, made.close_recipe, cast("BinaryIO", proof))
    if proof.digest() != digest_of(place):
        raise PatchError(f"the inflated view of {place} does not close", hint="did it change?")
    if length > _most(size):
        made.path.unlink()
        return None
    return replace(made, length=length)


class _Proof:
    """A file that is only hashed."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._hash.update(data)

    def digest(self) -> Digest:
        return Digest(self._hash.digest())


def _most(size: int) -> int:
    return min(DEFAULT.view_factor * size, DEFAULT.view_bytes)


class _Finder:
    """Goes through one file and takes apart what it can."""

    def __init__(self, data: Bytes, file: BinaryIO) -> None:
        self._data = data
        self._source = LookaheadReader(file)
        self._scanner = Scanner(data)
        self._trials = Trials()
        self._room = _most(len(data)) - len(data)
        self._patience = VAIN_LEAST + VAIN_SHARE * len(data)

    def found(self) -> Iterator[FoundStream]:
        """Every stream, in order, none within another.

        Raises:
            _TooLarge: the view of one taken apart would be.
            _TooMuchInVain: the file is full of what only looks like streams.
        """
        at = taken = count = 0
        while count < inflated.STREAMS_MOST:
            candidate = self._scanner.first(at)
            if candidate is None:
                return
            if candidate.kind == CHUNKED and candidate.start - LEAD < taken:
                at = candidate.found + 1  # its chunk begins in another stream
                continue
            self._source.seek(candidate.start)
            content = self._inflate(candidate, _NOWHERE)
            at = candidate.found + 1
            if content:
                digest = hashlib.sha256(self._data[candidate.start : content.end]).digest()
                yield FoundStream(candidate, content.end, content.length, digest)
                at = taken = content.end
                count += 1
            else:
                self._lose_patience(self._source.position - candidate.start)

    def _lose_patience(self, length: int) -> None:
        """``length`` bytes were no stream; to find that out costs something even of a few."""
        self._patience -= max(length, PROBE)
        if self._patience < 0:
            raise _TooMuchInVain

    def reproduced(self, found: list[FoundStream]) -> list[DeflateStream]:
        """Those of ``found`` that can be written again, as far as the view may grow."""
        streams: list[DeflateStream] = []
        for stream in found:
            with suppress(_TooLarge), tempfile.SpooledTemporaryFile(SPOOL) as spool:
                content = self._inflate(stream.candidate, cast("BinaryIO", spool))
                made = content and self._reproduced(stream.candidate, content)
                if made:
                    streams.append(made)
                    self._room -= made.length
        return streams

    def _inflate(self, candidate: Candidate, spool: BinaryIO) -> _Content | None:
        """Inflate the candidate; None if it is no stream, or too short."""
        start = candidate.start
        if candidate.kind == WHOLE and not _may_inflate(self._data[start : start + PROBE]):
            return None
        try:
            content = self._read(candidate, spool)
        except PatchError:
            return None
        if not candidate.is_bare:
            return content
        checksum = self._data[content.end : content.end + 4]
        long_enough = content.end - start >= STREAM_WORTH
        return content if long_enough and checksum == content.adler.to_bytes(4, "big") else None

    def _read(self, candidate: Candidate, spool: BinaryIO) -> _Content:
        start, length, adler = candidate.start, 0, 1
        first = first_piece(candidate.kind, self._data[max(start - LEAD, 0) : start])
        self._source.seek(start)
        stream = Deflated(self._source, first)
        for part in stream.inflated():
            length += len(part)
            if length > self._room:
                raise _TooLarge
            adler = zlib.adler32(part, adler)
            spool.write(part)
        end = self._source.position
        deflated = _joined(self._data[start:end], first) if stream.separators else None
        return _Content(spool, length, adler, end, deflated)

    def _reproduced(self, candidate: Candidate, content: _Content) -> DeflateStream | None:
        """The stream, if there are parameters that give it."""
        start, end = candidate.start, content.end
        deflated: tuple[Bytes, int, int] = (self._data, start, end)
        if content.joined is not None:
            deflated = (content.joined, 0, len(content.joined))
        parameters = self._trials.find(
            candidate.header, content.spool, lambda tried: _gives(content.spool, tried, *deflated)
        )
        if parameters is None:
            return None
        return DeflateStream(start, end, content.length, candidate.kind, parameters)


class _TooLarge(Exception):  # noqa: N818 - it is not an error, only the end
    """The view would pass its bounds."""


class _TooMuchInVain(Exception):  # noqa: N818 - as above
    """Too many bytes looked like streams and were none."""


@dataclass(frozen=True, slots=True)
class _Content:
    """The inflated content of a candidate."""

    spool: BinaryIO
    length: int
    adler: int
    end: int
    joined: bytes | None
    """The deflated bytes, where they are not in one piece."""


class _Nowhere:
    """Takes what is written and forgets it."""

    def write(self, data: bytes) -> None:
        """Forget it."""


_NOWHERE = cast("BinaryIO", _Nowhere())


def _may_inflate(probe: bytes) -> bool:
    try:
        zlib.decompressobj(-zlib.MAX_WBITS).decompress(probe, 8 * PROBE)
    except zlib.error:
        return False
    return True


def _joined(data: bytes, first: int) -> bytes:
    """The pieces of a stream without what separates them."""
    parts, at, left = [], 0, first
    while at + left < len(data):
        parts.append(data[at : at + left])
        at += left + SEPARATOR
        left = int.from_bytes(data[at - 8 : at - 4], "big")
    return b"".join([*parts, data[at:]])


def _gives(
    content: BinaryIO, parameters: Parameters, deflated: Bytes, start: int, end: int
) -> bool:
    """Return whether ``content`` deflates to these bytes; the first difference ends the trial."""
    content.seek(0)
    at = start
    for part in deflate(iter(lambda: content.read(CHUNK), b""), parameters):
        if deflated[at : at + len(part)] != part:
            return False
        at += len(part)
    return at == end
