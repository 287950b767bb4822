"""Applying a patch: in parallel, within bounds, and nothing but the tree that was promised."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from tests.conformance.vectors.generate import delta, whole
from tests.conformance.vectors.generate import lzma2 as stored_chunks
from tests.support.paths import ROOT
from tests.support.trees.strategies import SETTINGS
from updater.errors import FormatError, PatchError
from updater.format.changes import Change, Kind
from updater.format.encoding import lzma2, zstandard
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.format.patch_header.header import encode_header
from updater.format.patch_header.patch import (
    LZMA2,
    STORED,
    ZSTD,
    Block,
    Extent,
    Header,
    TreeDescriptor,
    check_header,
)
from updater.patch import apply
from updater.patch.apply import PatchFile, Tree, apply_patch, nothing, tree_at
from updater.patch.delta.bsdiff import Delta, patch

MIB = 1 << 20
JOBS = [1, 2, 4]
Files = Mapping[str, bytes]
Packed = tuple[Block, bytes]


def manifest(version: str, files: Files) -> Manifest:
    entries = [File(path, len(data), Digest.of(data)) for path, data in sorted(files.items())]
    return Manifest.of("app", version, entries)


def named(manifest: Manifest) -> TreeDescriptor:
    return TreeDescriptor(manifest.version, manifest.digest, len(manifest.data), manifest.release)


def block(
    raw: bytes, new: Sequence[Extent], old: Sequence[Extent] = (), codec: int = STORED
) -> Packed:
    packed = lzma2.pack(raw, preset=0) if codec == LZMA2 else raw
    digest = Digest.of(packed)
    return Block(tuple(old), tuple(new), codec, len(raw), len(packed), digest), packed


def zstd(content: bytes, prefix: bytes, new: Sequence[Extent], old: Sequence[Extent]) -> Packed:
    packed = zstandard.pack(content, prefix, 1)
    digest = Digest.of(packed)
    return Block(tuple(old), tuple(new), ZSTD, len(content), len(packed), digest), packed


def whole_of(path_number: int, data: bytes) -> Packed:
    return block(whole(data), [Extent(path_number, 0, len(data))])


@dataclass(frozen=True)
class World:
    """Two trees, and a folder to work in."""

    folder: Path
    old: Files
    new: Files

    def __post_init__(self) -> None:
        for path, data in self.old.items():
            place = self.folder / "old" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    @property
    def base(self) -> Tree:
        if not self.old:
            return nothing("app")
        return tree_at(self.folder / "old", manifest("1.0", self.old))

    @property
    def changes(self) -> tuple[Change, ...]:
        """Files of both trees are modified, others added; those alike are not mentioned."""
        kinds = {p: Kind.MODIFY if p in self.old else Kind.ADD for p in self.new}
        return tuple(
            Change(kinds[path], path, size=len(self.new[path]))
            for path in sorted(self.new, key=lambda path: (kinds[path], path.encode()))
            if self.old.get(path) != self.new[path]
        )

    def header(self, blocks: Sequence[Packed], sources: Sequence[str] = ()) -> Header:
        return Header(
            "app",
            named(self.base.manifest) if self.old else None,
            named(manifest("1.1", self.new)),
            self.changes,
            tuple(sources),
            (),
            (),
            tuple(block for block, _ in blocks),
        )

    def patch(self, blocks: Sequence[Packed], sources: Sequence[str] = ()) -> PatchFile:
        path = self.folder / "patch"
        header = check_header(self.header(blocks, sources))
        path.write_bytes(encode_header(header) + b"".join(packed for _, packed in blocks))
        return PatchFile(path)

    def apply(self, patch: PatchFile, **options: Any) -> Tree:
        return apply_patch(patch, self.base, self.out, **options)

    @property
    def out(self) -> Path:
        """A new empty folder each time."""
        out = self.folder / f"out-{len(list(self.folder.glob('out-*')))}"
        out.mkdir()
        return out


def content(tree: Tree) -> dict[str, bytes]:
    return {path: place.read_bytes() for path, place in tree.places.items()}


Make = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Make:
    return lambda old, new: World(tmp_path, old, new)


def blocks_of_every_codec(old: Files, new: Files) -> list[Packed]:
    """Three files, each decoded another way, the second's halves in the wrong order."""
    a, b, c = (Extent(number, 0, len(new[path])) for number, path in enumerate("abc"))
    base = [Extent(number, 0, len(old[path])) for number, path in enumerate("abc")]
    same = delta([(len(old["a"]), 4, 0)], [0, len(old["a"])], b"", b"more")
    half = b.length // 2
    return [
        block(same, [a], [base[0]], LZMA2),
        zstd(new["b"][half:], old["c"], [Extent(1, half, b.length - half)], [base[2]]),
        zstd(new["b"][:half], old["b"] + old["a"], [Extent(1, 0, half)], [base[1], base[0]]),
        block(whole(new["c"]), [c]),
    ]


OLD = {name: random.Random(name).randbytes(5_000) for name in "abc"} | {"same": b"same"}
NEW = {
    "a": OLD["a"] + b"more",
    "b": OLD["b"][::-1][:100] + OLD["a"] + OLD["c"],
    "c": b"new",
    "same": b"same",
}


class TestResult:
    @pytest.mark.parametrize("jobs", JOBS)
    def test_is_the_same_with_any_number_of_jobs(self, world: Make, jobs: int) -> None:
        made = world(OLD, NEW)
        new = made.apply(made.patch(blocks_of_every_codec(OLD, NEW)), jobs=jobs)
        assert content(new) == NEW
        assert new.places["same"] == made.folder / "old" / "same"

    @pytest.mark.parametrize("jobs", JOBS)
    @pytest.mark.parametrize("seed", range(3))
    def test_is_the_same_in_any_order_of_blocks(self, world: Make, jobs: int, seed: int) -> None:
        chance = random.Random(seed)
        new = {f"f{number:02}": chance.randbytes(1 + 300 * number) for number in range(20)}
        made = world({}, new)
        blocks = [
            block(whole(data[at : at + 1000]), [Extent(number, at, len(data[at : at + 1000]))])
            for number, data in enumerate(new.values())
            for at in range(0, len(data), 1000)
        ]
        chance.shuffle(blocks)
        assert content(made.apply(made.patch(blocks), jobs=jobs)) == new

    def test_may_mix_parts_of_many_files_in_one_block(self, world: Make) -> None:
        new = {"a": b"0123456789", "b": b"abcdef", "c": b"z"}
        parts = [("b", 3, 3), ("a", 5, 5), ("c", 0, 1), ("a", 0, 5), ("b", 0, 3)]
        data = b"".join(new[path][at : at + length] for path, at, length in parts)
        extents = [Extent("abc".index(path), at, length) for path, at, length in parts]
        made = world({}, new)
        assert content(made.apply(made.patch([block(whole(data), extents)]))) == new

    def test_progress_counts_what_blocks_give(self, world: Make) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))
        seen: list[Any] = []

        class Sink:
            def start(self, _: str, total: int) -> None:
                seen.append(total)

            def advance(self, done: int) -> None:
                seen.append(-done)

            def finish(self) -> None:
                seen.append("end")

        made.apply(patch, progress=Sink())
        assert seen[-1] == "end"
        assert sum(seen[:-1]) == 0 < seen[0] == patch.header.write_bytes


class TestBase:
    @pytest.mark.parametrize("jobs", JOBS)
    @pytest.mark.parametrize("damage", [b"", b"?", OLD["b"][:-1], OLD["b"] + b"?"])
    def test_damage_is_seen_before_anything_is_decoded(
        self, world: Make, jobs: int, damage: bytes
    ) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))
        (made.folder / "old" / "b").write_bytes(damage)
        with pytest.raises(PatchError, match="b' is missing or not as released"):
            made.apply(patch, jobs=jobs)
        assert list(made.folder.glob("out-0/*")) == []

    def test_what_no_block_reads_is_not_looked_at(self, world: Make) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))
        (made.folder / "old" / "same").unlink()
        assert "same" in made.apply(patch).places

    @pytest.mark.parametrize("extent", [Extent(0, 4_999, 2), Extent(0, 9_999, 1)])
    def test_an_extent_beyond_its_file_does_not_fit(self, world: Make, extent: Extent) -> None:
        made = world(OLD, {**OLD, "a": b"new"})
        with pytest.raises(PatchError, match="ends before"):
            made.apply(
                made.patch(
                    [
                        block(
                            delta(
                                [(extent.length, 3 - extent.length, 0)],
                                [extent.length],
                                bytes(extent.length),
                                b"w" * (3 - extent.length),
                            ),
                            [Extent(0, 0, 3)],
                            [extent],
                        )
                    ]
                )
            )

    def test_extents_may_repeat_overlap_and_be_empty(self, world: Make) -> None:
        old = [Extent(0, 0, 9), Extent(0, 3, 0), Extent(0, 4, 9), Extent(1, 0, 5), Extent(0, 0, 9)]
        data = OLD["a"][:9] + OLD["a"][4:13] + OLD["b"][:5] + OLD["a"][:9]
        made = world(OLD, {**OLD, "a": data})
        raw = delta([(len(data), 0, 0)], [0, len(data)], b"", b"")
        patch = made.patch([block(raw, [Extent(0, 0, len(data))], old)], sources=())
        with pytest.raises(FormatError, match="old file 1 is not a file"):
            made.apply(patch)
        patch = made.patch([block(raw, [Extent(0, 0, len(data))], old)], sources=["b"])
        assert content(made.apply(patch))["a"] == data


class TestHostile:
    """Whatever a signed patch says: one of two errors, and never more than it declared."""

    def one_of_the_blocks(self, data: st.DataObject) -> tuple[list[Packed], int]:
        """Honest blocks from OLD to NEW, and the number of the one that is to change."""
        blocks = blocks_of_every_codec(OLD, NEW)
        return blocks, data.draw(st.integers(0, len(blocks) - 1))

    @SETTINGS
    @drawn(st.data())
    def test_any_changed_field_of_a_block(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        made = World(tmp_path_factory.mktemp("world"), OLD, NEW)
        blocks, number = self.one_of_the_blocks(data)
        of, packed = blocks[number]
        sizes = st.integers(0, 40) | st.sampled_from([5_000, 10_000, 16 * MIB, 1 << 40])
        extents = st.lists(st.builds(Extent, st.integers(0, 5), sizes, sizes), max_size=3)
        fields: dict[str, st.SearchStrategy[Any]] = {
            "codec": st.integers(0, 3),
            "raw_length": sizes,
            "packed_length": sizes,
            "old": extents.map(tuple),
            "new": extents.map(tuple),
            "digest": st.just(Digest(bytes(32))),
        }
        field = data.draw(st.sampled_from(sorted(fields)))
        blocks[number] = replace(of, **{field: data.draw(fields[field])}), packed
        with suppress(FormatError, PatchError):
            path = made.folder / "patch"
            header = made.header(blocks, ["b"])
            path.write_bytes(encode_header(header) + b"".join(packed for _, packed in blocks))
            assert content(made.apply(PatchFile(path))) == NEW
        declared = sum(len(content) for content in NEW.values())
        written = [place.stat().st_size for place in made.folder.glob("out-0/*")]
        assert sum(written) <= declared

    @SETTINGS
    @drawn(st.data())
    def test_any_changed_byte_of_a_block(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        made = World(tmp_path_factory.mktemp("world"), OLD, NEW)
        blocks, number = self.one_of_the_blocks(data)
        of, packed = blocks[number]
        changed = bytearray(packed)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, min(len(packed), 60) - 1))
            changed[at] = data.draw(st.integers(0, 255))
        blocks[number] = replace(of, digest=Digest.of(bytes(changed))), bytes(changed)
        with suppress(FormatError, PatchError):
            assert content(made.apply(made.patch(blocks))) == NEW
        for place in made.folder.glob("out-0/*"):
            assert place.stat().st_size <= max(map(len, NEW.values()))

    @pytest.mark.parametrize("jobs", JOBS)
    def test_a_damaged_block_stops_all_others(self, world: Make, jobs: int) -> None:
        new = {f"f{number:02}": bytes([number]) * 100 for number in range(50)}
        made = world({}, new)
        blocks = [whole_of(number, data) for number, data in enumerate(new.values())]
        patch = made.patch(blocks)
        data = bytearray(patch.path.read_bytes())
        data[patch.start + sum(len(packed) for _, packed in blocks[:10])] ^= 1
        patch.path.write_bytes(data)
        with pytest.raises(FormatError, match="not the one its header names"):
            made.apply(patch, jobs=jobs)
        assert len(list(made.folder.glob("out-0/*"))) == 10

    @pytest.mark.parametrize("jobs", JOBS)
    def test_an_interruption_comes_through(
        self, world: Make, jobs: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))

        def interrupted(*_: Any) -> bytes:
            raise KeyboardInterrupt

        monkeypatch.setattr(apply, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.apply(patch, jobs=jobs)

    def test_a_patch_that_is_cut_meanwhile(self, world: Make) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))
        with patch.path.open("r+b") as file:
            file.truncate(patch.start + 10)
        with pytest.raises(FormatError, match="not the one its header names"):
            made.apply(patch)

    def test_limits_are_those_of_the_patch_file(self, world: Make) -> None:
        made = world({}, {"a": b"xy"})
        raw = delta([(0, 1, 0), (0, 1, 0)], [], b"", b"xy")
        path = made.patch([block(raw, [Extent(0, 0, 2)])]).path
        assert content(made.apply(PatchFile(path))) == {"a": b"xy"}
        with pytest.raises(FormatError, match="triples"):
            made.apply(PatchFile(path, Limits(block_triples=1)))


class TestGiven:
    """New files that lie elsewhere already are not made."""

    def given(self, made: World, path: str, data: bytes) -> dict[str, Path]:
        place = made.folder / "given"
        place.write_bytes(data)
        return {path: place}

    @pytest.mark.parametrize("path", ["a", "b", "c"])
    def test_they_keep_their_places(self, world: Make, path: str) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))
        given = self.given(made, path, NEW[path])
        new = made.apply(patch, given=given)
        assert content(new) == NEW
        assert new.places[path] == given[path]
        assert not (made.folder / "out-0" / str("abc".index(path))).exists()

    def test_blocks_that_give_nothing_else_are_not_decoded(self, world: Make) -> None:
        made = world(OLD, NEW)
        blocks = blocks_of_every_codec(OLD, NEW)
        patch = made.patch(blocks)
        patch.path.write_bytes(patch.path.read_bytes()[: patch.start] + bytes(10))
        given = {path: self.given(made, path, NEW[path])[path] for path in ["c"]}
        everything = {path: made.folder / f"given-{path}" for path in "abc"}
        for path, place in everything.items():
            place.write_bytes(NEW[path])
        for path in "abc":
            (made.folder / "old" / path).unlink()
        assert content(made.apply(patch, given=everything))["c"] == NEW["c"]
        with pytest.raises(PatchError):
            made.apply(patch, given=given)

    def test_the_rest_of_a_shared_block_is_still_written(self, world: Make) -> None:
        new = {"a": b"0123", "b": b"abcd"}
        made = world({}, new)
        extents = [Extent(0, 2, 2), Extent(1, 0, 4), Extent(0, 0, 2)]
        patch = made.patch([block(whole(b"23abcd01"), extents)])
        assert content(made.apply(patch, given=self.given(made, "a", b"0123"))) == new
        assert [place.name for place in made.folder.glob("out-0/*")] == ["1"]

    @pytest.mark.parametrize("data", [b"", b"other", NEW["c"] + b"?"])
    def test_another_file_is_not_believed(self, world: Make, data: bytes) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))
        with pytest.raises(PatchError, match=r"not app 1\.1"):
            made.apply(patch, given=self.given(made, "c", data))

    @pytest.mark.parametrize("path", ["same", "nowhere"])
    def test_what_no_block_gives_is_misuse(self, world: Make, path: str) -> None:
        made = world(OLD, NEW)
        patch = made.patch(blocks_of_every_codec(OLD, NEW))
        with pytest.raises(ValueError, match="no block gives"):
            made.apply(patch, given=self.given(made, path, b"same"))


needs_descriptors = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="the system does not list descriptors"
)


@needs_descriptors
class TestDescriptors:
    @pytest.fixture
    def most(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
        """The largest number of files open at once, in addition to those open before."""
        listed = Path("/proc/self/fd")
        before, seen = len(list(listed.iterdir())), [0]
        real = Path.open

        def watched(path: Path, *args: Any, **kwargs: Any) -> Any:
            file = real(path, *args, **kwargs)
            seen.append(len(list(listed.iterdir())) - before)
            return file

        monkeypatch.setattr(Path, "open", watched)
        yield lambda: max(seen)
        assert len(list(listed.iterdir())) <= before

    def test_many_small_files_need_few(self, world: Make, most: Callable[[], int]) -> None:
        old = {f"f{number:04}": b"old" for number in range(2_000)}
        made = world(old, dict.fromkeys(old, b"new"))
        extents = [Extent(number, 0, 3) for number in range(2_000)]
        difference = bytes((n - o) % 256 for n, o in zip(b"new", b"old", strict=True))
        raw = delta([(6_000, 0, 0)], [], difference * 2_000, b"")
        patch = made.patch([block(raw, extents, extents)])
        assert content(made.apply(patch)) == made.new
        assert most() < 20

    def test_many_files_half_written_do_not_run_out(
        self, world: Make, most: Callable[[], int]
    ) -> None:
        new = {f"f{number:04}": b"%04d" % number for number in range(1_000)}
        made = world({}, new)
        halves = [
            block(
                whole(b"".join(data[at : at + 2] for data in new.values())),
                [Extent(number, at, 2) for number in range(1_000)],
            )
            for at in (0, 2)
        ]
        assert content(made.apply(made.patch(halves))) == new
        assert most() < 100

    def test_none_is_left_open_by_an_error(self, world: Make, most: Callable[[], int]) -> None:
        new = {f"f{number:04}": b"abcd" for number in range(10)}
        made = world({}, new)
        first = block(whole(b"ab" * 10), [Extent(number, 0, 2) for number in range(10)])
        extents = [Extent(number, 2, 2) for number in range(10)]
        second = block(b"\x02\xff\xff" + bytes(17), extents)
        with pytest.raises(FormatError):
            made.apply(made.patch([first, second]))
        assert most() > 0


@pytest.mark.skipif(sys.platform != "linux", reason="see memory_probe.py")
class TestMemory:
    """At most four times 16 MiB a block in flight, with the largest blocks there may be."""

    SIZE = DEFAULT.block_new_bytes
    COUNT = 3

    def worst(self, kind: str, old: bytes) -> tuple[bytes, Packed]:
        """New bytes and the block that gives them, of and from old file 0."""
        chance = random.Random(kind)
        noise = chance.randbytes(self.SIZE)
        new, base = [Extent(0, 0, self.SIZE)], [Extent(0, 0, self.SIZE)]
        if kind == "zstd":
            data = old[self.SIZE // 2 :] + noise[self.SIZE // 2 :]
            return data, zstd(data, old, new, base)
        if kind == "extra":
            return noise, self.packed(Delta((0,), (self.SIZE,), (0,), b"", noise), new, [])
        count = DEFAULT.block_triples if kind == "triples" else 1
        half = self.SIZE // count // 2
        add, copy = (half, half) if kind == "triples" else (self.SIZE, 0)
        adds, copies, seeks = (add,) * count, (copy,) * count, (0,) * count
        of = Delta(adds, copies, seeks, noise[: add * count], noise[add * count :])
        return patch(old, of, self.SIZE), self.packed(of, new, base)

    def packed(self, of: Delta, new: list[Extent], old: list[Extent]) -> Packed:
        """LZMA2, though it is of no use: then its dictionary is needed."""
        triples = list(zip(of.adds, of.copies, of.seeks, strict=True))
        raw = delta(triples, [], of.difference, of.extra)
        packed = stored_chunks(raw)
        assert len(packed) <= DEFAULT.block_packed_bytes
        digest = Digest.of(packed)
        return Block(tuple(old), tuple(new), LZMA2, len(raw), len(packed), digest), packed

    @pytest.mark.parametrize("kind", ["difference", "extra", "triples", "zstd"])
    def test_is_bounded(self, tmp_path: Path, kind: str) -> None:
        old = random.Random("old").randbytes(self.SIZE)
        data, (of, packed) = self.worst(kind, old)
        names = [f"f{number}" for number in range(self.COUNT)]
        made = World(tmp_path / "old", dict.fromkeys(names, old), dict.fromkeys(names, data))
        blocks = [
            (replace(of, old=moved(of.old, number), new=moved(of.new, number)), packed)
            for number in range(self.COUNT)
        ]
        patch = made.patch(blocks)
        (tmp_path / "old" / "manifest").write_bytes(made.base.manifest.data)
        (tmp_path / "old" / "old").rename(tmp_path / "old" / "tree")
        for jobs in (1, 2):
            before, after = self.probed(patch.path, tmp_path / "old", made.out, jobs)
            assert before > 10 * MIB
            assert after - before < jobs * 4 * self.SIZE

    def probed(self, patch: Path, old: Path, out: Path, jobs: int) -> tuple[int, int]:
        """Peak of a process that applies ``patch``, in bytes, before and after."""
        probe = ROOT / "tests/support/attacks/memory_probe.py"
        done = subprocess.run(
            [sys.executable, str(probe), str(patch), str(old), str(out), str(jobs)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        before, after = map(int, done.stdout.split())
        return before, after


def moved(extents: tuple[Extent, ...], number: int) -> tuple[Extent, ...]:
    return tuple(replace(extent, file=number) for extent in extents)
