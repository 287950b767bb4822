"""Integers and byte strings of the binary patch header: written, and read with every bound."""

from __future__ import annotations

from updater.errors import FormatError

VARINT_BYTES = 9
"""63 bits: more than any size or count, and exact in every language."""


class Writer:
    """Collects the bytes of a document."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def varint(self, value: int) -> None:
        """An unsigned integer, little-endian base 128, shortest form."""
        while value > 0x7F:
            self._parts.append(value & 0x7F | 0x80)
            value >>= 7
        self._parts.append(value)

    def signed(self, value: int) -> None:
        """A signed integer, zigzag: 0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
        self.varint(value << 1 if value >= 0 else -value * 2 - 1)

    def raw(self, data: bytes) -> None:
        """Bytes whose length the reader knows."""
        self._parts += data

    def block(self, data: bytes) -> None:
        """Bytes with their length in front."""
        self.varint(len(data))
        self.raw(data)

    def text(self, text: str) -> None:
        """A string in UTF-8, with its length in front."""
        self.block(text.encode())

    def column(self, values: list[int]) -> None:
        """Unsigned integers whose count the reader knows."""
        for value in values:
            self.varint(value)

    def data(self) -> bytes:
        """All that was written."""
        return bytes(self._parts)


class Reader:
    """Takes a document apart; every fault is a `FormatError`, nothing is read twice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def varint(self, most: int, what: str = "number") -> int:
        """An unsigned integer up to ``most``; a longer form than needed is refused."""
        value = shift = 0
        for _ in range(VARINT_BYTES):
            byte = self._byte(what)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if value > most or (byte == 0 and shift > 7):
                    raise FormatError(f"{what} {value} refused, {most} allowed")
                return value
        raise FormatError(f"{what} longer than {VARINT_BYTES} bytes")

    def signed(self, most: int, what: str = "number") -> int:
        """A signed integer of magnitude up to ``most``."""
        value = self.varint(2 * most, what)
        return value >> 1 if value & 1 == 0 else -(value + 1 >> 1)

    def raw(self, length: int, what: str) -> bytes:
        """``length`` bytes."""
        part = self._data[self._at : self._at + length]
        if len(part) != length:
            raise FormatError(f"{what} cut short")
        self._at += length
        return part

    def block(self, most: int, what: str) -> bytes:
        """Bytes with their length in front."""
        return self.raw(self.varint(most, f"length of {what}"), what)

    def text(self, most: int, what: str) -> str:
        """A string of up to ``most`` bytes in UTF-8."""
        return utf8(self.block(most, what), what)

    def column(self, count: int, most: int, what: str) -> list[int]:
        """``count`` unsigned integers up to ``most`` each."""
        return [self.varint(most, what) for _ in range(count)]

    def end(self) -> None:
        """Refuse bytes behind the document."""
        if self._at != len(self._data):
            raise FormatError(f"{len(self._data) - self._at} bytes too many")

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._at

    def _byte(self, what: str) -> int:
        if self._at >= len(self._data):
            raise FormatError(f"{what} cut short")
        self._at += 1
        return self._data[self._at - 1]


def utf8(data: bytes, what: str) -> str:
    """The string that ``data`` spells in UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FormatError(f"{what} is not UTF-8") from None
