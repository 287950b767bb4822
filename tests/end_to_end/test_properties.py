"""Laws that hold for every two trees: what a patch gives, names, refuses."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from patchtool.diff.diff import Built, build_patch, diff_folders
from patchtool.diff.options import Options
from patchtool.diff.pair_entries import describe
from patchtool.folder.apply_to_folder import apply_to_folder

from tests.support.trees.tree_strategies import edited, manifest_of, names, pairs, trees
from tests.support.trees.trees import Content, Tree, read_tree, write_tree
from updater.errors import FormatError, PatchError
from updater.format.changes import WITH_SOURCE, Kind, Layout
from updater.format.encoding import lzma2
from updater.format.encoding.wire import Reader, Writer
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.format.patch_header.header import MAGIC, decode_header, encode_header
from updater.format.patch_header.patch import STORED, Block, Extent, Header, TreeDescriptor
from updater.format.release_description import Release
from updater.patch.apply import PatchFile, apply_patch, tree_at

SETTINGS = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
ON_DISK = settings(SETTINGS, max_examples=120)
PURE = settings(SETTINGS, max_examples=300)
FAST = Options(effort="fast", jobs=1)


@contextmanager
def folders(*contents: Tree) -> Iterator[tuple[Path, ...]]:
    """The given trees as folders ``0``, ``1`` ..., and their parent last."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        written = [write_tree(here / str(n), tree) for n, tree in enumerate(contents)]
        yield (*written, here)


def diff(old: Path, new: Path, out: Path) -> Built:
    return diff_folders(old, new, out, FAST)


@ON_DISK
@given(pairs())
def test_the_patch_of_two_trees_applied_to_the_first_gives_the_second(
    pair: tuple[Tree, Tree],
) -> None:
    with folders(*pair) as (old, new, here):
        diff(old, new, here / "patch")
        apply_to_folder(here / "patch", old, here / "out")
        assert read_tree(here / "out") == pair[1]
        assert (read_tree(old), read_tree(new)) == pair, "diff and apply leave their input alone"
        assert sorted(path.name for path in here.iterdir()) == ["0", "1", "out", "patch"]


@settings(ON_DISK, max_examples=40)
@given(trees)
def test_the_bundle_of_a_tree_gives_the_tree(tree: Tree) -> None:
    with folders(tree, {}) as (folder, empty, here):
        manifest = manifest_of(tree)
        build_patch(None, tree_at(folder, manifest), here / "bundle", FAST)
        assert apply_to_folder(here / "bundle", empty, here / "out") == manifest
        assert read_tree(here / "out") == tree


@settings(ON_DISK, max_examples=40)
@given(pairs())
def test_the_same_trees_give_the_same_patch_whatever_the_number_of_jobs(
    pair: tuple[Tree, Tree],
) -> None:
    with folders(*pair) as (old, new, here), folders(*pair) as (again, again_new, there):
        diff(old, new, here / "patch")
        diff_folders(again, again_new, there / "patch", Options(effort="fast", jobs=3))
        assert (here / "patch").read_bytes() == (there / "patch").read_bytes()


@settings(ON_DISK, max_examples=40)
@given(pairs(), st.data())
def test_any_other_base_is_refused_and_nothing_is_left(
    pair: tuple[Tree, Tree], data: st.DataObject
) -> None:
    other = data.draw(edited(pair[0]) | trees | st.just(pair[1]), label="other base")
    assume(other != pair[0])
    with folders(*pair, other) as (old, new, wrong, here):
        diff(old, new, here / "patch")
        with pytest.raises(PatchError):
            apply_to_folder(here / "patch", wrong, here / "out")
        assert not (here / "out").exists()
        assert read_tree(wrong) == other


@PURE
@given(pairs())
def test_the_changes_resolved_against_the_old_manifest_are_the_new_manifest(
    pair: tuple[Tree, Tree],
) -> None:
    old, new = manifest_of(pair[0], "1"), manifest_of(pair[1], "2")
    layout = Layout(old, describe(old, new))
    digests = {file.path: file.digest for file in new.files()}
    assert layout.manifest("app", "2", new.release, digests).data == new.data


@PURE
@given(pairs())
def test_changes_name_only_what_is_in_the_trees(pair: tuple[Tree, Tree]) -> None:
    old, new = manifest_of(pair[0]), manifest_of(pair[1])
    for change in describe(old, new):
        if change.kind == Kind.MOVE_DIRECTORY:
            assert change.source in old.directories
            assert change.path in new.directories
        elif change.kind == Kind.DELETE:
            assert change.path in old.by_path
        else:
            assert change.path in new.by_path
            assert (change.source in old.by_path) == (change.kind in WITH_SOURCE)


@PURE
@given(pairs())
def test_every_list_of_changes_can_be_written_and_read_back(pair: tuple[Tree, Tree]) -> None:
    old, new = manifest_of(pair[0]), manifest_of(pair[1])
    header = header_of(old, new)
    assert decode_header(encode_header(header)) == header


@PURE
@given(pairs())
def test_content_that_the_old_tree_has_is_never_sent(pair: tuple[Tree, Tree]) -> None:
    old, new = manifest_of(pair[0]), manifest_of(pair[1])
    known = {file.digest for file in old.files()}
    for change in describe(old, new):
        entry = new.by_path.get(change.path)
        if change.size:
            assert isinstance(entry, File)
            assert entry.digest not in known


@PURE
@given(trees)
def test_a_tree_needs_no_change_to_become_itself(tree: Tree) -> None:
    assert describe(manifest_of(tree), manifest_of(tree)) == ()


@PURE
@given(trees, st.lists(names, min_size=1, max_size=2).map("/".join))
def test_a_folder_that_moves_with_all_that_is_in_it_is_one_change(tree: Tree, to: str) -> None:
    # Four files nothing else resembles: with fewer, renames may be as short.
    own: Tree = {f"own/{n}": b"own %d" % n for n in range(4)}
    inside = {f"own/in/{path}": content for path, content in tree.items()}
    old = {**own, **inside, "stays": b"stays"}
    new = {path.replace("own/", f"new/{to}/", 1): content for path, content in old.items()}
    (change,) = describe(manifest_of(old), manifest_of(new))
    assert (change.kind, change.source, change.path) == (Kind.MOVE_DIRECTORY, "own", f"new/{to}")


FROM: dict[str, Content] = {
    "kept/a": b"a" * 50,
    "kept/b": b"b" * 50,
    "edited": b"line\n" * 40,
    "gone": b"gone",
    "empty": b"",
}
TO: dict[str, Content] = {
    "moved/a": b"a" * 50,
    "moved/b": b"b" * 50,
    "edited": b"line\n" * 20 + b"other\n" + b"line\n" * 20,
    "empty": b"no longer",
    "copy": b"a" * 50,
    "new": b"new",
}


@pytest.mark.parametrize("mask", [0x01, 0x02, 0x80, 0xFF])
def test_a_header_with_any_byte_changed_is_refused_or_gives_the_same_tree(
    mask: int, tmp_path: Path
) -> None:
    """Changed under its packing, as a defective tool might: no other error, no other tree."""
    old = tree_at(write_tree(tmp_path / "old", FROM), manifest_of(FROM, "1"))
    new = tree_at(write_tree(tmp_path / "new", TO), manifest_of(TO, "2"))
    built = build_patch(old, new, tmp_path / "patch", FAST)
    raw, blocks = taken_apart(built)
    for at in range(len(raw)):
        damaged = raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
        (tmp_path / "damaged").write_bytes(put_together(damaged) + blocks)
        out = tmp_path / f"out-{at}"
        out.mkdir()
        with suppress(FormatError, PatchError):
            applied = apply_patch(PatchFile(tmp_path / "damaged"), old, out)
            assert applied.manifest == new.manifest
            assert {path: place.read_bytes() for path, place in applied.places.items()} == TO


def taken_apart(built: Built) -> tuple[bytes, bytes]:
    """The header's bytes as they are before packing, and the bytes of the blocks."""
    reader = Reader(built.header_bytes[len(MAGIC) :])
    raw_length, packed_length = reader.varint(1 << 24), reader.varint(1 << 24)
    packed = built.header_bytes[-packed_length:]
    blocks = built.path.read_bytes()[len(built.header_bytes) :]
    return lzma2.unpack(packed, raw_length, "header"), blocks


def put_together(raw: bytes) -> bytes:
    packed = lzma2.pack(raw, pb=0)
    writer = Writer()
    writer.raw(MAGIC)
    writer.varint(len(raw))
    writer.varint(len(packed))
    return writer.data() + packed


def header_of(old: Manifest, new: Manifest) -> Header:
    """A header with the changes of two manifests; its blocks hold nothing that could be read."""
    changes = describe(old, new)
    blocks = tuple(
        Block((), (Extent(number, 0, change.size),), STORED, change.size, 0, Digest.of(b""))
        for number, change in enumerate(changes)
        if change.size
    )
    named = [TreeDescriptor(m.version, m.digest, len(m.data), Release()) for m in (old, new)]
    return Header("app", named[0], named[1], changes, (), (), (), blocks)
