"""The launcher as a program: a zipapp in the State, or frozen by the publisher."""

from __future__ import annotations

import sys
from pathlib import Path

from updater.launch.file_name_encoding import in_utf8
from updater.launch.standard_streams import run_command
from updater.launch.start.launcher import main


def _run() -> int:
    in_utf8()
    return main(
        Path(sys.executable if getattr(sys, "frozen", False) else sys.argv[0]), sys.argv[1:]
    )


if __name__ == "__main__":
    sys.exit(run_command(_run))
