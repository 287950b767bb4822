"""Views: a second one needs no new format. A throw-away view is written into headers by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.conformance.vectors.generate import delta, whole
from updater.errors import FormatError, PatchError
from updater.format.changes import Change, Kind
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.format.patch_header.header import encode_header
from updater.format.patch_header.patch import (
    Block,
    Extent,
    FileView,
    Header,
    TreeDescriptor,
    check_header,
)
from updater.patch.apply import PatchFile, Tree, apply_patch, nothing, tree_at, unusable
from updater.patch.delta.view import KNOWN, view_of

XOR = 255
OLD, NEW = b"hello old world, " * 8, b"hello new world, " * 9
UNUSABLE = b"\x07"
KEY_OLD, KEY_NEW = b"\x5a", b"\xa5"


def xored(data: bytes, recipe: bytes) -> bytes:
    """The view: every byte XOR the recipe's, and a trailer so that lengths differ."""
    return bytes(byte ^ recipe[0] for byte in data)


class XorView:
    """Reversible, of another length than its file, and worthless."""

    TRAILER = b"view"

    def check(self, recipe: bytes) -> None:
        if recipe == UNUSABLE:
            raise PatchError("not here")

    def open(self, file: BinaryIO, recipe: bytes, view: BinaryIO) -> None:
        view.write(xored(file.read(), recipe) + self.TRAILER)

    def close(self, view: BinaryIO, recipe: bytes, file: BinaryIO) -> None:
        data = view.read()
        assert data.endswith(self.TRAILER)
        file.write(xored(data[: -len(self.TRAILER)], recipe))


OLD_VIEW, NEW_VIEW = (xored(data, key) + b"view" for data, key in ((OLD, KEY_OLD), (NEW, KEY_NEW)))
OLD_TREE = Manifest.of(
    "app", "1.0", [File("data.bin", len(OLD), Digest.of(OLD)), File("same", 3, Digest.of(b"abc"))]
)
NEW_TREE = Manifest.of(
    "app", "1.1", [File("data.bin", len(NEW), Digest.of(NEW)), File("same", 3, Digest.of(b"abc"))]
)
CHANGES = (Change(Kind.MODIFY, "data.bin", size=len(NEW)),)


def named(manifest: Manifest) -> TreeDescriptor:
    return TreeDescriptor(manifest.version, manifest.digest, len(manifest.data), manifest.release)


def block(raw: bytes, new: Extent, *old: Extent) -> tuple[Block, bytes]:
    return Block(old, (new,), 0, len(raw), len(raw), Digest.of(raw)), raw


def difference(new: bytes, old: bytes) -> bytes:
    return bytes((a - b) % 256 for a, b in zip(new, old, strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "data.bin").write_bytes(OLD)
    (tmp_path / "old" / "same").write_bytes(b"abc")
    return tmp_path


def patch(
    folder: Path,
    blocks: Sequence[tuple[Block, bytes]],
    *,
    old_views: Sequence[FileView] = (),
    new_views: Sequence[FileView] = (),
) -> PatchFile:
    header = Header(
        "app",
        named(OLD_TREE),
        named(NEW_TREE),
        CHANGES,
        (),
        tuple(old_views),
        tuple(new_views),
        tuple(block for block, _ in blocks),
    )
    path = folder / "patch"
    data = b"".join(packed for _, packed in blocks)
    path.write_bytes(encode_header(check_header(header)) + data)
    return PatchFile(path)


def apply(folder: Path, patch: PatchFile) -> Tree:
    old = tree_at(folder / "old", OLD_TREE)
    return apply_patch(patch, old, folder / "out", views={XOR: XorView()})


def of_old(number: int = XOR, length: int = len(OLD_VIEW), recipe: bytes = KEY_OLD) -> FileView:
    return FileView(0, number, length, recipe)


def of_new(number: int = XOR, length: int = len(NEW_VIEW), recipe: bytes = KEY_NEW) -> FileView:
    return FileView(0, number, length, recipe)


def in_views() -> list[tuple[Block, bytes]]:
    """Two blocks over view bytes, the later part of the file first."""
    cut = 100
    head = delta([(cut, 0, 0)], [cut], difference(NEW_VIEW[:cut], OLD_VIEW[:cut]), b"")
    return [
        block(whole(NEW_VIEW[cut:]), Extent(0, cut, len(NEW_VIEW) - cut)),
        block(head, Extent(0, 0, cut), Extent(0, 0, 60), Extent(0, 60, cut - 60)),
    ]


def test_both_sides_may_be_read_through_a_view(folder: Path) -> None:
    both = patch(folder, in_views(), old_views=[of_old()], new_views=[of_new()])
    assert both.header.scratch_bytes == len(OLD_VIEW) + len(NEW_VIEW)
    assert both.header.write_bytes == len(NEW)
    new = apply(folder, both)
    assert new.manifest == NEW_TREE
    assert new.places["data.bin"].read_bytes() == NEW
    assert new.places["same"] == folder / "old" / "same"


def test_the_old_side_alone(folder: Path) -> None:
    raw = delta([(100, len(NEW) - 100, 0)], [100], difference(NEW[:100], OLD_VIEW[:100]), NEW[100:])
    only_old = patch(
        folder,
        [block(raw, Extent(0, 0, len(NEW)), Extent(0, 0, len(OLD_VIEW)))],
        old_views=[of_old()],
    )
    assert apply(folder, only_old).places["data.bin"].read_bytes() == NEW


def test_the_new_side_alone(folder: Path) -> None:
    raw = delta(
        [(100, len(NEW_VIEW) - 100, 0)],
        [100],
        difference(NEW_VIEW[:100], OLD[:100]),
        NEW_VIEW[100:],
    )
    only_new = patch(
        folder, [block(raw, Extent(0, 0, len(NEW_VIEW)), Extent(0, 0, 100))], new_views=[of_new()]
    )
    assert apply(folder, only_new).places["data.bin"].read_bytes() == NEW


def test_a_bundle_may_use_a_view_too(folder: Path) -> None:
    tree = Manifest.of("app", "1.0", [File("data.bin", len(NEW), Digest.of(NEW))])
    made, packed = block(whole(NEW_VIEW), Extent(0, 0, len(NEW_VIEW)))
    changes = (Change(Kind.ADD, "data.bin", size=len(NEW)),)
    header = Header("app", None, named(tree), changes, (), (), (of_new(),), (made,))
    (folder / "patch").write_bytes(encode_header(header) + packed)
    new = apply_patch(
        PatchFile(folder / "patch"), nothing("app"), folder / "out", views={XOR: XorView()}
    )
    assert new.places["data.bin"].read_bytes() == NEW


@pytest.mark.parametrize("views", [{"old_views": [of_old(7)]}, {"new_views": [of_new(7)]}])
def test_an_unknown_view_needs_a_newer_updater(
    folder: Path, views: dict[str, list[FileView]]
) -> None:
    known = {"old_views": [of_old()], "new_views": [of_new()]}
    with pytest.raises(FormatError, match="view 7 is unknown") as caught:
        apply(folder, patch(folder, in_views(), **{**known, **views}))
    assert caught.value.hint == "a newer updater is needed"


def test_a_test_view_is_known_to_its_test_only(folder: Path) -> None:
    assert XOR not in KNOWN
    both = patch(folder, in_views(), old_views=[of_old()], new_views=[of_new()])
    with pytest.raises(FormatError, match="view 255 is unknown"):
        apply_patch(both, tree_at(folder / "old", OLD_TREE), folder / "out")
    assert not any((folder / "out").iterdir())


def test_view_of_gives_what_it_is_asked_for() -> None:
    view = XorView()
    assert view_of({3: view}, 3) is view
    with pytest.raises(FormatError):
        view_of({3: view}, 4)


@pytest.mark.parametrize("difference", [-1, 1])
def test_an_old_view_of_another_length_than_announced_does_not_fit(
    folder: Path, difference: int
) -> None:
    view = of_old(length=len(OLD_VIEW) + difference)
    with pytest.raises(PatchError, match="than announced"):
        apply(folder, patch(folder, in_views(), old_views=[view], new_views=[of_new()]))
    written = folder / "out" / "old-0"
    assert written.stat().st_size <= view.length


def test_an_old_view_has_a_bound_of_its_own(folder: Path) -> None:
    view = of_old(length=8 * len(OLD) + 1)
    with pytest.raises(FormatError, match="old_views"):
        apply(folder, patch(folder, in_views(), old_views=[view], new_views=[of_new()]))
    assert not (folder / "out" / "old-0").exists()


@pytest.mark.parametrize("by", [-1, 1])
def test_a_view_that_closes_into_another_size_does_not_fit(folder: Path, by: int) -> None:
    """Its bytes come one more or less than the file's change announces."""
    size = len(NEW) + by
    data = xored(NEW, KEY_NEW) + b"view"
    header = Header(
        "app",
        None,
        named(NEW_TREE),
        (Change(Kind.ADD, "data.bin", size=size),),
        (),
        (),
        (of_new(),),
        (block(whole(data), Extent(0, 0, len(data)))[0],),
    )
    (folder / "patch").write_bytes(encode_header(header) + whole(data))
    with pytest.raises(PatchError, match="than announced"):
        apply_patch(
            PatchFile(folder / "patch"), nothing("app"), folder / "out", views={XOR: XorView()}
        )
    assert (folder / "out" / "0").stat().st_size <= size


def test_files_this_machine_cannot_close_are_named_beforehand(folder: Path) -> None:
    views = {XOR: XorView()}

    def header(recipe: bytes) -> Header:
        new_view = of_new(recipe=recipe)
        return patch(folder, in_views(), old_views=[of_old()], new_views=[new_view]).header

    assert unusable(header(KEY_NEW), views) == []
    assert unusable(header(UNUSABLE), views) == ["data.bin"]
    with pytest.raises(FormatError, match="view 255 is unknown"):
        unusable(header(KEY_NEW))


def test_such_a_file_is_taken_from_elsewhere(folder: Path) -> None:
    made = patch(folder, in_views(), old_views=[of_old()], new_views=[of_new(recipe=UNUSABLE)])
    place = folder / "elsewhere"
    place.write_bytes(NEW)
    new = apply_patch(
        made,
        tree_at(folder / "old", OLD_TREE),
        folder / "out",
        views={XOR: XorView()},
        given={"data.bin": place},
    )
    assert new.places["data.bin"] == place
    assert not any((folder / "out").iterdir())


def test_a_recipe_that_gives_another_file_does_not_fit(folder: Path) -> None:
    other = patch(folder, in_views(), old_views=[of_old()], new_views=[of_new(recipe=b"\0")])
    with pytest.raises(PatchError, match=r"not app 1\.1"):
        apply(folder, other)
