"""Make the binary tables of the sample application, from what Python knows of Unicode.

Run as ``python sample_releases/make_data.py``. The tables are checked in, because a later
Unicode would make others.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).parent
LETTERS = range(0x0041, 0xAC00)
"""From A up to the Korean syllables, which have no accents."""
SYMBOLS = range(0x1F300, 0x1F700)
STROKES = dict(zip("ÆæĐđðØøÞþßĦħıŁłŒœŦŧ", "aadddoottshhilloott", strict=True))
"""Letters that Unicode does not take apart; release 2.0.0 knows them."""
SHORT_NAMES = {
    "bike": "🚲", "birthday": "🎂", "call": "📞", "cat": "🐱", "gift": "🎁", "home": "🏠",
    "idea": "💡", "mail": "📧", "meeting": "👥", "pizza": "🍕", "shop": "🛒", "smile": "😊",
}  # fmt: skip
"""More names for symbols, new in release 2.0.0."""


def main() -> None:
    """Write the tables of every release."""
    for version in ("1.0.0", "1.1.0"):
        write(version, strokes={}, short_names={})
    write("2.0.0", STROKES, SHORT_NAMES)


def write(version: str, strokes: Mapping[str, str], short_names: Mapping[str, str]) -> None:
    """Write the tables of one release; see ``keeper/folding.py`` and ``keeper/symbols.py``."""
    folder = HERE / version / "keeper" / "data"
    (folder / "folding.bin").write_bytes(b"".join(folding(strokes)))
    (folder / "symbols.bin").write_bytes(b"".join(symbols(short_names)))


def folding(strokes: Mapping[str, str]) -> Iterator[bytes]:
    """One record for each letter that is read as another one, or not at all."""
    for code in LETTERS:
        base = strokes.get(chr(code)) or plain(chr(code))
        if base is not None and base != chr(code):
            yield struct.pack("<HH", code, ord(base) if base else 0)


def plain(letter: str) -> str | None:
    """``letter`` small and without accents, "" for an accent; None if that is not one letter."""
    parts = unicodedata.normalize("NFKD", letter)
    base = "".join(part for part in parts if not unicodedata.combining(part)).lower()
    return base if len(base) <= 1 else None


def symbols(short_names: Mapping[str, str]) -> Iterator[bytes]:
    """One record for each name of a symbol, in the order of names."""
    names = {unicodedata.name(chr(code), "").lower(): chr(code) for code in SYMBOLS}
    for name, symbol in sorted((names | dict(short_names)).items()):
        if name:
            yield struct.pack("<IB", ord(symbol), len(name)) + name.encode()


if __name__ == "__main__":
    main()
