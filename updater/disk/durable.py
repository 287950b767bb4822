"""Durable primitives: every change to a user's disk is one of these methods.

A test replaces `Disk` to stop, or to fail, at the n-th one. Each either happened or did not;
what is said to be durable survives the plug being pulled.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from updater.disk import permissions
from updater.errors import MachineError, NotEnoughSpace

PART = ".part"
"""Suffix of a copy in the making; the finished one has its name without it."""
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}
"""Errors of `link` on a disk without hard links (exFAT, some network disks)."""
WINDOWS = permissions.WINDOWS
NAMES_HINT = "use a UTF-8 locale, or start it with PYTHONUTF8=1"
NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors that mean that nothing is there; after any other, nobody knows."""
FULL = {errno.ENOSPC, errno.EDQUOT}
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
SHARING_TRIES = 10
"""Windows: a virus scanner or an indexer may hold a new file for a moment; 10 tries = 0.55 s."""


class Disk:
    """The real disk. Every method raises `OSError` and leaves its target whole, old or new.

    What root makes in a folder of somebody else belongs to them, as if they had made it.
    """

    def write(
        self, path: Path, data: bytes, *, executable: bool = False, private: bool = False
    ) -> None:
        """Put a file with ``data`` at ``path``, durably, in one step; see `create`."""
        part = path.with_name(path.name + PART)
        try:
            self.create(part, data, executable=executable, private=private)
            self.replace(part, path)
        except OSError:
            with suppress(OSError):  # the cause is what counts
                self.unlink(part)
            raise
        self.sync_directory(path.parent)

    def create(
        self, path: Path, data: bytes, *, executable: bool = False, private: bool = False
    ) -> None:
        """Write a file that nobody else knows yet; its content is durable, its name not.

        Only its owner may read a ``private`` one.
        """
        with _new_file(path) as writer:
            writer.write(data)
        self.settle(path, executable=executable, private=private)

    def copy(
        self, source: Path, path: Path, *, executable: bool = False, alike: bool = False
    ) -> None:
        """Copy a file to ``path`` in one step; content durable, present time, no links.

        The copy has the mode of a released file or, if ``alike``, whatever says who may use
        ``source``.
        """
        part = path.with_name(path.name + PART)
        try:
            with source.open("rb") as reader, _new_file(part) as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
            self.settle(part, executable=executable, private=alike)
            if alike:
                permissions.imitate(part, source)
            self.replace(part, path)
        except BaseException:  # half a copy on a full disk keeps it full
            with suppress(OSError):
                self.unlink(part)
            raise

    def settle(self, path: Path, *, executable: bool = False, private: bool = False) -> None:
        """Make a finished file durable, with the mode of a released one."""
        permissions.permit(path, mode_of(executable) & (0o700 if private else 0o755))
        permissions.hand_over(path)
        self.sync_file(path)

    def imitate(self, path: Path, model: Path, *, executable: bool | None = None) -> None:
        """Let those use a new file or folder who may use ``model``: see `permissions.imitate`."""
        permissions.imitate(path, model, executable=executable)

    def fit(self, path: Path, *, executable: bool) -> None:
        """Let a new file or folder be no wider than its folder: see `permissions.fit`."""
        permissions.fit(path, executable=executable)

    def hand_over(self, path: Path) -> None:
        """Give what root made by other means to the owner of the folder it lies in."""
        permissions.hand_over(path)

    def stamp(self, path: Path) -> None:
        """Give a file the present time: what is older was looked at before."""
        os.utime(path)

    def replace(self, source: Path, path: Path) -> None:
        """Rename in one step, over what may be there."""
        _patiently(lambda: os.replace(source, path))

    def keep(self, path: Path, aside: Path) -> None:
        """Give what is at ``path`` a second name, without ``path`` being absent for a moment."""
        if is_link(path):
            os.symlink(os.readlink(path), aside)
            return
        try:
            os.link(path, aside)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            self.copy(path, aside, alike=True)

    def symlink(self, target: str, path: Path) -> None:
        """Make a symlink."""
        os.symlink(target, path)
        permissions.hand_over(path)

    def mkdir(self, path: Path, *, private: bool = False, own: bool = False) -> None:
        """Make a folder, 0755 whatever the umask; one that is there gets that mode.

        Only its owner may enter a ``private`` one. With ``own`` it stays this user's, whoever
        owns the folder around it.
        """
        if not path.is_dir():
            os.mkdir(path, 0o700)
            if not own:
                permissions.hand_over(path)
        permissions.permit(path, 0o700 if private else 0o755)

    def unlink(self, path: Path) -> None:
        """Remove a file or symlink, if it is there."""
        with suppress(FileNotFoundError, NotADirectoryError):  # nor is it behind a file
            path.unlink()

    def rmdir(self, path: Path) -> None:
        """Remove a folder if it is there and empty; one with something in it stays."""
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                raise

    def free_bytes(self, folder: Path) -> int:
        """Bytes this user may still write on the disk of ``folder``."""
        return shutil.disk_usage(folder).free

    def sync_file(self, path: Path) -> None:
        """Make a file's content durable."""
        # Windows flushes only handles that may write.
        descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a folder durable (NTFS journals them by itself)."""
        if not WINDOWS:
            self.sync_file(path)


def _new_file(path: Path) -> BinaryIO:
    """An empty file to write; nobody else reads it before it is settled. No link is followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    return open(path, "wb", opener=lambda name, _: os.open(name, flags | _BINARY, 0o600))


def _patiently(rename: Callable[[], None]) -> None:
    for attempt in range(1, SHARING_TRIES if WINDOWS else 1):
        with suppress(PermissionError):
            return rename()
        time.sleep(0.01 * attempt)
    return rename()


def mode_of(executable: bool) -> int:
    """The permission bits of a released file."""
    return 0o755 if executable else 0o644


def is_executable(path: Path) -> bool:
    """True if the owner may execute the file (always False on Windows)."""
    return not WINDOWS and bool(path.lstat().st_mode & 0o100)


def info_of(path: Path) -> os.stat_result | None:
    """The status of ``path``, symlinks not followed; None if nothing is there.

    Raises:
        OSError: the disk, or no permission, does not tell now. That is not nothing.
    """
    try:
        return path.lstat()
    except OSError as error:
        if error.errno not in NOWHERE:
            raise
        return None


def present(path: Path) -> bool:
    """True if anything is at ``path``, a dangling symlink included; raises as `info_of`."""
    return info_of(path) is not None


def is_folder(path: Path) -> bool:
    """True if a folder itself is at ``path``, not a symlink to one; raises as `info_of`."""
    info = info_of(path)
    return info is not None and stat.S_ISDIR(info.st_mode)


def is_link(path: Path) -> bool:
    """True if a symlink is at ``path``; raises as `info_of`."""
    info = info_of(path)
    return info is not None and stat.S_ISLNK(info.st_mode)


def same(path: Path, other: Path) -> bool:
    """True if two names are one file (hard links of each other)."""
    a, b = path.lstat(), other.lstat()
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def move(disk: Disk, source: Path, target: Path) -> None:
    """Rename, if ``source`` is there; copy where a folder of the install is a mount of its own.

    Raises:
        OSError: the disk; call it again when its cause is gone.
    """
    if not present(source):
        return
    if present(target) and same(source, target):  # to rename one over the other does nothing
        disk.unlink(source)
        return
    try:
        disk.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_far(disk, source, target)


def _move_far(disk: Disk, source: Path, target: Path) -> None:
    """To another disk; what was at ``target`` is not absent for a moment."""
    part = target.with_name(target.name + PART)
    disk.unlink(part)
    disk.keep(source, part)
    disk.replace(part, target)
    disk.unlink(source)


def sync_folders(disk: Disk, folders: Iterable[Path]) -> None:
    """Make the names in several folders durable, each once; what is no folder has none."""
    for folder in sorted(set(folders)):
        if folder.is_dir():
            disk.sync_directory(folder)


def make_folders(disk: Disk, folder: Path) -> None:
    """Make a folder and those above it, where they are not there; their names are durable."""
    if not folder.is_dir():
        make_folders(disk, folder.parent)
        disk.mkdir(folder)
        disk.sync_directory(folder.parent)


def remove_tree(disk: Disk, path: Path) -> None:
    """Remove a folder of our own with all that is in it; follows no symlink."""
    if not is_folder(path):
        disk.unlink(path)
        return
    children: list[Path] = []
    with suppress(PermissionError):  # of one that is kept for its permissions, and empty
        children = sorted(path.iterdir())
    for child in children:
        remove_tree(disk, child)
    disk.rmdir(path)


@contextmanager
def written_to(disk: Disk, path: Path) -> Iterator[None]:
    """While the body writes ``path`` by other means: it goes on, or begins anew if it may not."""
    if present(path) and not os.access(path, os.W_OK):
        disk.unlink(path)
    try:
        yield
    finally:
        disk.hand_over(path)


@contextmanager
def machine_errors(what: str) -> Iterator[None]:
    """Turn an `OSError` of the body into the `MachineError` that tells the user what to do."""
    try:
        yield
    except OSError as error:
        raise disk_error(what, error) from error


def disk_error(what: str, error: OSError) -> MachineError:
    """The error to tell for ``error``, which happened while doing ``what``."""
    reason = error.strerror or type(error).__name__
    where = f" ({error.filename})" if error.filename else ""
    message = f"{what}: {reason.lower()}{where}"
    if error.errno in FULL:
        return NotEnoughSpace(message, hint="free some disk space and try again")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return MachineError(message, hint="run as the owner of the folder, on a writable disk")
    return MachineError(message, hint="try again, and check the disk")


def fault(what: str, error: Exception) -> MachineError:
    """The error to tell for one that no disk gives: no memory, no thread, a name of no encoding."""
    if isinstance(error, UnicodeError):
        return MachineError(f"{what}: {error}", hint=NAMES_HINT)
    reason = f"{type(error).__name__}: {error}".removesuffix(": ")
    return MachineError(f"{what}: {reason}", hint="try again, with fewer programs running")
