"""A disk whose plug can be pulled: ext4 in a file, without what ext4 does for careless programs.

Copying the file without a sync is what a power cut leaves: what was flushed is in it, what only
the page cache knew is not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

CARELESS = "loop,noauto_da_alloc,data=writeback,commit=300"
"""Data is flushed when asked for, not with the next rename, and names not for five minutes."""
SIZE = 32 << 20
"""Bytes: an install, and the disk an update leaves free."""


@cache
def refusal() -> str:
    """Why no such disk can be had here; empty if one can."""
    if shutil.which("mkfs.ext4") is None or shutil.which("mount") is None:
        return "e2fsprogs or mount is not installed"
    with TemporaryDirectory() as folder:
        try:
            with plugged(formatted(Path(folder, "probe"))):
                return ""
        except subprocess.CalledProcessError as error:
            return f"loop mounts are not permitted here: {error.stderr.decode().strip()}"


def formatted(image: Path) -> Path:
    """A new disk in the new file ``image``; inodes as of a big one, with whole times."""
    with image.open("wb") as file:
        file.truncate(SIZE)
    command = ["mkfs.ext4", "-q", "-F", "-I", "256", "-E", "lazy_itable_init=0", str(image)]
    subprocess.run(command, check=True, capture_output=True)
    return image


@contextmanager
def plugged(image: Path) -> Iterator[Path]:
    """The folder on which the disk is mounted."""
    with TemporaryDirectory(prefix="upswap-disk-") as folder:
        command = ["mount", "-t", "ext4", "-o", CARELESS, str(image), folder]
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield Path(os.path.realpath(folder))
        finally:
            # a file just closed by a killed process may keep the disk busy for a moment
            subprocess.run(["umount", "--lazy", folder], check=True)


def cut(image: Path, copy: Path) -> Path:
    """The disk as it is if the power fails now."""
    subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
    return copy


def sync_elsewhere(disk: Path) -> None:
    """Another program flushes a file of its own: every name made so far is durable with it."""
    with (disk / "of-another-program").open("wb") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
