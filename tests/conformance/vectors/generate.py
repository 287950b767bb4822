"""Writes the binary vectors beside it: `python tests/conformance/vectors/generate.py`.

It imports nothing of upswap and encodes from docs/format.md alone, so that the vectors check
the implementation and not itself. Streams are LZMA2 in stored chunks: readable in the hex, and
the same bytes with every version of liblzma.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MAGIC = b"upswap\0\x01"
OK, BAD, MISFIT = "ok", "FormatError", "PatchError"
MOVE_DIRECTORY, DELETE, RENAME, COPY, MODIFY, REPLACE, MODE, ADD, ADD_DIRECTORY, SYMLINK = range(10)

Json = dict[str, Any]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# Spelling: docs/format.md, "Canonical JSON" and "Numbers, strings and columns".


def canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def varint(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value % 128 + 128)
        value //= 128
    return bytes([*data, value])


def zigzag(value: int) -> bytes:
    return varint(2 * value if value >= 0 else -2 * value - 1)


def varints(values: Iterable[int]) -> bytes:
    return b"".join(map(varint, values))


def prefixed(data: bytes) -> bytes:
    return varint(len(data)) + data


def lzma2(raw: bytes) -> bytes:
    data = b""
    for start in range(0, len(raw), 65536):
        chunk = raw[start : start + 65536]
        data += bytes([2 if start else 1]) + (len(chunk) - 1).to_bytes(2, "big") + chunk
    return data + b"\0"


def zstd(content: bytes, size: int | None = None) -> bytes:
    """A frame of one raw block, single segment, its content size in one byte."""
    size = len(content) if size is None else size
    block = (1 + (len(content) << 3)).to_bytes(3, "little") + content
    return b"\x28\xb5\x2f\xfd\x20" + bytes([size]) + block


def common(a: bytes, b: bytes) -> int:
    length = 0
    while length < min(len(a), len(b)) and a[length] == b[length]:
        length += 1
    return length


def names(texts: Sequence[str]) -> bytes:
    parts = [text.encode() for text in texts]
    shared = [common(a, b) for a, b in zip([b"", *parts], parts, strict=False)]
    rests = [part[keep:] for part, keep in zip(parts, shared, strict=True)]
    return varints(shared) + varints(len(rest) for rest in rests) + b"".join(rests)


def edits(pairs: Sequence[tuple[str, str]]) -> bytes:
    heads, tails, middles = [], [], []
    for path, source in ((a.encode(), b.encode()) for a, b in pairs):
        head = common(path, source)
        tail = common(path[head:][::-1], source[head:][::-1])
        heads.append(head)
        tails.append(tail)
        middles.append(source[head : len(source) - tail])
    lengths = varints(len(middle) for middle in middles)
    return varints(heads) + varints(tails) + lengths + b"".join(middles)


def extents(triples: Sequence[Sequence[int]]) -> bytes:
    files, offsets = b"", b""
    before, end = 0, 0
    for file, offset, length in triples:
        files += zigzag(file - before)
        offsets += zigzag(offset - (end if file == before else 0))
        before, end = file, offset + length
    return files + offsets + varints(length for _, _, length in triples)


# Documents.


def file_entry(path: str, data: bytes, *, executable: bool = False) -> Json:
    return {
        "executable": executable,
        "kind": "file",
        "path": path,
        "sha256": sha256(data).hex(),
        "size": len(data),
    }


def link_entry(path: str, target: str) -> Json:
    return {"kind": "symlink", "path": path, "target": target}


def folder_entry(path: str) -> Json:
    return {"kind": "directory", "path": path}


def manifest(version: str, entries: Sequence[Json], release: Json | None = None) -> Json:
    return {
        "app": "notes",
        "entries": list(entries),
        "format": 1,
        "release": release or {},
        "version": version,
    }


def tree(document: Json, before: Json | None = None) -> bytes:
    data = canonical(document)
    same = before is not None and before["release"] == document["release"]
    release = b"" if same else canonical(document["release"])
    version = prefixed(document["version"].encode())
    return version + sha256(data) + varint(len(data)) + prefixed(release)


def change(kind: int, path: str, source: str = "", **rest: Any) -> Json:
    return {"kind": kind, "path": path, "source": source, **rest}


def changes(items: Sequence[Json]) -> dict[str, bytes]:
    with_source = [c for c in items if c["kind"] in {MOVE_DIRECTORY, RENAME, COPY}]
    with_size = [c for c in items if c["kind"] in {RENAME, MODIFY, REPLACE, ADD}]
    with_mode = [c for c in items if c["kind"] in {RENAME, COPY, MODIFY, REPLACE, MODE, ADD}]
    links = [c for c in items if c["kind"] == SYMLINK]

    def size(item: Json) -> int:
        given: int | None = item.get("size")
        return (0 if given is None else given + 1) if item["kind"] == RENAME else given or 0

    return {
        "change_count": varint(len(items)),
        "kinds": bytes(c["kind"] for c in items),
        "paths": names([c["path"] for c in items]),
        "sources": edits([(c["path"], c["source"]) for c in with_source]),
        "sizes": varints(size(c) for c in with_size),
        "modes": varints(int(c.get("executable", False)) for c in with_mode),
        "targets": b"".join(prefixed(c["target"].encode()) for c in links),
    }


def view(file: int, number: int, length: int, recipe: bytes = b"") -> bytes:
    return varints([file, number, length]) + prefixed(recipe)


def blocks(items: Sequence[Json]) -> dict[str, bytes]:
    return {
        "block_count": varint(len(items)),
        "codecs": varints(b["codec"] for b in items),
        "raw_lengths": varints(b["raw_length"] for b in items),
        "packed_lengths": varints(len(b["packed"]) for b in items),
        "old_counts": varints(len(b["old"]) for b in items),
        "new_counts": varints(len(b["new"]) for b in items),
        "digests": b"".join(sha256(b["packed"]) for b in items),
        "old_extents": extents([e for b in items for e in b["old"]]),
        "new_extents": extents([e for b in items for e in b["new"]]),
    }


def stored(raw: bytes, new: Sequence[Sequence[int]], old: Sequence[Sequence[int]] = ()) -> Json:
    return {"codec": 0, "raw_length": len(raw), "packed": raw, "old": old, "new": new}


def packed(raw: bytes, new: Sequence[Sequence[int]], old: Sequence[Sequence[int]] = ()) -> Json:
    return {"codec": 1, "raw_length": len(raw), "packed": lzma2(raw), "old": old, "new": new}


def against(
    frame: bytes, length: int, new: Sequence[Sequence[int]], old: Sequence[Sequence[int]] = ()
) -> Json:
    """A block of codec 2."""
    return {"codec": 2, "raw_length": length, "packed": frame, "old": old, "new": new}


def delta(
    triples: Sequence[tuple[int, int, int]], runs: Sequence[int], literals: bytes, extra: bytes
) -> bytes:
    """``runs``: lengths of literals and gaps in turn; that of the last literals is not written."""
    adds, copies, seeks = zip(*triples, strict=True) if triples else ((), (), ())
    gaps = runs[1::2]
    control = varint(len(triples)) + varint(len(gaps))
    control += varints(adds) + varints(copies) + b"".join(map(zigzag, seeks))
    control += varints(runs[0 : 2 * len(gaps) : 2]) + varints(gaps)
    return prefixed(control) + extra + literals


def whole(data: bytes) -> bytes:
    """The delta that is all extra bytes."""
    return delta([(0, len(data), 0)], [], b"", data)


def fields(
    new: Json,
    items: Sequence[Json],
    parts: Sequence[Json],
    *,
    old: Json | None = None,
    old_views: Sequence[bytes] = (),
    new_views: Sequence[bytes] = (),
    more_sources: Sequence[str] = (),
) -> dict[str, bytes]:
    """The parts of a header body, in order and by name, so that a vector can spoil one."""
    return {
        "app": prefixed(new["app"].encode()),
        "base_flag": varint(int(old is not None)),
        "from": tree(old) if old else b"",
        "to": tree(new, old),
        **changes(items),
        "more_source_count": varint(len(more_sources)),
        "more_sources": names(list(more_sources)),
        "old_view_count": varint(len(old_views)),
        "old_views": b"".join(old_views),
        "new_view_count": varint(len(new_views)),
        "new_views": b"".join(new_views),
        **blocks(parts),
    }


def header(parts: dict[str, bytes], **spoilt: bytes) -> bytes:
    assert spoilt.keys() <= parts.keys()
    return wrapped(b"".join({**parts, **spoilt}.values()))


def wrapped(body: bytes) -> bytes:
    data = lzma2(body)
    return MAGIC + varint(len(body)) + varint(len(data)) + data


# The example the header and patch vectors share: every kind of change once.

OLD_FILES = {
    "bin/notes": b"#!notes 1\n" * 8,
    "doc/a.txt": b"alpha\n",
    "doc/b.txt": b"beta\n",
    "gone.txt": b"gone\n",
    "left.dat": b"left is now right",
    "lib/core.dat": bytes(range(64)) * 8,
    "plain.sh": b"echo\n",
    "right.dat": b"right is now left",
}
OLD = manifest(
    "1.0",
    sorted(
        [
            *(file_entry(p, d, executable=p == "bin/notes") for p, d in OLD_FILES.items()),
            link_entry("current", "doc/a.txt"),
        ],
        key=lambda e: e["path"].encode(),
    ),
    {"entry": ["bin/notes"]},
)
CORE = (
    bytes(range(64)) * 4 + b"inserted" + bytes(range(64)) * 3 + bytes([63 - i for i in range(64)])
)
NEW_FILES = {
    "bin/notes": b"#!notes 2\n" * 8,
    "core2.dat": CORE,
    "empty.txt": b"",
    "guide/a.txt": b"alpha\n",
    "guide/b.txt": b"beta\n",
    "left.dat": OLD_FILES["right.dat"],
    "more/a.txt": b"alpha\n",
    "new.txt": b"new\n",
    "plain.sh": b"echo\n",
    "right.dat": OLD_FILES["left.dat"],
}
NEW = manifest(
    "1.1",
    sorted(
        [
            *(
                file_entry(p, d, executable=p in {"bin/notes", "plain.sh"})
                for p, d in NEW_FILES.items()
            ),
            folder_entry("cache"),
            link_entry("current", "guide/a.txt"),
        ],
        key=lambda e: e["path"].encode(),
    ),
    {"entry": ["bin/notes"]},
)
CHANGES = [
    change(MOVE_DIRECTORY, "guide", "doc"),
    change(DELETE, "gone.txt"),
    change(RENAME, "core2.dat", "lib/core.dat", size=len(CORE)),
    change(RENAME, "left.dat", "right.dat"),
    change(RENAME, "right.dat", "left.dat"),
    change(COPY, "more/a.txt", "doc/a.txt"),
    change(MODIFY, "bin/notes", size=80, executable=True),
    change(MODE, "plain.sh", executable=True),
    change(ADD, "empty.txt", size=0),
    change(ADD, "new.txt", size=4),
    change(ADD_DIRECTORY, "cache"),
    change(SYMLINK, "current", target="guide/a.txt"),
]


def difference(new: bytes, old: bytes) -> bytes:
    return bytes((a - b) % 256 for a, b in zip(new, old, strict=True))


NOTES_DELTA = delta(
    [(80, 0, 0)], [80], difference(NEW_FILES["bin/notes"], OLD_FILES["bin/notes"]), b""
)
# 448 equal bytes are not written out: an empty literal, their number, and the literal behind.
CORE_DELTA = delta(
    [(256, 8, 0), (256, 0, 0)],
    [0, 448, 64],
    difference(CORE[456:], OLD_FILES["lib/core.dat"][448:]),
    b"inserted",
)
BLOCKS = [
    packed(CORE_DELTA, [(2, 0, len(CORE))], [(2, 0, 512)]),
    stored(NOTES_DELTA, [(6, 0, 80)], [(6, 0, 80)]),
    stored(whole(b"new\n"), [(9, 0, 4)]),
]
PATCH_FIELDS = fields(NEW, CHANGES, BLOCKS, old=OLD)

ONE = manifest("1.0", [file_entry("a", b"abc")])
ONE_CHANGES = [change(ADD, "a", size=3)]
ONE_BLOCKS = [stored(whole(b"abc"), [(0, 0, 3)])]
ONE_FIELDS = fields(ONE, ONE_CHANGES, ONE_BLOCKS)


def body_of(parts: Sequence[Json]) -> bytes:
    return b"".join(part["packed"] for part in parts)


def vector(name: str, expect: str, **rest: Any) -> Json:
    return {"name": name, "expect": expect, **rest}


COMPRESSED = (
    "e001b001710300029d705d95008b5f0a1519cab8cf76409e87f6e144c198e148b141e88441bd441a0b499e59"
    "a60d681ad8b37f9767f7ac80e4625d669f713a42a557c50637e272e3f89cc21fe408b35323846bdfd04c6365"
    "fc28e6fc7e8869a790996441d788b20842b2876dfa3207babd6ee318803201177d97afb7f52f911c51df56ff"
    "2c114f731879e10e78d25e60eb82ed8529c1c7deb5166cebd83f2f9bd6c2236f5f0c0f15918ebdda5a88fa2b"
    "b06bcfa59544b6f4e0d03a89dbd1e62c44397fa113f0deeb4c6e75d72789a3b48941818c215ec2c7226a9545"
    "d110dbd280dbc11b7a2c5d2d7afff436dda1bb47e7efb91a49795501801a8c541a84e786c68a5da08924d565"
    "2a7e5f44d0847c20feb0d2c54aa3428fa52a148c5102590668c7969b0c7eaa83631529699158ec1e8e454fe2"
    "2dcd36072caa5255fac1b67601751d26774d98a9a5149f61e72a6cd04f929d79e7444d705bbe097a6d9ed00a"
    "044bcfee65f1bd8cb84ae8ddcb51c28acd278d4bf58dae5000"
)
"""The body of the patch as one liblzma packed it, with the dictionary of 4 KiB."""

# header.json: whole patch headers, and what they say.

KINDS = (
    "move_directory", "delete", "rename", "copy", "modify", "replace", "mode", "add",
    "add_directory", "symlink",
)  # fmt: skip


def described(
    new: Json, items: Sequence[Json], parts: Sequence[Json], old: Json | None = None, **rest: Any
) -> Json:
    def named(document: Json) -> Json:
        data = canonical(document)
        return {
            "length": len(data),
            "release": document["release"],
            "sha256": sha256(data).hex(),
            "version": document["version"],
        }

    def said(item: Json) -> Json:
        said = {k: v for k, v in item.items() if v != "" and v is not False and k != "kind"}
        return {"kind": KINDS[item["kind"]], **said}

    return {
        "app": new["app"],
        "from": named(old) if old else None,
        "to": named(new),
        "changes": [said(item) for item in items],
        "more_sources": [],
        "old_views": [],
        "new_views": [],
        "blocks": [
            {
                "codec": part["codec"],
                "digest": sha256(part["packed"]).hex(),
                "new": [list(extent) for extent in part["new"]],
                "old": [list(extent) for extent in part["old"]],
                "packed_length": len(part["packed"]),
                "raw_length": part["raw_length"],
            }
            for part in parts
        ],
        **rest,
    }


def header_vectors() -> list[Json]:
    body = b"".join(ONE_FIELDS.values())
    good = header(ONE_FIELDS)
    empty = manifest("1.0", [])
    compressed = bytes.fromhex(COMPRESSED)
    views = {
        "old_views": [view(0, 255, 6, b"\x01")],
        "new_views": [view(0, 7, 9, b"")],
    }
    view_change = [change(MODIFY, "a", size=3)]
    view_block = [stored(whole(b"123456789"), [(0, 0, 9)], [(0, 2, 4)])]
    two = [stored(whole(b"ab"), [(0, 1, 2)]), stored(whole(b"c"), [(0, 0, 1)])]

    def ok(name: str, data: bytes, says: Json) -> Json:
        return vector(name, OK, hex=data.hex(), header=says)

    def bad(name: str, data: bytes) -> Json:
        return vector(name, BAD, hex=data.hex())

    def spoilt(name: str, **parts: bytes) -> Json:
        return bad(name, header(ONE_FIELDS, **parts))

    def changed(name: str, *items: Json) -> Json:
        return bad(name, header(fields(ONE, items, [], old=OLD)))

    def tiled(name: str, *parts: Json) -> Json:
        return bad(name, header(fields(ONE, ONE_CHANGES, parts)))

    return [
        ok("bundle of one file", good, described(ONE, ONE_CHANGES, ONE_BLOCKS)),
        ok("bundle of nothing", header(fields(empty, [], [])), described(empty, [], [])),
        ok(
            "every kind of change",
            header(PATCH_FIELDS),
            described(NEW, CHANGES, BLOCKS, OLD),
        ),
        ok(
            "the same, compressed by liblzma",
            MAGIC + varint(len(b"".join(PATCH_FIELDS.values()))) + prefixed(compressed),
            described(NEW, CHANGES, BLOCKS, OLD),
        ),
        ok(
            "views, a further source",
            header(fields(ONE, view_change, view_block, old=OLD, more_sources=["x"], **views)),
            described(
                ONE,
                [{**view_change[0], "executable": False}],
                view_block,
                OLD,
                more_sources=["x"],
                old_views=[{"file": 0, "id": 255, "length": 6, "recipe": "01"}],
                new_views=[{"file": 0, "id": 7, "length": 9, "recipe": ""}],
            ),
        ),
        ok(
            "blocks in any order",
            header(fields(ONE, ONE_CHANGES, two)),
            described(ONE, ONE_CHANGES, two),
        ),
        bad("no bytes", b""),
        bad("magic cut short", MAGIC[:5]),
        bad("other magic", b"UPSWAP\0\x01" + good[8:]),
        bad("format version 0", MAGIC[:-1] + b"\0" + good[8:]),
        bad("format version 2", MAGIC[:-1] + b"\x02" + good[8:]),
        bad("lengths cut short", MAGIC + b"\x80"),
        bad("raw length of 16 MiB and one", MAGIC + varint((1 << 24) + 1) + good[9:]),
        bad("raw length not in shortest form", MAGIC + bytes([good[8] | 0x80, 0]) + good[9:]),
        bad(
            "raw length one too small",
            wrapped(body).replace(varint(len(body)), varint(len(body) - 1), 1),
        ),
        bad(
            "raw length one too large",
            wrapped(body).replace(varint(len(body)), varint(len(body) + 1), 1),
        ),
        bad(
            "packed length one too large",
            MAGIC + varint(len(body)) + varint(len(lzma2(body)) + 1) + lzma2(body),
        ),
        bad("cut short", good[:-1]),
        bad("a byte behind", good + b"\0"),
        bad("a byte behind the stream", MAGIC + varint(len(body)) + prefixed(lzma2(body) + b"\0")),
        bad("stream without its end", MAGIC + varint(len(body)) + prefixed(lzma2(body)[:-1])),
        bad("stream damaged", MAGIC + varint(len(body)) + prefixed(b"\x03" + lzma2(body)[1:])),
        bad("body cut short", wrapped(body[:-1])),
        bad("a byte behind the body", wrapped(body + b"\0")),
        bad("empty body", wrapped(b"")),
        spoilt("app name", app=prefixed(b"Notes")),
        spoilt("app is not UTF-8", app=prefixed(b"\xff")),
        spoilt("base flag 2", base_flag=b"\x02"),
        spoilt("number not in shortest form", base_flag=b"\x80\0"),
        spoilt("number of ten bytes", change_count=b"\x80" * 9 + b"\x01"),
        spoilt("version not normalised", to=prefixed(b"v1.0") + ONE_FIELDS["to"][4:]),
        spoilt("no description", to=tree(ONE, ONE)),
        spoilt("description not canonical", to=ONE_FIELDS["to"][:-4] + prefixed(b"{ }\n")),
        spoilt("description unknown", to=ONE_FIELDS["to"][:-4] + prefixed(b'{"x":1}\n')),
        bad(
            "description repeated",
            header({**PATCH_FIELDS, "to": tree(NEW)}),
        ),
        spoilt("one change more than there is", change_count=b"\x02"),
        spoilt("more than 500,000 changes", change_count=varint(500_001)),
        spoilt("unknown kind of change", kinds=b"\x0a"),
        spoilt("first name shares", paths=b"\x01\x01a"),
        spoilt("path is not UTF-8", paths=b"\0\x01\xff"),
        spoilt("path of 1,025 bytes", paths=b"\0" + varint(1025) + b"a" * 1025),
        spoilt("path leaves", paths=names(["../a"])),
        spoilt("path has a Windows name", paths=names(["nul"])),
        bad(
            "name shares more than it says",
            header(
                fields(ONE, [change(DELETE, "aa"), change(DELETE, "ab")], [], old=OLD),
                paths=b"\0\0\x02\x02aaab",
            ),
        ),
        bad(
            "name shares less than it says",
            header(
                fields(ONE, [change(DELETE, "aa"), change(DELETE, "ab")], [], old=OLD),
                paths=b"\0\x03\x02\x01aab",
            ),
        ),
        changed("not sorted by path", change(DELETE, "b"), change(DELETE, "a")),
        changed("not sorted by kind", change(MODE, "a"), change(DELETE, "b")),
        changed("one change twice", change(DELETE, "a"), change(DELETE, "a")),
        changed("source leaves", change(RENAME, "a", "../a")),
        changed("source is empty", change(RENAME, "a", "")),
        changed("target leaves", change(SYMLINK, "a", target="../b")),
        changed("target is absolute on Windows", change(SYMLINK, "a", target="C:/b")),
        bad(
            "edit shares more than it says",
            header(fields(ONE, [change(RENAME, "ab", "ac")], [], old=OLD), sources=b"\0\0\x02ac"),
        ),
        bad(
            "edit ends overlap",
            header(fields(ONE, [change(RENAME, "ab", "ac")], [], old=OLD), sources=b"\x02\x02\0"),
        ),
        spoilt("executable flag 2", modes=b"\x02"),
        spoilt("size beyond the limit", sizes=varint((1 << 40) + 1)),
        spoilt("more than 250,000 further sources", more_source_count=varint(250_001)),
        bad(
            "one file has two views",
            header(fields(ONE, view_change, view_block, old=OLD, new_views=[view(0, 7, 9)] * 2)),
        ),
        bad(
            "view of a file that has no content",
            header(fields(ONE, [change(DELETE, "a")], [], old=OLD, new_views=[view(0, 7, 1)])),
        ),
        bad(
            "view of no bytes",
            header(fields(ONE, view_change, [], old=OLD, new_views=[view(0, 7, 0)])),
        ),
        bad(
            "view of more than 8 times its file",
            header(
                fields(
                    ONE,
                    view_change,
                    [stored(whole(b"1" * 25), [(0, 0, 25)])],
                    old=OLD,
                    new_views=[view(0, 7, 25)],
                )
            ),
        ),
        bad(
            "view of more than 2 GiB",
            header(
                fields(ONE, view_change, ONE_BLOCKS, old=OLD, old_views=[view(0, 7, (1 << 31) + 1)])
            ),
        ),
        spoilt("unknown codec", codecs=b"\x03"),
        tiled("zstd of other than the new bytes", against(zstd(b"abcd"), 4, [(0, 0, 3)])),
        spoilt("block of 17 MiB and one", packed_lengths=varint((17 << 20) + 1)),
        spoilt("block decompresses to more than its new bytes explain", raw_lengths=varint(208)),
        spoilt("digest cut short", digests=b"\0" * 31),
        tiled("no block"),
        tiled("a byte missing at the end", stored(whole(b"ab"), [(0, 0, 2)])),
        tiled("a byte missing at the start", stored(whole(b"ab"), [(0, 1, 2)])),
        tiled("a byte too many", stored(whole(b"abcd"), [(0, 0, 4)])),
        tiled("bytes given twice", *ONE_BLOCKS, stored(whole(b"c"), [(0, 2, 1)])),
        tiled("bytes of no file", *ONE_BLOCKS, stored(whole(b"c"), [(1, 0, 1)])),
        tiled("empty new extent", *ONE_BLOCKS, stored(whole(b""), [(0, 3, 0)])),
        tiled("new extent before its file", stored(whole(b"abcd"), [(0, -1, 4)])),
        tiled("old extent before its file", stored(whole(b"abc"), [(0, 0, 3)], [(0, -1, 4)])),
        tiled("old file before the first", stored(whole(b"abc"), [(0, 0, 3)], [(-1, 0, 4)])),
        tiled("file before the first", stored(whole(b"abc"), [(-1, 0, 3)])),
        tiled(
            "old extents of 16 MiB and one",
            stored(whole(b"abc"), [(0, 0, 3)], [(0, 0, 1 << 24), (0, 0, 1)]),
        ),
        tiled(
            "old extent of 16 MiB and one",
            stored(whole(b"abc"), [(0, 0, 3)], [(0, 0, (1 << 24) + 1)]),
        ),
        spoilt("more than 1,000,000 extents", new_counts=varint(1_000_001)),
    ]


MATCHED = "28b52ffd2052550000087402009882202bd515"
"""(ZSTD_TEXT * 2) as one libzstd packed it against ZSTD_TEXT as prefix."""
ZSTD_TEXT = b"the old bytes stand in front of the frame"


def zstd_vectors(block: Callable[..., Json]) -> list[Json]:
    good = zstd(b"xyz")
    matched = bytes.fromhex(MATCHED)
    twice = ZSTD_TEXT * 2

    def ok(name: str, frame: bytes, new: bytes, **rest: Any) -> Json:
        return block(
            f"{name}, zstd", OK, against(frame, len(new), []), len(new), new=new.hex(), **rest
        )

    def bad(name: str, frame: bytes, length: int = 3, **rest: Any) -> Json:
        return block(f"{name}, zstd", BAD, against(frame, length, []), length, **rest)

    return [
        ok("nothing", zstd(b""), b""),
        ok("no matches", good, b"xyz"),
        ok("old bytes too short to be a prefix", good, b"xyz", old=b"short"),
        ok("no old bytes", good, b"xyz", old=b""),
        ok("old bytes as prefix", matched, twice, old=ZSTD_TEXT),
        bad("old bytes too short for the match", matched, len(twice), old=ZSTD_TEXT[:8]),
        bad("no prefix for the match", matched, len(twice), old=b""),
        bad("longer than announced", good, 2),
        bad("shorter than announced", good, 4),
        bad("content size that is not the content's", zstd(b"xyz", 4)),
        bad("without its end", good[:-1]),
        bad("a byte behind", good + b"\0"),
        bad("a second frame", good + good),
        bad("an empty frame in front", zstd(b"") + good),
        bad("a skippable frame in front", b"\x50\x2a\x4d\x18\0\0\0\0" + good),
        bad("other magic", b"\x27" + good[1:]),
        bad("window of 2 KiB for three bytes", good[:4] + b"\0\x08" + good[6:]),
        bad("reserved block type", good[:6] + b"\x1f" + good[7:]),
        bad("no bytes", b""),
    ]


# block.json: one block of a patch, its old bytes, and its new ones.


def block_vectors() -> list[Json]:
    old = b"abcdef"

    def block(name: str, expect: str, part: Json, new_length: int, **rest: Any) -> Json:
        return vector(
            name,
            expect,
            codec=part["codec"],
            raw_length=part["raw_length"],
            packed=part["packed"].hex(),
            sha256=rest.pop("digest", sha256(part["packed"])).hex(),
            old=rest.pop("old", old).hex(),
            new_length=new_length,
            **rest,
        )

    def ok(name: str, raw: bytes, new: bytes, old: bytes = old) -> list[Json]:
        return [
            block(f"{name}, {how.__name__}", OK, how(raw, []), len(new), old=old, new=new.hex())
            for how in (stored, packed)
        ]

    def bad(name: str, raw: bytes, new_length: int, expect: str = BAD) -> Json:
        return block(name, expect, stored(raw, []), new_length)

    three = whole(b"xyz")
    seeking = delta([(3, 2, -1), (2, 0, 0)], [1, 1, 1, 2], b"\x01\xff", b"xy")
    return [
        *ok("nothing", delta([], [], b"", b""), b""),
        *ok("extra bytes only", three, b"xyz"),
        *ok("no old bytes", three, b"xyz", b""),
        *ok("a copy", delta([(6, 0, 0)], [0, 6], b"", b""), old),
        *ok("differences wrap around", delta([(2, 0, 0)], [2], b"\x9f\xff", b""), b"\0a"),
        *ok("seeking back, zeros between", seeking, b"bbbxycd"),
        *ok(
            "seeking to the end and back",
            delta([(0, 0, 6), (0, 0, -6), (1, 0, 5)], [1], b"\0", b""),
            b"a",
        ),
        *ok("the example's block", CORE_DELTA, CORE, OLD_FILES["lib/core.dat"]),
        block("other digest", BAD, stored(three, []), 3, digest=bytes(32)),
        block("raw length is another", BAD, {**stored(three, []), "raw_length": 6}, 3),
        block(
            "stream shorter than announced",
            BAD,
            {**packed(three, []), "raw_length": len(three) + 1},
            3,
        ),
        block(
            "stream longer than announced",
            BAD,
            {**packed(three, []), "raw_length": len(three) - 1},
            3,
        ),
        block("stream without its end", BAD, {**packed(three, []), "packed": lzma2(three)[:-1]}, 3),
        block(
            "a byte behind the stream",
            BAD,
            {**packed(three, []), "packed": lzma2(three) + b"\0"},
            3,
        ),
        block("no stream", BAD, {**packed(three, []), "packed": b""}, 3),
        bad("no bytes", b"", 0),
        bad("cut short", three[:-1], 3),
        bad("a byte behind", three + b"\0", 3),
        bad("gives less than the header says", three, 4),
        bad("gives more than the header says", three, 2),
        bad("more than 262,144 triples", varint(262_145) + b"\0", 0),
        bad("more than 262,144 gaps", prefixed(b"\0" + varint(262_145)), 0),
        bad("number not in shortest form", prefixed(b"\x01\0\x80\0\x03\0") + b"xyz", 3),
        bad("more control bytes than there can be", varint(8 + 20 * 262_144 + 1), 0),
        bad("no counts", prefixed(b""), 0),
        bad("one count", prefixed(b"\0"), 0),
        bad("fewer numbers than counted", prefixed(b"\x01\0\0\x03") + b"xyz", 3),
        bad("more numbers than counted", prefixed(b"\x01\0\0\x03\0\0") + b"xyz", 3),
        bad("last number cut short", prefixed(b"\x01\0\0\x03\x80") + b"xyz", 3),
        bad("copy length beyond the new bytes", delta([(0, 4, 0)], [], b"", b"wxyz"), 3),
        bad("seek beyond 16 MiB", delta([(0, 3, (1 << 24) + 1)], [], b"", b"xyz"), 3),
        bad("gaps beyond the add lengths", delta([(3, 0, 0)], [2, 2], b"ab", b""), 3),
        bad("gap of 2^62 zeros", delta([(3, 0, 0)], [0, 1 << 62], b"", b""), 3),
        bad("fewer difference bytes than gaps leave", delta([(3, 0, 0)], [], b"ab", b""), 3),
        bad("more difference bytes than gaps leave", delta([(3, 0, 0)], [2, 1], b"abc", b""), 3),
        *ok("empty literals and gaps", delta([(2, 0, 0)], [0, 1, 0, 0], b"\x01", b""), b"ac"),
        bad("seeks before the old bytes", delta([(1, 0, -2)], [1], b"\0", b""), 1, MISFIT),
        bad("seeks behind the old bytes", delta([(1, 0, 6)], [1], b"\0", b""), 1, MISFIT),
        bad("adds behind the old bytes", delta([(7, 0, 0)], [0, 7], b"", b""), 7, MISFIT),
        bad(
            "adds behind the old bytes and seeks back inside",
            delta([(7, 0, -7)], [0, 7], b"", b""),
            7,
            MISFIT,
        ),
        bad(
            "adds behind the old bytes after a seek",
            delta([(0, 0, 5), (2, 0, 0)], [2], b"ab", b""),
            2,
            MISFIT,
        ),
        *zstd_vectors(block),
    ]


# patch.json: whole patches: trees and bytes in, trees and bytes out.


def patch_vectors() -> list[Json]:
    def files(contents: dict[str, bytes]) -> dict[str, str]:
        return {path: data.hex() for path, data in contents.items()}

    def case(
        name: str, expect: str, data: bytes, old: Json | None, contents: dict[str, bytes]
    ) -> Json:
        before = None if old is None else canonical(old).decode()
        return vector(
            name, expect, patch=data.hex(), old_manifest=before, old_files=files(contents)
        )

    def ok(
        name: str,
        data: bytes,
        old: Json | None,
        contents: dict[str, bytes],
        new: Json,
        after: dict[str, bytes],
    ) -> Json:
        base = case(name, OK, data, old, contents)
        return {**base, "new_manifest": canonical(new).decode(), "new_files": files(after)}

    bundle = header(ONE_FIELDS) + body_of(ONE_BLOCKS)
    patch = header(PATCH_FIELDS) + body_of(BLOCKS)
    damaged = {**OLD_FILES, "lib/core.dat": b"?" + OLD_FILES["lib/core.dat"][1:]}
    unread = {**OLD_FILES, "gone.txt": b"edited by the user"}
    wrong = fields(ONE, ONE_CHANGES, [stored(whole(b"abd"), [(0, 0, 3)])])

    def misfit(name: str, *items: Json) -> Json:
        return case(name, BAD, header(fields(NEW, items, [], old=OLD)), OLD, OLD_FILES)

    viewed = fields(ONE, ONE_CHANGES, ONE_BLOCKS, new_views=[view(0, 200, 3)])
    return [
        ok("bundle", bundle, None, {}, ONE, {"a": b"abc"}),
        ok("every kind of change", patch, OLD, OLD_FILES, NEW, NEW_FILES),
        ok("a file no block reads has other bytes", patch, OLD, unread, NEW, NEW_FILES),
        case("the base is another tree", MISFIT, patch, NEW, NEW_FILES),
        case("the base is nothing", MISFIT, patch, None, {}),
        case("a bundle on a tree", MISFIT, bundle, OLD, OLD_FILES),
        case("a file that is read is damaged", MISFIT, patch, OLD, damaged),
        case(
            "the result is not what the header names",
            MISFIT,
            header(wrong) + whole(b"abd"),
            None,
            {},
        ),
        case("a byte of a block changed", BAD, patch[:-1] + b"?", OLD, OLD_FILES),
        case("cut short", BAD, patch[:-1], OLD, OLD_FILES),
        case("a byte behind", BAD, patch + b"\0", OLD, OLD_FILES),
        case("unknown view", BAD, header(viewed) + body_of(ONE_BLOCKS), None, {}),
        case(
            "a block reads an old file there is not",
            BAD,
            header(fields(ONE, ONE_CHANGES, [stored(whole(b"abc"), [(0, 0, 3)], [(0, 0, 1)])]))
            + whole(b"abc"),
            None,
            {},
        ),
        misfit("deletes what is not there", change(DELETE, "nowhere")),
        misfit("renames what is not there", change(RENAME, "x", "nowhere")),
        misfit(
            "renames one file twice",
            change(RENAME, "x", "gone.txt"),
            change(RENAME, "y", "gone.txt"),
        ),
        misfit("renames onto a file that stays", change(RENAME, "gone.txt", "plain.sh")),
        misfit("copies what is not there", change(COPY, "x", "nowhere")),
        misfit("copies a symlink", change(COPY, "x", "current")),
        misfit("renames a symlink as executable", change(RENAME, "x", "current", executable=True)),
        misfit(
            "moves a folder onto another's files",
            change(MOVE_DIRECTORY, "lib", "doc"),
            change(RENAME, "lib/a.txt", "gone.txt"),
        ),
        misfit("modifies what is not there", change(MODIFY, "nowhere", size=0)),
        misfit("modifies a symlink", change(MODIFY, "current", size=0)),
        misfit("adds what is there", change(ADD, "gone.txt", size=0)),
        misfit("adds a folder that is a file", change(ADD_DIRECTORY, "gone.txt")),
        misfit("makes a symlink of a file", change(SYMLINK, "gone.txt", target="left.dat")),
        misfit("mode of what is not there", change(MODE, "nowhere")),
        misfit(
            "mode of a file that is decoded",
            change(MODIFY, "gone.txt", size=0),
            change(MODE, "gone.txt"),
        ),
    ]


def write(name: str, about: str, vectors: Sequence[Json]) -> None:
    """One vector a line, so that a change of one is a change of one line."""
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    text = f'{{"about": {json.dumps(about)}, "vectors": [\n{lines}\n]}}\n'
    (HERE / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    write("header", "patch headers, and what they say", header_vectors())
    write("block", "blocks: old bytes and packed bytes give new bytes", block_vectors())
    write("patch", "patches: an old tree and a patch file give a new tree", patch_vectors())


if __name__ == "__main__":
    main()
