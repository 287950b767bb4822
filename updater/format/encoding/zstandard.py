"""The client's one door to zstd: frames whose matches may lie in a prefix, the old bytes.

A block packed so needs no list of matches: the compressor finds them and spells them itself,
which suits many small differences in no order. In the standard library from Python 3.14.
"""

from __future__ import annotations

import sys

from updater.format.encoding.stream import ByteSource, ExactReader, Unpacked

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BEST = 19
"""The highest level that is not `ultra`."""
SHORTEST_PREFIX = 8
"""Bytes. Of a shorter one zstd makes nothing, and its bindings refuse it."""
WINDOW_LEAST, WINDOW_MOST = 10, 27
"""Exponents of 2 that every implementation of zstd takes."""


def pack(new: bytes, prefix: bytes, level: int = BEST) -> bytes:
    """One frame whose content is ``new``, without checksum, because the block has a digest.

    The window reaches from the end of ``new`` back to the start of ``prefix``. The content's
    length stands in the frame: then its decoder's window need not be larger than ``new``.
    """
    window = (len(new) + len(prefix)).bit_length()
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: level,
        parameter.window_log: min(max(window, WINDOW_LEAST), WINDOW_MOST),
        parameter.enable_long_distance_matching: 1,
        parameter.checksum_flag: 0,
        parameter.content_size_flag: 1,
    }
    compressor = zstd.ZstdCompressor(options=options, zstd_dict=_prefix(prefix))
    compressor.set_pledged_input_size(len(new))
    return compressor.compress(new, compressor.FLUSH_FRAME)


def unpacking(packed: ByteSource, raw_length: int, prefix: bytes, what: str) -> ExactReader:
    """Read exactly ``raw_length`` bytes from one frame; never a byte more is decompressed.

    Holds a copy of ``prefix`` and a window of ``raw_length``. The reader raises `FormatError` if
    the frame is damaged, longer, shorter, has bytes behind it, or asks for a larger window than
    its content explains.
    """
    window = max((raw_length - 1).bit_length(), WINDOW_LEAST)
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window}
    decoder = zstd.ZstdDecompressor(zstd_dict=_prefix(prefix), options=options)
    unpacked = Unpacked(decoder, packed, what, (zstd.ZstdError, EOFError))
    return ExactReader(unpacked, raw_length, what)


def _prefix(prefix: bytes) -> tuple[zstd.ZstdDict, int] | None:
    if len(prefix) < SHORTEST_PREFIX:
        return None
    return zstd.ZstdDict(prefix, is_raw=True).as_prefix
