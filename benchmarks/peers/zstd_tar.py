"""``zstd -19 --patch-from`` over the two tars, with a window as large as they need."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.tars import command, run


def _diff(old: Path, new: Path, patch: Path) -> list[str | Path]:
    bits = max(old.stat().st_size, new.stat().st_size).bit_length()
    window = f"--long={min(max(bits, 27), 31)}"
    return ["zstd", "-q", "-f", "-19", window, f"--patch-from={old}", new, "-o", patch]


def _patch(old: Path, patch: Path, new: Path) -> list[str | Path]:
    return ["zstd", "-d", "-q", "-f", "--long=31", f"--patch-from={old}", patch, "-o", new]


if __name__ == "__main__":
    run(command(_diff), command(_patch))
