"""bsdiff4, file by file."""

from __future__ import annotations

import bsdiff4

from benchmarks.peers.per_file import Codec, run

if __name__ == "__main__":
    run(Codec(bsdiff4.diff, bsdiff4.patch))
