"""Stored files: those of a repository's folder, compared with what clients may ask for."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from patchtool.repository.snapshot import Snapshot
from patchtool.repository.targets import place_of
from updater.disk.durable import machine_errors
from updater.patch.apply import digest_of

CONTENT = "targets/"
"""Begins the names of files that have a digest in their name."""


@dataclass(frozen=True)
class FileFaults:
    """Files that clients may ask for and would not get as they were signed."""

    missing: tuple[str, ...] = ()
    """Not there, or of another length."""
    damaged: tuple[str, ...] = ()
    """Of the right length, with other content than their name says."""
    unread: tuple[str, ...] = ()
    """This user may not read them, or the disk does not give them."""


def needed(seen: Snapshot) -> dict[str, int]:
    """The files clients may ask for, by path, with their lengths; -1 stands for any.

    Raises:
        InstallError: metadata that names them could not be read.
        FormatError: it is damaged.
    """
    names = [f"{number}.root.json" for number in range(1, seen.versions()["root"] + 1)]
    names += [f"{version}.{name}" for name, version in seen.listed.items()]
    names += [f"{seen.snapshot_version}.snapshot.json", "timestamp.json"]
    found = {f"metadata/{name}": -1 for name in names}
    roles = [f"{kind}.{app}" for app in seen.apps() for kind in ("app", "channels")]
    for target in (target for role in roles for target in seen.targets(role).values()):
        found |= {shown(seen.folder, place_of(seen.folder, target)): target.length}
    return found


def stored(folder: Path) -> list[str]:
    """All files of metadata and targets.

    Raises:
        InstallError: the folder cannot be read.
    """
    tops = [folder / name for name in ("metadata", "targets")]
    with machine_errors(f"reading {folder}"):
        paths: Iterable[Path] = (path for top in tops for path in top.rglob("*"))
        return sorted(shown(folder, path) for path in paths if path.is_file())


def unneeded(seen: Snapshot) -> list[str]:
    """Files that clients do not ask for any more, or never did.

    Old targets metadata is none of them: it tells which keys have ended.

    Raises:
        InstallError, FormatError: as `needed`.
    """
    wanted = needed(seen)
    stray = (name for name in stored(seen.folder) if name not in wanted)
    return [name for name in stray if not name.endswith(".targets.json")]


def check_files(seen: Snapshot) -> FileFaults:
    """Read every file that clients may ask for, and compare it with what was signed.

    Raises:
        InstallError, FormatError: as `needed`.
    """
    found: dict[str, list[str]] = {"missing": [], "damaged": [], "unread": []}
    for name, length in sorted(needed(seen).items()):
        fault = _fault(seen.folder / name, length)
        if fault:
            found[fault].append(name)
    return FileFaults(**{fault: tuple(names) for fault, names in found.items()})


def missing(seen: Snapshot) -> list[str]:
    """Files that clients may ask for and that are not there, or have another length.

    Raises:
        InstallError, FormatError: as `needed`.
    """
    wanted = sorted(needed(seen).items())
    with machine_errors(f"reading {seen.folder}"):
        return [name for name, length in wanted if not _is_there(seen.folder / name, length)]


def _fault(path: Path, length: int) -> str:
    """Name the fault of a file; empty if there is none. Metadata (-1) is only looked for."""
    try:
        if not _is_there(path, length):
            return "missing"
        whole = length == -1 or path.name.startswith(f"{digest_of(path)}.")
    except OSError:
        return "unread"
    return "" if whole else "damaged"


def _is_there(path: Path, length: int) -> bool:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and length in {-1, found.st_size}


def shown(folder: Path, path: Path) -> str:
    """The name of a file of a repository."""
    return path.relative_to(folder).as_posix()
