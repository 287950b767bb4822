"""Raw LZMA2 streams: no container, because block and header carry their own length and digest."""

from __future__ import annotations

import io
import lzma

from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.encoding.stream import ByteSource, ExactReader, Unpacked

BEST = 9 | lzma.PRESET_EXTREME
"""xz's 9e: what a patch is worth, because every user fetches it and CI packs it once."""


def pack(raw: bytes, *, pb: int = 2, preset: int = BEST) -> bytes:
    """``raw`` compressed; ``pb`` is the alignment LZMA assumes, as a power of 2."""
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": preset,
            "dict_size": dictionary_size(len(raw)),
            "pb": pb,
        }
    ]
    return lzma.compress(raw, lzma.FORMAT_RAW, filters=filters)


def unpack(packed: bytes, raw_length: int, what: str) -> bytes:
    """Exactly ``raw_length`` bytes from a raw LZMA2 stream; never a byte more is decompressed.

    Raises:
        FormatError: the stream is damaged, longer, shorter, or has bytes behind it.
    """
    return unpacking(io.BytesIO(packed), raw_length, what).rest()


def unpacking(packed: ByteSource, raw_length: int, what: str) -> ExactReader:
    """The same, piece by piece. Holds a dictionary of ``raw_length``, at most 16 MiB."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": dictionary_size(raw_length)}]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    unpacked = Unpacked(decoder, packed, what, (lzma.LZMAError, EOFError))
    return ExactReader(unpacked, raw_length, what)


def dictionary_size(raw_length: int, limits: Limits = DEFAULT) -> int:
    """The dictionary of a stream of ``raw_length`` bytes: a power of 2, 4 KiB to 16 MiB.

    A function of the length, so that it need not be written down and a small block costs its
    decoder little memory.
    """
    return min(max(1 << (raw_length - 1).bit_length(), 4096), limits.dictionary_bytes)
