"""Another program: writes into a file as soon as it is another one; a helper of scripts.

spoil.py PLACE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

if __name__ == "__main__":
    place = Path(sys.argv[1])
    first = place.stat().st_ino
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if place.stat().st_ino != first:
                place.write_text("spoilt\n")
                break
        except OSError:
            continue
