"""Run as a program: decodes blocks and says how much memory that took at the worst.

`python memory_probe.py PATCH OLD OUT JOBS` applies a patch of bare folders; prints the peak of
its process in bytes before and after. Linux only: elsewhere nothing tells the peak of a program
apart from that of the one that started it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from updater.format.manifest import Manifest
from updater.patch.apply import PatchFile, apply_patch, tree_at
from updater.patch.delta.bsdiff import self_check


def peak() -> int:
    """Most bytes this process has held."""
    status = Path("/proc/self/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def main(patch: Path, old: Path, out: Path, jobs: int) -> None:
    manifest = Manifest.parse((old / "manifest").read_bytes())
    self_check()
    before = peak()
    apply_patch(PatchFile(patch), tree_at(old / "tree", manifest), out, jobs=jobs)
    print(before, peak())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
