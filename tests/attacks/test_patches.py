"""Attacks by what is signed and yet not to be believed, end to end; more of section D of the list.

Signed by a thief of the release key, or by a publisher's broken tool. What one block or one plan
may do by itself is in the tests of those modules.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.attacks.hostile import block_of, custom_of, evil_patch, publish
from tests.support.attacks.victim import NEW, OLD, Victim
from tests.support.trees.decoding import unpack
from tests.support.trees.trees import noise, read_tree
from updater.errors import FormatError, NotEnoughSpace, PatchError, RequestError, TransportError
from updater.format.changes import Change, Kind
from updater.format.encoding import lzma2
from updater.format.encoding.limits import DEFAULT, MIB
from updater.format.encoding.wire import Writer
from updater.format.encoding.zstandard import pack
from updater.format.names import Digest
from updater.format.patch_header.patch import LZMA2, STORED, ZSTD, Block, Extent
from updater.patch.delta.bsdiff import Triples
from updater.patch.delta.control import Control, encode_control

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

SIZE = 100
"""Bytes of the evil file."""
CHANGE = (Change(Kind.MODIFY, "data", size=SIZE),)
OLD_PART = (Extent(0, 0, SIZE),)
NEW_PART = (Extent(0, 0, SIZE),)
HEADER = {"length": 50, "sha256": "0" * 64}


def signed(codec: int, raw_length: int, packed: bytes) -> tuple[Block, bytes]:
    """A block whose digest is right, whatever it holds."""
    return Block(OLD_PART, NEW_PART, codec, raw_length, len(packed), Digest.of(packed)), packed


def delta(numbers: bytes, rest: bytes = bytes(SIZE)) -> tuple[Block, bytes]:
    """A stored block that begins with these control numbers."""
    writer = Writer()
    writer.varint(len(numbers))
    raw = writer.data() + numbers + rest
    return signed(STORED, len(raw), raw)


def numbers(adds: Sequence[int], copies: Sequence[int], seeks: Sequence[int]) -> bytes:
    return encode_control(Control(Triples(adds, copies, seeks), [], []))


NUMBERS = {
    "seeks a terabyte": numbers([50, 50], [0, 0], [1 << 40, 0]),
    "gives more than was said": numbers([SIZE], [1], [0]),
    "gives a terabyte": numbers([1 << 40], [0], [0]),
    "adds up to the size by overflow": numbers([1 << 62, 1 << 62, SIZE], [0] * 3, [0] * 3),
    "a number without an end": b"\xff" * 1000,
    "more triples than allowed": b"\xff\xff\xff\x7f\x00",
    "none": b"",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_signed_deltas_with_impossible_numbers(name: str, victim: Victim) -> None:
    evil_patch(victim.publisher, CHANGE, delta(NUMBERS[name]), base="1.0")
    victim.refuses(FormatError, 5)
    victim.recovers()


@pytest.mark.parametrize("seek", [-51, 1], ids=["before the start", "behind the end"])
def test_a_signed_delta_that_reads_outside_the_old_bytes(seek: int, victim: Victim) -> None:
    """Another base is as likely a reason, so another way is looked for; here there is none."""
    block = delta(numbers([50, 50], [0, 0], [seek, 0]))
    evil_patch(victim.publisher, CHANGE, block, base="1.0")
    victim.refuses(PatchError, 6, "outside the old bytes")
    victim.recovers()


def test_a_signed_delta_for_bsdiff_itself(victim: Victim) -> None:
    """Its header is none of ours, whatever length it names."""
    bsdiff = b"BSDIFF40" + (b"\xff" * 7 + b"\x7f") * 3
    evil_patch(victim.publisher, CHANGE, signed(STORED, len(bsdiff), bsdiff), base="1.0")
    victim.refuses(FormatError, 5)
    victim.recovers()


def frame(window: int) -> bytes:
    """A zstd frame of one raw block that asks for a window of 2 ** ``window`` bytes."""
    window_byte, last_raw_block = (window - 10) << 3, (SIZE << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window_byte]) + last_raw_block + noise(SIZE)


PACKED = {
    "a window of 128 MiB": (ZSTD, 0, frame(27)),
    "a window of 2 GiB": (ZSTD, 0, frame(31)),
    "a zstd bomb": (ZSTD, 0, pack(bytes(64 * MIB), b"", 1)),
    "an xz bomb": (LZMA2, SIZE, lzma2.pack(bytes(64 * MIB), preset=1)),
    "half of it": (ZSTD, 0, pack(noise(SIZE), b"")[:50]),
}


def test_a_frame_that_asks_for_little_is_read() -> None:
    """Else the refusals below would prove nothing."""
    assert unpack(frame(10), SIZE, b"", "x") == noise(SIZE)


@pytest.mark.parametrize("name", PACKED)
def test_signed_blocks_that_ask_for_memory(name: str, victim: Victim) -> None:
    evil_patch(victim.publisher, CHANGE, signed(*PACKED[name]), base="1.0")
    victim.refuses(FormatError, 5)
    victim.recovers()


def test_many_bombs_in_one_patch(victim: Victim) -> None:
    bomb = lzma2.pack(bytes(16 * MIB), preset=1)
    changes = tuple(Change(Kind.ADD, f"evil-{n}", size=SIZE) for n in range(200))
    blocks = [
        (Block((), (Extent(n, 0, SIZE),), LZMA2, SIZE, len(bomb), Digest.of(bomb)), bomb)
        for n in range(200)
    ]
    evil_patch(victim.publisher, changes, *blocks, base="1.0")
    victim.refuses(FormatError, 5)
    victim.recovers()


def test_a_patch_that_announces_more_than_any_disk_holds(victim: Victim) -> None:
    """Refused from metadata alone: nothing of it is fetched."""
    victim.publisher.release("2.0", NEW)
    victim.misbehave = lambda handler, _: "/targets/" in handler.path  # which says nothing
    for name in ("notes/patches/1.0_2.0", "notes/releases/2.0/bundle"):
        said = {"write_bytes": DEFAULT.file_bytes, "header": HEADER}
        publish(victim.publisher, name, b"x" * 100, custom_of(victim.publisher, name) | said)
    victim.refuses(NotEnoughSpace, 7)
    victim.recovers()


# Chains


def chain(victim: Victim, *versions: str) -> None:
    """Releases with a patch from each to the next alone; their bundles cost more than all."""
    for last, version in zip(("1.0", *versions), versions, strict=False):
        tree = NEW if version == versions[-1] else {**OLD, "more": version.encode()}
        victim.publisher.add(version, tree, bases=[last])
    victim.publisher.promote(versions[-1])


def files_of(victim: Victim, end: str) -> None:
    """Remove published files from the server; metadata goes on naming them."""
    for path in victim.publisher.folder.glob(f"targets/notes/{end}"):
        path.unlink()


def test_a_chain_with_a_missing_link_gives_way_to_the_bundle(victim: Victim) -> None:
    chain(victim, "1.1", "1.2", "2.0")
    files_of(victim, "patches/*.1.1_1.2")
    assert victim.takes() == {}


def test_a_chain_with_a_missing_link_and_no_bundle_goes_over_another(victim: Victim) -> None:
    chain(victim, "1.1", "1.2", "2.0")
    files_of(victim, "patches/*.1.1_1.2")
    files_of(victim, "releases/2.0/*.bundle")
    assert victim.updater.update()
    assert read_tree(victim.folder) == NEW


def test_a_chain_with_a_missing_link_and_no_bundle_behind_it(victim: Victim) -> None:
    chain(victim, "1.1", "1.2", "2.0")
    files_of(victim, "patches/*.1.1_1.2")
    files_of(victim, "releases/*/*.bundle")
    victim.refuses(TransportError, 3, "404", "1.1_1.2", "bundle")


def test_a_circle_of_patches_that_leads_nowhere(victim: Victim) -> None:
    """1.0 <-> 1.1 and 2.0 <-> 2.1, and nothing from the one circle to the other."""
    chain(victim, "1.1", "2.0")
    block = block_of(b"x", Extent(0, 0, 1))[1]
    custom = custom_of(victim.publisher, "notes/patches/1.0_1.1")
    for pair in ("1.1_1.0", "2.0_2.1", "2.1_2.0"):
        publish(
            victim.publisher,
            f"notes/patches/{pair}",
            block,
            {**custom, "header": {**HEADER, "length": 1}},
        )
    gone = ["notes/patches/1.1_2.0", *(f"notes/releases/{v}/bundle" for v in ("1.1", "2.0"))]
    victim.publisher.repository().publish("app.notes", [], gone=gone)
    victim.refuses(RequestError, 7, "no patch or bundle leads to 2.0")
    victim.recovers()
