"""An install under attack, and the oracle of every attack.

The old version stands byte for byte and starts, the error is of the right branch, nothing but the
State was touched in the whole parent folder, nothing half-done is left in it, and the next good
update works.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import misserved
from tests.support.trees.trees import Exe, Link, Tree, noise, read_tree
from updater.client import Updater
from updater.errors import UpdaterError
from updater.local.session import Session
from updater.local.settings import find_install, read_settings
from updater.update.install_new import install

OLD: Tree = {
    "app": Exe(b"#!/bin/sh\necho 1\n"),
    "data": noise(20_000),
    "lib/core.py": b"VERSION = 1\n" * 50,
    "link": Link("app"),
}
NEW: Tree = {**OLD, "app": Exe(b"#!/bin/sh\necho 2\n"), "data": noise(20_000) + b"2", "more": b"x"}
GOOD: Tree = {**OLD, "app": Exe(b"#!/bin/sh\necho 3\n"), "lib/core.py": b"VERSION = 3\n"}


@dataclass
class Victim:
    """An install of 1.0, its publisher, and what its server does."""

    folder: Path
    publisher: Publisher
    session: Session
    misbehave: Callable[[BaseHTTPRequestHandler, Path], bool] | None = None

    @property
    def updater(self) -> Updater:
        return Updater(self.folder, self.session)

    @property
    def root_version(self) -> int:
        """Of the newest root that the install has verified."""
        root = self.folder.parent / f".{self.folder.name}.upswap/trust/root.json"
        return int(json.loads(root.read_bytes())["signed"]["version"])

    def refuses(self, kind: type[UpdaterError], code: int, *words: str) -> UpdaterError:
        """The update fails as it should and leaves everything as it was."""
        before = self._everything()
        with pytest.raises(UpdaterError) as caught:
            self.updater.update()
        error = caught.value
        assert (type(error), error.exit_code) == (kind, code), error
        assert all(word in str(error) for word in words), error
        assert self._everything() == before
        assert read_tree(self.folder) == OLD
        self.starts(b"1\n")
        status = self.updater.status()
        assert (status.version, status.state) == ("1.0", "clean")
        state = self.folder.parent / f".{self.folder.name}.upswap"
        assert not {"journal", "stage", "scratch"} & {path.name for path in state.iterdir()}
        return error

    def takes(self, tree: Tree = NEW) -> Tree:
        """The update works all the same, and the next one too; what of the user's it left there."""
        assert self.updater.update() is not None
        found = read_tree(self.folder)
        assert {path: found.get(path) for path in tree} == tree
        assert self.updater.verify(full=True).whole
        self.starts(b"2\n")
        mine = {path: content for path, content in found.items() if path not in tree}
        self.recovers("2.0", mine)
        return mine

    def recovers(self, base: str = "1.0", mine: Tree | None = None) -> None:
        """A good release is installed as if nothing had happened.

        ``base`` is what is there, ``mine`` what the user has in the folder besides.
        """
        self.misbehave = None
        self.publisher.add("3.0", GOOD, bases=[base])
        self.publisher.promote("3.0")
        done = self.updater.update()
        assert done is not None
        assert (done.old, done.new) == (base, "3.0")
        assert read_tree(self.folder) == {**GOOD, **(mine or {})}
        self.starts(b"3\n")
        state = self.folder.parent / f".{self.folder.name}.upswap"
        assert not {"journal", "stage", "scratch", "downloads"} & {p.name for p in state.iterdir()}

    def asks(self, url: str) -> str:
        """From now on the install asks another server; the one it has asked."""
        state = find_install(self.folder)
        settings = read_settings(state)
        state.settings.write_bytes(replace(settings, url=url).data)
        return settings.url

    def starts(self, says: bytes) -> None:
        """The program that is installed runs, and is the right one."""
        assert subprocess.run([self.folder / "app"], capture_output=True, check=True).stdout == says

    def _everything(self) -> dict[str, object]:
        """All that is around the install, but for its State."""
        parent = self.folder.parent
        return {path: c for path, c in read_tree(parent).items() if ".upswap" not in path}


@contextmanager
def attacked(folder: Path, publisher: Publisher, session: Session) -> Iterator[Victim]:
    """An install of 1.0 in a folder where the user has a file, served honestly at first."""
    publisher.release("1.0", OLD)
    folder.mkdir()
    (folder / "mine").write_bytes(b"the user's")
    victim = Victim(folder / "app", publisher, session)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        return victim.misbehave is not None and victim.misbehave(handler, path)

    with misserved(publisher.folder, misbehave) as url:
        install(victim.folder, url, publisher.root, "notes", session=session)
        yield victim


def patch_of(publisher: Publisher) -> Path:
    """The file of the patch 1.0 -> 2.0."""
    return next(publisher.folder.glob("targets/notes/patches/*.1.0_2.0"))


def bundle_of(publisher: Publisher) -> Path:
    """The file of the bundle of 2.0."""
    return next(publisher.folder.glob("targets/notes/releases/2.0/*.bundle"))
