"""Every parser of ours survives any change of what it reads, within a memory bound."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from patchtool.repository.local_transport import URL, SnapshotTransport
from patchtool.repository.snapshot import Snapshot
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical

from tests.support.attacks.hostile import newest, right_signer
from tests.support.attacks.parsers import NAMES, Parser, of_the_network, of_the_state, parsers
from tests.support.repository.publisher import Publisher
from tests.support.trees.junk import JUNK, changed, places
from tests.support.trees.strategies import SETTINGS
from updater.check.trust import Trust
from updater.errors import UpdaterError
from updater.format.encoding.canonical import encode
from updater.format.encoding.limits import MIB

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

MEMORY = 24 * MIB
"""More than any of these small documents, whatever it announces, may make a parser take: the
dictionary of one packed part has 16 MiB at most."""
JSON = [
    name for name in NAMES if name not in {"header", "patch", "partial", "lzma2", "zstd", "block"}
]
JSON = [name for name in JSON if name not in {"control", "opened", "closed", "release.toml"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def all_parsers(folder: Path) -> dict[str, Parser]:
    return parsers(folder)


def test_no_parser_is_left_out(folder: Path) -> None:
    assert [*of_the_network(), *of_the_state(folder)] == NAMES


@contextmanager
def within_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def feed(parser: Parser, data: bytes, folder: Path) -> None:
    """It understands, or says why not in the way it promised; anything else fails the test."""
    with within_memory(), suppress(*parser.errors):
        parser.parse(data, folder)


@pytest.mark.parametrize("name", NAMES)
def test_the_honest_document_is_read(
    name: str, all_parsers: dict[str, Parser], folder: Path
) -> None:
    """Else its changes would all be refused for another reason."""
    parser = all_parsers[name]
    parser.parse(parser.sample, folder)


@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(data=st.data())
def test_spliced_bytes(
    name: str, all_parsers: dict[str, Parser], folder: Path, data: st.DataObject
) -> None:
    parser = all_parsers[name]
    mutated = parser.sample
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated)))
        end = at + data.draw(st.integers(0, 8))
        piece = data.draw(st.binary(max_size=8) | st.just(mutated[:at]))
        mutated = mutated[:at] + piece + mutated[end:]
    feed(parser, mutated, folder)


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_changed_and_every_cut(
    name: str, all_parsers: dict[str, Parser], folder: Path
) -> None:
    parser = all_parsers[name]
    for at, byte in enumerate(parser.sample):
        before, after = parser.sample[:at], parser.sample[at + 1 :]
        with suppress(*parser.errors):
            parser.parse(before, folder)
        for mask in (0x01, 0x80, 0xFF):
            with suppress(*parser.errors):
                parser.parse(before + bytes([byte ^ mask]) + after, folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100_000,
        b"\xff" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b"9" * 100_000,
        b"\xef\xbb\xbf{}\n",
        '{"a":1}\n'.encode("utf-16"),
        b'"\\ud800"\n',
        b'{"a":1,"a":2}\n',
        b"NaN\n",
        b"1e999\n",
    ],
    ids=lambda data: ascii(data[:6]),
)
def test_what_no_document_is_like(
    data: bytes, name: str, all_parsers: dict[str, Parser], folder: Path
) -> None:
    feed(all_parsers[name], data, folder)


@pytest.mark.parametrize("name", JSON)
@SETTINGS
@given(data=st.data())
def test_anything_in_any_place_of_a_document(
    name: str, all_parsers: dict[str, Parser], folder: Path, data: st.DataObject
) -> None:
    parser = all_parsers[name]
    value = json.loads(parser.sample)
    for _ in range(data.draw(st.integers(1, 3))):
        value = changed(value, data.draw(st.sampled_from(places(value))), data.draw(JUNK))
    feed(parser, encode(value), folder)


ROLES = ["timestamp", "snapshot", "targets", "app.notes", "channels.notes"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    publisher = Publisher(tmp_path_factory.mktemp("published"))
    publisher.release("1.0", {"f": b"1"})
    return publisher


@pytest.mark.parametrize("is_signed", [False, True], ids=["by nobody", "by the right key"])
@pytest.mark.parametrize("role", ROLES)
@SETTINGS
@given(data=st.data())
def test_anything_in_any_place_of_metadata(
    role: str, is_signed: bool, published: Publisher, data: st.DataObject
) -> None:
    """Whatever python-tuf makes of it, an error of ours comes out, or a catalogue."""
    path = newest(published, role)
    document = json.loads(path.read_bytes())
    part = "signed" if is_signed else data.draw(st.sampled_from(["signed", "signatures"]))
    where = data.draw(st.sampled_from(places(document[part])))
    document[part] = changed(document[part], where, data.draw(JUNK))
    if is_signed:
        try:
            message = str(encode_canonical(document["signed"])).encode()
        except (FormatError, UnicodeEncodeError):
            assume(False)  # nobody can sign a float
        signer = right_signer(published, role)
        document["signatures"] = [signer.sign(message).to_dict()]
    with TemporaryDirectory() as memory, suppress(UpdaterError):
        before = Snapshot.read(published.folder)
        after = before.with_file(path.name, json.dumps(document).encode())
        transport = SnapshotTransport(after)
        seen = Path(memory, "seen.json")
        client = Trust(Path(memory, "trust"), URL, published.root, transport, seen=seen)
        client.refresh("notes", "stable", published.now)
