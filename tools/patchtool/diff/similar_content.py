"""Similar content: find moved files that only their content identifies."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from patchtool.diff.matching.fingerprints import sketch
from patchtool.diff.pair_entries import Alike, blanked
from updater.format.encoding.limits import MIB
from updater.format.manifest import File
from updater.patch.apply import Tree

LOOKED_AT = 16 * MIB
"""Bytes of a file that are sketched; enough to know it by."""
SHARE = 0.3
"""Share of the smaller sketch that two files must have in common to be called the same file."""
SHARE_OF_NAMESAKES = 0.1
"""The same for files whose names differ only in numbers and hashes."""
CROWD = 32
"""Old files with the same anchor above which it says nothing: a license in every file."""

COPY_WORTH = 4096
"""Bytes of an added file that are worth looking for the file it was made from."""
COPIES = 256
"""Added files, the largest, of which that is asked."""
LIKELY = 8
"""Files that are looked at for each."""

Sketches = dict[str, frozenset[int]]


def reader(old: Tree, new: Tree) -> Alike:
    """Pairs up files of ``old`` and ``new`` by what they hold.

    What it returns raises OSError where a file cannot be read.
    """

    def alike(gone: list[File], fresh: list[File]) -> dict[str, str]:
        if not gone or not fresh:
            return {}
        return pair_up(_sketches(gone, old.places), _sketches(fresh, new.places))

    return alike


def pair_up(gone: Sketches, fresh: Sketches) -> dict[str, str]:
    """New path by old path: of all similar pairs the most similar first, each path once."""
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, old, new in sorted(_similar_pairs(gone, fresh)):
        if old not in pairs and new not in taken:
            pairs[old] = new
            taken.add(new)
    return pairs


def originals(added: list[File], kept: list[File], old: Tree, new: Tree) -> tuple[str, ...]:
    """Paths of ``kept`` old files that ``added`` new ones were made from, each once.

    Raises:
        OSError: a file cannot be read.
    """
    candidates = _Candidates([file for file in kept if file.size >= COPY_WORTH])
    worth = (file for file in added if file.size >= COPY_WORTH)
    found: set[str] = set()
    for file in sorted(worth, key=lambda file: (-file.size, file.path))[:COPIES]:
        likely = candidates.like(file)
        fresh = _sketches([file], new.places) if likely else {}
        best = sorted(_similar_pairs(_sketches(likely, old.places), fresh))[:1]
        found.update(path for _, path, _ in best)
    return tuple(sorted(found))


class _Candidates:
    """Files by what shows from outside: name, suffix, size."""

    def __init__(self, files: list[File]) -> None:
        self._groups: defaultdict[str, list[tuple[int, str, File]]] = defaultdict(list)
        for file in files:
            for key in (_name(file), _suffix(file)):
                self._groups[key].append((file.size, file.path, file))
        for group in self._groups.values():
            group.sort()

    def like(self, file: File) -> list[File]:
        """The few of the nearest size among those of its name; else of its suffix."""
        group = self._groups.get(_name(file)) or self._groups.get(_suffix(file), [])
        middle = bisect_left(group, (file.size, file.path))
        near = group[max(middle - LIKELY // 2, 0) : middle + LIKELY // 2]
        return [other for _, _, other in near]


def _name(file: File) -> str:
    return blanked(PurePosixPath(file.path).name)


def _suffix(file: File) -> str:
    return "*" + PurePosixPath(_name(file)).suffix


def _similar_pairs(gone: Sketches, fresh: Sketches) -> Iterator[tuple[float, str, str]]:
    """(minus the share in common, old path, new path) of all pairs that are similar enough."""
    holders: defaultdict[int, list[str]] = defaultdict(list)
    for path, names in gone.items():
        for name in names:
            holders[name].append(path)
    for new, names in fresh.items():
        common = Counter(
            old
            for name in names
            if len(old_ones := holders.get(name, ())) <= CROWD
            for old in old_ones
        )
        for old, count in common.items():
            share = count / min(len(names), len(gone[old]))
            if share >= _least(old, new):
                yield -share, old, new


def _least(old: str, new: str) -> float:
    a, b = (blanked(path.rpartition("/")[2]) for path in (old, new))
    return SHARE_OF_NAMESAKES if a == b else SHARE


def _sketches(files: list[File], places: Mapping[str, Path]) -> Sketches:
    return {file.path: sketch(_start(places[file.path])) for file in files}


def _start(place: Path) -> bytes:
    with place.open("rb") as file:
        return file.read(LOOKED_AT)
