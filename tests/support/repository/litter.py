"""What lies in a repository's folder and was never public, nor is any command's at work."""

from __future__ import annotations

import json
from pathlib import Path

from patchtool.repository.snapshot import Snapshot

OWN = {"metadata", "targets", ".lock", ".transfer.lock", ".writer.json", ".leftovers.json"}


def litter(folder: Path) -> list[str]:
    """Names of files that no metadata names that clients see or have seen, and of odd ones."""
    known = Snapshot.read(folder).versions()
    public = {"metadata/timestamp.json"}
    for path in (folder / "metadata").iterdir():
        number, _, role = path.name.removesuffix(".json").partition(".")
        if number.isdecimal() and int(number) <= known.get(role, 0):
            public.add(f"metadata/{path.name}")
            public |= _targets(path) if role.startswith(("app.", "channels.")) else set()
    there = {path for top in ("metadata", "targets") for path in (folder / top).rglob("*")}
    files = {path.relative_to(folder).as_posix() for path in there if path.is_file()}
    return sorted([*(files - public), *(p.name for p in folder.iterdir() if p.name not in OWN)])


def _targets(path: Path) -> set[str]:
    listed = json.loads(path.read_bytes())["signed"]["targets"]
    parts = ((name.rpartition("/"), target["hashes"]["sha256"]) for name, target in listed.items())
    return {f"targets/{folder}/{digest}.{base}" for (folder, _, base), digest in parts}
