"""bsdiff4 over the two tars: takes 17 bytes of memory for each of the old one."""

from __future__ import annotations

from pathlib import Path

import bsdiff4

from benchmarks.peers.tars import run


def _diff(old: Path, new: Path, patch: Path) -> None:
    bsdiff4.file_diff(str(old), str(new), str(patch))


def _patch(old: Path, patch: Path, new: Path) -> None:
    bsdiff4.file_patch(str(old), str(new), str(patch))


if __name__ == "__main__":
    run(_diff, _patch)
