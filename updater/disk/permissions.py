"""Permissions: owner, group, permission bits and extended attributes of files.

They are the affair of whoever runs the machine: what takes the place of a file has those of that
file, and what is new is no wider than the folder it comes into. Where this user may not give them,
the file is narrower, never wider. Files are reached by descriptor, links not followed: root may be
at work in a folder of somebody else, who could exchange what lies there.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WINDOWS = sys.platform == "win32"
ROOT = 0
NO_MODES = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of an owner's `chmod` on a disk that keeps no such bits."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

if sys.platform == "linux":
    ACL = "system.posix_acl_access"
    DEFAULT_ACL = "system.posix_acl_default"
    CAPABILITY = "security.capability"
    OF_CONTENT = {"security.ima", "security.evm"}
    """They sign the bytes of the file that had them; on others they are wrong."""

    def _attributes(place: int | Path) -> dict[str, bytes]:
        """Every attribute that can be read; none where the disk keeps none."""
        follow = isinstance(place, int)
        found = {}
        with suppress(OSError):
            for name in os.listxattr(place, follow_symlinks=follow):
                with suppress(OSError):
                    found[name] = os.getxattr(place, name, follow_symlinks=follow)
        return found

    def _set_attributes(descriptor: int, wanted: dict[str, bytes]) -> None:
        """Give those of ``wanted`` this user may give.

        Raises:
            OSError: an access list that must go does not.
        """
        has = _attributes(descriptor)
        if ACL in has and ACL not in wanted:
            os.removexattr(descriptor, ACL)
        for name, value in wanted.items():
            if has.get(name) != value:
                with suppress(OSError):
                    os.setxattr(descriptor, name, value)

    def _inherit_acl(descriptor: int, folder: Path) -> bool:
        """Give what the folder's default access list says; whether there is one."""
        default = _attributes(folder).get(DEFAULT_ACL)
        _set_attributes(descriptor, {} if default is None else {ACL: default})
        return default is not None and _attributes(descriptor).get(ACL) == default

else:
    ACL = CAPABILITY = ""
    OF_CONTENT: set[str] = set()

    def _attributes(_place: int | Path) -> dict[str, bytes]:
        return {}

    def _set_attributes(_descriptor: int, _wanted: dict[str, bytes]) -> None:
        """Python reads no attributes here."""

    def _inherit_acl(_descriptor: int, _folder: Path) -> bool:
        return False


def hand_over(path: Path) -> None:
    """Give what this process made to the owner of the folder it lies in: root acts for them.

    Nothing happens if this is not root, or the folder is root's, or the disk keeps no owners.
    """
    if WINDOWS or os.geteuid() != ROOT:
        return
    with suppress(OSError):
        folder = path.parent.stat()
        if folder.st_uid == ROOT:
            return
        if path.is_symlink():
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
            return
        with _opened(path) as descriptor:
            _give(descriptor, folder.st_uid, folder.st_gid)


def permit(path: Path, mode: int) -> None:
    """Set the permissions of a new file or folder.

    Raises:
        OSError: the disk; not if it keeps no permissions.
    """
    if not WINDOWS:
        with _opened(path) as descriptor:
            _chmod(descriptor, mode)


def let_owner_read(path: Path) -> None:
    """Let this user read a file of theirs: what cannot be read can be neither kept nor taken back.

    Raises:
        OSError: the disk.
    """
    info = path.lstat()
    is_ours = not WINDOWS and info.st_uid == os.geteuid() != ROOT
    if is_ours and stat.S_ISREG(info.st_mode) and not info.st_mode & stat.S_IRUSR:
        path.chmod(stat.S_IMODE(info.st_mode) | stat.S_IRUSR)


def imitate(path: Path, model: Path, *, executable: bool | None = None) -> None:
    """Let those use ``path`` who can use ``model``, as far as this user may give that.

    Args:
        path: a file or folder that is not in use yet.
        model: a file or folder, whose owner, group, permissions and attributes it gets.
        executable: whether a file shall be, whatever ``model`` is.

    Raises:
        OSError: the disk.
    """
    if WINDOWS:
        return
    like, folder = model.lstat(), path.parent.stat()
    attributes = {k: v for k, v in _attributes(model).items() if k not in OF_CONTENT}
    with _opened(path) as descriptor:
        before = os.fstat(descriptor), _attributes(descriptor)
        _give(descriptor, like.st_uid, like.st_gid)
        now = os.fstat(descriptor)
        mode = stat.S_IMODE(like.st_mode)
        is_for_another = os.geteuid() == ROOT != folder.st_uid
        if like.st_uid != now.st_uid or (is_for_another and like.st_uid != folder.st_uid):
            mode &= ~stat.S_ISUID
        if like.st_gid != now.st_gid or (is_for_another and like.st_gid != folder.st_gid):
            mode &= ~stat.S_ISGID
        if is_for_another:  # who owns the folder could not give it, and chooses the content
            attributes.pop(CAPABILITY, None)
        if like.st_gid != now.st_gid:
            attributes.pop(ACL, None)
        _set_attributes(descriptor, attributes)
        if like.st_gid != now.st_gid or _attributes(descriptor).get(ACL) != attributes.get(ACL):
            mode = _without_group(mode)
        _chmod(descriptor, mode if executable is None else _executable(mode, executable))
        _settle(descriptor, before)


def fit(path: Path, *, executable: bool) -> None:
    """Let a new file or folder be no wider than the folder it lies in.

    Whoever cannot reach it there gets no permission; a folder that gives its group, or has a
    default access list, gives it to this too.

    Args:
        path: with a name in the folder it belongs to.
        executable: whether a file shall be.

    Raises:
        OSError: the disk.
    """
    if WINDOWS:
        return
    folder = path.parent.stat()
    with _opened(path) as descriptor:
        before = os.fstat(descriptor), _attributes(descriptor)
        is_folder = stat.S_ISDIR(before[0].st_mode)
        mode = 0o755 if executable or is_folder else 0o644
        if folder.st_mode & stat.S_ISGID:
            _give(descriptor, before[0].st_uid, folder.st_gid)
            mode |= stat.S_ISGID if is_folder else 0
        if _inherit_acl(descriptor, path.parent):
            mode &= os.fstat(descriptor).st_mode | stat.S_ISGID
        _chmod(descriptor, mode & _reach(folder.st_mode))
        _settle(descriptor, before)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _give(descriptor: int, user: int, group: int) -> None:
    """Give a file away, or only to the group, or not at all: as far as this user may.

    One with a second name may be anybody's, and stays whose it is.
    """
    info = os.fstat(descriptor)
    if stat.S_ISREG(info.st_mode) and info.st_nlink > 1:
        return
    for owner in ((user, -1), (-1, group)):
        if owner[0] not in {-1, info.st_uid} or owner[1] not in {-1, info.st_gid}:
            with suppress(OSError):
                os.fchown(descriptor, *owner)


def _chmod(descriptor: int, mode: int) -> None:
    """Set permissions; a disk that keeps none leaves them as they are."""
    if stat.S_IMODE(os.fstat(descriptor).st_mode) == mode:
        return
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        if error.errno not in NO_MODES:
            raise


def _settle(descriptor: int, before: tuple[os.stat_result, dict[str, bytes]]) -> None:
    """Make it durable, if anything has become different."""
    now, then = os.fstat(descriptor), before[0]
    same = (now.st_mode, now.st_uid, now.st_gid) == (then.st_mode, then.st_uid, then.st_gid)
    if not same or _attributes(descriptor) != before[1]:
        os.fsync(descriptor)


def _reach(mode: int) -> int:
    """The permission bits that are of use to whoever can enter a folder of ``mode``."""
    group = stat.S_IRWXG if mode & stat.S_IXGRP else 0
    others = stat.S_IRWXO if mode & stat.S_IXOTH else 0
    return ~_OTHERS | group | others


def _without_group(mode: int) -> int:
    """``mode`` for a file of another group: it may do what all others may."""
    return mode & ~stat.S_IRWXG | (mode & stat.S_IRWXG & ((mode & stat.S_IRWXO) << 3))


def _executable(mode: int, wanted: bool) -> int:
    """``mode``, executable by all who may read or by nobody, unless it is as wanted already."""
    if bool(mode & stat.S_IXUSR) == wanted:
        return mode
    readers = mode & (stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    return mode | readers >> 2 if wanted else mode & ~(stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
