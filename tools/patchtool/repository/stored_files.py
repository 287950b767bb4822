"""The stock: what lies in a repository's folder, against what clients may ask for."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from patchtool.repository.snapshot import Visible
from updater.disk.durable import machine_errors
from updater.patch.apply import digest_of

CONTENT = "targets/"
"""Begins the names of files that have a digest in their name."""


@dataclass(frozen=True)
class Stock:
    """Files that clients may ask for and would not get as they were signed."""

    missing: tuple[str, ...] = ()
    """Not there, or of another length."""
    damaged: tuple[str, ...] = ()
    """Of the right length, with other content than their name says."""
    unread: tuple[str, ...] = ()
    """This user may not read them, or the disk does not give them."""


def needed(repository: Visible) -> dict[str, int]:
    """The files clients may ask for, by path, with their lengths; -1 stands for any.

    Raises:
        InstallError: it cannot be read.
    """
    names = [f"{number}.root.json" for number in range(1, repository.versions()["root"] + 1)]
    names += [f"{version}.{name}" for name, version in repository.listed().items()]
    names += [f"{repository.listed_snapshot()}.snapshot.json", "timestamp.json"]
    found = {f"metadata/{name}": -1 for name in names}
    roles = [f"{kind}.{app}" for app in repository.apps() for kind in ("app", "channels")]
    for target in (target for role in roles for target in repository.targets(role).values()):
        found |= {shown(repository, repository.path_of(target)): target.length}
    return found


def held(repository: Visible) -> list[str]:
    """All files of metadata and targets.

    Raises:
        InstallError: it cannot be read.
    """
    tops = [repository.folder / name for name in ("metadata", "targets")]
    with machine_errors(f"reading {repository.folder}"):
        paths: Iterable[Path] = (path for top in tops for path in top.rglob("*"))
        return sorted(shown(repository, path) for path in paths if path.is_file())


def unneeded(repository: Visible) -> list[str]:
    """Files that clients do not ask for any more, or never did.

    Old targets metadata is none of them: it tells which keys have ended.

    Raises:
        InstallError: it cannot be read.
    """
    wanted = needed(repository)
    stray = (name for name in held(repository) if name not in wanted)
    return [name for name in stray if not name.endswith(".targets.json")]


def look(repository: Visible) -> Stock:
    """What of the files that clients may ask for is not as it was signed.

    Raises:
        InstallError, FormatError: the metadata that names them cannot be read.
    """
    found: dict[str, list[str]] = {"missing": [], "damaged": [], "unread": []}
    for name, length in sorted(needed(repository).items()):
        fault = _fault(repository.folder / name, length)
        if fault:
            found[fault].append(name)
    return Stock(**{fault: tuple(names) for fault, names in found.items()})


def missing(repository: Visible, folder: Path | None = None) -> list[str]:
    """Files that clients may ask for and that are not there, or have another length.

    Args:
        repository: its metadata.
        folder: where content lies, if not beside that.

    Raises:
        InstallError: it cannot be read.
    """
    wanted = sorted(needed(repository).items())
    place = folder or repository.folder
    with machine_errors(f"reading {place}"):
        return [name for name, length in wanted if not _is_there(place / name, length)]


def _fault(path: Path, length: int) -> str:
    """What is wrong with a file; empty if nothing is. What metadata (-1) says is seen elsewhere."""
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


def shown(repository: Visible, path: Path) -> str:
    """The name of a file of a repository."""
    return path.relative_to(repository.folder).as_posix()
