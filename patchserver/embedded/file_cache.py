"""The small files of the repository, in memory for as long as they are what the disk has."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from dataclasses import dataclass

from patchserver.files.public_files import OpenFile, PublicFolder
from patchserver.files.responses import Facts

SMALL = 256 * 1024  # bytes; larger files are not kept in memory
CAPACITY = 32 * 1024 * 1024  # bytes of all files kept

_Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Loaded:
    """A file's bytes, or for a big file that never changes ``None`` and its ``path``."""

    facts: Facts
    path: str
    body: bytes | None


class FileCache:
    """Public files by name, each looked at anew whenever it is asked for.

    A look costs one ``stat``, which follows links as the opening does. What it shows is
    the same only for the same file unchanged, so no answer is ever older than its request,
    and none mixes two files. Not safe for threads: the event loop alone asks.
    """

    def __init__(self, repository: PublicFolder) -> None:
        self._repository = repository
        self._folder = str(repository.folder.absolute())
        self._kept: OrderedDict[str, tuple[_Stamp, Loaded]] = OrderedDict()
        self._size = 0

    def get(self, name: str) -> Loaded:
        """The file called ``name``.

        Raises:
            FileNotFoundError: As `PublicFolder.open`.
            OSError: As `PublicFolder.open`, or the file changes faster than it can be read.
        """
        kept = self._kept.get(name)
        if kept is not None:
            stamp, loaded = kept
            if stamp == self._look(name):
                self._kept.move_to_end(name)
                return loaded
            self._drop(name)
        return self._load(name)

    def _look(self, name: str) -> _Stamp | None:
        try:
            return _stamp(os.stat(f"{self._folder}/{name}"))  # noqa: PTH116 - five times as fast
        except OSError:
            return None

    def _load(self, name: str) -> Loaded:
        file = self._repository.open(name)
        with file.stream:
            before = _stamp(os.fstat(file.stream.fileno()))
            loaded = Loaded(file.facts, str(file.path), _body(file))
            if before != _stamp(os.fstat(file.stream.fileno())):
                raise OSError(errno.EBUSY, "changed while it was read", name)
        if loaded.body is not None and len(loaded.body) <= SMALL:
            self._keep(name, before, loaded)
        return loaded

    def _keep(self, name: str, stamp: _Stamp, loaded: Loaded) -> None:
        self._kept[name] = stamp, loaded
        self._size += loaded.facts.size
        while self._size > CAPACITY:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: str) -> None:
        _, loaded = self._kept.pop(name)
        self._size -= loaded.facts.size


def _body(file: OpenFile) -> bytes | None:
    """The bytes of what may change behind its name, or is small."""
    if file.facts.public.immutable and file.facts.size > SMALL:
        return None
    body = file.stream.readall()
    if len(body) != file.facts.size:
        raise OSError(errno.EBUSY, "changed while it was read", str(file.path))
    return body


def _stamp(found: os.stat_result) -> _Stamp:
    return (
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_size,
        found.st_ino,
        found.st_dev,
    )
