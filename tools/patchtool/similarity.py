"""Which old entry became which new one, and the fewest changes that say so. Pure.

Exact content first, then the same path, then the same base name: what matches is described as
kept, edited or renamed rather than sent again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import PurePosixPath

from updater.format.changes import Change, Kind, directory_moves, moved
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import Digest

MOVE_COST = 1
"""A directory move must save more than this many renames."""


def describe(old: Manifest, new: Manifest) -> tuple[Change, ...]:
    """The changes from ``old`` to ``new``, in the order of the patch header."""
    became = _pair(old, new)
    changes = _directory_moves(became)
    moves = directory_moves(changes)
    for entry in old.entries:
        changes += _fate(entry, new.by_path.get(became.get(entry.path, "")), moves)
    arrived = set(became.values())
    content = {file.digest: file.path for file in old.files() if file.size}
    changes += [_addition(e, content) for e in new.entries if e.path not in arrived]
    return tuple(sorted(changes, key=lambda change: (change.kind, change.path.encode())))


def _pair(old: Manifest, new: Manifest) -> dict[str, str]:
    """New path by old path, for every old entry that lives on."""
    contents = {file.digest for file in old.files() if file.size}
    became = {
        entry.path: entry.path
        for entry in old.entries
        if _stays(entry, new.by_path.get(entry.path), contents)
    }
    for key in (_content, _path, _base_name):
        arrived = set(became.values())
        gone = (entry for entry in old.entries if entry.path not in became)
        fresh = (entry for entry in new.entries if entry.path not in arrived)
        became.update(_match(gone, fresh, key))
    return became


def _stays(entry: Entry, other: Entry | None, contents: set[Digest]) -> bool:
    """Whether an entry keeps its name; one that got another old file's content may not."""
    if isinstance(entry, File) and isinstance(other, File):
        return entry.digest == other.digest or other.digest not in contents
    return isinstance(entry, Directory) and isinstance(other, Directory)


def _content(entry: Entry) -> Hashable:
    if isinstance(entry, File):
        return entry.digest if entry.size else None
    return ("symlink", entry.target) if isinstance(entry, Symlink) else None


def _path(entry: Entry) -> Hashable:
    return type(entry), entry.path


def _base_name(entry: Entry) -> Hashable:
    is_content = isinstance(entry, File) and entry.size
    return PurePosixPath(entry.path).name if is_content else None


def _match(
    gone: Iterable[Entry], fresh: Iterable[Entry], key: Callable[[Entry], Hashable]
) -> dict[str, str]:
    """Pair entries of one key (None: no pair), those with the most path in common first."""
    candidates: defaultdict[Hashable, list[str]] = defaultdict(list)
    for entry in gone:
        candidates[key(entry)].append(entry.path)
    pairs = {}
    for entry in fresh:
        group = candidates[key(entry)] if key(entry) is not None else []
        if group:
            best = max(group, key=lambda path: _common_end(path, entry.path))
            group.remove(best)
            pairs[best] = entry.path
    return pairs


def _common_end(a: str, b: str) -> int:
    """How many parts of two paths agree, from the last one on."""
    parts = zip(reversed(a.split("/")), reversed(b.split("/")), strict=False)
    return next(
        (n for n, (x, y) in enumerate(parts) if x != y), min(a.count("/"), b.count("/")) + 1
    )


def _directory_moves(became: dict[str, str]) -> list[Change]:
    """Folders most of whose entries went to one other folder, outermost first."""
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path, to in became.items():
        _vote(votes, PurePosixPath(path), PurePosixPath(to))
    moves: dict[str, str] = {}
    for folder in sorted(votes):
        inherited = moved(f"{folder}/", moves)[:-1]
        best = max(votes[folder], key=lambda to: (votes[folder][to], to == inherited, to))
        if votes[folder][best] > votes[folder][inherited] + MOVE_COST:
            moves[folder] = best
    return [Change(Kind.MOVE_DIRECTORY, to, source=folder) for folder, to in moves.items()]


def _vote(votes: defaultdict[str, Counter[str]], path: PurePosixPath, to: PurePosixPath) -> None:
    """Count an entry for each pair of folders that it kept its place below."""
    while path.name == to.name and len(path.parts) > 1 and len(to.parts) > 1:
        path, to = path.parent, to.parent
        votes[str(path)][str(to)] += 1


def _fate(entry: Entry, became: Entry | None, moves: dict[str, str]) -> list[Change]:
    """What is to be said of one old entry, beyond the directory moves."""
    if became is None:
        return [Change(Kind.DELETE, entry.path)]
    if isinstance(entry, File) and isinstance(became, File):
        return _file_fate(entry, became, moves)
    changes = []
    if became.path != moved(entry.path, moves):
        changes.append(Change(Kind.RENAME, became.path, source=entry.path))
    if isinstance(became, Symlink) and isinstance(entry, Symlink) and became.target != entry.target:
        changes.append(Change(Kind.SYMLINK, became.path, target=became.target))
    return changes


def _file_fate(entry: File, became: File, moves: dict[str, str]) -> list[Change]:
    same = entry.digest == became.digest
    size = None if same else became.size
    if became.path != moved(entry.path, moves):
        kind, source = Kind.RENAME, entry.path
    elif not same:
        kind, source = Kind.MODIFY if entry.size else Kind.REPLACE, ""
    elif entry.executable != became.executable:
        kind, source = Kind.MODE, ""
    else:
        return []
    return [Change(kind, became.path, source, size, became.executable)]


def _addition(entry: Entry, content: dict[Digest, str]) -> Change:
    if isinstance(entry, Directory):
        return Change(Kind.ADD_DIRECTORY, entry.path)
    if isinstance(entry, Symlink):
        return Change(Kind.SYMLINK, entry.path, target=entry.target)
    if entry.digest in content:
        source = content[entry.digest]
        return Change(Kind.COPY, entry.path, source, executable=entry.executable)
    return Change(Kind.ADD, entry.path, size=entry.size, executable=entry.executable)
