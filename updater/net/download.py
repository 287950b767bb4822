"""Downloading a patch: verified piece by piece as it streams, resumed where it was cut.

A patch's pieces are its header and its blocks; each has a digest we know before its first
byte comes (the header's from signed metadata, the blocks' from the header). A damaged piece is
fetched again, the others are kept.

Not all blocks need be wanted. Then the file has the header and the wanted blocks one behind the
other, so it takes what was fetched and no more, also on a file system without holes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from updater.check.catalogue import PatchTarget
from updater.config import UpdaterConfig
from updater.errors import FormatError, TransportError, TrustError
from updater.format.names import Digest
from updater.format.patch_header.header import decode_header
from updater.format.patch_header.patch import Header, Select
from updater.progress import Progress, Silent
from updater.retry import Tries
from updater.transport import ResponseBody, Transport, refuse_page

READ = 1 << 20
RANGE_REFUSED = {206, 416}
"""Statuses of a server or proxy whose ranges are broken: another part, or none. It is read from
its start then; else what was once cut could never be finished."""


class _Spot(NamedTuple):
    """One byte's offset."""

    start: int
    """In the patch."""
    place: int
    """In our file."""


@dataclass(frozen=True)
class _Piece:
    start: int
    """Offset in the patch."""
    place: int
    """Offset in our file."""
    length: int
    digest: Digest

    @property
    def stop(self) -> int:
        """Its end in the patch."""
        return self.start + self.length

    @property
    def end(self) -> int:
        """Its end in our file."""
        return self.place + self.length

    def spot(self, place: int) -> _Spot:
        """The byte of it that lies at ``place`` of our file."""
        return _Spot(self.start + place - self.place, place)


class Download:
    """One patch on its way to ``path``; calling `run` again goes on where it stopped."""

    def __init__(
        self,
        transport: Transport,
        blob: PatchTarget,
        path: Path,
        *,
        select: Select | None = None,
        config: UpdaterConfig | None = None,
        progress: Progress | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``select``: the blocks to fetch; without it all of them. It may raise, and ends `run`."""
        self._transport = transport
        self._blob = blob
        self._path = path
        self._select = select
        self._config = config or UpdaterConfig()
        self._progress = progress or Silent()
        self._sleep = sleep
        self._blocks: list[_Piece] | None = None
        self._shown = -1
        self._sure = 0  # bytes of our file that were found right in this run
        self._ranges = True

    def run(self) -> None:
        """Fetch what is missing; on return ``path`` has all that is wanted, verified.

        Raises:
            TransportError: the network, after all tries; what came is kept for the next run.
            TrustError: the server sends other bytes than were signed, at every try.
            FormatError: what was signed is not a patch.
            OSError: the disk.
        """
        mode = "r+b" if self._path.exists() else "w+b"
        tries, best = Tries(self._config, self._sleep), -1
        self._sure = 0
        try:
            with self._path.open(mode) as opened:
                file = cast("BinaryIO", opened)
                while (at := self._verified(file)) is not None:
                    # a line that breaks often but brings something each time is a good line
                    tries.begin(afresh=at.place > best)
                    best = max(best, at.place)
                    self._attempt(file, at, tries)
        finally:
            self._progress.finish()

    def _attempt(self, file: BinaryIO, at: _Spot, tries: Tries) -> None:
        begun = False
        stop = self._stop(at)
        try:
            with self._get(at, stop) as answer:
                begun = True
                self._receive(file, at, stop, answer)
        except TransportError as error:
            refused = self._is_part(at, stop) and error.status in RANGE_REFUSED
            # Until an answer begins, the transport tries.
            if tries.is_last or not (refused or (begun and error.retryable)):
                raise
            if refused:
                self._ranges = False
            elif tries.number > 1:  # what stands behind a damaged piece is worth one try only:
                file.truncate(file.tell())  # without it a piece is resumed where the line broke
        except _Damaged as error:
            if tries.is_last:
                raise TrustError(
                    f"{self._blob.name}: the server sends other bytes than its publisher signed",
                    hint="nothing was installed; tell the publisher",
                ) from error

    def _get(self, at: _Spot, stop: int) -> AbstractContextManager[ResponseBody]:
        if not self._is_part(at, stop):
            return self._transport.get(self._blob.url)
        bound = stop if stop < self._blob.length else None
        return self._transport.get(self._blob.url, at.start, bound)

    def _is_part(self, at: _Spot, stop: int) -> bool:
        """True if the server is asked for less than the whole patch."""
        return self._ranges and (at.start > 0 or stop < self._blob.length)

    def _stop(self, at: _Spot) -> int:
        """The offset in the patch at which the wanted bytes from ``at`` on end, without a gap."""
        if self._blocks is None:
            return self._blob.length if self._select is None else self._blob.header_length
        stop = at.start
        for piece in self._pieces():
            if piece.start <= stop < piece.stop:
                stop = piece.stop
        return stop

    def _verified(self, file: BinaryIO) -> _Spot | None:
        """Check what is there: where to go on from, None if nothing is missing."""
        size = min(file.seek(0, 2), self._blob.length)
        file.truncate(size)
        for piece in self._pieces():
            if piece.end > self._sure and not _holds(file, piece):
                at = size if size < piece.end else piece.place
                if size == piece.end:
                    file.truncate(at)  # nothing stands behind it: then a cut costs no whole piece
                self._show(at)
                return piece.spot(at)
            self._sure = max(self._sure, piece.end)
            self._learn(file, piece)
        file.truncate(self._sure)
        self._show(self._sure)
        return None

    def _receive(self, file: BinaryIO, at: _Spot, stop: int, answer: ResponseBody) -> None:
        """Write what the answer has of the pieces that are missing, from ``at`` on.

        It is read up to ``stop`` or a piece that is there already; but if the server knows no
        ranges it is read to the last missing piece, or it would be sent again for the next.
        """
        arriving = _Arriving(answer)
        to_the_last = answer.start < at.start
        for piece in self._pieces():
            if piece.end <= at.place:
                continue
            if not to_the_last and piece.start >= stop:
                return
            if not _holds(file, piece):
                self._fill(file, piece, max(piece.place, at.place), arriving)
                self._learn(file, piece)
            elif not to_the_last:
                return

    def _fill(self, file: BinaryIO, piece: _Piece, place: int, arriving: _Arriving) -> None:
        """Write ``piece`` from ``place`` of the file on."""
        file.seek(place)
        arriving.skip_to(piece.spot(place).start)
        while place < piece.end:
            if not (data := arriving.data()):
                raise TransportError(
                    f"{self._blob.url}: cut off", hint="what came is kept; try again", status=200
                )
            if place == 0:
                refuse_page(self._blob.url, data)
            written = file.write(data[: piece.end - place])
            arriving.drop(written)
            place += written
            self._show(place)
        if not _holds(file, piece):
            raise _Damaged

    def _pieces(self) -> Iterator[_Piece]:
        """Header, then wanted blocks; the header must be in before the second is asked for."""
        yield _Piece(0, 0, self._blob.header_length, self._blob.header_digest)
        assert self._blocks is not None  # noqa: S101 - _learn ran: the first piece is verified
        yield from self._blocks

    def _learn(self, file: BinaryIO, piece: _Piece) -> None:
        if piece.start or self._blocks is not None:
            return
        file.seek(0)
        header = decode_header(file.read(piece.length), self._config.limits)
        if self._blob.header_length + header.blocks_length != self._blob.length:
            raise FormatError(f"{self._blob.name}: blocks do not add up to the signed length")
        wanted = None if self._select is None else frozenset(self._select(header))
        self._blocks = list(_wanted(header, wanted, piece.end))

    def _show(self, done: int) -> None:
        if self._shown < 0:
            if self._blocks is None and self._select is not None:
                return  # how much is wanted only the header tells
            self._progress.start("download", self._total())
            self._shown = 0
        self._progress.advance(done - self._shown)
        self._shown = done

    def _total(self) -> int:
        """Bytes that are wanted."""
        if self._blocks is None:
            return self._blob.length
        return self._blob.header_length + sum(piece.length for piece in self._blocks)


def _wanted(header: Header, wanted: Collection[int] | None, start: int) -> Iterator[_Piece]:
    """The wanted blocks (all, if None) of a patch whose header is ``start`` bytes long."""
    place = start
    for number, block in enumerate(header.blocks):
        if wanted is None or number in wanted:
            yield _Piece(start, place, block.packed_length, block.digest)
            place += block.packed_length
        start += block.packed_length


class _Arriving:
    """The bytes of one answer, one after the other."""

    def __init__(self, answer: ResponseBody) -> None:
        self._at = answer.start
        self._chunks = answer.chunks
        self._data = b""

    def data(self) -> bytes:
        """Bytes to be used next, read if none are left; none at the end."""
        self._data = self._data or next(self._chunks, b"")
        return self._data

    def drop(self, count: int) -> None:
        """Be done with the first ``count`` of them."""
        self._at += count
        self._data = self._data[count:]

    def skip_to(self, start: int) -> None:
        """Go on with the byte at ``start`` of the patch, if it comes so far."""
        while self._at < start and (data := self.data()):
            self.drop(min(len(data), start - self._at))


class _Damaged(Exception):  # noqa: N818 - a state of one try, never seen outside
    """A piece came whole and is not what was signed."""


def _holds(file: BinaryIO, piece: _Piece) -> bool:
    """True if the piece is in ``file``, whole and as signed."""
    return file.seek(0, 2) >= piece.end and _digest(file, piece) == piece.digest


def _digest(file: BinaryIO, piece: _Piece) -> Digest:
    file.seek(piece.place)
    digest = hashlib.sha256()
    left = piece.length
    while left and (data := file.read(min(READ, left))):
        digest.update(data)
        left -= len(data)
    return Digest(digest.digest())
