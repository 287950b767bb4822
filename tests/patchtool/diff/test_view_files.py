"""Which files a patch reads through a view, and what of them is taken apart."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from patchtool.diff.diff import Built, diff_folders
from patchtool.diff.options import Options
from patchtool.folder.apply_to_folder import apply_to_folder

from tests.support.trees.trees import noise, read_tree, write_tree


def archive(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of ``entries``, always with the same time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in entries.items():
            made.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def prose(seed: int, size: int = 300_000) -> bytes:
    """Content that deflates to about half."""
    return noise(size // 2, seed).hex().encode()


def built(folder: Path, old: bytes, new: bytes) -> Built:
    """The patch from one archive to the other, applied once to see that it is right."""
    folders = [write_tree(folder / v, {"a.zip": data}) for v, data in (("old", old), ("new", new))]
    made = diff_folders(folders[0], folders[1], folder / "p", Options(effort="fast", jobs=1))
    apply_to_folder(folder / "p", folders[0], folder / "out")
    assert read_tree(folder / "out") == read_tree(folders[1])
    return made


@pytest.fixture
def kept() -> dict[str, bytes]:
    return {f"kept{n}": prose(n) for n in range(3)}


def test_only_entries_that_differ_are_taken_apart(kept: dict[str, bytes], tmp_path: Path) -> None:
    old = archive(kept | {"edited": prose(9)})
    new = archive(kept | {"edited": prose(9)[:150_000] + b"edited" + prose(9)[150_000:]})
    made = built(tmp_path, old, new)
    assert made.bytes < 2000
    (view,) = made.header.new_views
    grown = view.length - len(new)
    assert 100_000 < grown < 200_000, "one entry is inflated, three are not"


def test_a_file_is_read_plainly_where_its_other_self_is(
    kept: dict[str, bytes], tmp_path: Path
) -> None:
    made = built(tmp_path, archive(kept), archive(kept, zipfile.ZIP_STORED))
    assert (made.header.old_views, made.header.new_views) == ((), ())
