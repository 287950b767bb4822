"""Random values of our formats, valid by construction, and the settings to draw them with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from updater.errors import FormatError
from updater.format.changes import WITH_CONTENT, WITH_SOURCE, Change, Kind
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import Digest
from updater.format.patch_header.patch import (
    STORED,
    Block,
    Extent,
    FileView,
    Header,
    TreeDescriptor,
)
from updater.format.paths import check_path, folded, parents
from updater.format.release_description import Confirm, Release
from updater.patch.delta.bsdiff import Delta

T = TypeVar("T")

SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
"""Moderate and repeatable: what fails here fails everywhere."""


def accepted(check: Callable[[T], object]) -> Callable[[T], bool]:
    """A filter by what ``check`` does not refuse."""

    def passes(value: T) -> bool:
        try:
            check(value)
        except FormatError:
            return False
        return True

    return passes


names = st.text(alphabet="abcXY01-_. ~é日\U0001f600", min_size=1, max_size=6).filter(
    accepted(check_path)
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
digests = st.binary(min_size=32, max_size=32).map(Digest)
sizes = st.integers(0, 300) | st.integers(0, 1 << 40)
versions = (
    st.tuples(
        st.lists(st.integers(0, 99), min_size=1, max_size=4),
        st.sampled_from(["", "a1", "b2", "rc3", ".post4", ".dev5", "rc1.post2.dev3"]),
    )
    .map(lambda v: ".".join(map(str, v[0])) + v[1])
    .filter(lambda text: len(text) <= 24)
)
apps = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}", fullmatch=True)
lines = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
arguments = lines.filter(lambda text: "\0" not in text)


@st.composite
def releases(draw: st.DrawFn, *, entry: Sequence[str] = ()) -> Release:
    """A release description that starts ``entry``, if anything."""
    health = draw(st.lists(arguments, max_size=2))
    confirm = Confirm(
        mode="health" if health else draw(st.sampled_from(["none", "app"])),
        health=tuple(health),
        starts=draw(st.integers(1, 100)),
        seconds=draw(st.integers(1, 86_400)),
    )
    policies: Any = st.tuples(lines, st.sampled_from(["replace", "keep", "keep-if-changed"]))
    return Release(
        entry=tuple(entry),
        launcher=draw(st.just("") | paths),
        confirm=draw(st.just(Confirm()) | st.just(confirm)),
        stop=draw(st.booleans()),
        min_updater=draw(st.just("") | versions),
        required=draw(st.booleans()),
        policy=tuple(draw(st.lists(policies, max_size=2))),
        disposable=draw(st.just(Release().disposable) | st.lists(lines, max_size=2).map(tuple)),
        portable=draw(st.booleans()),
        notes=draw(lines),
    )


@st.composite
def entries_at(draw: st.DrawFn, path: str) -> Entry:
    """Any entry that may stand at ``path``."""
    kind = draw(st.sampled_from("ffffsd"))
    if kind == "d":
        return Directory(path)
    if kind == "s":
        ups = draw(st.integers(0, path.count("/")))
        return Symlink(path, "../" * ups + draw(paths))
    return File(path, draw(sizes), draw(digests), draw(st.booleans()))


@st.composite
def manifests(draw: st.DrawFn, *, most: int = 8) -> Manifest:
    """A manifest of up to ``most`` entries."""
    taken: set[str] = set()
    entries: list[Entry] = []
    for path in draw(st.lists(paths, max_size=most)):
        above = [folded(folder) for folder in parents(path)]
        listed = {folded(entry.path) for entry in entries}
        if folded(path) in taken or listed & set(above) or _mixed(path, entries):
            continue
        taken |= {folded(path), *above}
        entries.append(draw(entries_at(path)))
    starts = [e.path for e in entries if isinstance(e, File) and e.executable]
    release = draw(releases(entry=starts[:1]))
    return Manifest.of(draw(apps), draw(versions), entries, release)


def _mixed(path: str, entries: Sequence[Entry]) -> bool:
    """Whether a folder of ``path`` has another spelling elsewhere."""
    spelt = {folded(folder): folder for entry in entries for folder in parents(entry.path)}
    return any(spelt.get(folded(folder), folder) != folder for folder in parents(path))


@st.composite
def changes(draw: st.DrawFn) -> tuple[Change, ...]:
    """Changes as a header may list them; whether they fit a tree is another question."""
    keys = draw(st.lists(st.tuples(st.sampled_from(Kind), paths), max_size=8, unique=True))
    keys.sort(key=lambda key: (key[0], key[1].encode()))
    return tuple(draw(_change(kind, path)) for kind, path in keys)


@st.composite
def _change(draw: st.DrawFn, kind: Kind, path: str) -> Change:
    small = st.integers(0, 200)
    size = draw(small if kind in WITH_CONTENT else st.none() | small)
    has_mode = kind in WITH_CONTENT or kind in {Kind.RENAME, Kind.COPY, Kind.MODE}
    ups = draw(st.integers(0, path.count("/")))
    return Change(
        kind,
        path,
        source=draw(paths) if kind in WITH_SOURCE else "",
        size=size if kind in WITH_CONTENT or kind == Kind.RENAME else None,
        executable=has_mode and draw(st.booleans()),
        target="../" * ups + draw(paths) if kind == Kind.SYMLINK else "",
    )


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """A header whose blocks give every new byte once."""
    listed = draw(changes())
    sources = tuple(draw(st.lists(paths, max_size=3)))
    files = len(listed) + len(sources)
    contents = {k: c.size for k, c in enumerate(listed) if c.size}
    viewed = draw(st.sets(st.sampled_from(sorted(contents)), max_size=2)) if contents else set()
    new_views = tuple(
        FileView(k, draw(st.integers(0, 255)), draw(st.integers(1, 8 * contents[k])), draw(recipes))
        for k in sorted(viewed)
    )
    numbers = draw(st.sets(st.integers(0, files - 1), max_size=2)) if files else set()
    old_views = tuple(
        FileView(k, draw(st.integers(0, 255)), draw(st.integers(0, 1 << 31)), draw(recipes))
        for k in sorted(numbers)
    )
    lengths = {**contents, **{view.file: view.length for view in new_views}}
    pieces = [piece for k, length in lengths.items() for piece in draw(_tiles(k, length))]
    pieces = draw(st.permutations(pieces))
    cuts = draw(st.lists(st.integers(0, len(pieces)), max_size=3).map(sorted))
    bounds = [0, *cuts, len(pieces)]
    blocks = tuple(draw(_blocks(tuple(pieces[a:b]), files)) for a, b in pairwise(bounds))
    old = draw(st.none() | trees())
    return Header(draw(apps), old, draw(trees()), listed, sources, old_views, new_views, blocks)


recipes = st.binary(max_size=4)


@st.composite
def trees(draw: st.DrawFn) -> TreeDescriptor:
    """A tree as a header names it. Portable, because the paths here are."""
    return TreeDescriptor(
        draw(versions),
        draw(digests),
        draw(st.integers(0, 64 << 20)),
        draw(st.just(Release()) | releases()),
    )


@st.composite
def _tiles(draw: st.DrawFn, file: int, length: int) -> list[Extent]:
    cuts = sorted({0, length, *draw(st.lists(st.integers(0, length), max_size=3))})
    return [Extent(file, a, b - a) for a, b in pairwise(cuts)]


@st.composite
def _blocks(draw: st.DrawFn, new: tuple[Extent, ...], files: int) -> Block:
    extents = st.builds(Extent, st.integers(0, files), sizes, st.integers(0, 1 << 20))
    return Block(
        tuple(draw(st.lists(extents, max_size=3))),
        new,
        draw(st.sampled_from([STORED, 1])),
        draw(st.integers(0, 64)),
        draw(st.integers(0, 1 << 20)),
        draw(digests),
    )


@st.composite
def deltas(draw: st.DrawFn) -> tuple[bytes, Delta]:
    """Old bytes and a delta that fits them, with long runs of zeros now and then."""
    old = draw(st.binary(max_size=40)) * draw(st.sampled_from([1, 1, 200]))
    adds, copies, seeks, position = [], [], [], 0
    for _ in range(draw(st.integers(0, 5))):
        adds.append(draw(st.integers(0, len(old) - position)))
        copies.append(draw(st.integers(0, 30)))
        end = position + adds[-1]
        position = draw(st.integers(0, len(old)))
        seeks.append(position - end)
    difference = draw(_sparse(sum(adds)))
    extra = draw(st.binary(min_size=sum(copies), max_size=sum(copies)))
    return old, Delta(adds, copies, seeks, difference, extra)


@st.composite
def _sparse(draw: st.DrawFn, length: int) -> bytes:
    """``length`` bytes, most of them zero, in runs about as long as those that are cut out."""
    runs = draw(st.lists(st.sampled_from([1, 5, 255, 256, 257, 1000]), max_size=8))
    data = bytearray(length)
    for start in accumulate(runs):
        literal = draw(st.binary(max_size=5))
        data[start : start + len(literal)] = literal[: max(length - start, 0)]
    return bytes(data[:length])


def patched(old: bytes, delta: Delta) -> bytes:
    """What bsdiff's model says, written plainly: the reference for the library."""
    new = bytearray()
    at = taken = copied = 0
    for add, copy, seek in zip(delta.adds, delta.copies, delta.seeks, strict=True):
        difference = delta.difference[taken : taken + add]
        new += bytes((a + b) % 256 for a, b in zip(old[at : at + add], difference, strict=True))
        new += delta.extra[copied : copied + copy]
        at, taken, copied = at + add + seek, taken + add, copied + copy
    return bytes(new)


def damages(data: bytes) -> list[bytes]:
    """``data`` with each byte changed in several ways, removed, doubled; cut and extended."""
    changed = [
        data[:i] + bytes([data[i] ^ mask]) + data[i + 1 :]
        for i in range(len(data))
        for mask in (0x01, 0x02, 0x10, 0x20, 0x80, 0xFF)
    ]
    cut = [data[:i] for i in range(len(data))]
    removed = [data[:i] + data[i + 1 :] for i in range(len(data))]
    doubled = [data[: i + 1] + data[i:] for i in range(len(data))]
    return [*changed, *cut, *removed, *doubled, data + b"\0", data + b"\n", b"\0" + data]
