"""Pair old entries with new ones, and describe the fewest changes between them. Pure.

Exact content first, then the same path, the same base name, the same name but for numbers and
hashes, at last similar content: what matches is described as kept, edited or renamed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
from pathlib import PurePosixPath

from updater.format.changes import Change, Kind, directory_moves, moved
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.names import Digest

MOVE_COST = 1
"""A directory move must save more than this many renames."""

Alike = Callable[[list[File], list[File]], dict[str, str]]
"""(old files, new ones) -> new path by old path, for those whose content is similar."""


def _none_alike(gone: list[File], fresh: list[File]) -> dict[str, str]:  # noqa: ARG001
    return {}


def describe(old: Manifest, new: Manifest, alike: Alike = _none_alike) -> tuple[Change, ...]:
    """The changes from ``old`` to ``new``, in the order of the patch header.

    ``alike`` is asked about files that their names do not identify; it may read them.
    """
    contents = {file.digest: file.path for file in old.files() if file.size}
    became = _pair(old, new, contents)
    became |= _by_content(old, new, became, contents, alike)
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
    gone, fresh = _left(old, new, became)
    return became | _match_unique(gone, _edited(fresh, contents), _blanked)


def _by_content(
    old: Manifest,
    new: Manifest,
    became: dict[str, str],
    contents: Container[Digest],
    alike: Alike,
) -> dict[str, str]:
    gone, fresh = _left(old, new, became)
    return alike(_with_content(gone), _with_content(_edited(fresh, contents)))


def _with_content(entries: Iterable[Entry]) -> list[File]:
    return [entry for entry in entries if isinstance(entry, File) and entry.size]


def _left(old: Manifest, new: Manifest, became: dict[str, str]) -> tuple[list[Entry], list[Entry]]:
    """Old and new entries that have no partner yet."""
    arrived = set(became.values())
    gone = [entry for entry in old.entries if entry.path not in became]
    return gone, [entry for entry in new.entries if entry.path not in arrived]


def _edited(fresh: Iterable[Entry], contents: Container[Digest]) -> list[Entry]:
    """Without copies of old files: to edit another file into one would send its content again."""
    return [e for e in fresh if not (isinstance(e, File) and e.digest in contents)]


def _stays(entry: Entry, other: Entry | None, contents: Container[Digest]) -> bool:
    """Return whether an entry keeps its name; one that got another old file's content may not."""
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


def blanked(name: str) -> str:
    """``name`` without what changes from release to release: numbers and hashes.

    >>> blanked("app.3f2a91.js"), blanked("ruff-0.17.4.data"), blanked("base64.py")
    ('app.#.js', 'ruff-#.#.data', 'base#.py')
    """
    return _WORD.sub(lambda word: _NUMBER.sub("#", "#" if _is_hash(word[0]) else word[0]), name)


_WORD = re.compile(r"[A-Za-z0-9]+")
_NUMBER = re.compile(r"[0-9]+")
_HEX = re.compile(r"(?=.*[0-9])[0-9a-f]{6,}|(?=.*[0-9])[0-9A-F]{6,}")
_MIXED = re.compile(r"(?=.{6})[A-Za-z]*([0-9]+[A-Za-z]+){2,}[0-9]*")
"""Digits and letters taking turns, as in the base 32 or 64 of a hash."""


def _is_hash(word: str) -> bool:
    return bool(_HEX.fullmatch(word) or _MIXED.fullmatch(word))


def _blanked(entry: Entry) -> Hashable:
    """Folder and name but for what changes; None if nothing in it would."""
    if not isinstance(entry, File) or not entry.size:
        return None
    key = "/".join(blanked(part) for part in entry.path.split("/"))
    return key if key != entry.path else None


def _match_unique(
    gone: Iterable[Entry], fresh: Iterable[Entry], key: Callable[[Entry], Hashable]
) -> dict[str, str]:
    """Pair entries whose key (None: no pair) one old and one new entry have, and no other."""
    olds, news = (_by_key(entries, key) for entries in (gone, fresh))
    both = olds.keys() & news.keys()
    pairs = {olds[k][0]: news[k][0] for k in both if len(olds[k]) == len(news[k]) == 1}
    return dict(sorted(pairs.items()))


def _by_key(
    entries: Iterable[Entry], key: Callable[[Entry], Hashable]
) -> defaultdict[Hashable, list[str]]:
    groups: defaultdict[Hashable, list[str]] = defaultdict(list)
    for entry in entries:
        if (k := key(entry)) is not None:
            groups[k].append(entry.path)
    return groups


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
        _vote(votes, path, to)
    moves: dict[str, str] = {}
    for folder in sorted(votes):
        inherited = moved(f"{folder}/", moves)[:-1]
        best = max(votes[folder], key=lambda to: (votes[folder][to], to == inherited, to))
        is_worth_it = votes[folder][best] > votes[folder][inherited] + MOVE_COST
        # A header lists changes by path, each kind once: of folders that merge, one moves.
        if is_worth_it and best not in moves.values():
            moves[folder] = best
    return [Change(Kind.MOVE_DIRECTORY, to, source=folder) for folder, to in moves.items()]


def _vote(votes: defaultdict[str, Counter[str]], path: str, to: str) -> None:
    """Count an entry for each pair of folders that it kept its place below."""
    path, _, name = path.rpartition("/")
    to, _, other = to.rpartition("/")
    while path and to and name == other:
        votes[path][to] += 1
        path, _, name = path.rpartition("/")
        to, _, other = to.rpartition("/")


def _fate(entry: Entry, became: Entry | None, moves: dict[str, str]) -> list[Change]:
    """Return the change of one old entry, beyond the moves of directories."""
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
