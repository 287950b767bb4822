"""HDiffPatch through PyPI's ``hdiffpatch``, file by file, lzma2 at its best preset."""

from __future__ import annotations

import hdiffpatch

from benchmarks.peers.per_file import Codec, run

LZMA2 = hdiffpatch.Lzma2Config.best_compression()


def _diff(old: bytes, new: bytes) -> bytes:
    return bytes(hdiffpatch.diff(old, new, compression=LZMA2, validate=False))


if __name__ == "__main__":
    run(Codec(_diff, hdiffpatch.apply))
