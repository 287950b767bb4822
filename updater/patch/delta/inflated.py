"""The inflated view: deflate streams taken apart, so that what is alike inside looks alike.

The view's bytes describe themselves: before every stream stand the bytes of the file that lead to
it, then what the stream inflates to, each with its length in front. So a recipe needs to say
nothing of what both releases share: of an old file where streams are not to be expected, of a
new one the parameters they are deflated with again. docs/format.md specifies every byte.

Both directions stand here, so that what is written and what is read cannot drift apart.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import cache
from itertools import groupby
from typing import BinaryIO

from updater.errors import FormatError, PatchError
from updater.format.encoding.limits import DEFAULT
from updater.format.encoding.wire import VARINT_BYTES, Reader, Writer

STREAMS_MOST = 250_000
"""Streams of one file: as many as a release has entries."""
SEPARATORS_MOST = 65_536
"""Separators of one stream in pieces: 12 bytes each, held in memory."""
SETS_MOST = 64
"""Parameter sets of one recipe: each costs a probe, up to 10 ms."""
WINDOW = 4096
"""Bytes behind a stream that the next one's place is guessed from."""

WHOLE = 0
"""Kind of a stream that lies in one piece."""
CHUNKED = 1
"""Kind of a stream that is cut into the IDAT chunks of a PNG image."""
KINDS = (WHOLE, CHUNKED)
CHUNK_TYPE = b"IDAT"
SEPARATOR = 12
"""Bytes between two pieces: the CRC of one chunk, the length and type of the next."""
LEAD = 10
"""Bytes before the first piece: length and type of its chunk, then zlib's two."""

CHUNK = 1 << 16
"""Bytes handled at once."""
FEED = 1 << 13
"""Deflated bytes inflated at once; zlib copies what is left of them."""
HELD = 1 << 20
"""Inflated bytes of a stream held in memory; a longer one is inflated twice."""
ENDLESS = 1 << 62


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters a stream is deflated with, in zlib's terms."""

    level: int
    window_bits: int
    memory_level: int
    strategy: int


BOUNDS = ((1, 9), (9, 15), (1, 9), (0, 4))
"""Least and most of each parameter. Level 0 is left out: its output depends on its buffers."""


# --- recipes ------------------------------------------------------------------------------------


def write_open_recipe(starts: list[tuple[int, int]]) -> bytes:
    """The recipe of an old file.

    Args:
        starts: of each stream its kind, and its start less the one `predict` gives.
    """
    writer = Writer()
    writer.varint(len(starts))
    for (kind, difference), run in groupby(starts):
        writer.varint(len(list(run)))
        writer.varint(kind)
        writer.signed(difference)
    return writer.data()


def write_close_recipe(streams: list[tuple[int, Parameters]]) -> bytes:
    """The recipe of a new file, with the checksums of this machine's zlib.

    Args:
        streams: of each stream its kind and its parameters, at most `SETS_MOST` different ones.
    """
    sets = [parameters for parameters, _ in Counter(p for _, p in streams).most_common()]
    writer = Writer()
    writer.varint(len(sets))
    for parameters in sets:
        writer.column(list(astuple(parameters)))
        writer.raw(probe_checksum(parameters).to_bytes(4, "big"))
    writer.varint(len(streams))
    for (kind, parameters), run in groupby(streams):
        writer.varint(len(list(run)))
        writer.varint(kind)
        writer.varint(sets.index(parameters))
    return writer.data()


def _read_starts(recipe: bytes) -> Iterator[tuple[int, int]]:
    reader = Reader(recipe)
    for count, kind in _read_runs(reader):
        difference = reader.signed(DEFAULT.file_bytes, "start of a stream")
        for _ in range(count):
            yield kind, difference


def _read_streams(recipe: bytes) -> Iterator[tuple[int, Parameters]]:
    reader = Reader(recipe)
    sets = [parameters for parameters, _ in _read_sets(reader)]
    for count, kind in _read_runs(reader):
        number = reader.varint(len(sets) - 1, "parameter set")
        for _ in range(count):
            yield kind, sets[number]


def _read_runs(reader: Reader) -> Iterator[tuple[int, int]]:
    """(streams, kind) of every run; the caller reads the run's third field each time."""
    left = reader.varint(STREAMS_MOST, "number of streams")
    while left:
        count = reader.varint(left, "length of a run")
        if not count:
            raise FormatError("empty run of streams")
        left -= count
        yield count, reader.varint(KINDS[-1], "kind of a stream")
    reader.end()


def _read_sets(reader: Reader) -> list[tuple[Parameters, int]]:
    count = reader.varint(SETS_MOST, "number of parameter sets")
    return [(_read_parameters(reader), _read_checksum(reader)) for _ in range(count)]


def _read_parameters(reader: Reader) -> Parameters:
    values = [reader.varint(most, "zlib parameter") for _, most in BOUNDS]
    if any(value < least for value, (least, _) in zip(values, BOUNDS, strict=True)):
        raise FormatError(f"zlib parameters {values} refused")
    return Parameters(*values)


def _read_checksum(reader: Reader) -> int:
    return int.from_bytes(reader.raw(4, "checksum of a parameter set"), "big")


# --- the probe ---------------------------------------------------------------------------------


PROBE_BYTES = 98_304
"""Three windows, and more symbols than a block of the largest memory level holds."""
LETTERS_BYTES = 16_384
"""Bytes of the probe after which it draws from twice as many letters."""


@cache
def probe() -> bytes:
    """Bytes that implementations of deflate disagree on: short repeats at many distances."""
    data = bytearray(b"upswap")
    draws = _draws()
    while len(data) < PROBE_BYTES:
        if next(draws) % 2:
            letters = 4 << len(data) // LETTERS_BYTES  # many repeats to choose from, then few
            data += bytes(48 + next(draws) % letters for _ in range(1 + next(draws) % 12))
        else:
            distance = 1 + next(draws) % len(data)
            length = 3 + next(draws) % 13
            data += (data[-distance:][:length] * length)[:length]
    return bytes(data[:PROBE_BYTES])


def _draws() -> Iterator[int]:
    """Numbers below 32768 of a linear congruential generator."""
    state = 1
    while True:
        state = (state * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        yield state >> 16


@cache
def probe_checksum(parameters: Parameters) -> int:
    """CRC-32 of the probe, deflated by this machine's zlib."""
    return zlib.crc32(b"".join(deflate([probe()], parameters)))


# --- deflate, both ways -------------------------------------------------------------------------


def deflate(parts: Iterable[bytes], parameters: Parameters) -> Iterator[bytes]:
    """The raw deflate stream of ``parts``, piece by piece."""
    compressor = zlib.compressobj(
        parameters.level,
        zlib.DEFLATED,
        -parameters.window_bits,
        parameters.memory_level,
        parameters.strategy,
    )
    for part in parts:
        if deflated := compressor.compress(part):
            yield deflated
    yield compressor.flush()


class LookaheadReader:
    """A file read forward, with a look ahead; never much of it in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""
        self._index = 0
        self._base = 0

    @property
    def position(self) -> int:
        """The offset of the next byte in the file."""
        return self._base + self._index

    def seek(self, position: int) -> None:
        """Continue at ``position``."""
        self._file.seek(position)
        self._buffer, self._index, self._base = b"", 0, position

    def peek(self, length: int) -> bytes:
        """The next ``length`` bytes, fewer at the end of the file; they stay where they are."""
        if len(self._buffer) - self._index < length:
            self._base += self._index
            self._buffer = self._buffer[self._index :] + self._file.read(max(length, CHUNK))
            self._index = 0
        return self._buffer[self._index : self._index + length]

    def take(self, most: int) -> bytes:
        """Up to ``most`` bytes: none at the end of the file only."""
        if self._index == len(self._buffer):
            self.peek(1)
        data = self._buffer[self._index : self._index + most]
        self._index += len(data)
        return data

    def back(self, length: int) -> None:
        """Give back the end of what was taken last."""
        self._index -= length

    def exactly(self, length: int) -> bytes:
        """The next ``length`` bytes.

        Raises:
            PatchError: the file ends before.
        """
        data = self.peek(length)
        if len(data) < length:
            raise PatchError("an inflated view's bytes are cut short")
        self._index += length
        return data

    def chunks(self, length: int) -> Iterator[bytes]:
        """The next ``length`` bytes, in chunks; `PatchError` if the file ends before."""
        while length:
            data = self.take(min(length, CHUNK))
            if not data:
                raise PatchError("an inflated view's bytes are cut short")
            length -= len(data)
            yield data

    def rest(self) -> Iterator[bytes]:
        """All that is left, in chunks."""
        while data := self.take(CHUNK):
            yield data

    def varint(self, most: int, what: str) -> int:
        """An unsigned integer up to ``most``; `FormatError` if it is none."""
        reader = Reader(self.peek(VARINT_BYTES))
        value = reader.varint(most, what)
        self._index += reader.position
        return value


class Deflated:
    """The deflate stream at a source's position, perhaps in pieces."""

    def __init__(self, source: LookaheadReader, first: int = ENDLESS) -> None:
        """``first`` is the length of the first piece."""
        self.separators = bytearray()
        """The bytes between the pieces, known when all is inflated."""
        self._source = source
        self._left = first

    def inflated(self) -> Iterator[bytes]:
        """Inflate it, in chunks; the source stands behind the stream then.

        Raises:
            PatchError: there is no whole stream.
        """
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        part = b""
        while not inflater.eof:
            has_more = len(part) == CHUNK  # perhaps, without needing what is in the next piece
            data = inflater.unconsumed_tail or (b"" if has_more else self._take())
            try:
                part = inflater.decompress(data, CHUNK)
            except zlib.error:
                raise PatchError("no deflate stream where the recipe says one is") from None
            if part:
                yield part
            elif not data and not has_more:
                raise PatchError("a deflate stream is cut short")
        self._source.back(len(inflater.unused_data))

    def _take(self) -> bytes:
        while not self._left:
            self._left = self._next_piece()
        data = self._source.take(min(self._left, FEED))
        self._left -= len(data)
        return data

    def _next_piece(self) -> int:
        separator = self._source.exactly(SEPARATOR)
        if separator[8:] != CHUNK_TYPE or len(self.separators) >= SEPARATORS_MOST * SEPARATOR:
            raise PatchError("a deflate stream's pieces do not follow each other")
        self.separators += separator
        return _piece_length(separator)


def first_piece(kind: int, lead: bytes) -> int:
    """The length of the first piece of a stream behind ``lead``, the last bytes before it.

    Raises:
        PatchError: they do not begin a chunk.
    """
    if kind == WHOLE:
        return ENDLESS
    length = int.from_bytes(lead[:4], "big") - (LEAD - 8)
    if len(lead) < LEAD or lead[4:8] != CHUNK_TYPE or length < 0:
        raise PatchError("no image chunk where the recipe says one is")
    return length


def _piece_length(separator: bytes) -> int:
    return int.from_bytes(separator[4:8], "big")


def _in_pieces(parts: Iterable[bytes], first: int, separators: bytes) -> Iterator[bytes]:
    """``parts`` with the separators where the lengths in them say."""
    left = first
    waiting = deque(separators[at : at + SEPARATOR] for at in range(0, len(separators), SEPARATOR))
    for part in parts:
        rest = part
        while len(rest) > left:
            if not waiting:
                raise PatchError("a stream is longer than its pieces")
            separator = waiting.popleft()
            yield rest[:left] + separator
            rest, left = rest[left:], _piece_length(separator)
        yield rest
        left -= len(rest)
    if waiting:
        raise PatchError("a stream is shorter than its pieces")


# --- what lies between streams ------------------------------------------------------------------


RECORD = 46
_RECORD = re.compile(rb"PK\x01\x02.{%d}" % (RECORD - 4), re.DOTALL)
"""The fixed part of a record of a zip's central directory."""


class _Gap:
    """Bytes between streams on their way into the view (sign 1) or out of it (sign -1).

    Records of a zip's central directory hold the place of each entry, and one more byte early in
    the archive changes all places behind. So in the view a place counts from where the record
    before makes it likely: what an entry did not change, its record does not.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._held = b""
        self._likely = 0

    def through(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """``parts`` in their other form, of the same length all together."""
        for part in parts:
            yield self._feed(self._held + part)
        yield self._held

    def _feed(self, data: bytes) -> bytes:
        done = 0
        out = bytearray()
        for match in _RECORD.finditer(data):
            out += data[done : match.start()] + self._converted(match.group())
            done = match.end()
        keep = max(done, len(data) - (RECORD - 1))  # the rest may hold the start of a record
        out += data[done:keep]
        self._held = data[keep:]
        return bytes(out)

    def _converted(self, record: bytes) -> bytes:
        value = int.from_bytes(record[42:], "little")
        other = (value - self._sign * self._likely) % (1 << 32)
        place = value if self._sign > 0 else other
        packed = int.from_bytes(record[20:24], "little")
        self._likely = place + packed + int.from_bytes(record[28:30], "little")
        return record[:42] + other.to_bytes(4, "little")


# --- where the next stream is to be expected ----------------------------------------------------


def predict(window: bytes) -> int:
    """The likely offset of the next stream in ``window``.

    The window is the bytes behind a stream, or those at the start of a file.

    A guess for archives that are well-formed; any answer is right for any bytes.
    """
    for at in (0, 12, 16, 20, 24):  # no data descriptor, or one of the four lengths
        if window.startswith(b"PK\3\4", at):
            return _behind_local_headers(window, at)
    for at in (0, 8):  # behind CRC and length of the member before
        if window.startswith(b"\x1f\x8b\x08", at):
            return _behind_gzip_header(window, at)
    for at in (0, 4):  # behind the checksum of the stream before
        if is_zlib_header(window[at : at + 2]):
            return at + 2
    return window.find(CHUNK_TYPE) + 6 if CHUNK_TYPE in window else 0


def is_zlib_header(header: bytes) -> bool:
    """True if two bytes may begin a zlib stream (RFC 1950) without a dictionary."""
    if len(header) != 2 or header[0] & 0x8F != 8 or header[1] & 0x20:
        return False
    return int.from_bytes(header, "big") % 31 == 0


def _behind_local_headers(window: bytes, at: int) -> int:
    """Behind the header of the first deflated entry, over those stored in the window."""
    behind = at
    while window.startswith(b"PK\3\4", at) and at + 30 <= len(window):
        method = window[at + 8]
        names = _little(window, at + 26, 2) + _little(window, at + 28, 2)
        behind = at + 30 + names
        if method == zlib.DEFLATED:
            return behind
        at = behind + _little(window, at + 18, 4)
    return behind


def _behind_gzip_header(window: bytes, at: int) -> int:
    """Behind extra field, name, comment and CRC, whichever there are (RFC 1952)."""
    flags = window[at + 3] if at + 3 < len(window) else 0
    at += 10
    if flags & 4:
        at += 2 + _little(window, at, 2)
    for flag in (8, 16):
        if flags & flag:
            at = window.find(b"\0", at) + 1 or len(window)
    return at + (flags & 2)


def _little(window: bytes, at: int, size: int) -> int:
    return int.from_bytes(window[at : at + size], "little")


# --- the view -----------------------------------------------------------------------------------


class _Sink:
    """Writes a view, never more than a view may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = DEFAULT.view_bytes

    def write(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left < 0:
            raise PatchError(f"a view passes {DEFAULT.view_bytes} bytes")
        self._file.write(data)

    def varint(self, value: int) -> None:
        writer = Writer()
        writer.varint(value)
        self.write(writer.data())


class InflatedView:
    """The `View` of files that hold deflate streams.

    Files are written forward. Those that are read must be seekable: `open` reads a long stream
    twice.
    """

    def check(self, recipe: bytes) -> None:
        """Find out before any work whether `close` with ``recipe`` can work on this machine.

        Raises:
            PatchError: zlib gives other bytes here than the builder's; only this file is
                concerned, and a bundle has it.
            FormatError: not a recipe; its author is at fault.
        """
        for parameters, checksum in _read_sets(Reader(recipe)):
            if probe_checksum(parameters) != checksum:
                raise PatchError(
                    f"zlib {zlib.ZLIB_RUNTIME_VERSION} of this machine deflates in another way",
                    hint="the file comes from the bundle",
                )

    def open(self, file: BinaryIO, recipe: bytes, view: BinaryIO) -> None:
        """Write the view of ``file`` into ``view``.

        Raises:
            PatchError: the recipe is not this file's, or the view would pass its limit.
            FormatError: not a recipe; its author is at fault.
            OSError: the disk.
        """
        source, sink = LookaheadReader(file), _Sink(view)
        for kind, difference in _read_starts(recipe):
            length = predict(source.peek(WINDOW)) + difference
            if length < 0:
                raise PatchError("a stream begins before the end of another")
            sink.varint(length)
            lead = _copy_gap(sink, source.chunks(length))
            _open_stream(source, sink, kind, first_piece(kind, lead))
        _copy_gap(sink, source.rest())

    def close(self, view: BinaryIO, recipe: bytes, file: BinaryIO) -> None:
        """Write the file that ``view`` reads into ``file``.

        Raises:
            PatchError: as `check`; or these are not the bytes of a view.
            FormatError: not a recipe, or not a view; their author is at fault.
            OSError: the disk.
        """
        self.check(recipe)
        source = LookaheadReader(view)
        for kind, parameters in _read_streams(recipe):
            length = source.varint(DEFAULT.view_bytes, "bytes before a stream")
            lead = b""
            for part in _Gap(-1).through(source.chunks(length)):
                file.write(part)
                lead = (lead + part)[-LEAD:]
            _close_stream(source, file, parameters, kind, first_piece(kind, lead))
        for part in _Gap(-1).through(source.rest()):
            file.write(part)


def _copy_gap(sink: _Sink, parts: Iterable[bytes]) -> bytes:
    """Write the gap of ``parts`` and give its last bytes."""
    lead = b""

    def watched() -> Iterator[bytes]:
        nonlocal lead
        for part in parts:
            lead = (lead + part)[-LEAD:]
            yield part

    for part in _Gap(1).through(watched()):
        sink.write(part)
    return lead


def _open_stream(source: LookaheadReader, sink: _Sink, kind: int, first: int) -> None:
    start = source.position
    stream = Deflated(source, first)
    length, held = _measured(stream, sink.left)
    sink.varint(length)
    if kind == CHUNKED:
        sink.varint(len(stream.separators) // SEPARATOR)
        sink.write(bytes(stream.separators))
    if length > HELD:
        source.seek(start)
    for part in held if length <= HELD else Deflated(source, first).inflated():
        sink.write(part)


def _measured(stream: Deflated, most: int) -> tuple[int, list[bytes]]:
    """The length of a stream's content, and the content if it is not long."""
    length = 0
    held = []
    for part in stream.inflated():
        length += len(part)
        if length > most:
            raise PatchError(f"a view passes {DEFAULT.view_bytes} bytes")
        if length <= HELD:
            held.append(part)
    return length, held


def _close_stream(
    source: LookaheadReader, file: BinaryIO, parameters: Parameters, kind: int, first: int
) -> None:
    length = source.varint(DEFAULT.view_bytes, "length of a stream")
    count = source.varint(SEPARATORS_MOST, "number of separators") if kind == CHUNKED else 0
    separators = source.exactly(count * SEPARATOR)
    parts = deflate(source.chunks(length), parameters)
    for part in _in_pieces(parts, first, separators):  # noqa: FURB122 - file may only have write
        file.write(part)
