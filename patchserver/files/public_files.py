"""The repository folder, read-only: the one module of the server that opens its files."""

from __future__ import annotations

import errno
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchserver.files.public_names import PublicFile, public_file
from patchserver.files.responses import Facts
from updater.format.target_names import TIMESTAMP

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

# A FIFO put there between the check and the opening must not hang us; and the path
# is resolved by then, so a symlink at its end is one put there since.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


@dataclass(frozen=True)
class OpenFile:
    """A public file being read; whoever holds it closes ``stream``.

    ``facts`` are of the opened file, so they agree with the bytes read even if the name is
    replaced meanwhile. ``path`` is where the file was, without links; ``found_at`` is the
    same below the repository folder, a public name.
    """

    facts: Facts
    stream: io.FileIO
    path: Path
    found_at: str


@dataclass(frozen=True)
class PublicFolder:
    """A folder with ``metadata/`` and ``targets/``."""

    folder: Path

    def open(self, name: str) -> OpenFile:
        """Open the file called ``name``, a POSIX path below the folder.

        Raises:
            FileNotFoundError: The name is not public, or nothing that may be served is there:
                no file, a link that leads to no public name, or not a regular file.
            OSError: The machine's fault (permission, disk, too many open files): the file
                may well be there.
        """
        public = public_file(name)
        if public is None:
            raise FileNotFoundError(errno.ENOENT, "not a public name", name)
        root = self.folder.resolve()
        path = _resolve(root, name)
        stream = io.FileIO(_open_regular(path))
        facts = _facts(public, os.fstat(stream.fileno()))
        return OpenFile(facts, stream, path, path.relative_to(root).as_posix())

    def probe(self) -> None:
        """Read from the file every client starts with.

        Raises:
            OSError: It cannot be opened or read.
        """
        with self.open(TIMESTAMP).stream as stream:
            stream.read(1)


class Section(io.RawIOBase):
    """``length`` bytes of a file from ``start``, as a seekable file of its own.

    Seekable, because servers ask for the position to send a file by the system (sendfile).
    """

    def __init__(self, file: io.FileIO, start: int, length: int) -> None:
        super().__init__()
        self._file, self._start, self._length = file, start, length
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in bytes from the section's start."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to ``offset`` bytes from the start, the position or the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill ``buffer`` as far as the section and the file go; 0 at the end."""
        room = memoryview(buffer).cast("B")[: max(0, self._length - self._position)]
        self._file.seek(self._start + self._position)
        count = self._file.readinto(room)
        self._position += count
        return count

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()


def _resolve(root: Path, name: str) -> Path:
    """The real path of ``name``; a link counts only if it leads to a public name."""
    try:
        path = (root / name).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        # A loop of links is a RuntimeError before Python 3.13.
        if isinstance(error, OSError) and error.errno not in _ABSENT:
            raise
        raise FileNotFoundError(errno.ENOENT, "no such file", name) from error
    if not path.is_relative_to(root) or public_file(path.relative_to(root).as_posix()) is None:
        raise FileNotFoundError(errno.ENOENT, "leads to no public name", name)
    return path


def _open_regular(path: Path) -> int:
    """A descriptor of the regular file at ``path``; devices and sockets are not even opened."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
    descriptor = os.open(path, _OPEN_FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
    return descriptor


def _facts(public: PublicFile, found: os.stat_result) -> Facts:
    return Facts(public, found.st_size, found.st_mtime, _etag(public, found))


def _etag(public: PublicFile, found: os.stat_result) -> str:
    """The digest in the name, else what no atomic replacement leaves the same."""
    if public.sha256 is not None:
        return public.sha256
    return f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}"
