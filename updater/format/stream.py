"""Compressed bytes of a known length, taken piece by piece; never one more is made."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Protocol

from updater.errors import FormatError

CHUNK = 1 << 16
"""Packed bytes handed to a decoder at once, and the largest piece it is asked for."""


class Decoder(Protocol):
    """What `lzma` and `zstd` call a decompressor."""

    @property
    def eof(self) -> bool:
        """Whether the stream's own end was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more packed bytes."""

    @property
    def unused_data(self) -> bytes:
        """What was handed in behind the stream's end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most ``max_length`` more bytes."""


class Stream:
    """``length`` bytes that a decoder makes of packed ones, read once from start to end."""

    def __init__(
        self,
        decoder: Decoder,
        packed: io.BufferedIOBase,
        length: int,
        what: str,
        errors: tuple[type[Exception], ...],
    ) -> None:
        """``errors``: what the decoder raises for damage. ``what`` names the stream in ours."""
        self._decoder = decoder
        self._packed = packed
        self._left = length
        self._what = what
        self._errors = errors
        self._wrong = FormatError(f"{what}: stream is not of {length} bytes")

    def read(self, length: int) -> bytes:
        """The next ``length`` bytes; for few of them, because they are joined.

        Raises:
            FormatError: the stream is damaged or ends before.
        """
        return b"".join(self.pieces(length))

    def pieces(self, length: int) -> Iterator[bytes]:
        """The next ``length`` bytes in pieces of at most `CHUNK`.

        Raises:
            FormatError: the stream is damaged or ends before.
        """
        if length > self._left:
            raise self._wrong
        self._left -= length
        while length:
            piece = self._more(min(length, CHUNK))
            length -= len(piece)
            yield piece

    def rest(self) -> bytes:
        """All bytes that are left, without ever holding them twice.

        Raises:
            FormatError: the stream is damaged, shorter, longer, or has bytes behind it.
        """
        whole = io.BytesIO()
        whole.writelines(self.pieces(self._left))
        self.end()
        return whole.getvalue()

    def end(self) -> None:
        """Refuse a stream that goes on.

        Raises:
            FormatError: not all was read, or there is more than was announced.
        """
        if self._left:
            raise self._wrong
        while not self._decoder.eof:
            if self._decompress(1):
                raise self._wrong
        if self._decoder.unused_data or self._packed.read(1):
            raise self._wrong

    def _more(self, most: int) -> bytes:
        while not self._decoder.eof:
            if piece := self._decompress(most):
                return piece
        raise self._wrong

    def _decompress(self, most: int) -> bytes:
        packed = self._packed.read(CHUNK) if self._decoder.needs_input else b""
        if self._decoder.needs_input and not packed:
            raise self._wrong
        try:
            return self._decoder.decompress(packed, most)
        except self._errors:
            raise FormatError(f"{self._what}: damaged stream") from None
