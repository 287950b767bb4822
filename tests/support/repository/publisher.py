"""A publisher for tests: a real repository, real keys, real patches, in a temporary folder."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from patchtool.diff.options import Options
from patchtool.keys.signing_keys import Keys
from patchtool.release.add_release import Added, add_release, draft_release
from patchtool.release.release_toml import Description
from patchtool.release.rollout import promote
from patchtool.repository.repository import Repository

from tests.support.trees.trees import Tree, write_tree
from updater.disk.durable import Disk
from updater.format.head import EVERYONE, RolloutStep
from updater.format.release_description import Release

NOW = 1_800_000_000
"""The time at which tests happen, seconds since 1970."""
PASSWORD = {"UPSWAP_KEY_PASSWORD": "correct horse"}


def publish(
    repository: Repository,
    version: str,
    folder: Path,
    description: Description | None = None,
    *,
    app: str = "notes",
    bases: Sequence[str] | None = None,
) -> Added | None:
    """Publish a folder, quickly; an empty one too."""
    said = description or Description(Release())
    draft = draft_release(repository, app, version, folder, said, allow_empty=True)
    return add_release(repository, draft, bases=bases, options=Options(effort="fast", jobs=1))


class Publisher:
    """One repository of one app. ``now`` may be moved, ``disk`` may die."""

    def __init__(
        self, folder: Path, app: str = "notes", now: int = NOW, threshold: int = 1
    ) -> None:
        self.app = app
        self.now = now
        self.disk = Disk()
        self.folder = folder / "repository"
        self.keys = Keys(folder / "keys", PASSWORD)
        self._releases = folder / "releases"
        self._numbers = itertools.count()
        self.keys.make_missing(threshold)
        self.repository().create(app, threshold)

    def repository(self) -> Repository:
        """The repository as it is at ``now``."""
        return Repository(self.folder, self.keys, self.now, self.disk)

    @property
    def root(self) -> bytes:
        """What clients are installed with."""
        return (self.folder / "metadata" / "1.root.json").read_bytes()

    def add(
        self,
        version: str,
        tree: Tree,
        *,
        release: Release | None = None,
        bases: Sequence[str] | None = None,
    ) -> Added | None:
        """Publish ``tree`` as ``version``."""
        folder = write_tree(self._releases / str(next(self._numbers)), tree)
        said = Description(release or Release())
        return publish(self.repository(), version, folder, said, app=self.app, bases=bases)

    def promote(self, version: str, *, basis_points: int = EVERYONE) -> None:
        """Offer ``version`` on channel ``stable``."""
        promote(
            self.repository(),
            self.app,
            "stable",
            version,
            now=self.now,
            steps=(RolloutStep(self.now, basis_points),),
        )

    def release(self, version: str, tree: Tree, *, release: Release | None = None) -> None:
        """Publish and promote."""
        self.add(version, tree, release=release)
        self.promote(version)
