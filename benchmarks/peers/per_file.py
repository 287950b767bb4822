"""A patch of one delta a file, for peers that know files and no folders.

What it holds: an index (JSON, xz), a delta for each file that changed under its name, and one
xz stream of all files under new names. A moved file is a removed and a new one. Files that
stay are copied. Nothing is hashed: what comes out is as right as the delta library says.
"""

from __future__ import annotations

import filecmp
import json
import lzma
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.peers.command import main
from benchmarks.trees import Tree, read_tree

PRESET = 9 | lzma.PRESET_EXTREME
LENGTH = 8  # bytes before the index that tell its length


@dataclass(frozen=True)
class Codec:
    """A delta library: (old, new) -> delta and (old, delta) -> new; may run in threads."""

    diff: Callable[[bytes, bytes], bytes]
    patch: Callable[[bytes, bytes], bytes]


def run(codec: Codec) -> None:
    """Be the command of a peer."""
    main(
        lambda old, new, patch: build(codec, old, new, patch),
        lambda old, patch, out: apply(codec, old, patch, out),
    )


def build(codec: Codec, old: Path, new: Path, patch: Path) -> None:
    """Write the patch; deltas are made by as many threads as there are processors."""
    before, after = read_tree(old), read_tree(new)
    changed = [path for path in after.files if _differs(old, new, path, before, after)]
    added = [path for path in after.files if path not in before.files]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        deltas = list(pool.map(lambda path: codec.diff(*_both(old, new, path)), changed))
    index = {
        "changed": [
            [path, after.files[path], len(delta)]
            for path, delta in zip(changed, deltas, strict=True)
        ],
        "added": [[path, after.files[path], (new / path).stat().st_size] for path in added],
        "gone": [path for path in before.files if path not in after.files],
        "links": after.links,
        "folders": after.folders,
    }
    packed = lzma.compress(json.dumps(index).encode(), preset=PRESET)
    with patch.open("wb") as writer:
        writer.writelines([len(packed).to_bytes(LENGTH, "big"), packed, *deltas])
        writer.writelines(_pack(new / path for path in added) if added else [])


def _differs(old: Path, new: Path, path: str, before: Tree, after: Tree) -> bool:
    if path not in before.files:
        return False
    same_mode = before.files[path] == after.files[path]
    return not (same_mode and filecmp.cmp(old / path, new / path, shallow=False))


def _both(old: Path, new: Path, path: str) -> tuple[bytes, bytes]:
    return (old / path).read_bytes(), (new / path).read_bytes()


def _pack(places: Iterator[Path]) -> Iterator[bytes]:
    compressor = lzma.LZMACompressor(preset=PRESET)
    for place in places:
        yield compressor.compress(place.read_bytes())
    yield compressor.flush()


def apply(codec: Codec, old: Path, patch: Path, out: Path) -> None:
    """Write the new folder ``out``; deltas are applied by threads as they were made."""
    data = memoryview(patch.read_bytes())
    start = LENGTH + int.from_bytes(data[:LENGTH], "big")
    index = json.loads(lzma.decompress(data[LENGTH:start]))
    _copy(old, out, {path for path, *_ in index["changed"]} | set(index["gone"]))
    ends = list(accumulate((length for *_, length in index["changed"]), initial=start))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(_patch_one, codec, old / path, data[begin:end], _at(out, path), executable)
            for (path, executable, _), begin, end in zip(
                index["changed"], ends[:-1], ends[1:], strict=True
            )
        ]
        for job in jobs:
            job.result()
    _unpack(data[ends[-1] :], index["added"], out)
    _make_links(index, out)


def _copy(old: Path, out: Path, without: set[str]) -> None:
    for path, executable in read_tree(old).files.items():
        if path not in without:
            place = _at(out, path)
            shutil.copyfile(old / path, place)
            place.chmod(0o755 if executable else 0o644)


def _patch_one(codec: Codec, old: Path, delta: memoryview, place: Path, executable: bool) -> None:
    place.write_bytes(codec.patch(old.read_bytes(), bytes(delta)))
    place.chmod(0o755 if executable else 0o644)


def _unpack(packed: memoryview, added: list[Any], out: Path) -> None:
    with lzma.open(BytesIO(packed)) if packed else BytesIO() as reader:
        for path, executable, size in added:
            place = _at(out, path)
            place.write_bytes(reader.read(size))
            place.chmod(0o755 if executable else 0o644)


def _make_links(index: dict[str, Any], out: Path) -> None:
    for path, target in index["links"].items():
        _at(out, path).symlink_to(target)
    for path in index["folders"]:
        _at(out, path).mkdir()


def _at(out: Path, path: str) -> Path:
    place = out / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
