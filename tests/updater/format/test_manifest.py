"""The manifest: one tree, one spelling, one digest; nothing but FormatError for the rest."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trees.strategies import SETTINGS, damages, manifests
from updater.errors import FormatError
from updater.format.encoding.canonical import encode
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import Digest
from updater.format.release_description import Release

SMALL = Manifest.of(
    "notes",
    "1.0",
    [
        File("bin/a", 3, Digest.of(b"abc"), executable=True),
        Symlink("bin/b", "../c"),
        Directory("c"),
        File("é", 0, Digest.of(b"")),
    ],
    Release(entry=("bin/a",), stop=True),
)


def parsed(value: Any) -> Manifest:
    return Manifest.parse(encode(value))


def changed(**fields: Any) -> dict[str, Any]:
    return {**json.loads(SMALL.data), **fields}


@SETTINGS
@given(manifests())
def test_parsing_is_the_inverse_of_writing(manifest: Manifest) -> None:
    again = Manifest.parse(manifest.data)
    assert again == manifest
    assert again.data == manifest.data
    assert again.digest == Digest.of(manifest.data)


@SETTINGS
@given(manifests(), st.randoms(use_true_random=False))
def test_the_order_entries_come_in_does_not_matter(
    manifest: Manifest, chance: random.Random
) -> None:
    shuffled = list(manifest.entries)
    chance.shuffle(shuffled)
    again = Manifest.of(manifest.app, manifest.version, shuffled, manifest.release)
    assert again.digest == manifest.digest


@SETTINGS
@given(manifests())
def test_entries_stand_in_order_of_path_bytes(manifest: Manifest) -> None:
    paths = [entry.path.encode() for entry in manifest.entries]
    assert paths == sorted(set(paths))


@SETTINGS
@given(manifests())
def test_a_folder_is_listed_only_if_it_is_empty(manifest: Manifest) -> None:
    listed = {entry.path for entry in manifest.entries if isinstance(entry, Directory)}
    assert not listed & manifest.implied
    assert manifest.directories == listed | manifest.implied
    for path in listed:
        assert not any(other.path.startswith(path + "/") for other in manifest.entries)


def test_every_damaged_byte_is_refused_or_means_something_else() -> None:
    """A digit of a size may change into another digit: then the digest is another, too."""
    refused = 0
    cases = damages(SMALL.data)
    for data in cases:
        try:
            manifest = Manifest.parse(data)
        except FormatError:
            refused += 1
            continue
        assert manifest.data == data
        assert data == SMALL.data or manifest.digest != SMALL.digest
    assert refused > 0.7 * len(cases)


@SETTINGS
@given(manifests(most=4), st.data())
def test_a_mutated_manifest_gives_a_format_error_and_nothing_else(
    manifest: Manifest, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(manifest.data)))
    length = data.draw(st.integers(0, 3))
    mutated = manifest.data[:at] + data.draw(st.binary(max_size=3)) + manifest.data[at + length :]
    try:
        again = Manifest.parse(mutated)
    except FormatError:
        return
    assert again.data == mutated


@SETTINGS
@given(st.binary(max_size=60))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        Manifest.parse(data)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (changed(format=2), "format"),
        (changed(version="1.0-1"), ""),
        (changed(app="Notes"), ""),
        (changed(entries=None), "entries"),
        (changed(entries=[None]), "entries[0]"),
        (changed(entries=[{"path": "a"}]), "entries[0].kind"),
        (changed(entries=[{"path": "a", "kind": "fifo"}]), "entries[0].kind"),
        (changed(entries=[{"path": 1, "kind": "directory"}]), "entries[0].path"),
        (changed(entries=[{"path": "../a", "kind": "directory"}]), "entries[0]"),
        (changed(release={"entry": ["c"]}), "release.entry"),
        (changed(release={"confirm": {"mode": "x"}}), "release.confirm.mode"),
        (changed(entries=json.loads(SMALL.data)["entries"][::-1]), "entries"),
    ],
)
def test_a_refusal_says_where(value: Any, where: str) -> None:
    with pytest.raises(FormatError) as caught:
        parsed(value)
    assert caught.value.context == where


@pytest.mark.parametrize("field", ["app", "entries", "format", "release", "version"])
def test_every_field_is_needed(field: str) -> None:
    value = {key: v for key, v in changed().items() if key != field}
    with pytest.raises(FormatError):
        parsed(value)


@pytest.mark.parametrize("number", range(4))
def test_every_field_of_every_entry_is_needed_and_no_other_is_known(number: int) -> None:
    for field in json.loads(SMALL.data)["entries"][number]:
        value = changed(release={})
        del value["entries"][number][field]
        with pytest.raises(FormatError):
            parsed(value)
    value = changed(release={})
    value["entries"][number]["mode"] = 0
    with pytest.raises(FormatError, match="unknown field 'mode'"):
        parsed(value)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [File("app", 1, Digest.of(b"x"), executable=False)],
        [Symlink("app", "b")],
        [Directory("app")],
        [File("app/app", 1, Digest.of(b"x"), executable=True)],
    ],
    ids=str,
)
def test_what_is_started_is_an_executable_file_of_the_release(entries: list[Entry]) -> None:
    with pytest.raises(FormatError, match="not an executable file"):
        Manifest.of("notes", "1.0", entries, Release(entry=("app",)))


def test_a_deep_tree_costs_what_its_limit_says() -> None:
    """A manifest of 1 MB with 500 folders an entry took 640 MB before folders were counted."""
    deep = [Directory(f"{i:04d}/" + "/".join("a" * 500)) for i in range(501)]
    with pytest.raises(FormatError, match="250500 folders, 250000 allowed"):
        Manifest.of("notes", "1.0", deep)


def test_shared_folders_count_once() -> None:
    deep = [Directory("/".join("a" * 500) + f"/{i}") for i in range(100)]
    assert len(Manifest.of("notes", "1.0", deep).implied) == 500


def test_the_empty_tree_is_no_release() -> None:
    empty = Manifest.empty("notes")
    assert empty.entries == ()
    with pytest.raises(FormatError):
        Manifest.parse(empty.data)
