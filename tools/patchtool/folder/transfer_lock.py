"""The transfer lock: held while files are copied from or to elsewhere, which may take long.

It keeps nobody from writing to the repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from updater.disk.lock import locked

LOCK = ".transfer.lock"


@contextmanager
def transferring(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Be the only one that copies content of the repository in ``folder``.

    Raises:
        UpdateInProgress: another command does, for longer than ``patience`` seconds.
        OSError: the lock file cannot be opened.
    """
    busy = f"another command copies content of {folder}"
    with locked(folder / LOCK, "copying", patience, busy):
        yield
