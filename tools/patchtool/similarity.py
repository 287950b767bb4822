"""Which old entry became which new one, and the fewest changes that say so. Pure.

Exact content first, then the same path, then the same base name: what matches is described as
kept, edited or renamed rather than sent again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from pathlib import PurePosixPath

from updater.format.changes import Change, Kind, directory_moves, moved
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import Digest

MOVE_COST = 1
"""A directory move must save more than this many renames."""


def describe(old: Manifest, new: Manifest) -> tuple[Change, ...]:
    """The changes from ``old`` to ``new``, in the order of the patch header."""
    contents = {file.digest: file.path for file in old.files() if file.size}
    became = _pair(old, new, contents)
    changes = _directory_moves(became)
    moves = directory_moves(changes)
    gone, fresh = _left(old, new, became)
    became |= _swept_along(gone, _edited(fresh, contents), moves)
    for entry in old.entries:
        changes += _fate(entry, new.by_path.get(became.get(entry.path, "")), moves)
    _, added = _left(old, new, became)
    changes += [_addition(entry, contents) for entry in added]
    return tuple(sorted(changes, key=lambda change: (change.kind, change.path.encode())))


def _pair(old: Manifest, new: Manifest, contents: Container[Digest]) -> dict[str, str]:
    """New path by old path, for every old entry that can be known again."""
    became = {
        entry.path: entry.path
        for entry in old.entries
        if _stays(entry, new.by_path.get(entry.path), contents)
    }
    for key in (_content_and_name, _content):
        became |= _match(*_left(old, new, became), key)
    for key in (_path, _base_name):
        gone, fresh = _left(old, new, became)
        became |= _match(gone, _edited(fresh, contents), key)
    return became


def _left(old: Manifest, new: Manifest, became: dict[str, str]) -> tuple[list[Entry], list[Entry]]:
    """Old and new entries that have no partner yet."""
    arrived = set(became.values())
    gone = [entry for entry in old.entries if entry.path not in became]
    return gone, [entry for entry in new.entries if entry.path not in arrived]


def _edited(fresh: Iterable[Entry], contents: Container[Digest]) -> list[Entry]:
    """Without copies of old files: to edit another file into one would send its content again."""
    return [e for e in fresh if not (isinstance(e, File) and e.digest in contents)]


def _stays(entry: Entry, other: Entry | None, contents: Container[Digest]) -> bool:
    """Whether an entry keeps its name; one that got another old file's content may not."""
    if isinstance(entry, File) and isinstance(other, File):
        return entry.digest == other.digest or other.digest not in contents
    return entry == other


def _content(entry: Entry) -> Hashable:
    if isinstance(entry, File):
        return entry.digest if entry.size else None
    return ("symlink", entry.target) if isinstance(entry, Symlink) else None


def _content_and_name(entry: Entry) -> Hashable:
    """First: or a copy added elsewhere could take the place of what only moved."""
    content = _content(entry)
    return None if content is None else (content, PurePosixPath(entry.path).name)


def _path(entry: Entry) -> Hashable:
    return type(entry), entry.path


def _base_name(entry: Entry) -> Hashable:
    is_content = isinstance(entry, File) and entry.size
    return PurePosixPath(entry.path).name if is_content else None


def _match(
    gone: Iterable[Entry], fresh: Iterable[Entry], key: Callable[[Entry], Hashable]
) -> dict[str, str]:
    """Pair entries of one key (None: no pair), those with the longest common end of path."""
    candidates: defaultdict[tuple[Hashable, str], list[str]] = defaultdict(list)
    for entry in gone:
        for end in _ends(entry.path):
            candidates[key(entry), end].append(entry.path)
    pairs: dict[str, str] = {}
    for entry in fresh:
        groups = (candidates[key(entry), end] for end in _ends(entry.path))
        best = next(filter(None, (_free(group, pairs) for group in groups)), None)
        if key(entry) is not None and best is not None:
            pairs[best] = entry.path
    return pairs


def _ends(path: str) -> Iterator[str]:
    """A path, then without its first part, its first two and so on, down to nothing."""
    parts = path.split("/")
    return ("/".join(parts[n:]) for n in range(len(parts) + 1))


def _free(group: list[str], pairs: dict[str, str]) -> str | None:
    """One of ``group`` that has no partner; those that have are dropped, once for all."""
    while group and group[-1] in pairs:
        group.pop()
    return group[-1] if group else None


def _swept_along(
    gone: Iterable[Entry], fresh: Iterable[Entry], moves: dict[str, str]
) -> dict[str, str]:
    """Entries nothing can tell apart, such as empty files, that a directory move takes along."""
    free = {entry.path: entry for entry in fresh}
    pairs = {}
    for entry in gone:
        to = moved(entry.path, moves)
        if type(free.get(to)) is type(entry):
            pairs[entry.path] = free.pop(to).path
    return pairs


def _directory_moves(became: dict[str, str]) -> list[Change]:
    """Folders most of whose entries went to one other folder, outermost first."""
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path, to in became.items():
        _vote(votes, PurePosixPath(path), PurePosixPath(to))
    moves: dict[str, str] = {}
    for folder in sorted(votes):
        inherited = moved(f"{folder}/", moves)[:-1]
        best = max(votes[folder], key=lambda to: (votes[folder][to], to == inherited, to))
        is_worth_it = votes[folder][best] > votes[folder][inherited] + MOVE_COST
        # A header lists changes by path, each kind once: of folders that merge, one moves.
        if is_worth_it and best not in moves.values():
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
