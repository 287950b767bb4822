"""The command line all peers share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

Step = Callable[[Path, Path, Path], None]


def main(build: Step, apply: Step) -> None:
    """Run ``build OLD NEW PATCH`` or ``apply OLD PATCH OUT``."""
    verb, *places = sys.argv[1:]
    first, second, third = map(Path, places)
    {"build": build, "apply": apply}[verb](first, second, third)
