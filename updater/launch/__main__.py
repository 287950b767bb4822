"""The launcher as a program: a zipapp in the State, or frozen by the publisher."""

from __future__ import annotations

import sys
from pathlib import Path

from updater.launch.encoding import in_utf8
from updater.launch.launcher import main

if __name__ == "__main__":
    in_utf8()
    sys.exit(
        main(Path(sys.executable if getattr(sys, "frozen", False) else sys.argv[0]), sys.argv[1:])
    )
