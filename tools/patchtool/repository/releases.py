"""The releases of one app as a repository lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patchtool.repository.snapshot import Snapshot
from patchtool.repository.targets import Listed
from updater.errors import RequestError
from updater.format.names import order
from updater.format.target_names import TargetKind, TargetName, patch_name, release_name

PATCHES_FROM = 3
"""Releases a new one gets patches from, unless they are named."""


@dataclass(frozen=True)
class Releases:
    """The published releases of one app; names and marks, no file is read."""

    app: str
    targets: Mapping[str, Listed]
    """By name."""

    @classmethod
    def of(cls, seen: Snapshot, app: str) -> Releases:
        """The releases of ``app`` that clients see.

        Raises:
            InstallError: the repository does not know the app, or cannot be read.
        """
        return cls(app, seen.targets(f"app.{app}"))

    @property
    def versions(self) -> set[str]:
        """Published versions."""
        return self._with("manifest")

    @property
    def bundled(self) -> set[str]:
        """Versions that can be had whole."""
        return self._with("bundle")

    @property
    def recalled(self) -> set[str]:
        """Versions that were recalled."""
        return {version for version in self.versions if self.floor(version) is not None}

    @property
    def stops(self) -> set[str]:
        """Versions that no update may jump over."""
        return {version for version in self.versions if self.said(version).get("stop")}

    @property
    def demanding(self) -> set[str]:
        """Versions that demand something of updates which jump over them."""
        demands = ("required", "min_updater")
        said = {version: self.said(version) for version in self.versions}
        return {version for version in said if any(said[version].get(key) for key in demands)}

    def below(self, version: str) -> list[str]:
        """Versions below one, newest first."""
        lower = (v for v in self.versions if order(v) < order(version))
        return sorted(lower, key=order, reverse=True)

    def last(self, version: str | None = None, most: int = PATCHES_FROM) -> list[str]:
        """The last sound releases, and those recalled since: whoever has one needs the way out.

        Args:
            version: below this one; None: of all.
            most: of either kind.
        """
        below = self.below(version) if version else sorted(self.versions, key=order, reverse=True)
        older = [v for v in below if v in self.bundled]
        sound = [v for v in older if v not in self.recalled][:most]
        since = older[: older.index(sound[-1])] if sound else older
        recalled = [v for v in since if v in self.recalled][:most]
        return [v for v in older if v in {*sound, *recalled}]

    def floor(self, version: str) -> str | None:
        """Return the lowest version for installs of a recalled one; None if it was not recalled."""
        said: dict[str, str] = self.said(version).get("recalled", {})
        return said.get("floor")

    def said(self, version: str) -> dict[str, Any]:
        """Return what clients learn of a version before they fetch anything."""
        return self.manifest(version).custom or {}

    def manifest(self, version: str) -> Listed:
        """The manifest of a published version."""
        return self.targets[release_name(self.app, version, "manifest")]

    def bundle(self, version: str) -> Listed:
        """The bundle of a version.

        Raises:
            InstallError: there is none.
        """
        name = release_name(self.app, version, "bundle")
        if name not in self.targets:
            raise RequestError(
                f"{self.app} {version} has no bundle to make a patch from",
                hint="name a published version",
            )
        return self.targets[name]

    def has_patch(self, old: str, new: str) -> bool:
        """Return whether a patch leads from one version to another."""
        return patch_name(self.app, old, new) in self.targets

    def require(self, version: str) -> None:
        """Refuse a version that is not published.

        Raises:
            InstallError: it is not.
        """
        if version not in self.versions:
            raise RequestError(
                f"{self.app} {version} is not published", hint="add it first: patchtool add-release"
            )

    def _with(self, what: TargetKind) -> set[str]:
        """Versions of which there is a manifest, or a bundle."""
        return {
            name.last for name in map(TargetName.parse, self.targets) if name and name.kind == what
        }
