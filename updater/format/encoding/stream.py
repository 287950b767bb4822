"""Compressed bytes of a known length, taken piece by piece; never one more is made."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from updater.errors import FormatError
from updater.format.encoding.wire import VARINT_BYTES, Reader

CHUNK = 1 << 16
"""Bytes of a piece, packed or not: few enough to cost no memory, enough to cost no time."""


class ByteSource(Protocol):
    """A source of bytes."""

    def read(self, most: int, /) -> bytes:
        """At most ``most`` more bytes; none only at the end."""


class LimitedReader:
    """The ``length`` bytes of a file from where it stands."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self.left = length
        """Bytes not read yet; more than 0 at the end only if the file is too short."""

    def read(self, most: int, /) -> bytes:
        """At most ``most`` more bytes; none at the end."""
        data = self._file.read(min(most, self.left))
        self.left -= len(data)
        return data


class Decoder(Protocol):
    """A decompressor, as `lzma` and `zstd` have it."""

    @property
    def eof(self) -> bool:
        """True if the packed bytes' own end was reached."""

    @property
    def needs_input(self) -> bool:
        """True if nothing more comes without more packed bytes."""

    @property
    def unused_data(self) -> bytes:
        """Bytes that were handed in behind the end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most ``max_length`` more bytes."""


class Unpacked:
    """The unpacked bytes of a source of packed ones."""

    def __init__(
        self, decoder: Decoder, packed: ByteSource, what: str, errors: tuple[type[Exception], ...]
    ) -> None:
        """``errors``: what the decoder raises for damage; ``what`` names the bytes in ours."""
        self._decoder = decoder
        self._packed = packed
        self._what = what
        self._errors = errors

    def read(self, most: int, /) -> bytes:
        """At most ``most`` more bytes; none at the end.

        Raises:
            FormatError: damage, no end, or bytes behind it.
        """
        while not self._decoder.eof:
            if data := self._decompress(most):
                return data
        if self._decoder.unused_data or self._packed.read(1):
            raise FormatError(f"{self._what}: bytes behind the stream")
        return b""

    def _decompress(self, most: int) -> bytes:
        packed = self._packed.read(CHUNK) if self._decoder.needs_input else b""
        if self._decoder.needs_input and not packed:
            raise FormatError(f"{self._what}: stream cut short")
        try:
            return self._decoder.decompress(packed, most)
        except self._errors:
            raise FormatError(f"{self._what}: damaged stream") from None


class ExactReader:
    """A source that must give ``length`` bytes; each method takes the next of them.

    Every one raises `FormatError` where the source is damaged, shorter or longer.
    """

    def __init__(self, source: ByteSource, length: int, what: str) -> None:
        self._source = source
        self._left = length
        self._wrong = FormatError(f"{what}: stream is not of {length} bytes")

    def pieces(self, length: int) -> Iterator[bytes]:
        """``length`` bytes in pieces of at most `CHUNK`."""
        if length > self._left:
            raise self._wrong
        self._left -= length
        return self._pieces(length)

    def read(self, length: int) -> bytes:
        """``length`` bytes, never held twice however many they are."""
        pieces = self.pieces(length)
        joined = io.BytesIO(bytes(length))  # a buffer that grew would leave holes behind
        joined.writelines(pieces)
        return joined.getvalue()

    def varint(self, most: int, what: str) -> int:
        """An unsigned integer up to ``most``, as `wire.Reader.varint` reads it."""
        data = self.read(1)
        while data[-1] >= 0x80 and len(data) < VARINT_BYTES:
            data += self.read(1)
        return Reader(data).varint(most, what)

    def rest(self) -> bytes:
        """All bytes that are left; then the end."""
        rest = self.read(self._left)
        self.end()
        return rest

    def end(self) -> None:
        """Nothing: there must be no byte more."""
        if self._left or self._source.read(1):
            raise self._wrong

    def _pieces(self, length: int) -> Iterator[bytes]:
        while length:
            piece = self._source.read(min(length, CHUNK))
            if not piece:
                raise self._wrong
            length -= len(piece)
            yield piece
