"""Commands that are killed on a repository at every change of its disk."""

from __future__ import annotations

import errno
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Tree, noise
from updater.disk.durable import PART, Disk
from updater.errors import InstallError

OLD: Tree = {"f": noise(5000), "g": b"1"}
NEW: Tree = {"f": noise(5000) + b"more", "g": b"2"}


class Killed(BaseException):
    """The process is gone."""


class DyingDisk(Disk):
    """Raises ``fault`` at the n-th change; half of what was being written is there."""

    def __init__(self, steps: int, fault: Callable[[], BaseException] = Killed) -> None:
        self._left = steps
        self._fault = fault

    def _step(self, half: Callable[[], object] = lambda: None) -> None:
        self._left -= 1
        if self._left < 0:
            half()
            raise self._fault()

    def create(self, path: Path, data: bytes, **how: bool) -> None:
        self._step(lambda: path.write_bytes(data[: len(data) // 2]))
        super().create(path, data, **how)

    def copy(self, source: Path, path: Path, **how: bool) -> None:
        self._step(lambda: path.with_name(path.name + PART).write_bytes(b"half"))
        super().copy(source, path, **how)

    def replace(self, source: Path, path: Path) -> None:
        self._step()
        super().replace(source, path)

    def sync_directory(self, path: Path) -> None:
        self._step()
        super().sync_directory(path)

    def unlink(self, path: Path) -> None:
        self._step()
        super().unlink(path)

    def mkdir(self, path: Path, **how: bool) -> None:
        self._step()
        super().mkdir(path, **how)

    def rmdir(self, path: Path) -> None:
        self._step()
        super().rmdir(path)


def killed_everywhere(
    publisher: Publisher,
    here: Path,
    command: Callable[[], object],
    fault: Callable[[], BaseException] = Killed,
) -> Iterator[bool]:
    """Run ``command`` again and again on the same repository, killed ever later.

    Yields whether it lived, with the repository as the command left it.
    """
    shutil.copytree(publisher.folder, here / "before")
    for steps in itertools.count():
        shutil.rmtree(publisher.folder)
        shutil.copytree(here / "before", publisher.folder)
        publisher.disk = DyingDisk(steps, fault)
        try:
            command()
            lived = True
        except (Killed, InstallError):
            lived = False
        publisher.disk = Disk()
        yield lived
        if lived:
            return


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")
