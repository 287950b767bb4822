"""The whole new release: a tar, ``xz -9e``."""

from __future__ import annotations

import lzma
import shutil
import tempfile
from pathlib import Path

from benchmarks.peers.command import main
from benchmarks.peers.tars import pack, unpack


def _build(_: Path, new: Path, patch: Path) -> None:
    with tempfile.TemporaryDirectory(dir=patch.parent) as scratch:
        tar = Path(scratch, "new")
        pack(new, tar)
        with tar.open("rb") as reader, lzma.open(patch, "wb", preset=9 | lzma.PRESET_EXTREME) as xz:
            shutil.copyfileobj(reader, xz, 1 << 20)


def _apply(_: Path, patch: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        tar = Path(scratch, "new")
        with lzma.open(patch) as xz, tar.open("wb") as writer:
            shutil.copyfileobj(xz, writer, 1 << 20)
        unpack(tar, out)


if __name__ == "__main__":
    main(_build, _apply)
