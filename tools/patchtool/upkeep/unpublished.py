"""Unpublished: metadata that was signed in a copy and that its server has not published yet."""

from __future__ import annotations

from pathlib import Path

from patchtool.repository.snapshot import Snapshot, versions_in


def release_metadata_path(folder: Path, version: int, app: str) -> Path:
    """Return the place of a version of an app's release metadata."""
    return folder / "metadata" / f"{version}.app.{app}.json"


def signed_since(folder: Path, listed: int, app: str) -> list[int]:
    """Versions of an app's release metadata above the one that clients see, in order."""
    return [v for v in versions_in(folder / "metadata", f"app.{app}") if v > listed]


def is_overtaken(here: Snapshot, there: Snapshot, app: str) -> bool:
    """Return whether what was signed ``here`` does not follow what others have published."""
    role = f"app.{app}"
    listed, theirs = here.versions().get(role, 0), there.versions().get(role, 0)
    if theirs == listed or not signed_since(here.folder, listed, app):
        return False
    one, other = (release_metadata_path(seen.folder, theirs, app) for seen in (here, there))
    return not one.exists() or one.read_bytes() != other.read_bytes()
