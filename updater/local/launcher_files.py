"""The launcher's place on disk: made at install, renewed when nothing is on trial.

``STATE/launcher/`` holds ``start`` (what shortcuts and services run), ``current`` (a number) and
a folder of that number: the launcher, ``format`` (the journal it can read) and, for a zipapp,
``python`` (the interpreter, which lies outside the install).
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import zipfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from updater.disk.durable import WINDOWS, present, remove_tree
from updater.errors import MachineError
from updater.format.manifest import File, Manifest
from updater.format.names import Digest
from updater.launch.commit import journal
from updater.launch.state import State

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

ZIPAPP = "launcher.pyz"
PROGRAM = "launcher.exe" if WINDOWS else "launcher"
LAUNCHER_FOLDERS = ("disk", "launch")
"""The two folders of standard-library-only code: all of them is packed."""
ROOT_MODULES = ("__init__.py", "errors.py", "exit_codes.py", "process_start.py", "version.py")
MOMENT = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zipapp: the same launcher has the same bytes."""
_FORMAT = f"{journal.FORMAT}\n"
START = """#!/bin/sh
# Starts the application, after whatever an interrupted update has left is put right.
{ true >&2; } 2>/dev/null || exec 2>/dev/null
self=$0
while [ -L "$self" ]; do
    link=$(readlink "$self")
    case $link in /*) self=$link ;; *) self=$(dirname "$self")/$link ;; esac
done
case $self in */*) here=${self%/*} ;; *) here=. ;; esac
number= python=
read -r number <"$here/current"
folder=$here/$number
if [ -x "$folder/launcher" ]; then exec "$folder/launcher" "$@"; fi
read -r python <"$folder/python"
if [ -f "$python" ] && [ -x "$python" ]; then exec "$python" -I "$folder/launcher.pyz" "$@"; fi
for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
    if "$python" -I -c 'import sys, zipfile; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
    then exec "$python" -I "$folder/launcher.pyz" "$@"; fi
done
echo "error: the application cannot be started: no Python was found that its launcher can use" >&2
echo "hint: install Python 3.10 or newer, or write the path of one into $folder/python" >&2
exit 7
"""


def launcher_command(state: State) -> list[str] | None:
    """The command line that starts the application through the launcher; None: there is none.

    Raises:
        OSError: the disk.
    """
    folder = _current(state)
    if folder is None:
        return None
    if start := start_command(state):
        return [start]
    if present(folder / PROGRAM):
        return [str(folder / PROGRAM)]
    python = os.fsdecode((folder / "python").read_bytes()).strip()
    return [python, "-I", str(folder / ZIPAPP)]


def renew_launcher(state: State, manifest: Manifest) -> None:
    """Have the launcher of this updater in place, if the application can be started at all.

    A killed renewal leaves the one before in use. Nothing may be on trial: the launcher that
    watches a new version must be one that is known to work.

    Raises:
        OSError: the disk; the launcher before is in use.
    """
    files = _files(state, manifest) if manifest.release.entry else {}
    current = _current(state)
    if files and (current is None or not _holds(current, files)):
        _put(state, files, current)


def check_launcher(state: State) -> None:
    """Refuse to leave a commit to a launcher that cannot read its journal.

    Raises:
        InstallError: it is another version's; `recover` renews it.
        OSError: the disk.
    """
    folder = _current(state)
    if folder is not None and (folder / "format").read_text() != _FORMAT:
        raise MachineError(
            "the launcher of this install is not that of its updater",
            hint="run updater recover, which renews it, or end the application and update again",
        )


def _current(state: State) -> Path | None:
    """The folder of the launcher in use; None if there is none, or nobody can tell."""
    try:
        number = (state.launcher / "current").read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    folder = state.launcher / number
    return folder if number.isdecimal() and folder.is_dir() else None


def _files(state: State, manifest: Manifest) -> dict[str, bytes]:
    """Names and bytes of the launcher's folder; none if this machine cannot have one."""
    known = {"format": _FORMAT.encode()}
    if path := manifest.release.launcher:
        entry, place = manifest.by_path.get(path), state.install / path
        data = place.read_bytes() if place.is_file() else b""
        is_whole = isinstance(entry, File) and Digest.of(data) == entry.digest
        return known | {PROGRAM: data} if is_whole else {}
    python = _interpreter(state)
    sources = _sources()
    if not python or not sources:
        return {}
    return known | {ZIPAPP: _zipapp(sources), "python": os.fsencode(python) + b"\n"}


def _interpreter(state: State) -> str:
    """A Python that no update of this install can break; empty if there is none."""
    found = ["" if getattr(sys, "frozen", False) else sys.executable, shutil.which("python3") or ""]
    outside = (path for path in found if path and state.install not in Path(path).resolve().parents)
    return next((path for path in outside if state.install not in Path(path).parents), "")


def _sources() -> dict[str, bytes]:
    """The modules a launcher is made of; none in a frozen application, which has no sources."""
    package = resources.files("updater")
    if not (package / "__init__.py").is_file():
        return {}
    modules = {f"updater/{name}": package / name for name in ROOT_MODULES}
    for folder in LAUNCHER_FOLDERS:
        modules |= _modules(f"updater/{folder}", package / folder)
    return {name: modules[name].read_bytes() for name in sorted(modules)}


def _modules(name: str, folder: Traversable) -> dict[str, Traversable]:
    """Every module below a folder, by its name in the zipapp."""
    found: dict[str, Traversable] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _modules(f"{name}/{entry.name}", entry)
        elif entry.name.endswith(".py"):
            found[f"{name}/{entry.name}"] = entry
    return found


def _zipapp(sources: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    main = sources["updater/launch/__main__.py"]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (sources | {"__main__.py": main}).items():
            archive.writestr(zipfile.ZipInfo(name, MOMENT), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _holds(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == data for name, data in files.items())
    except FileNotFoundError:
        return False


def _put(state: State, files: dict[str, bytes], current: Path | None) -> None:
    number = 1 if current is None else int(current.name) + 1
    folder = state.launcher / str(number)
    state.disk.mkdir(state.launcher)
    state.disk.mkdir(folder)
    for name, data in files.items():
        state.disk.create(folder / name, data, executable=name == PROGRAM)
    state.disk.sync_directory(folder)
    if not WINDOWS:
        state.disk.write(state.launcher / "start", START.encode(), executable=True)
    state.disk.write(state.launcher / "current", f"{number}\n".encode())
    for other in state.launcher.iterdir():
        if other.is_dir() and other != folder:
            remove_tree(state.disk, other)


def start_command(state: State) -> str | None:
    """The command for shortcuts and services; None: there is none."""
    place = state.launcher / "start"
    return os.fspath(place) if present(place) else None
