"""Every limit is enforced: what is read with the default is refused with a smaller one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import fields

import pytest

from tests.support.paths import ROOT
from tests.support.trees.decoding import decode_block
from updater.errors import FormatError
from updater.format.changes import Change, Kind
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.encoding.lzma2 import dictionary_size
from updater.format.head import Head, HeadEntry, RolloutStep
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.format.patch_header.header import decode_header, encode_header, header_length
from updater.format.patch_header.patch import (
    Block,
    Extent,
    FileView,
    Header,
    TreeDescriptor,
    check_header,
    raw_limit,
)
from updater.format.release_description import Release
from updater.patch.delta.block import encode_block
from updater.patch.delta.bsdiff import Delta

MANIFEST = Manifest.of(
    "app", "1.0", [File("d/a", 5, Digest.of(b"x")), File("e/b", 5, Digest.of(b"y"))]
)
RELEASE = Release(notes="a note")
NAMED = TreeDescriptor("1.0", Digest.of(b"m"), 100, RELEASE)
OFFER = HeadEntry("2.0", (RolloutStep(0, 1), RolloutStep(1, 2)))
HEAD = Head("app", "stable", 0, "seed", (OFFER, HeadEntry("1.0", (RolloutStep(0, 10_000),))))
BLOCK = Block((Extent(0, 0, 6),), (Extent(0, 0, 5),), 0, 9, 9, Digest.of(b"block"))
HEADER = Header(
    "app",
    NAMED,
    NAMED,
    (Change(Kind.MODIFY, "a", size=5), Change(Kind.ADD, "b", size=2)),
    ("source", "sources"),
    (FileView(1, 255, 7, b"12"),),
    (FileView(1, 255, 4, b"123"),),
    (BLOCK, Block((), (Extent(1, 0, 4),), 0, 9, 9, Digest.of(b"block"))),
)
DATA = encode_header(HEADER)
TRIPLES = Delta((0, 0), (1, 1), (0, 0), b"", b"xy")


def manifest(limits: Limits) -> None:
    Manifest.parse(MANIFEST.data, limits)


def built_manifest(limits: Limits) -> None:
    Manifest.of("app", "1.0", MANIFEST.entries, limits=limits)


def header(limits: Limits) -> None:
    decode_header(DATA, limits)


def built_header(limits: Limits) -> None:
    check_header(HEADER, limits)


def head(limits: Limits) -> None:
    Head.parse(HEAD.to_json(), limits)


def block(limits: Limits) -> None:
    _, raw, packed = encode_block(TRIPLES)
    of = Block((), (Extent(0, 0, 2),), 0, len(raw), len(packed), Digest.of(packed))
    decode_block(of, packed, b"", limits)


CASES: list[tuple[str, int, Callable[[Limits], None]]] = [
    ("path_bytes", 2, manifest),
    ("path_bytes", 2, built_manifest),
    ("path_bytes", 6, header),
    ("name_bytes", 0, manifest),
    ("manifest_bytes", len(MANIFEST.data) - 1, manifest),
    ("manifest_bytes", len(MANIFEST.data) - 1, built_manifest),
    ("manifest_bytes", 99, header),
    ("entries", 1, manifest),
    ("entries", 1, built_manifest),
    ("entries", 1, header),
    ("entries", 1, built_header),
    ("folders", 1, manifest),
    ("folders", 1, built_manifest),
    ("file_bytes", 4, manifest),
    ("file_bytes", 4, built_manifest),
    ("file_bytes", 4, header),
    ("names_bytes", 12, header),
    ("release_bytes", 18, header),
    ("release_bytes", 18, lambda limits: void(Release.parse(RELEASE.to_json(), limits))),
    ("head_entries", 1, head),
    ("rollout_steps", 1, head),
    ("header_bytes", 100, header),
    ("header_bytes", 100, lambda limits: void(header_length(DATA, limits))),
    ("header_bytes", 100, lambda limits: void(encode_header(HEADER, limits))),
    ("changes", 1, header),
    ("changes", 1, built_header),
    ("blocks", 1, header),
    ("blocks", 1, built_header),
    ("extents", 2, built_header),
    ("extents", 1, header),
    ("block_new_bytes", 4, header),
    ("block_new_bytes", 4, built_header),
    ("block_old_bytes", 5, header),
    ("block_old_bytes", 5, built_header),
    ("block_packed_bytes", 8, header),
    ("block_packed_bytes", 8, built_header),
    ("block_triples", 1, block),
    ("view_factor", 1, header),
    ("view_factor", 1, built_header),
    ("view_bytes", 6, header),
    ("view_bytes", 6, built_header),
    ("recipe_bytes", 2, header),
    ("recipe_bytes", 2, built_header),
]


def void(_: object) -> None:
    """Nothing: a case is what it raises."""


@pytest.mark.parametrize(
    ("name", "value", "run"), CASES, ids=[f"{n}-{r.__name__}" for n, _, r in CASES]
)
def test_each_limit_is_enforced(name: str, value: int, run: Callable[[Limits], None]) -> None:
    run(DEFAULT)
    with pytest.raises(FormatError):
        run(dataclasses.replace(DEFAULT, **{name: value}))


def test_no_limit_is_without_a_case() -> None:
    elsewhere = {
        "channels",  # of one app: counted by patchtool, each is a target of its own
        "dictionary_bytes",  # a size derived, see below
    }
    assert {name for name, _, _ in CASES} == {field.name for field in fields(Limits)} - elsewhere


def test_the_dictionary_is_limited() -> None:
    assert dictionary_size(1 << 30) == DEFAULT.dictionary_bytes


def test_what_the_limits_allow_is_read() -> None:
    exact = Limits(
        path_bytes=7,
        entries=2,
        changes=2,
        blocks=2,
        extents=3,
        file_bytes=5,
        block_new_bytes=5,
        block_old_bytes=6,
        block_packed_bytes=9,
        view_bytes=7,
        recipe_bytes=3,
        view_factor=2,
        folders=2,
        name_bytes=7,
    )
    header(exact)
    manifest(exact)


def test_a_block_decompresses_to_no_more_than_its_new_bytes_explain() -> None:
    most = raw_limit(16 << 20)
    assert most < 1.4 * (16 << 20)
    assert raw_limit(0) < 128
    exact = dataclasses.replace(BLOCK, raw_length=raw_limit(5))
    check_header(dataclasses.replace(HEADER, blocks=(exact, HEADER.blocks[1])))
    over = dataclasses.replace(BLOCK, raw_length=raw_limit(5) + 1)
    with pytest.raises(FormatError, match="decompressed bytes"):
        check_header(dataclasses.replace(HEADER, blocks=(over, HEADER.blocks[1])))


def test_limits_are_those_of_the_documentation() -> None:
    """Names and numbers in docs/format.md; a change of one is a change of the other."""
    rows = documented()
    assert rows == {field.name: getattr(DEFAULT, field.name) for field in fields(Limits)}


def documented() -> dict[str, int]:
    text = (ROOT / "docs" / "format.md").read_text("utf-8")
    section = text.partition("\n## Limits\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): int(value.replace(",", "")) for name, value in cells}
