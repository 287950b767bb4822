"""``xdelta3 -9 -S lzma`` over the two tars, the whole old one within its reach, no file names."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tars import command, run

SMALLEST = 1 << 19  # xdelta3 refuses a smaller source window
WINDOW = "16777216"  # its largest input window


def _diff(old: Path, new: Path, patch: Path) -> list[str | Path]:
    best = ("-9", "-S", "lzma", "-W", WINDOW, "-A")
    return ["xdelta3", "-e", "-q", "-f", *best, "-B", _reach(old), "-s", old, new, patch]


def _patch(old: Path, patch: Path, new: Path) -> list[str | Path]:
    return ["xdelta3", "-d", "-q", "-f", "-B", _reach(old), "-s", old, patch, new]


def _reach(old: Path) -> str:
    return str(max(old.stat().st_size, SMALLEST))


if __name__ == "__main__":
    run(command(_diff), command(_patch))
