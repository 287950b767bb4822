"""Building inflated views: what is found, what is taken apart, and that it always closes."""

from __future__ import annotations

import binascii
import gzip
import hashlib
import io
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patchtool.diff.streams import find_streams as builder
from patchtool.diff.streams import zlib_parameters
from patchtool.diff.streams.candidates import STEP
from patchtool.diff.streams.find_streams import Inflated, find, inflate

from updater.errors import FormatError, PatchError
from updater.patch.delta.inflated import CHUNK, InflatedView, Parameters, deflate

SETTINGS = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
VIEW = InflatedView()
USUAL = Parameters(6, 15, 8, 0)


def text(seed: int, length: int = 20_000) -> bytes:
    """Words: compressible, and never the same twice."""
    words = random.Random(seed)
    return b" ".join(b"%x" % words.randrange(5000) for _ in range(length // 4))[:length]


def deflated(data: bytes, parameters: Parameters = USUAL) -> bytes:
    return b"".join(deflate([data], parameters))


def zipped(
    *entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, level: int | None = None
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=level) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, method, level)
    return file.getvalue()


def png_of(data: bytes, chunk: int = 1000, level: int = 6) -> bytes:
    def chunk_of(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    packed = zlib.compress(data, level)
    parts = [packed[at : at + chunk] for at in range(0, len(packed), chunk)]
    header = chunk_of(b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0))
    chunks = b"".join(chunk_of(b"IDAT", part) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + header + chunks + chunk_of(b"IEND", b"")


def taken(folder: Path, data: bytes) -> Inflated | None:
    """The view of a file of ``data``, opened and closed again before it is believed."""
    (folder / "file").write_bytes(data)
    (folder / "view").unlink(missing_ok=True)  # of the example before
    made = inflate(folder / "file", find(folder / "file"), folder / "view")
    assert (made is not None) == (folder / "view").exists()
    if made is None:
        return None
    view, file = io.BytesIO(), io.BytesIO()
    VIEW.open(io.BytesIO(data), made.open_recipe, view)
    assert view.getvalue() == made.path.read_bytes()
    assert len(view.getvalue()) == made.length <= 8 * len(data)
    VIEW.check(made.close_recipe)
    VIEW.close(io.BytesIO(view.getvalue()), made.close_recipe, file)
    assert file.getvalue() == data
    return made


def bytes_of(made: Inflated | None) -> bytes:
    assert made is not None
    return made.path.read_bytes()


ENTRIES = [(f"app/Class{n}.class", text(n, 3000)) for n in range(40)]


def test_a_zip_is_taken_apart_and_needs_next_to_no_recipe(tmp_path: Path) -> None:
    made = taken(tmp_path, zipped(*ENTRIES))
    assert made is not None
    assert all(data in bytes_of(made) for _, data in ENTRIES)
    assert made.open_recipe == b"\x28\x28\0\0"  # 40 streams in one run, each where expected
    assert len(made.close_recipe) == 13


def test_an_entry_that_changed_changes_little_of_the_view(tmp_path: Path) -> None:
    """Neither the places behind it nor its record's place in the central directory do."""
    later = list(ENTRIES)
    later[1] = (later[1][0], later[1][1] + b"one more word")
    old = bytes_of(taken(tmp_path, zipped(*ENTRIES)))
    new = bytes_of(taken(tmp_path, zipped(*later)))
    directory = old.rindex(b"app/Class2.class")
    assert old[directory:-30] == new[len(new) - len(old) + directory : -30]


def test_entries_stored_empty_or_folders_do_not_disturb(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.mkdir("folder") if hasattr(archive, "mkdir") else archive.writestr("folder/", b"")
        for n in range(10):
            archive.writestr(f"stored{n}", text(n, 100))
            archive.writestr(f"deflated{n}", text(n), zipfile.ZIP_DEFLATED)
            archive.writestr(f"empty{n}", b"", zipfile.ZIP_DEFLATED)
    made = taken(tmp_path, file.getvalue())
    assert made is not None
    assert len(made.open_recipe) == 4


class Pipe(io.BytesIO):
    """Cannot seek, so that zipfile writes data descriptors."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def test_data_descriptors_are_expected(tmp_path: Path) -> None:
    file = Pipe()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ENTRIES:
            archive.writestr(name, data)
    made = taken(tmp_path, file.getvalue())
    assert made is not None
    assert made.open_recipe == b"\x28\x28\0\0"


def test_zip64_entries_are_found(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ENTRIES:
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data)
    made = taken(tmp_path, file.getvalue())
    assert made is not None
    assert made.open_recipe == b"\x28\x28\0\0"


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level_is_found(tmp_path: Path, level: int) -> None:
    assert text(1) in bytes_of(taken(tmp_path, zipped(("a", text(1)), level=level)))


@pytest.mark.parametrize("memory", [8, 9])
@pytest.mark.parametrize("strategy", range(5))
def test_every_strategy_is_found(tmp_path: Path, strategy: int, memory: int) -> None:
    compressor = zlib.compressobj(6, zlib.DEFLATED, 15, memory, strategy)
    stream = compressor.compress(text(1)) + compressor.flush()
    assert text(1) in bytes_of(taken(tmp_path, b"before" + stream + b"behind"))


@pytest.mark.parametrize("bits", [9, 10, 12, 15])
def test_the_window_is_read_from_the_header_of_an_image(tmp_path: Path, bits: int) -> None:
    compressor = zlib.compressobj(6, zlib.DEFLATED, bits)
    stream = compressor.compress(text(1)) + compressor.flush()
    chunk = struct.pack(">I", len(stream)) + b"IDAT" + stream + bytes(4)
    assert text(1) in bytes_of(taken(tmp_path, chunk))


def test_an_archive_behind_a_program_and_before_a_signature(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(30_000) + zipped(*ENTRIES) + random.Random(2).randbytes(999)
    made = taken(tmp_path, data)
    assert made is not None
    assert len(made.open_recipe) < 12


def test_an_archive_cut_short_is_taken_apart_as_far_as_it_goes(tmp_path: Path) -> None:
    data = zipped(*ENTRIES)
    view = bytes_of(taken(tmp_path, data[: len(data) // 2]))
    assert ENTRIES[0][1] in view
    assert ENTRIES[-1][1] not in view


def test_an_encrypted_entry_stays(tmp_path: Path) -> None:
    data = bytearray(zipped(("a", text(1)), ("b", text(2))))
    data[6] |= 1
    view = bytes_of(taken(tmp_path, bytes(data)))
    assert text(1) not in view
    assert text(2) in view


def test_gzip_members_follow_each_other(tmp_path: Path) -> None:
    members = [gzip.compress(text(n), 6, mtime=0) for n in range(10)]
    made = taken(tmp_path, b"".join(members))
    assert made is not None
    assert made.open_recipe == b"\x0a\x0a\0\0"


def test_a_gzip_header_with_every_field(tmp_path: Path) -> None:
    header = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x05\0extra" + b"name\0" + b"comment\0" + b"cc"
    made = taken(tmp_path, header + deflated(text(1)) + bytes(8))
    assert made is not None
    assert made.open_recipe == b"\x01\x01\0\0"


@pytest.mark.parametrize("chunk", [3, 100, 8192, 100_000])
def test_an_image_is_one_stream_whatever_its_chunks(tmp_path: Path, chunk: int) -> None:
    made = taken(tmp_path, png_of(text(1), chunk))
    assert text(1) in bytes_of(made)
    assert made is not None
    assert made.open_recipe == b"\x01\x01\x01\0"


def test_an_image_whose_first_chunk_is_too_short_stays(tmp_path: Path) -> None:
    assert taken(tmp_path, png_of(text(1), 1)) is None


def test_an_image_chunk_that_begins_in_a_stream_is_none(tmp_path: Path) -> None:
    image = png_of(text(2), 5000)
    chunk = image.index(b"IDAT")
    member = gzip.compress(text(1), mtime=0)[:-8]
    assert text(2) not in bytes_of(taken(tmp_path, member + image[chunk:]))
    assert text(2) in bytes_of(taken(tmp_path, member + image[chunk - 4 :]))


def test_zlib_streams_one_behind_the_other(tmp_path: Path) -> None:
    """As in the archives of PyInstaller."""
    streams = [zlib.compress(text(n)) for n in range(10)]
    made = taken(tmp_path, b"PYZ\0head" + b"".join(streams) + b"its table of contents")
    assert made is not None
    assert all(text(n) in bytes_of(made) for n in range(10))
    assert len(made.open_recipe) == 7


def test_what_only_looks_like_a_zlib_stream_stays(tmp_path: Path) -> None:
    stream = zlib.compress(text(1))
    assert taken(tmp_path, stream[:-1] + bytes([stream[-1] ^ 1])) is None


def test_a_long_stream_is_read_twice(tmp_path: Path) -> None:
    data = text(1, 3_000_000)
    assert data in bytes_of(taken(tmp_path, zipped(("long", data), ("short", text(2)))))


def test_what_zlib_cannot_write_stays_deflated(tmp_path: Path) -> None:
    """Two blocks where zlib writes one."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    parts = [compressor.compress(text(1)), compressor.flush(zlib.Z_FULL_FLUSH)]
    parts += [compressor.compress(text(2)), compressor.flush()]
    member = b"\x1f\x8b\x08" + bytes(7) + b"".join(parts) + bytes(8)
    assert taken(tmp_path, member) is None
    assert text(3) in bytes_of(taken(tmp_path, member + gzip.compress(text(3))))


def test_a_long_stream_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has worked before is tried all the same."""
    monkeypatch.setattr(zlib_parameters, "PATIENCE", 10_000)
    usual, rare, again = (
        gzip.compress(text(n), level, mtime=0) for n, level in ((3, 6), (4, 3), (5, 6))
    )
    view = bytes_of(taken(tmp_path, usual + rare + again))
    assert text(3) in view
    assert text(4) not in view
    assert text(5) in view


def test_a_file_full_of_streams_that_never_end_is_searched_in_linear_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(
        b"x\x9c\n\x90" * 250_000
    )  # each inflates to the end of the file
    begin = time.monotonic()
    assert find(tmp_path / "file") == []
    assert time.monotonic() - begin < 20


CUT_SHORT = """
import os, sys
from pathlib import Path
from patchtool.diff.streams import find_streams as inflate
place = Path(sys.argv[1])
first = inflate.Scanner.first
def cut(scanner, at):
    os.truncate(place, 10)
    return first(scanner, at)
inflate.Scanner.first = cut
print(inflate.find(place))
"""


def test_a_file_that_is_cut_short_meanwhile_does_not_end_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1 << 20) + zlib.compress(text(1)))
    command = [sys.executable, "-c", CUT_SHORT, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, b"[]")


@pytest.mark.parametrize("shift", range(-6, 3))
def test_a_stream_is_found_wherever_the_search_steps_on(shift: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(STEP + shift) + zlib.compress(text(1)))
    (found,) = find(tmp_path / "file")
    assert found.start == STEP + shift + 2


def test_a_file_has_few_different_sets(tmp_path: Path) -> None:
    streams = [
        b"\x1f\x8b\x08" + bytes(7) + deflated(text(1), Parameters(level, 15, memory, s)) + bytes(8)
        for level in range(1, 10)
        for memory in (8, 9)
        for s in (0, 1)
    ]
    made = taken(tmp_path, b"".join(streams))
    assert made is not None
    assert made.close_recipe[0] <= zlib_parameters.SETS


@pytest.mark.parametrize("data", [b"", b"x", bytes(5000), zipped(("a", b"a" * 500))])
def test_what_is_not_worth_it_stays(tmp_path: Path, data: bytes) -> None:
    assert taken(tmp_path, data) is None


def test_the_same_bytes_give_the_same_view(tmp_path: Path) -> None:
    data = zipped(*ENTRIES) + png_of(text(1))
    first, second = (taken(tmp_path, data) for _ in range(2))
    assert first == second


def test_a_view_of_more_than_eight_files_is_none_and_needs_no_memory(tmp_path: Path) -> None:
    compressor = zlib.compressobj(9)
    with (tmp_path / "bomb").open("wb") as file:
        for _ in range(200):
            file.write(compressor.compress(bytes(1 << 20)))
        file.write(compressor.flush())
    tracemalloc.start()
    try:
        assert inflate(tmp_path / "bomb", find(tmp_path / "bomb"), tmp_path / "view") is None
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert not (tmp_path / "view").exists()


def test_opening_and_closing_need_little_memory_whatever_the_stream(tmp_path: Path) -> None:
    noise = random.Random(1)
    data = b"".join(noise.randbytes(CHUNK) + bytes(CHUNK) for _ in range(400))  # 52 MB
    (tmp_path / "file").write_bytes(zipped(("long", data)))
    made = inflate(tmp_path / "file", find(tmp_path / "file"), tmp_path / "view")
    assert made is not None
    tracemalloc.start()
    try:
        with (tmp_path / "file").open("rb") as file, (tmp_path / "again").open("w+b") as view:
            VIEW.open(file, made.open_recipe, view)
            view.seek(0)
            with (tmp_path / "closed").open("wb") as closed:
                VIEW.close(view, made.close_recipe, closed)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert (tmp_path / "closed").read_bytes() == (tmp_path / "file").read_bytes()


def test_a_view_that_does_not_close_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "digest_of", lambda _: hashlib.sha256(b"").digest())
    with pytest.raises(PatchError, match="does not close"):
        taken(tmp_path, zipped(*ENTRIES))


def test_too_many_streams_are_left_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("updater.patch.delta.inflated.STREAMS_MOST", 3)
    made = taken(tmp_path, zipped(*ENTRIES))
    assert made is not None
    assert ENTRIES[2][1] in bytes_of(made)
    assert ENTRIES[3][1] not in bytes_of(made)


@SETTINGS
@given(st.binary(max_size=4000))
def test_any_bytes_close_to_themselves(tmp_path: Path, data: bytes) -> None:
    taken(tmp_path, data)


PARAMETERS = st.builds(
    Parameters, st.integers(1, 9), st.integers(9, 15), st.integers(1, 9), st.integers(0, 4)
)
CONTENT = st.integers(0, 99).map(lambda seed: text(seed, 300 + 70 * seed)) | st.binary()


@st.composite
def pieces(draw: st.DrawFn) -> bytes:
    """Something that a file may hold: junk, marks of formats, or a stream of some kind."""
    data = draw(CONTENT)
    stream = deflated(data, draw(PARAMETERS))
    return draw(
        st.sampled_from(
            [
                data,
                stream,
                b"\x1f\x8b\x08" + bytes(7) + stream + bytes(8),
                b"\x1f\x8b\x08\x1e" + stream[:50],
                b"PK\3\4" + bytes(4) + b"\x08\0" + bytes(20) + stream,
                b"PK\3\4PK\1\2" * 30,
                b"PK\1\2" + data[:42],
                b"x\x9c" + stream + binascii.crc32(data).to_bytes(4, "big"),
                zlib.compress(data),
                zipped(("a", data), ("b", data[::-1])),
                png_of(data, 100),
                png_of(data, 7)[:-40],
                b"IDATx\x9c" + stream,
            ]
        )
    )


@SETTINGS
@given(st.lists(pieces(), max_size=8))
def test_any_mixture_closes_to_itself(tmp_path: Path, parts: list[bytes]) -> None:
    made = taken(tmp_path, b"".join(parts))
    if made is not None:  # the cut may fall in front of a number, or in content
        with pytest.raises((PatchError, FormatError)):
            VIEW.close(io.BytesIO(bytes_of(made)[:10]), made.close_recipe, io.BytesIO())


def test_an_archive_of_another_encoder_costs_about_one_trial_a_stream(tmp_path: Path) -> None:
    """A hundred parameter sets each took a second for every megabyte."""
    tried = 0
    real = builder._gives

    def counted(*args: Any) -> bool:
        nonlocal tried
        tried += 1
        return real(*args)

    (tmp_path / "file").write_bytes(b"".join(flushed(text(n)) for n in range(300)))
    with mock.patch.object(builder, "_gives", counted):
        assert inflate(tmp_path / "file", find(tmp_path / "file"), tmp_path / "view") is None
    assert tried < zlib_parameters.IN_A_ROW * 100 + 300


def flushed(data: bytes) -> bytes:
    """A zip entry with a flush in its stream: zlib's, but of no parameters alone."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = compressor.compress(data[:-10]) + compressor.flush(zlib.Z_SYNC_FLUSH)
    packed += compressor.compress(data[-10:]) + compressor.flush()
    sizes = (len(packed), len(data), 1, 0)
    return b"PK\x03\x04" + struct.pack("<5H3I2H", 20, 0, 8, 0, 0, 0, *sizes) + b"n" + packed
