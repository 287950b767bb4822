"""The conformance vectors of docs/format.md, every one, with the outcome it names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.vectors import generate
from tests.support.trees.decoding import decode_block
from updater.errors import FormatError, PatchError, UpdaterError
from updater.format.changes import Change
from updater.format.encoding.canonical import decode, encode
from updater.format.head import Head
from updater.format.manifest import Manifest
from updater.format.names import Digest, check_app, check_channel, check_version
from updater.format.patch_header.header import decode_header, header_length
from updater.format.patch_header.patch import Block, Extent, FileView, Header, TreeDescriptor
from updater.format.paths import check_path, check_target
from updater.format.release_description import Release
from updater.format.rollout_bucket import bucket
from updater.patch.apply import PatchFile, apply_patch, nothing, tree_at

VECTORS = Path(__file__).parent / "vectors"
ERRORS: Mapping[str, type[UpdaterError]] = {"FormatError": FormatError, "PatchError": PatchError}

Vector = dict[str, Any]


def of(document: str) -> pytest.MarkDecorator:
    """Parametrize by every vector of one file."""
    vectors = json.loads((VECTORS / f"{document}.json").read_text("utf-8"))["vectors"]
    return pytest.mark.parametrize("vector", [pytest.param(v, id=_id(v)) for v in vectors])


def _id(vector: Vector) -> str:
    name = vector.get("name", vector.get("install_id"))
    return f"{ascii(name)[1:61]}-{vector.get('expect', vector.get('bucket'))}"


def check(vector: Vector, run: Callable[[], Any]) -> Any:
    """What ``run`` gives, if the vector is good; otherwise an error of just the branch it names."""
    if vector["expect"] == "ok":
        return run()
    with pytest.raises(UpdaterError) as caught:
        run()
    branch = next(kind for kind in type(caught.value).mro() if kind in ERRORS.values())
    assert branch is ERRORS[vector["expect"]]
    return None


def content(vector: Vector) -> bytes:
    return bytes.fromhex(vector["hex"]) if "hex" in vector else str(vector["text"]).encode()


def test_no_vector_file_is_left_out() -> None:
    run = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in VECTORS.glob("*.json")} <= run


def test_binary_vectors_are_what_their_generator_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "HERE", tmp_path)
    generate.main()
    written = sorted(tmp_path.iterdir())
    assert [path.name for path in written] == ["block.json", "header.json", "patch.json"]
    for path in written:
        assert path.read_bytes() == (VECTORS / path.name).read_bytes()


@of("canonical")
def test_canonical(vector: Vector) -> None:
    data = content(vector)
    value = check(vector, lambda: decode(data, 1000))
    if vector["expect"] == "ok":
        assert encode(value) == data


@of("names")
def test_names(vector: Vector) -> None:
    checks = {"app": check_app, "channel": check_channel, "version": check_version}
    accepted = check(vector, lambda: checks[vector["kind"]](vector["name"]))
    assert accepted in {None, vector["name"]}


@of("paths")
def test_paths(vector: Vector) -> None:
    path = vector["name"]
    if "target" in vector:
        check(vector, lambda: check_target(path, vector["target"]))
    else:
        check(vector, lambda: check_path(path, portable=vector["portable"]))


@of("manifest")
def test_manifest(vector: Vector) -> None:
    manifest = check(vector, lambda: Manifest.parse(content(vector)))
    if manifest is not None:
        assert str(manifest.digest) == vector["sha256"]
        assert manifest.data == content(vector)


@of("release")
def test_release(vector: Vector) -> None:
    release = check(vector, lambda: Release.parse(vector["value"]))
    if release is not None:
        assert release.to_json() == vector["value"]


@of("head")
def test_head(vector: Vector) -> None:
    head = check(vector, lambda: Head.parse(vector["value"]))
    if head is not None:
        assert head.to_json() == {"entries": [], **vector["value"]}


@of("bucket")
def test_bucket(vector: Vector) -> None:
    drawn = bucket(vector["seed"], vector["version"], vector["install_id"])
    assert drawn == vector["bucket"]
    assert str(Digest.of(bytes.fromhex(vector["digest_input"]))) == vector["sha256"]
    assert int(vector["sha256"][:16], 16) % 10_000 == drawn


@of("choose")
def test_choose(vector: Vector) -> None:
    chosen = Head.parse(vector["head"]).choose(
        vector["install_id"],
        vector["now"],
        floor=vector["floor"],
        excluded=lambda version: version in vector["excluded"],
    )
    assert chosen == vector["expect"]


@of("header")
def test_header(vector: Vector) -> None:
    data = bytes.fromhex(vector["hex"])
    header = check(vector, lambda: decode_header(data))
    if header is not None:
        assert described(header) == vector["header"]
        assert header_length(data + b"blocks") == len(data)


@of("block")
def test_block(vector: Vector) -> None:
    packed = bytes.fromhex(vector["packed"])
    extents = tuple(Extent(0, 0, n) for n in [vector["new_length"]] if n)
    digest = Digest.parse(vector["sha256"])
    block = Block((), extents, vector["codec"], vector["raw_length"], len(packed), digest)
    new = check(vector, lambda: decode_block(block, packed, bytes.fromhex(vector["old"])))
    if new is not None:
        assert new.hex() == vector["new"]


@of("patch")
def test_patch(vector: Vector, tmp_path: Path) -> None:
    patch, installed, out = tmp_path / "patch", tmp_path / "old", tmp_path / "out"
    patch.write_bytes(bytes.fromhex(vector["patch"]))
    out.mkdir()
    for path, data in vector["old_files"].items():
        place = installed / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bytes.fromhex(data))
    given = vector["old_manifest"]
    old = nothing("notes") if given is None else tree_at(installed, Manifest.parse(given.encode()))
    new = check(vector, lambda: apply_patch(PatchFile(patch), old, out))
    if new is not None:
        assert new.manifest.data == vector["new_manifest"].encode()
        assert {p: place.read_bytes().hex() for p, place in new.places.items()} == vector[
            "new_files"
        ]


def described(header: Header) -> dict[str, Any]:
    """A header in the words of the vectors."""
    return {
        "app": header.app,
        "from": header.old and _tree(header.old),
        "to": _tree(header.new),
        "changes": [dict(_change(change)) for change in header.changes],
        "more_sources": list(header.sources),
        "old_views": [_view(view) for view in header.old_views],
        "new_views": [_view(view) for view in header.new_views],
        "blocks": [
            {
                "codec": block.codec,
                "digest": str(block.digest),
                "new": [[e.file, e.offset, e.length] for e in block.new],
                "old": [[e.file, e.offset, e.length] for e in block.old],
                "packed_length": block.packed_length,
                "raw_length": block.raw_length,
            }
            for block in header.blocks
        ],
    }


def _tree(tree: TreeDescriptor) -> dict[str, Any]:
    return {
        "length": tree.length,
        "release": tree.release.to_json(),
        "sha256": str(tree.digest),
        "version": tree.version,
    }


def _change(change: Change) -> Iterator[tuple[str, Any]]:
    yield "kind", change.kind.name.lower()
    yield "path", change.path
    if change.source:
        yield "source", change.source
    if change.size is not None:
        yield "size", change.size
    if change.executable:
        yield "executable", True
    if change.target:
        yield "target", change.target


def _view(view: FileView) -> dict[str, Any]:
    return {"file": view.file, "id": view.id, "length": view.length, "recipe": view.recipe.hex()}
