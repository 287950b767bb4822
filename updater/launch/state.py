"""The State folder: what we know of an install, kept beside it, and where each thing lies."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from updater.disk.durable import Disk
from updater.disk.permissions import ROOT, WINDOWS
from updater.errors import MachineError

SUFFIX = ".upswap"
GONE_HINT = "if it was moved, name where it is; if it was removed, run updater install"
"""The hint if the install folder is not there."""


@dataclass(frozen=True)
class State:
    """The places of one install, and the disk they are changed by. Makes nothing, reads nothing."""

    install: Path
    """The install folder (DIR)."""
    folder: Path
    """The State folder."""
    disk: Disk = field(default_factory=Disk, compare=False, repr=False)

    def on(self, disk: Disk) -> State:
        """The same places, changed by ``disk``."""
        return replace(self, disk=disk)

    @property
    def settings(self) -> Path:
        """``install.json``: app, channel, URL, previous version, bad versions."""
        return self.folder / "install.json"

    @property
    def identity(self) -> Path:
        """The random name of this install; no setting, for a rollback brings those back."""
        return self.folder / "identity.json"

    @property
    def access(self) -> Path:
        """The secret parts of the repository's URL; only the owner may read it."""
        return self.folder / "access.json"

    @property
    def root(self) -> Path:
        """The TUF root this install was made with."""
        return self.folder / "root.json"

    @property
    def manifest(self) -> Path:
        """The manifest of the installed release."""
        return self.folder / "manifest"

    @property
    def trust(self) -> Path:
        """Verified TUF metadata."""
        return self.folder / "trust"

    @property
    def seen(self) -> Path:
        """The newest versions and signed time that were seen; see updater/check/watermarks.py."""
        return self.folder / "seen.json"

    @property
    def known(self) -> Path:
        """Marks of the files that releases had here; see updater/stage/released_files.py."""
        return self.folder / "known"

    @property
    def folders(self) -> Path:
        """The folders of the install as released; see updater/stage/released_files.py."""
        return self.folder / "folders.json"

    @property
    def downloads(self) -> Path:
        """Verified and partial downloads; harmless to lose."""
        return self.folder / "downloads"

    @property
    def stage(self) -> Path:
        """The new files, complete and verified; harmless to lose while there is no journal."""
        return self.folder / "stage"

    @property
    def scratch(self) -> Path:
        """Files being decoded; harmless to lose."""
        return self.folder / "scratch"

    @property
    def release(self) -> Path:
        """``release.json``: facts of the release for the launcher; see release_facts.py."""
        return self.folder / "release.json"

    @property
    def old(self) -> Path:
        """Files that the last commit replaced, kept for a rollback, and that commit's journal."""
        return self.folder / "old"

    @property
    def trash(self) -> Path:
        """Files that could not be deleted yet, and the list of others; see trash.py."""
        return self.folder / "trash"

    @property
    def parked(self) -> Path:
        """The journal of the commit that can be rolled back; none: nothing can."""
        return self.old / "journal"

    @property
    def trial(self) -> Path:
        """The trial of the installed version; absent once it is confirmed. See trial.py."""
        return self.folder / "trial"

    @property
    def confirmed(self) -> Path:
        """The confirmed version: the one file that the application writes."""
        return self.folder / "confirmed"

    @property
    def announced(self) -> Path:
        """The version that was last reported as staged; see pending.py."""
        return self.folder / "announced"

    @property
    def arrival(self) -> Path:
        """The version before, until the application was started with it."""
        return self.folder / "arrival"

    @property
    def reports(self) -> Path:
        """Failure reports, to be sent."""
        return self.folder / "reports"

    @property
    def consent(self) -> Path:
        """The consent to reports; absent without it. See `updater.reports`."""
        return self.folder / "consent.json"

    @property
    def last_sent(self) -> Path:
        """The last check-in that was sent; harmless to lose."""
        return self.folder / "last_sent.json"

    @property
    def launcher(self) -> Path:
        """Launchers by number, and the pointer to the one in use."""
        return self.folder / "launcher"

    @property
    def run_lock(self) -> Path:
        """Held, shared, by every running application; alone by a commit."""
        return self.folder / "run.lock"

    @property
    def journal(self) -> Path:
        """The record that lets any interruption be finished or undone; see journal.py."""
        return self.folder / "journal"

    @property
    def lock(self) -> Path:
        """Held while the install is changed."""
        return self.folder / "lock"

    def at(self, path: str) -> Path:
        """The place of a journal's path: in the install, or in the State, wherever both are now."""
        if path.startswith("../"):  # ../.NAME.upswap/FILE, by the name it had then
            return self.folder / path.split("/", 2)[2]
        return self.install / path

    def staged(self, number: int) -> Path:
        """Staged file ``number``."""
        return self.stage / str(number)

    def parked_file(self, number: int) -> Path:
        """The file that step ``number`` of the last commit put aside."""
        return self.old / str(number)


def find(install: Path) -> State | None:
    """The State of ``install``, or None if upswap does not know this folder.

    A folder that somebody else planted is not believed: it could name another server and other
    keys, and whoever may write the State may make the owner's updater do anything. So it must
    belong to the owner of the install, to root or to this user, and nobody may write it who may
    not write the install itself: on a disk where everybody may write everything, all may.

    Raises:
        InstallError: there are two, or the only one is not the owner's alone.
    """
    there = [folder for folder in _candidates(install) if folder.is_dir()]
    found = [folder for folder in there if _is_owners(folder, install)]
    if there and not found:
        raise MachineError(
            f"{there[0]} is not a folder that only the owner of {install} may write",
            hint=f"if it is yours: {_remedy(there[0], install)}; else remove it",
        )
    if len(found) > 1:
        raise MachineError(
            f"two state folders: {found[0]} and {found[1]}",
            hint="move away the one that was not made by this install",
        )
    return State(install, found[0]) if found else None


def choose(install: Path) -> State:
    """Choose the place of the State of a new install.

    Beside the install, if the parent folder is ours to write, not writable by everybody, and
    on the same file system; else inside it.
    """
    beside, inside = _candidates(install)
    return State(install, beside if _is_ours(install) else inside)


def _candidates(install: Path) -> tuple[Path, Path]:
    return install.parent / f".{install.name}{SUFFIX}", install / SUFFIX


def _is_owners(folder: Path, install: Path) -> bool:
    """True if nobody can have planted ``folder`` who could not have changed the install itself."""
    info, ours = folder.lstat(), install.stat()
    if not stat.S_ISDIR(info.st_mode):
        return False
    return WINDOWS or (
        info.st_uid in {ours.st_uid, ROOT, os.geteuid()} and not _is_wider(info, ours)
    )


def _is_wider(info: os.stat_result, ours: os.stat_result) -> bool:
    """True if a folder may be written by a group, or by everybody, who may not write the other."""
    more = info.st_mode & ~ours.st_mode
    other_group = info.st_gid != ours.st_gid and not ours.st_mode & stat.S_IWOTH
    is_for_group = bool(info.st_mode & stat.S_IWGRP)
    return bool(more & (stat.S_IWGRP | stat.S_IWOTH)) or (is_for_group and other_group)


def _remedy(folder: Path, install: Path) -> str:
    """The command that makes a State of ours trusted again."""
    if folder.is_symlink():
        return "put the folder itself in the place of the link"
    if _is_wider(folder.stat(), install.stat()):
        return f"chmod go-w {folder}"
    return f"chown -R --reference={install} {folder}"


def _is_ours(install: Path) -> bool:
    parent = install.parent
    info = parent.stat()
    if not os.access(parent, os.W_OK) or (not WINDOWS and info.st_mode & stat.S_IWOTH):
        return False
    return not install.exists() or install.stat().st_dev == info.st_dev
