"""Blocks made by several workers: the same bytes whoever makes them, the smallest of all tried."""

from __future__ import annotations

import argparse
import inspect
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patchtool.diff import encode_block as encoding
from patchtool.diff.block_pool import patch_blocks
from patchtool.diff.cut_blocks import cut_bundle, cut_patch
from patchtool.diff.diff import diff_folders
from patchtool.diff.encode_block import Encoded, encode, encode_whole
from patchtool.diff.matching.match import as_delta, hdiffpatch_covers
from patchtool.diff.options import EFFORTS, Effort, Options
from patchtool.diff.view_files import FileViews

from tests.support.trees.corpora import corpus
from tests.support.trees.decoding import decode_block
from tests.support.trees.trees import noise, write_tree
from updater.format.encoding import zstandard
from updater.format.encoding.limits import MIB
from updater.format.patch_header.patch import LZMA2, STORED, ZSTD
from updater.patch.delta.block import encode_block

WINDOWS = sys.platform == "win32"


def words(seed: int, count: int) -> bytes:
    """Prose of a small vocabulary: text as far as compressors are concerned."""
    chance = random.Random(seed)
    vocabulary = [noise(chance.randint(1, 4), n).hex() for n in range(300)]
    return " ".join(chance.choices(vocabulary, k=count)).encode()


def edited(data: bytes, seed: int, edits: int) -> bytes:
    """``data`` with ``edits`` words put in between."""
    chance = random.Random(seed)
    places = sorted(chance.randrange(len(data)) for _ in range(edits))
    parts = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    return b" inserted-word ".join(parts)


def block_of(folder: Path, old: bytes, new: bytes, effort: Effort) -> Encoded:
    """The one block from ``old`` to ``new``; decoded once, to see that it is right."""
    before, after = corpus(folder, [old], "old"), corpus(folder, [new], "new")
    (draft,) = cut_patch(hdiffpatch_covers(old, new), before, after)
    encoded = encode(draft, before, after, EFFORTS[effort])
    base = before.read(draft.old) if encoded.block.old else b""
    assert decode_block(encoded.block, encoded.packed, base) == new
    return encoded


def test_new_content_is_told_by_its_difference_from_the_old(tmp_path: Path) -> None:
    old = noise(50_000)
    encoded = block_of(tmp_path, old, old[:20_000] + b"a word in between" + old[20_100:], "fast")
    assert encoded.block.old
    assert len(encoded.packed) < 300


SOURCE, OTHER = (inspect.getsource(module).encode() for module in (argparse, random))


def with_lines_of(data: bytes, other: bytes, count: int) -> bytes:
    """``data`` with ``count`` lines of ``other`` put in between."""
    chance = random.Random(4)
    lines, more = data.splitlines(keepends=True), other.splitlines(keepends=True)
    for _ in range(count):
        lines.insert(chance.randrange(len(lines)), chance.choice(more))
    return b"".join(lines)


@pytest.mark.parametrize("effort", ["default", "best"])
@pytest.mark.parametrize(
    ("new", "codec"),
    [(edited(SOURCE, 2, 300), LZMA2), (with_lines_of(SOURCE, OTHER, 300), ZSTD)],
    ids=["one word put in everywhere", "lines put in"],
)
def test_edited_source_is_packed_by_whichever_codec_is_smaller(
    effort: Effort, new: bytes, codec: int, tmp_path: Path
) -> None:
    chosen = block_of(tmp_path, SOURCE, new, effort)
    delta = as_delta(hdiffpatch_covers(SOURCE, new), SOURCE, new)
    assert len(chosen.packed) <= len(encode_block(delta)[2])
    assert len(chosen.packed) <= len(zstandard.pack(new, SOURCE, EFFORTS[effort].zstd or 0))
    assert chosen.block.codec == codec


@pytest.mark.parametrize(
    ("old", "new", "codec"),
    [
        (noise(500, 1), b"\0" * 500, LZMA2),
        (noise(500, 1), noise(500, 2), STORED),
        (b"", b"line\n" * 100, LZMA2),
        (b"", noise(500), STORED),
        (b"", b"1", STORED),
    ],
    ids=["old of no use", "nothing alike", "text", "noise", "one byte"],
)
def test_a_block_is_never_larger_than_its_content_packed(
    old: bytes, new: bytes, codec: int, tmp_path: Path
) -> None:
    encoded = block_of(tmp_path, old, new, "fast")
    assert (encoded.block.old, encoded.block.codec) == ((), codec)
    assert len(encoded.packed) <= len(new) + 16


def test_more_effort_never_makes_a_larger_block(tmp_path: Path) -> None:
    for seed in range(5):
        old = words(seed, 3000) + noise(5000, seed)
        new = edited(old, seed, 30)
        sizes = [len(block_of(tmp_path, old, new, e).packed) for e in EFFORTS]
        assert sizes == sorted(sizes, reverse=True)


def test_a_bundle_needs_no_old_bytes(tmp_path: Path) -> None:
    new = corpus(tmp_path, [words(1, 50_000), noise(100)])
    for draft in cut_bundle(new):
        encoded = encode_whole(draft, new, EFFORTS["fast"])
        assert not encoded.block.old
        assert decode_block(encoded.block, encoded.packed, b"") == new.read([draft.new])


@pytest.mark.parametrize("jobs", [2, 5])
def test_the_number_of_jobs_changes_no_byte(jobs: int, tmp_path: Path) -> None:
    old = corpus(tmp_path, [noise(MIB, n) for n in range(6)], "old")
    new = corpus(tmp_path, [edited(noise(MIB, n), n, 9) for n in (3, 1, 5, 0)], "new")
    contents = FileViews(old, new, (), ())
    memory = 2 * 9 * 2 * MIB  # several pairs
    spools = [tmp_path / "one", tmp_path / "many"]
    blocks = [
        patch_blocks(contents, spool, Options(effort="fast", jobs=n, memory=memory))
        for spool, n in zip(spools, (1, jobs), strict=True)
    ]
    assert blocks[0] == blocks[1]
    assert spools[0].read_bytes() == spools[1].read_bytes()


def test_content_that_moved_between_files_costs_once(tmp_path: Path) -> None:
    parts = [noise(40_000, n) for n in range(6)]
    old = write_tree(tmp_path / "old", {"a": b"".join(parts[:3]), "b": b"".join(parts[3:])})
    split = {f"piece-{n}": part + bytes([n]) for n, part in enumerate(parts)}
    new = write_tree(tmp_path / "new", {**split, "merged": parts[4] + b"+" + parts[0]})
    built = diff_folders(old, new, tmp_path / "p", Options(effort="fast", jobs=1))
    assert built.bytes < 2000


def test_a_fault_of_one_worker_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Encoded:
        raise MemoryError

    monkeypatch.setattr(encoding, "encode", broken)
    old, new = (write_tree(tmp_path / v, {"f": v.encode() * 99}) for v in ("old", "new"))
    with pytest.raises(MemoryError):
        diff_folders(old, new, tmp_path / "p", Options(effort="fast", jobs=2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "old"]


@pytest.mark.skipif(WINDOWS, reason="Ctrl-C is sent otherwise there")
@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_behind(
    interrupt: signal.Signals, tmp_path: Path
) -> None:
    for version, seed in (("old", 1), ("new", 2)):
        (tmp_path / version).mkdir()
        chance = random.Random(seed)
        for n in range(4):
            (tmp_path / version / f"{n}").write_bytes(chance.randbytes(12 * MIB))
    command = [sys.executable, "-m", "patchtool", "diff", "old", "new", "-o", "p"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".upswap-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)  # it is at work now
    process.send_signal(interrupt)
    _, told = process.communicate(timeout=20)  # long before the matcher would be done
    assert process.returncode == 130
    assert b"error: interrupted" in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "old"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_packing_takes_no_more_memory_than_the_best_effort_says() -> None:
    script = (
        "from tests.support.attacks.memory_probe import peak\n"
        "from patchtool.diff.options import EFFORTS\n"
        "from tests.support.trees.trees import noise\n"
        "from updater.format.encoding import zstandard\n"
        "best = EFFORTS['best']\n"
        "old, new = (noise(16 << 20, seed) for seed in (1, 2))\n"
        "before = peak()\n"
        "zstandard.pack(new, old, best.zstd)  # takes more than xz and than bsdiff4\n"
        "candidates = 4 * len(new)\n"
        "assert peak() - before + candidates < best.block_memory, peak() - before\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
