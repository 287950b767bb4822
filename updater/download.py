"""Downloading a patch: verified piece by piece as it streams, resumed where it was cut.

A patch's pieces are its header and its blocks; each has a digest we know before its first
byte comes (the header's from signed metadata, the blocks' from the header). A damaged piece is
fetched again, the others are kept.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from updater.config import UpdaterConfig
from updater.errors import FormatError, TransportError, TrustError
from updater.format.header import decode_header
from updater.format.names import Digest
from updater.format.patch import Header
from updater.progress import Progress, Silent
from updater.transport import Answer, Transport
from updater.trust import Blob

READ = 1 << 20
RANGE_REFUSED = {206, 416}
"""Statuses of a server or proxy whose ranges are broken: another part, or none. It is read from
its start then; else what was once cut could never be finished."""


@dataclass(frozen=True)
class _Piece:
    start: int
    length: int
    digest: Digest

    @property
    def end(self) -> int:
        return self.start + self.length


class Download:
    """One patch on its way to ``path``; calling `run` again goes on where it stopped."""

    def __init__(
        self,
        transport: Transport,
        blob: Blob,
        path: Path,
        *,
        config: UpdaterConfig | None = None,
        progress: Progress | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._blob = blob
        self._path = path
        self._config = config or UpdaterConfig()
        self._progress = progress or Silent()
        self._sleep = sleep
        self._header: Header | None = None
        self._shown = -1
        self._ranges = True

    def run(self) -> None:
        """Fetch what is missing; on return ``path`` is the whole patch, verified.

        Raises:
            TransportError: the network, after all tries; what came is kept for the next run.
            TrustError: the server sends other bytes than were signed, at every try.
            FormatError: what was signed is not a patch.
            OSError: the disk.
        """
        mode = "r+b" if self._path.exists() else "w+b"
        attempt, best = 0, -1
        try:
            with self._path.open(mode) as opened:
                file = cast("BinaryIO", opened)
                while (at := self._verified(file)) is not None:
                    # a line that breaks often but brings something each time is a good line
                    attempt, best = (1, at) if at > best else (attempt + 1, best)
                    self._wait(attempt)
                    self._attempt(file, at, attempt)
        finally:
            self._progress.finish()

    def _wait(self, attempt: int) -> None:
        if attempt > 1:
            seconds = self._config.backoff * 2 ** (attempt - 2)
            self._sleep(min(seconds, self._config.backoff_limit))

    def _attempt(self, file: BinaryIO, at: int, attempt: int) -> None:
        begun, last = False, attempt >= self._config.attempts
        try:
            with self._transport.get(self._blob.url, at if self._ranges else 0) as answer:
                begun = True
                self._receive(file, at, answer)
        except TransportError as error:
            refused = at > 0 and self._ranges and error.status in RANGE_REFUSED
            if last or not (begun or refused):  # until an answer begins, the transport tries
                raise
            if refused:
                self._ranges = False
            elif attempt > 1:  # what stands behind a piece being mended is worth one try only:
                file.truncate(file.tell())  # without it a piece is resumed where the line broke
        except _Damaged as error:
            if last:
                raise TrustError(
                    f"{self._blob.name}: the server sends other bytes than its publisher signed",
                    hint="nothing was installed; tell the publisher",
                ) from error

    def _verified(self, file: BinaryIO) -> int | None:
        """Check what is there: the offset to go on from, None if nothing is missing."""
        size = min(file.seek(0, 2), self._blob.length)
        file.truncate(size)
        for piece in self._pieces():
            if not _holds(file, piece):
                at = size if size < piece.end else piece.start
                if size == piece.end:
                    file.truncate(at)  # nothing stands behind it: then a cut costs no whole piece
                self._show(at)
                return at
            self._learn(file, piece)
        self._show(size)
        return None

    def _receive(self, file: BinaryIO, at: int, answer: Answer) -> None:
        """Write the answer from offset ``at`` on, up to a piece that is there already."""
        arrived = _after(answer.chunks, at - answer.start)
        buffer = b""
        for piece in self._pieces():
            if piece.end <= at:
                continue
            if _holds(file, piece):
                return
            file.seek(at)
            while at < piece.end:
                buffer = buffer or next(arrived, b"")
                if not buffer:
                    raise TransportError(
                        f"{self._blob.url}: cut off", hint="what came is kept; try again"
                    )
                written = file.write(buffer[: piece.end - at])
                at, buffer = at + written, buffer[written:]
                self._show(at)
            if not _holds(file, piece):
                raise _Damaged
            self._learn(file, piece)

    def _pieces(self) -> Iterator[_Piece]:
        """Header, then blocks; the header must be in before the second is asked for."""
        blob = self._blob
        yield _Piece(0, blob.header_length, blob.header_digest)
        assert self._header is not None  # noqa: S101 - _learn ran: the first piece is verified
        start = blob.header_length
        for block in self._header.blocks:
            yield _Piece(start, block.packed_length, block.digest)
            start += block.packed_length

    def _learn(self, file: BinaryIO, piece: _Piece) -> None:
        if piece.start or self._header is not None:
            return
        file.seek(0)
        header = decode_header(file.read(piece.length), self._config.limits)
        if self._blob.header_length + header.blocks_length != self._blob.length:
            raise FormatError(f"{self._blob.name}: blocks do not add up to the signed length")
        self._header = header

    def _show(self, done: int) -> None:
        if self._shown < 0:
            self._progress.start("download", self._blob.length)
            self._shown = 0
        self._progress.advance(done - self._shown)
        self._shown = done


class _Damaged(Exception):  # noqa: N818 - a state of one try, never seen outside
    """A piece came whole and is not what was signed."""


def _holds(file: BinaryIO, piece: _Piece) -> bool:
    """Whether the piece is in ``file``, whole and as signed."""
    return file.seek(0, 2) >= piece.end and _digest(file, piece) == piece.digest


def _digest(file: BinaryIO, piece: _Piece) -> Digest:
    file.seek(piece.start)
    digest = hashlib.sha256()
    left = piece.length
    while left and (data := file.read(min(READ, left))):
        digest.update(data)
        left -= len(data)
    return Digest(digest.digest())


def _after(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """``chunks`` without their first ``skip`` bytes."""
    for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))
