"""The whole new tree, built beside the staged files where two folders can change places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from updater.config import Swap
from updater.errors import InstallError
from updater.format.globs import Globs
from updater.format.manifest import Directory, Manifest, Symlink
from updater.format.paths import shown
from updater.launch.disk import NO_EXCHANGE, NO_LINKS, Disk, present
from updater.launch.journal import Action, DamagedJournal, Exchange, Journal
from updater.launch.journal import read as read_journal
from updater.launch.listing import FOLDER, Listing, Root, list_tree, root_of
from updater.launch.spare import free_name
from updater.launch.state import State
from updater.launch.treeswap import Trees

COPIED = 1 << 20
"""Bytes of the largest unchanged file that is copied: a hard link would let a write in place
change both trees, but the large files are what makes a tree expensive to copy."""
COPIES_MOST = 2_000
"""Unchanged small files; each costs a copy and a flush, 2,000 are seconds on a slow disk."""
COPY_BYTES_MOST = 64 << 20
"""Bytes of unchanged small files: about a second to write."""
NAME_BYTES = 255
"""NAME_MAX."""


class NewTree:
    """Makes a tree swap of an update that is staged, if it can be one."""

    def __init__(self, disk: Disk, state: State, swap: Swap, reserve: int) -> None:
        """Make one.

        Args:
            disk: durable primitives.
            state: of the install.
            swap: which swap is wanted.
            reserve: bytes to leave free on the disk.
        """
        self._disk = disk
        self._state = state
        self._swap = swap
        self._reserve = reserve

    def grow(self, journal: Journal, old: Manifest, new: Manifest) -> Journal:
        """The commit that shall be made: ``journal``, or the same as a tree swap.

        Args:
            journal: the update as a file swap; its stage is complete.
            old: what is installed.
            new: what shall be.

        Raises:
            InstallError: a tree swap was asked for, and is not possible here; the hint says why.
            OSError: the disk; nothing live was touched.
        """
        if self._swap == "file" or not journal.is_update:
            return journal
        listed = list_tree(self._state.install)
        reasons = _Reasons(self._state, journal, old, new, listed)
        reason = next(reasons.always(), "")
        if self._swap == "auto" and not reason:
            reason = next(
                reasons.auto(self._disk.free_bytes(self._state.folder) - self._reserve), ""
            )
        if not reason:
            try:
                return self._grown(journal, reasons)
            except OSError as error:
                if error.errno not in NO_EXCHANGE | NO_LINKS:
                    raise
                reason = f"this file system cannot do it ({error.strerror})"
        return self._as_files(journal, reason)

    def running(self, journal: Journal) -> Journal:
        """The commit while the application runs, which is forced: never an exchange.

        Raises:
            InstallError: a tree swap was asked for.
        """
        return journal if journal.tree is None else self._as_files(journal, "the application runs")

    def _as_files(self, journal: Journal, reason: str) -> Journal:
        if self._swap == "tree":
            raise InstallError(
                f"the folder of {self._state.install} cannot be exchanged: {reason}",
                hint="set swap to auto or file; the update is as safe, but not one single step",
            )
        return journal.as_files

    def _grown(self, journal: Journal, reasons: _Reasons) -> Journal:
        self._probe()
        self._build(reasons.new, journal)
        top = self._state.staged_tree
        tree = Exchange(
            incoming=_free(self._state.install, ".new").name,
            aside=self._aside().name,
            old_root=_root(self._state.install),
            new_root=_root(top),
            old={p: mark for p, mark in reasons.listed.items() if reasons.is_managed(p)},
            new=list_tree(top),
            disposable=tuple(p for p in reasons.listed if not reasons.is_managed(p)),
            files=tuple(step for step in journal.steps if not step.own),
        )
        return replace(journal, steps=tuple(s for s in journal.steps if s.own), tree=tree)

    def _probe(self) -> None:
        """Let two folders of ours change places: only trying tells whether it can be done."""
        folders = [self._state.scratch / name for name in ("this", "that")]
        for folder in folders:
            self._disk.mkdir(folder)
        self._disk.exchange(*folders)

    def _build(self, new: Manifest, journal: Journal) -> None:
        """Every entry of ``new``, durably: staged ones by a second name, others from live ones."""
        top = self._state.staged_tree
        staged = {s.path: s.stage for s in journal.steps if s.action is Action.PUT and not s.own}
        folders = [top, *(top / path for path in sorted(new.directories))]
        for folder in folders:
            self._disk.mkdir(folder)
        for entry in new.entries:
            if entry.path in staged:
                self._disk.keep(self._state.staged(staged[entry.path]), top / entry.path)
            elif isinstance(entry, Symlink):
                self._disk.symlink(entry.target, top / entry.path)
            elif not isinstance(entry, Directory):
                source = self._state.install / entry.path
                self._disk.share(source, top / entry.path, copied=COPIED)
        for folder in reversed(folders):
            self._disk.sync_directory(folder)
        self._disk.sync_directory(top.parent)

    def _aside(self) -> Path:
        """``NAME.old``; that of the commit before is ours, and gone by then."""
        kept = None
        with suppress(DamagedJournal):  # what it kept is nobody's any more
            kept = read_journal(self._state.parked) if present(self._state.parked) else None
        if kept is not None and kept.tree is not None:
            place = Trees(self._disk, self._state, kept.tree).resting(kept.tree.old_root)
            if place == self._state.beside(kept.tree.aside):
                return place
        return _free(self._state.install, ".old")


class _Reasons:
    """Why folders should not be exchanged; the first reason counts."""

    def __init__(
        self, state: State, journal: Journal, old: Manifest, new: Manifest, listed: Listing
    ) -> None:
        self._state = state
        self._journal = journal
        self._old = old
        self.new = new
        self.listed = listed
        self._managed = {*old.by_path, *old.directories}
        self._disposable = Globs({*old.release.disposable, *new.release.disposable})

    def is_managed(self, path: str) -> bool:
        """Whether the installed release names the entry."""
        return path in self._managed

    def always(self) -> Iterator[str]:
        """Without these something would be lost."""
        install, folder = self._state.install, self._state.folder
        if folder.parent != install.parent:
            yield "its state folder lies inside it"
        if folder.stat().st_dev != install.stat().st_dev:
            yield "its state folder is on another disk"
        rules = (*self._old.release.policy, *self.new.release.policy)
        yield from (f"{glob} has the policy {rule}" for glob, rule in rules if rule != "replace")
        steps = (step for step in self._journal.steps if step.keep)
        yield from (f"{shown(step.path)} was changed by its user" for step in steps)
        for path, mark in self.listed.items():
            if not self.is_managed(path) and not self._is_disposable(path, mark.kind):
                yield f"no release knows {shown(path)}"

    def auto(self, free: int) -> Iterator[str]:
        """Without these it would cost too much, or a promise could not be kept."""
        if not self._old.release.entry:
            yield "the release names no entry: whether the application runs cannot be known"
        put = {step.path for step in self._journal.steps if step.action is Action.PUT}
        kept = (file for file in self.new.files() if file.path not in put)
        sizes = [file.size for file in kept if file.size <= COPIED]
        if len(sizes) > COPIES_MOST or sum(sizes) > min(COPY_BYTES_MOST, free):
            yield f"{len(sizes):,} files of {sum(sizes):,} bytes would have to be copied"

    def _is_disposable(self, path: str, kind: str) -> bool:
        if kind == FOLDER:  # of a folder, what may stand in it
            return self._disposable.match(path) or self._disposable.match(f"{path}/-")
        return self._disposable.match(path)


def _free(install: Path, suffix: str) -> Path:
    """A free name beside the install, short enough also where the install's own is long."""
    short = install.name.encode()[: NAME_BYTES - 16].decode(errors="ignore")
    return free_name(install.with_name(short), suffix)


def _root(folder: Path) -> Root:
    root = root_of(folder)
    if root is None:
        raise InstallError(f"{folder} is not a folder", hint="run updater repair")
    return root
