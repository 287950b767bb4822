"""File names are UTF-8, whatever the locale says: a release names files that it may not spell."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from updater.disk.durable import WINDOWS


def in_utf8() -> None:
    """Start this program once more, with UTF-8 for file names, unless it has that.

    Only the interpreter's own option does it, and nothing that this program starts inherits it.
    A frozen program cannot be told; it refuses a name that it cannot spell.
    """
    if WINDOWS or sys.getfilesystemencoding() == "utf-8" or getattr(sys, "frozen", False):
        return
    # Where it cannot be started once more, names that cannot be spelled are refused one by one.
    line = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    with suppress(OSError):
        os.execv(sys.executable, line)  # noqa: S606 - this very program
