"""Obstacles: reasons that would stop a commit half-way, found before it begins.

Nothing is tried on the live tree to find out. What cannot be told here is found out by the commit
itself, and undone.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from updater.disk.durable import NAMES_HINT, WINDOWS, info_of, is_folder
from updater.errors import CannotSpell, MachineError

MOUNTS = Path("/proc/self/mountinfo")
OWNER = "run as the owner of the folder"
IMMUTABLE = 0x10 | 0x20
"""Linux attributes of a file that cannot be changed, or can only grow."""


def refuse_obstacles(install: Path, paths: Iterable[str]) -> None:
    """Refuse what would stop a commit that changes ``paths`` of ``install``.

    Raises:
        InstallError: the first obstacle, and what to do about it.
        OSError: the disk.
    """
    places = {install / path for path in paths}
    for place, mount in _mounts(places):
        raise MachineError(
            f"{place} is changed by this, and {mount} is a mount",
            hint=f"unmount {mount}, or mount it outside {install}",
        )
    for place in sorted(places):
        if reason := _immutable(place):
            raise MachineError(reason, hint=f"run chattr -i -a {place}, or the like")
    for folder in sorted({place.parent for place in places}):
        if reason := _immutable(folder):
            raise MachineError(reason, hint=f"run chattr -i -a {folder}, or the like")
        if is_folder(folder) and not os.access(folder, os.W_OK | os.X_OK):
            raise MachineError(f"no permission to change {folder}", hint=OWNER)
    for place in sorted(places):
        if _is_stuck(place):
            raise MachineError(f"no permission to replace {place}", hint=OWNER)


def refuse_names(paths: Iterable[str]) -> None:
    """Refuse names that this process cannot tell its disk: all names are text in a release.

    Raises:
        CannotSpell: one of them.
    """
    path = ""
    try:
        for path in paths:
            os.fsencode(path)
    except UnicodeEncodeError as error:
        shown = path.encode("ascii", "backslashreplace").decode()
        raise CannotSpell(
            f"{shown} cannot be spelled in {error.encoding}, the encoding of this process",
            hint=NAMES_HINT,
        ) from error


def mount_points() -> frozenset[Path]:
    """Mount points, as far as this system lists them (Linux only)."""
    with suppress(OSError):
        lines = MOUNTS.read_bytes().splitlines()
        return frozenset(Path(os.fsdecode(_unescaped(line.split(b" ")[4]))) for line in lines)
    return frozenset()


def _unescaped(name: bytes) -> bytes:
    """A name as the kernel writes it, with octal numbers for spaces and the like."""
    head, *rest = name.split(b"\\")
    return head + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)


def _mounts(places: set[Path]) -> Iterator[tuple[Path, Path]]:
    """Mounts at the places themselves, or below a folder that would have to move."""
    for mount in sorted(mount_points()):
        for place in (mount, *mount.parents):
            if place in places:
                yield place, mount


def _is_stuck(place: Path) -> bool:
    """True if a sticky folder keeps this user from replacing what belongs to others."""
    if WINDOWS or os.geteuid() == 0:
        return False
    folder, info = info_of(place.parent), info_of(place)
    if folder is None or info is None or not folder.st_mode & stat.S_ISVTX:
        return False
    return os.geteuid() not in {folder.st_uid, info.st_uid}


if sys.platform == "linux":
    import array
    import fcntl

    FS_IOC_GETFLAGS = 0x80086601

    def _immutable(place: Path) -> str:
        """The reason why attributes forbid to change ``place``; empty if they do not."""
        flags, info = array.array("L", [0]), info_of(place)
        if info is None or not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            return ""
        with suppress(OSError):  # no such attributes here, or they cannot be read
            descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, flags)
            finally:
                os.close(descriptor)
        return f"{place} is immutable, or may only grow" if flags[0] & IMMUTABLE else ""

else:

    def _immutable(place: Path) -> str:
        """The reason why flags forbid to change ``place``; empty if they do not."""
        info = info_of(place)
        flags = getattr(info, "st_flags", 0)
        fixed = stat.UF_IMMUTABLE | stat.UF_APPEND | stat.SF_IMMUTABLE | stat.SF_APPEND
        return f"{place} is immutable, or may only grow" if flags & fixed else ""
