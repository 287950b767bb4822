"""Figures the run is held against: peers measured elsewhere, and the limits we set us."""

from __future__ import annotations

MB = 10**6

BEST_PEER = {
    "django_patch": (1_476, "xdelta3 -9 on the tar"),
    "django_moved": (24_107, "HDiffPatch directory mode, lzma2"),
    "numpy": (67_962, "bsdiff4 on the tar"),
    "numpy_moved": (93_464, "HDiffPatch directory mode, lzma2"),
    "esbuild": (425_188, "HDiffPatch directory mode, -m-3, lzma2"),
    "closure_jar": (948_405, "HDiffPatch directory mode, lzma2"),
    "pyside": (3_191_474, "HDiffPatch directory mode, lzma2"),
}
"""Bytes of the best patch any peer made of a public pair, of which not all are at hand here.

Measured for this project in 2026 (`peers.md`), with HDiffPatch's own directory mode, which no
package registry carries.
"""

JAR = "closure_jar"
MOVED = "django_moved"

MOST_MEAN = 0.60  # patch size against the best peer, geometric mean, default effort
MOST_MEAN_WITHOUT_JAR = 0.88
MOST_PAIR = 1.05
MOST_PAIR_BEST = 1.02  # at --effort best
MOST_JAR = 0.10
MOST_MOVED = 0.60
MOST_BUILD = 1.5  # build seconds against hdiffpatch per file, geometric mean
MOST_APPLY = 3.0  # apply seconds against the floor
FROM_BYTES = 50 * MB  # ... for trees over this
MOST_MEMORY = 170 * MB  # of an apply
MOST_MEMORY_ONE_JOB = 110 * MB
PER_ENTRY = 2_000  # bytes of memory more for each entry of the release
