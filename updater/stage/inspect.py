"""Inspection: an install compared with the manifest of its release. Changes nothing.

In full by SHA-256; else a file is believed if it has its size and was not touched since the
commit, as the time of the State's manifest tells (see `commit_time`). Both times of a file are
looked at, and the one of the last status change no program can set back. What was touched is
hashed; so a tree that was copied as a whole takes longer, and no file of records can be out of
date. A file that its policy leaves to the user is always hashed: it may have been edited before.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from updater.disk.content import content_of
from updater.disk.durable import present
from updater.errors import PatchError
from updater.format.globs import Globs
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.paths import parents, shown
from updater.format.policies import Policies
from updater.launch.state import State
from updater.patch.file_digest import differs, digest_of, has_mode, untouched_since
from updater.progress import Progress, Silent
from updater.stage.released_files import OwnFiles, sure_until

TOLD_MOST = 5
"""Paths named in a message; the findings have them all."""


class Finding(str, Enum):
    """The kind of difference at one path; the value names the field of `Findings`."""

    MISSING = "missing"
    CHANGED = "changed"
    MODE = "mode_changed"
    KIND = "wrong_kind"
    UNREADABLE = "unreadable"
    KEPT = "kept"
    EXTRA = "extra"


DAMAGE = (
    Finding.MISSING,
    Finding.CHANGED,
    Finding.KIND,
    Finding.MODE,
    Finding.UNREADABLE,
)
HASHED_MOST = 32 << 20
"""Bytes that are hashed to see whether a folder is another one; more would take a while."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The result of an inspection; paths are sorted."""

    version: str
    full: bool
    """True if every file was hashed."""
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Files with other bytes, symlinks with another target."""
    earlier: tuple[str, ...] = ()
    """Those of them that another release had here: the folder was exchanged."""
    mode_changed: tuple[str, ...] = ()
    """Files with the released bytes that should be executable and are not, or the reverse."""
    wrong_kind: tuple[str, ...] = ()
    """Something else is there, such as a symlink where a file should be."""
    unreadable: tuple[str, ...] = ()
    """Files that this user may not read, or the disk does not give."""
    kept: tuple[str, ...] = ()
    """Changed by the user, and to be left so by the release's policy: no damage."""
    extra: tuple[str, ...] = ()
    """Files and symlinks the release does not know and that are not disposable: no damage."""

    @property
    def damaged(self) -> tuple[str, ...]:
        """Every path that is not as it must be."""
        return tuple(sorted(path for kind in DAMAGE for path in getattr(self, kind.value)))

    @property
    def whole(self) -> bool:
        """True if nothing is damaged."""
        return not self.damaged

    @property
    def document(self) -> dict[str, Any]:
        """The findings as a JSON object."""
        return {"state": "whole" if self.whole else "damaged", **asdict(self)}

    def require_whole(self, *, hint: str) -> None:
        """Refuse damage.

        Raises:
            NotWhole: there is some.
        """
        if not self.whole:
            raise NotWhole(self, hint=hint)


class NotWhole(PatchError):  # noqa: N818 - reads as what the user is told
    """The files are not those of the release they should be; ``findings`` tells which."""

    def __init__(self, findings: Findings, *, hint: str) -> None:
        counts = {kind: len(getattr(findings, kind.value)) for kind in DAMAGE}
        counted = (f"{n} {kind.value.replace('_', ' ')}" for kind, n in counts.items() if n)
        paths = findings.damaged
        more = ", ..." if len(paths) > TOLD_MOST else ""
        names = ", ".join(shown(path) for path in paths[:TOLD_MOST])
        if findings.earlier:
            hint = f"files are of another release: was the folder restored or copied? {hint}"
        super().__init__(
            f"not {findings.version} as released: {', '.join(counted)} ({names}{more})", hint=hint
        )
        self.findings = findings


class Inspection:
    """One look at one install."""

    def __init__(self, state: State, manifest: Manifest, progress: Progress, *, full: bool) -> None:
        """``manifest``: what shall be in the install of ``state``."""
        self._state = state
        self._install = state.install
        self._manifest = manifest
        self._progress = progress
        self._full = full
        self._policies = Policies(manifest.release)

    def run(self) -> Findings:
        """Look at everything.

        Raises:
            OSError: the install folder itself cannot be read.
        """
        self._progress.start("verify", self._manifest.file_bytes)
        try:
            found = dict(self._managed())
        finally:
            self._progress.finish()
        found |= dict.fromkeys(self._extra(), Finding.EXTRA)
        lists = {
            kind.value: tuple(sorted(path for path, what in found.items() if what is kind))
            for kind in Finding
        }
        changed = lists[Finding.CHANGED.value]
        known = (path for path in changed if self._known.is_of_a_release(self._state, path))
        return Findings(
            version=self._manifest.version, full=self._full, earlier=tuple(known), **lists
        )

    def damage(self) -> tuple[str, ...]:
        """The paths of the release that are not as they must be; nothing else is looked at."""
        return tuple(sorted(path for path, finding in self._managed() if finding in DAMAGE))

    def _managed(self) -> Iterator[tuple[str, Finding]]:
        """Paths of the manifest that differ, with the kind of difference."""
        for folder in self._no_folders:
            yield folder, Finding.KIND
        for entry in self._manifest.entries:
            if self._links.isdisjoint(parents(entry.path)):
                finding = self._look(entry)
                if finding is not None:
                    yield entry.path, finding
            if isinstance(entry, File):
                self._progress.advance(entry.size)

    @cached_property
    def _no_folders(self) -> frozenset[str]:
        """Folders of the release in whose place something else is."""
        places = ((folder, self._install / folder) for folder in self._manifest.implied)
        return frozenset(
            folder
            for folder, place in places
            if place.is_symlink() or (present(place) and not place.is_dir())
        )

    @cached_property
    def _links(self) -> frozenset[str]:
        """Those of them that are symlinks: behind them nothing is ours."""
        return frozenset(f for f in self._no_folders if (self._install / f).is_symlink())

    @cached_property
    def _sure_until(self) -> int:
        return sure_until(self._state, self._manifest)

    @cached_property
    def _known(self) -> OwnFiles:
        return OwnFiles.read(self._state)

    def _look(self, entry: Entry) -> Finding | None:
        try:
            info = (self._install / entry.path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return Finding.MISSING
        except OSError:
            return Finding.UNREADABLE
        finding = self._compare(entry, info)
        is_content = finding not in {None, Finding.MODE} and not stat.S_ISDIR(info.st_mode)
        if is_content and self._policies.of(entry.path) != "replace" and self._is_users(entry):
            return Finding.KEPT
        return finding

    def _is_users(self, entry: Entry) -> bool:
        """True if no release had it there: in an older folder that came back, one may have."""
        return not self._known.is_of_a_release(self._state, entry.path)

    def _compare(self, entry: Entry, info: os.stat_result) -> Finding | None:
        place = self._install / entry.path
        if not _is_kind(entry, info.st_mode):
            return Finding.KIND
        if isinstance(entry, File):
            finding = self._compare_content(entry, info)
        else:
            finding = Finding.CHANGED if differs(entry, place) else None
        has = finding is not None or has_mode(entry, place, self._state.root)
        return finding if has else Finding.MODE

    def _compare_content(self, file: File, info: os.stat_result) -> Finding | None:
        if info.st_size != file.size:
            return Finding.CHANGED
        is_ours = self._policies.of(file.path) == "replace"
        if not self._full and is_ours and untouched_since(self._sure_until, info):
            return None
        try:
            same = digest_of(self._install / file.path) == file.digest
        except OSError:
            return Finding.UNREADABLE
        return None if same else Finding.CHANGED

    def is_of_another(self) -> bool:
        """True if this is the folder of another release, restored or copied: see `is_exchanged`."""
        left, odd, count = HASHED_MOST, 0, 0
        for file in self._manifest.files():
            if self._policies.of(file.path) != "replace":
                continue
            count += 1
            size = self._to_hash(file)
            left -= max(size, 0)
            if size < 0 or left < 0:
                continue
            with suppress(OSError):
                found = content_of(self._install / file.path)
                if self._known.has(file.path, found) and found != str(file.digest):
                    return True
                odd += found != str(file.digest)
        return odd * 2 > count

    def _to_hash(self, file: File) -> int:
        """Bytes to look at of a file that may have changed; negative if it cannot have."""
        try:
            info = (self._install / file.path).lstat()
        except OSError:
            return 0
        sure = stat.S_ISREG(info.st_mode) and untouched_since(self._sure_until, info)
        return -1 if sure and info.st_size == file.size else info.st_size

    def _extra(self) -> Iterator[str]:
        disposable = Globs(self._manifest.release.disposable)
        for path in self._live(""):
            known = unicodedata.normalize("NFC", path)  # macOS may give names in NFD
            if known not in self._manifest.by_path and not disposable.match(known):
                yield path

    def _live(self, folder: str) -> Iterator[str]:
        """Every file and symlink below ``folder`` that can be read."""
        try:
            with os.scandir(self._install / folder) as scan:
                children = list(scan)
        except OSError:
            return
        for child in children:
            path = f"{folder}/{child.name}" if folder else child.name
            if Path(child.path) == self._state.folder:
                continue
            if child.is_dir(follow_symlinks=False):
                yield from self._live(path)
            elif path not in self._no_folders:
                yield path


def damage(state: State, manifest: Manifest) -> tuple[str, ...]:
    """The paths of a release that are not as they must be, as far as times tell."""
    return Inspection(state, manifest, Silent(), full=False).damage()


def is_exchanged(state: State, manifest: Manifest) -> bool:
    """True if the folder holds another release than the State says, as far as a short look tells.

    One file as another release had it here is enough, or most files missing or changed.

    Raises:
        OSError: the disk.
    """
    return Inspection(state, manifest, Silent(), full=False).is_of_another()


def inspect(state: State, manifest: Manifest, progress: Progress, *, full: bool) -> Findings:
    """The findings of one `Inspection`."""
    return Inspection(state, manifest, progress, full=full).run()


def _is_kind(entry: Entry, mode: int) -> bool:
    if isinstance(entry, Directory):
        return stat.S_ISDIR(mode)
    return stat.S_ISLNK(mode) if isinstance(entry, Symlink) else stat.S_ISREG(mode)
