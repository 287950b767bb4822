"""Temporary folders of a command, removed when it ends, however it ends.

Beside each lies a file that its command holds locked; a lock vanishes with its holder. So whoever
comes next can tell what the dead have left, and removes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from updater.disk.lock import try_lock
from updater.errors import NotEnoughSpace

PREFIX = ".upswap-"
"""Begins the names of these folders."""
LOCK = ".lock"
"""Ends the names of the files beside them."""
TRIES = 100


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A new folder of this command in ``parent``; what killed ones have left there goes first.

    Raises:
        OSError: the disk.
    """
    clear_dead(parent)
    with _claimed(parent) as folder:
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # what stays, the next command removes


def scratch() -> Path:
    """The folder in which to make one whose place does not matter.

    Raises:
        NotEnoughSpace: no disk has room for it.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise NotEnoughSpace(
            "no folder for temporary files can be written",
            hint="free some disk space, or name a folder with room in TMPDIR",
        ) from None


def clear_scratch() -> None:
    """Remove what killed commands have left in the folder for scratch, if there is one."""
    with suppress(NotEnoughSpace):
        clear_dead(scratch())


def clear_dead(parent: Path) -> None:
    """Remove what commands that were killed have left in ``parent``, as far as it can be."""
    with suppress(OSError):
        for mark in parent.glob(f"{PREFIX}*{LOCK}"):
            _clear(mark)


def _clear(mark: Path) -> None:
    with suppress(OSError):  # somebody else's; or gone meanwhile
        with _opened(mark) as descriptor:
            if not _is_own(descriptor) or not try_lock(descriptor):
                return
            shutil.rmtree(_folder_of(mark), ignore_errors=True)
        _remove(mark)


def _remove(mark: Path) -> None:
    """Remove a mark that stands for nothing any more; its file is closed, as Windows wants it."""
    with suppress(OSError):
        if not os.path.lexists(_folder_of(mark)):
            mark.unlink()


def _folder_of(mark: Path) -> Path:
    return mark.with_name(mark.name.removesuffix(LOCK))


@contextmanager
def _claimed(parent: Path) -> Iterator[Path]:
    """A name for a folder in ``parent``, held by the file beside it."""
    for _ in range(TRIES):
        folder = parent / f"{PREFIX}{secrets.token_hex(6)}"
        mark = folder.with_name(folder.name + LOCK)
        try:
            with _opened(mark, os.O_CREAT | os.O_EXCL) as descriptor:
                if not try_lock(descriptor) or not mark.exists():
                    continue  # somebody took it for a dead one's, before it was locked
                yield folder
                return
        finally:
            _remove(mark)
    raise FileExistsError(f"no name is free in {parent}")


@contextmanager
def _opened(mark: Path, flags: int = 0) -> Iterator[int]:
    safely = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(mark, os.O_RDWR | flags | safely, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_own(descriptor: int) -> bool:
    """Return whether a file is this user's: a folder for scratch may be everybody's."""
    return not hasattr(os, "geteuid") or os.fstat(descriptor).st_uid == os.geteuid()
