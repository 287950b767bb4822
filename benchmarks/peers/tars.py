"""Peers that know one file only get the folder as a tar: sorted, without times and owners."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.command import Step, main

PLAIN = ("--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu")


def pack(folder: Path, tar: Path) -> None:
    """Write ``folder`` as the file ``tar``; equal folders give equal bytes."""
    subprocess.run(["tar", *PLAIN, "-cf", tar, "-C", folder, "."], check=True)


def unpack(tar: Path, folder: Path) -> None:
    """Lay out the content of ``tar`` in the new folder ``folder``."""
    folder.mkdir()
    subprocess.run(["tar", "-xf", tar, "-C", folder], check=True)


def on_tars(diff: Step, patch: Step) -> tuple[Step, Step]:
    """Steps over folders from steps over files: (old, new, patch) and (old, patch, new)."""

    def build(old: Path, new: Path, out: Path) -> None:
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            before, after = Path(scratch, "old"), Path(scratch, "new")
            pack(old, before)
            pack(new, after)
            diff(before, after, out)

    def apply(old: Path, made: Path, out: Path) -> None:
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            before, after = Path(scratch, "old"), Path(scratch, "new")
            pack(old, before)
            patch(before, made, after)
            unpack(after, out)

    return build, apply


def run(diff: Step, patch: Step) -> None:
    """Be the command of a peer that works on tars."""
    main(*on_tars(diff, patch))


def command(words: Callable[[Path, Path, Path], list[str | Path]]) -> Step:
    """A step that is one command of the system."""

    def step(first: Path, second: Path, third: Path) -> None:
        subprocess.run(words(first, second, third), check=True)

    return step
