"""Uploads: files that were pushed and are not published yet.

Behind the narrow `Uploads`, so that an object store can take the place of the folder. Nobody is
served from here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from updater.disk.durable import Disk, machine_errors, remove_tree
from updater.disk.lock import locked
from updater.errors import RequestError
from updater.patch.file_digest import digest_of

DOCUMENT = "document"
LOCK = "lock"
PART = ".part"


class WrongOffset(RequestError):  # noqa: N818 - reads as what it says
    """An upload goes on elsewhere than its sender thought."""

    def __init__(self, received: int) -> None:
        super().__init__(
            f"{received} bytes were received so far", hint="send what follows", retryable=True
        )
        self.received = received


class WrongDigest(RequestError):  # noqa: N818 - reads as what it says
    """A whole upload has other content than was announced; it was dropped."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"what was sent is not {digest}", hint="send it again from its start")


class Uploads(Protocol):
    """Pushes under way, each a document and files named by their SHA-256, in hexadecimal.

    Every method raises `InstallError` if the machine does not let it; nothing is half done then.
    """

    def begin(self, push: str, document: bytes) -> None:
        """Keep a push; one that is there stays as it is."""

    def document(self, push: str) -> bytes | None:
        """Return the document of a push; None: there is no such push."""

    def received(self, push: str, digest: str) -> int:
        """Bytes of a file that are stored durably."""

    def append(self, push: str, digest: str, offset: int, data: bytes, length: int) -> int:
        """Store the next bytes of a file of ``length`` bytes; how many there are then.

        Raises:
            WrongOffset: something else is next.
            WrongDigest: it is whole, and wrong; it begins anew.
        """

    def place(self, push: str, digest: str) -> Path | None:
        """Return the place of a whole file; None: it is not whole."""

    def end(self, push: str) -> None:
        """Drop a push."""

    def pushes(self) -> Iterator[tuple[str, int]]:
        """Every push, and when something of it was last received, in seconds since 1970."""

    def free(self) -> int:
        """Bytes there is room for."""

    def publishing(self) -> AbstractContextManager[None]:
        """Hold what one at a time does: put files where clients look for them.

        Raises:
            UpdateInProgress: another one does, for long.
        """


@dataclass(frozen=True)
class FolderUploads:
    """Uploads in a folder of this machine: ``PUSH/document``, ``PUSH/DIGEST[.part]``."""

    folder: Path
    disk: Disk = field(default_factory=Disk)
    patience: float = 30.0
    """Seconds to wait for another process that is writing the same push."""

    def begin(self, push: str, document: bytes) -> None:
        """See `Uploads`."""
        folder = self.folder / push
        with machine_errors(f"keeping push {push}"):
            self.disk.mkdir(self.folder)
            self.disk.mkdir(folder)
            if not (folder / DOCUMENT).exists():
                self.disk.write(folder / DOCUMENT, document)
                self.disk.sync_directory(self.folder)

    def document(self, push: str) -> bytes | None:
        """See `Uploads`."""
        with machine_errors(f"reading push {push}"):
            try:
                return (self.folder / push / DOCUMENT).read_bytes()
            except FileNotFoundError:
                return None

    def received(self, push: str, digest: str) -> int:
        """See `Uploads`."""
        with machine_errors(f"reading push {push}"):
            for path in (self.folder / push / digest, self._part(push, digest)):
                if path.exists():
                    return path.stat().st_size
        return 0

    def append(self, push: str, digest: str, offset: int, data: bytes, length: int) -> int:
        """See `Uploads`."""
        with (
            machine_errors(f"storing {digest}"),
            locked(self.folder / push / LOCK, "storing an upload", self.patience),
        ):
            there = self.received(push, digest)
            if offset != there or there + len(data) > length:
                raise WrongOffset(there)
            part = self._part(push, digest)
            with part.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if there + len(data) == length:
                self._finish(part, digest)
            return there + len(data)

    def place(self, push: str, digest: str) -> Path | None:
        """See `Uploads`."""
        path = self.folder / push / digest
        return path if path.exists() else None

    def end(self, push: str) -> None:
        """See `Uploads`."""
        with machine_errors(f"dropping push {push}"):
            if (self.folder / push).exists():
                remove_tree(self.disk, self.folder / push)

    def pushes(self) -> Iterator[tuple[str, int]]:
        """See `Uploads`."""
        with machine_errors(f"reading {self.folder}"):
            for folder in sorted(self.folder.iterdir()) if self.folder.exists() else ():
                times = [path.stat().st_mtime for path in (folder, *folder.iterdir())]
                yield folder.name, int(max(times))

    def free(self) -> int:
        """See `Uploads`."""
        with machine_errors(f"looking at {self.folder}"):
            return shutil.disk_usage(self.folder.parent).free

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """See `Uploads`."""
        lock = self.folder.with_name(f"{self.folder.name}.lock")
        with machine_errors("publishing"), locked(lock, "publishing a push", self.patience):
            yield

    def _finish(self, part: Path, digest: str) -> None:
        if str(digest_of(part)) != digest:
            self.disk.unlink(part)
            raise WrongDigest(digest)
        self.disk.settle(part)
        self.disk.replace(part, part.with_suffix(""))
        self.disk.sync_directory(part.parent)

    def _part(self, push: str, digest: str) -> Path:
        return self.folder / push / f"{digest}{PART}"
