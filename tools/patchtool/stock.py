"""The stock: what lies in a repository's folder, against what clients may ask for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from patchtool.visible import Visible
from updater.apply import digest_of
from updater.launch.disk import told

CONTENT = "targets/"
"""Begins the names of files that have a digest in their name."""


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
    with told(f"reading {repository.folder}"):
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
    with told(f"reading {place}"):
        return [name for name, length in wanted if not _is_there(place, name, length)]


def damaged(repository: Visible) -> list[str]:
    """Published files of the right length that do not have the content their name says.

    Raises:
        InstallError: one cannot be read.
    """
    content = {name: length for name, length in needed(repository).items() if length >= 0}
    with told(f"reading {repository.folder}"):
        there = [
            name for name, n in sorted(content.items()) if _is_there(repository.folder, name, n)
        ]
        return [name for name in there if not _is_named_after(repository.folder / name)]


def _is_named_after(path: Path) -> bool:
    """Whether a file has the content its name says."""
    return path.name.startswith(f"{digest_of(path)}.")


def _is_there(folder: Path, name: str, length: int) -> bool:
    path = folder / name
    return path.is_file() and length in {-1, path.stat().st_size}


def shown(repository: Visible, path: Path) -> str:
    """The name of a file of a repository."""
    return path.relative_to(repository.folder).as_posix()
