"""The manifest: the list of everything in a release, in one canonical spelling.

Its digest names the tree. A folder is listed only if it is empty: the others are implied by
what stands in them, so that one tree has one manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, TypeAlias

from updater.errors import FormatError
from updater.format.encoding.canonical import Record, decode, encode, within
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.names import Digest, check_app, check_version
from updater.format.paths import check_path, check_target, folded, parents, shown
from updater.format.release_description import Release

FORMAT = 1
NO_VERSION = ""
"""Version of the empty tree."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: 0755 if ``executable``, else 0644."""

    path: str
    size: int
    digest: Digest
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link; ``target`` is relative and stays inside the release."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder with nothing in it."""

    path: str


Entry: TypeAlias = File | Symlink | Directory


@dataclass(frozen=True)
class Manifest:
    """One release. Make it with :meth:`of` or :meth:`parse`: both check every rule."""

    app: str
    version: str
    release: Release
    entries: tuple[Entry, ...]

    @classmethod
    def of(
        cls,
        app: str,
        version: str,
        entries: Iterable[Entry],
        release: Release | None = None,
        limits: Limits = DEFAULT,
    ) -> Manifest:
        """The manifest of ``entries`` in any order.

        Raises:
            FormatError: a name, a path or the tree they form breaks a rule of docs/format.md.
        """
        listed = tuple(sorted(entries, key=lambda entry: entry.path.encode(errors="replace")))
        manifest = cls(check_app(app), check_version(version), release or Release(), listed)
        _check_tree(manifest, limits)
        if len(manifest.data) > limits.manifest_bytes:
            raise FormatError(
                f"manifest of {len(manifest.data)} bytes, {limits.manifest_bytes} allowed"
            )
        return manifest

    @classmethod
    def empty(cls, app: str) -> Manifest:
        """The tree every bundle starts from; it has no bytes and no digest of its own."""
        return cls(app, NO_VERSION, Release(), ())

    @classmethod
    def parse(cls, data: bytes, limits: Limits = DEFAULT) -> Manifest:
        """The manifest that canonical bytes spell.

        Raises:
            FormatError: it is not one; ``context`` says where.
        """
        record = Record(decode(data, limits.manifest_bytes))
        record.integer("format", FORMAT, low=FORMAT)
        entries = record.items("entries", _parse_entry, limits.entries)
        release = within("release", lambda v: Release.parse(v, limits), record.value("release"))
        manifest = cls.of(record.text("app"), record.text("version"), entries, release, limits)
        record.end()
        if manifest.data != data:
            raise FormatError("entries are not sorted by path", context="entries")
        return manifest

    @cached_property
    def data(self) -> bytes:
        """The canonical bytes."""
        return encode(
            {
                "app": self.app,
                "entries": [_entry_to_json(entry) for entry in self.entries],
                "format": FORMAT,
                "release": self.release.to_json(),
                "version": self.version,
            }
        )

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the canonical bytes: the name of this tree."""
        return Digest.of(self.data)

    @cached_property
    def by_path(self) -> dict[str, Entry]:
        """Entries by path."""
        return {entry.path: entry for entry in self.entries}

    @cached_property
    def implied(self) -> frozenset[str]:
        """Every folder something stands in."""
        return frozenset(parent for entry in self.entries for parent in parents(entry.path))

    @cached_property
    def directories(self) -> frozenset[str]:
        """Every folder of the tree, implied or listed."""
        return self.implied | {e.path for e in self.entries if isinstance(e, Directory)}

    def files(self) -> Iterator[File]:
        """The regular files, sorted by path."""
        return (entry for entry in self.entries if isinstance(entry, File))

    @property
    def file_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files())


def _check_tree(manifest: Manifest, limits: Limits) -> None:
    if len(manifest.entries) > limits.entries:
        raise FormatError(f"{len(manifest.entries)} entries, {limits.entries} allowed")
    for index, entry in enumerate(manifest.entries):
        within(f"entries[{index}]", lambda e: _check_entry(e, manifest.release, limits), entry)
    _check_folders(manifest, limits)
    _check_collisions(manifest)
    _check_start(manifest)


def _check_entry(entry: Entry, release: Release, limits: Limits) -> None:
    check_path(entry.path, portable=release.portable, limits=limits)
    if isinstance(entry, Symlink):
        check_target(entry.path, entry.target, portable=release.portable, limits=limits)
    elif isinstance(entry, File) and not 0 <= entry.size <= limits.file_bytes:
        raise FormatError(f"size {entry.size} of {shown(entry.path)} is not possible")


def _check_folders(manifest: Manifest, limits: Limits) -> None:
    """Count the folders before anybody collects them: one path of 1 KiB implies 500.

    In byte order whatever stands in a folder stands together, so that each entry adds the
    folders it does not share with the entry before.
    """
    count = 0
    before: list[str] = []
    for entry in manifest.entries:
        folders = entry.path.split("/")[:-1]
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(before, folders, strict=False))
        count += len(folders) - len(list(shared))
        before = folders
    if count > limits.folders:
        raise FormatError(f"{count} folders, {limits.folders} allowed")


def _check_collisions(manifest: Manifest) -> None:
    if len(manifest.by_path) != len(manifest.entries):
        raise FormatError("two entries have one path", context="entries")
    for path in sorted(manifest.implied & manifest.by_path.keys()):
        raise FormatError(f"{shown(path)} is listed, and a folder of other entries too")
    if manifest.release.portable:
        _check_letter_case(manifest.directories | manifest.by_path.keys())


def _check_letter_case(paths: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for path in sorted(paths):
        other = seen.setdefault(folded(path), path)
        if other != path:
            raise FormatError(
                f"{shown(other)} and {shown(path)} are one name where letter case is ignored",
                hint="rename one, or set portable = false in release.toml",
            )


def _check_start(manifest: Manifest) -> None:
    for path in manifest.release.entry[:1]:
        entry = manifest.by_path.get(path)
        if not isinstance(entry, File) or not entry.executable:
            raise FormatError(
                f"entry {shown(path)} is not an executable file of the release",
                context="release.entry",
            )


def _parse_entry(value: object) -> Entry:
    record = Record(value)
    path, kind = record.text("path"), record.text("kind")
    entry: Entry
    if kind == "file":
        digest = within("sha256", Digest.parse, record.text("sha256"))
        size = record.integer("size", DEFAULT.file_bytes)
        entry = File(path, size, digest, record.flag("executable"))
    elif kind == "symlink":
        entry = Symlink(path, record.text("target"))
    elif kind == "directory":
        entry = Directory(path)
    else:
        raise FormatError(f"{kind[:40]!a} is no kind of entry", context="kind")
    record.end()
    return entry


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, File):
        return {
            "executable": entry.executable,
            "kind": "file",
            "path": entry.path,
            "sha256": str(entry.digest),
            "size": entry.size,
        }
    if isinstance(entry, Symlink):
        return {"kind": "symlink", "path": entry.path, "target": entry.target}
    return {"kind": "directory", "path": entry.path}
