"""Read a release folder, and refuse files that no release may hold."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from updater.disk.durable import machine_errors
from updater.errors import FormatError, RequestError
from updater.format.manifest import Directory, Entry, File, Symlink
from updater.format.paths import check_path, shown
from updater.patch.apply import digest_of

CAPABILITIES = "security.capability"
SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


def scan(folder: Path, exclude: Sequence[str] = ()) -> list[Entry]:
    """Every entry of the release in ``folder``, in no particular order.

    Args:
        folder: the release folder; nothing is written to it.
        exclude: patterns of what is left out, as in a ``.gitignore``.

    Raises:
        FormatError: something a release cannot hold: a device, a socket, a FIFO, a setuid,
            setgid or sticky bit, capabilities. Names and targets are checked when the manifest is
            made. Or a pattern that is none.
        InstallError: the folder cannot be read.
    """
    left_out = _patterns(exclude)
    with machine_errors(f"reading {folder}"):
        if not folder.is_dir():
            raise RequestError(f"{folder} is not a folder", hint="name a release folder")
        return list(_walk(folder, "", left_out))


def _patterns(exclude: Sequence[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(exclude)
    except (ValueError, re.error) as error:
        raise FormatError(f"{error}", context="exclude") from error


def _walk(folder: Path, prefix: str, left_out: GitIgnoreSpec) -> Iterator[Entry]:
    with os.scandir(folder) as children:
        ordered = sorted(children, key=lambda child: child.name)
    for child in ordered:
        path = prefix + child.name
        is_folder = child.is_dir(follow_symlinks=False)
        if left_out.match_file(path + "/" if is_folder else path):
            continue
        if not is_folder:
            yield _entry(Path(child.path), path)
            continue
        _refuse_special(child.stat(follow_symlinks=False), path, child.path)
        check_path(path, portable=False)  # before one so deep is entered that it has no end
        inside = list(_walk(Path(child.path), path + "/", left_out))
        yield from inside or [Directory(path)]


def _entry(place: Path, path: str) -> Entry:
    info = place.lstat()
    if stat.S_ISLNK(info.st_mode):
        return Symlink(path, os.readlink(place))  # noqa: PTH115 - which would tidy it up
    if not stat.S_ISREG(info.st_mode):
        raise FormatError(f"{shown(path)} is neither file, folder nor symlink")
    _refuse_special(info, path, place)
    _refuse_capabilities(path, place)
    return File(path, info.st_size, digest_of(place), bool(info.st_mode & 0o100))


def _refuse_special(info: os.stat_result, path: str, place: str | Path) -> None:
    if info.st_mode & SPECIAL_BITS:
        raise FormatError(
            f"{shown(path)} has a setuid, setgid or sticky bit", hint=f"chmod ug-s,-t {place}"
        )


def _refuse_capabilities(path: str, place: Path) -> None:
    """Refuse rights that Linux keeps beside the file: no release carries them."""
    if sys.platform == "linux" and CAPABILITIES in os.listxattr(place):
        raise FormatError(f"{shown(path)} has capabilities", hint=f"setcap -r {place}")
