"""A delta's numbers as they stand in a block: varints in columns, read and written at once.

`Reader` and `Writer` of the wire take one number at a time, each with its own bound. A block
may hold a million, so this takes them all in one loop and checks each column as a whole.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from updater.errors import FormatError
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.encoding.wire import VARINT_BYTES
from updater.patch.delta.bsdiff import Triples

_CONTINUED = bytes(range(0x80, 0x100))
"""Every byte of a varint but its last."""
_TOO_LONG = re.compile(rb"[\x80-\xff]{%d}" % VARINT_BYTES)
"""The start of a number of more bytes than any may have: to add up megabytes takes hours."""


@dataclass(frozen=True, slots=True)
class Control:
    """The numbers of one delta.

    Gap k of the difference, ``gaps[k]`` zeros that are not written out, comes behind
    ``literals[k]`` bytes that are; what is left behind the last gap is written out.
    """

    triples: Triples
    literals: Sequence[int]
    gaps: Sequence[int]


def most_bytes(limits: Limits = DEFAULT) -> int:
    """Most bytes of control numbers: two counts, and as many gaps as triples may be.

    4 bytes hold a number up to 256 Mi, and no length or doubled seek within a block is above.
    """
    return 2 * 4 + 5 * 4 * limits.block_triples


def encode_control(control: Control) -> bytes:
    """The bytes of ``control``."""
    triples = control.triples
    counts = len(triples.adds), len(control.gaps)
    seeks = (seek << 1 if seek >= 0 else -seek * 2 - 1 for seek in triples.seeks)
    columns = (counts, triples.adds, triples.copies, seeks, control.literals, control.gaps)
    return b"".join(_varints(column) for column in columns)


def decode_control(data: bytes, new_length: int, limits: Limits = DEFAULT) -> Control:
    """The control numbers that ``data`` spells, and nothing behind them.

    Raises:
        FormatError: it does not, a limit is passed, or the lengths are not those of
            ``new_length`` bytes.
    """
    numbers = _numbers(data, limits)
    triples, gaps = numbers[0], numbers[1]
    columns, at = [], 2
    for count in (triples, triples, triples, gaps, gaps):
        columns.append(numbers[at : at + count])
        at += count
    adds, copies, seeks, literals, zeros = columns
    if sum(adds) + sum(copies) != new_length:
        raise FormatError("control numbers do not give the block's new bytes")
    if sum(literals) + sum(zeros) > sum(adds):
        raise FormatError("gaps beyond the difference bytes")
    if seeks and max(seeks) > 2 * limits.block_old_bytes:
        raise FormatError(f"seek refused, {limits.block_old_bytes} bytes allowed")
    signed = array("q", ((n >> 1) ^ -(n & 1) for n in seeks))
    return Control(Triples(adds, copies, signed), literals, zeros)


def _numbers(data: bytes, limits: Limits) -> array[int]:
    """All numbers; before they are made, it is certain that there are not too many, nor long."""
    if _TOO_LONG.search(data):
        raise FormatError(f"control number longer than {VARINT_BYTES} bytes")
    counts = _parse(data[: 2 * VARINT_BYTES], 2)
    if len(counts) < 2 or max(counts) > limits.block_triples:
        raise FormatError(f"triples or gaps refused, {limits.block_triples} allowed")
    count = 2 + 3 * counts[0] + 2 * counts[1]
    ends = len(data.translate(None, _CONTINUED))
    if ends != count or data[-1] >= 0x80:
        raise FormatError(f"{ends} control numbers, {count} announced")
    return _parse(data, count)


def _parse(data: bytes, most: int) -> array[int]:
    """The first ``most`` varints of ``data``, none of them too long, or as many as there are."""
    numbers = array("q")
    value = shift = 0
    for byte in data:
        if byte >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            continue
        if not byte and shift:
            raise FormatError("control number not in shortest form")
        numbers.append(value | byte << shift)
        value = shift = 0
        if len(numbers) == most:
            break
    return numbers


def _varints(values: Iterable[int]) -> bytes:
    data = bytearray()
    append = data.append
    for number in values:
        value = number
        while value > 0x7F:
            append(value & 0x7F | 0x80)
            value >>= 7
        append(value)
    return bytes(data)
