"""Installs whose whole folder can be exchanged, for the tests of the tree swap."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from crash_disk import World, copy_world, manifest_of, prepare, world_of
from trees import Content, Exe, Link, data_of, noise, read_tree

import updater
from updater.config import Swap
from updater.format.manifest import Manifest
from updater.launch.disk import Disk
from updater.launch.journal import Journal, phase_of
from updater.launch.recover import commit

SMALL = 64
"""Bytes of the largest file that is copied, in these tests."""

OLD: dict[str, Content] = {
    "app": Exe(b"1"),
    "big": noise(SMALL + 1, 1),
    "dir/f": b"folder to file",
    "gone-folder/a": b"gone",
    "hollow": None,
    "lib/core.py": b"VERSION = 1",
    "link": Link("app"),
    "same": b"same",
}
NEW: dict[str, Content] = {
    "added": b"added",
    "app": Exe(b"22"),
    "big": noise(SMALL + 1, 1),
    "dir": b"file",
    "lib/core.py": b"VERSION = 2",
    "link": Link("added"),
    "same": b"same",
}
THIRD: dict[str, Content] = {**NEW, "app": Exe(b"333"), "third/x": b"x"}
OWN = {"manifest", "install.json", "release.json"}


def package() -> dict[str, Content]:
    """The part of this package that a commit runs on, as an application brings it along."""
    root = Path(updater.__file__).parent
    files = [
        *(root / f"{n}.py" for n in ("__init__", "errors", "version")),
        *sorted((root / "launch").glob("*.py")),
    ]
    return {f"lib/updater/{file.relative_to(root)}": file.read_bytes() for file in files}


class Scenario:
    """1.0 is installed; 2.0 and 3.0 can be staged in copies of the install."""

    def __init__(self, folder: Path, more: Mapping[str, Content] | None = None) -> None:
        self._folder = folder
        self._number = 0
        news = {path: b"# 2\n" + data_of(data) for path, data in (more or {}).items()}
        self.trees = {
            "1.0": {**OLD, **(more or {})},
            "2.0": {**NEW, **news},
            "3.0": {**THIRD, **(more or {})},
        }
        self.manifests = {
            version: manifest_of(folder, version, tree, entry=("app",))
            for version, tree in self.trees.items()
        }
        self.world = world_of(folder / "world", self.manifests["1.0"], self.trees["1.0"])
        (self.world.folder / "other").mkdir()
        (self.world.folder / "other" / "f").write_bytes(b"somebody else's")

    @contextmanager
    def copy(self) -> Iterator[World]:
        """A copy of the install before the update."""
        self._number += 1
        folder = self._folder / f"copy-{self._number}"
        yield copy_world(self.world, folder)
        shutil.rmtree(folder)

    def stage(
        self, world: World, version: str = "2.0", swap: Swap = "tree", disk: Disk | None = None
    ) -> Journal:
        """Stage ``version``."""
        manifest, tree = self.manifests[version], self.trees[version]
        return prepare(disk or Disk(), world, manifest, tree, swap=swap)

    def update(self, world: World, version: str = "2.0", swap: Swap = "tree") -> Journal:
        """Update to ``version``."""
        return commit(Disk(), world.state, self.stage(world, version, swap))

    def version(self, world: World, what: str = "", mine: Mapping[str, Content] = {}) -> str:
        """Which version is there; fails the test unless one is, whole, with the user's files."""
        installed = Manifest.parse(world.state.manifest.read_bytes()).version
        there, wanted = world.tree, {**self.trees[installed], **mine}
        differ = {p for p in there.keys() | wanted.keys() if there.get(p, 0) != wanted.get(p, 0)}
        told = {path: (there.get(path, "none"), wanted.get(path, "none")) for path in differ}
        assert not told, f"{what}: {installed}: {told}"
        assert world.state.manifest.read_bytes() == self.manifests[installed].data, what
        return installed

    def check_clean(self, world: World, what: str, *, beside: set[str]) -> None:
        """No litter: beside the install is ``beside``, in the State what belongs there."""
        names = {path.name for path in world.folder.iterdir()}
        assert names == {"app", ".app.upswap", "other"} | beside, f"{what}: {names}"
        assert read_tree(world.folder / "other") == {"f": b"somebody else's"}, what
        assert phase_of(world.state) is None, what
        state = {path.name for path in world.state.folder.iterdir()}
        assert state - {"reports", "arrival", "old"} <= OWN, f"{what}: {state}"
