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


@dataclass(frozen=True)
class _Piece:
    start: int
    length: int
    digest: Digest


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
                while (kept := self._verified(file)) < self._blob.length:
                    # a line that breaks often but brings something each time is a good line
                    attempt, best = (1, kept) if kept > best else (attempt + 1, best)
                    self._attempt(file, last=attempt >= self._config.attempts)
                    if attempt > 1:
                        self._sleep(self._config.backoff * 2 ** (attempt - 2))
        finally:
            self._progress.finish()

    def _attempt(self, file: BinaryIO, *, last: bool) -> None:
        try:
            with self._transport.get(self._blob.url, file.tell()) as answer:
                self._receive(file, answer)
        except TransportError as error:
            if last or not error.retryable:
                raise
        except _Damaged as error:
            if last:
                raise TrustError(
                    f"{self._blob.name}: the server sends other bytes than its publisher signed",
                    hint="nothing was installed; tell the publisher",
                ) from error

    def _verified(self, file: BinaryIO) -> int:
        """Check what is there; cut it off behind the last byte worth keeping, and go there."""
        size = min(file.seek(0, 2), self._blob.length)
        for piece in self._pieces():
            if piece.start + piece.length > size:
                break
            if _digest(file, piece) != piece.digest:
                size = piece.start
                break
            self._learn(file, piece)
        file.truncate(size)
        self._show(size)
        return file.seek(size)

    def _receive(self, file: BinaryIO, answer: Answer) -> None:
        """Append the answer, piece by piece; a damaged piece is cut off and told."""
        skip = file.tell() - answer.start
        arrived = _after(answer.chunks, skip)
        buffer = b""
        for piece in self._pieces():
            if piece.start + piece.length <= file.tell():
                continue
            while (missing := piece.start + piece.length - file.tell()) > 0:
                buffer = buffer or next(arrived, b"")
                if not buffer:
                    raise TransportError(f"{self._blob.url}: cut off")
                file.write(buffer[:missing])
                self._show(file.tell())
                buffer = buffer[missing:]
            if _digest(file, piece) != piece.digest:
                file.seek(piece.start)
                file.truncate()
                raise _Damaged
            self._learn(file, piece)
            file.seek(0, 2)

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
