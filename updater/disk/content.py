"""Content marks: what is at a path, as one short text to be kept and compared.

==================  ===========================================
nothing             an empty string
a file              its SHA-256 in hexadecimal
a symlink           ``->`` and its target
a folder            ``/``
anything else       ``?``: a device, a FIFO, a socket; never opened
==================  ===========================================
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

CHUNK = 1 << 20
NOTHING = ""
FOLDER = "/"
OTHER = "?"
CACHE = "__pycache__"
"""Name of a folder with compiled Python in it."""


def content_of(path: Path) -> str:
    """The content at ``path``; follows no symlink.

    Raises:
        OSError: the disk, or no permission to read.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING
    if stat.S_ISLNK(mode):
        return link_to(str(path.readlink()))
    if stat.S_ISREG(mode):
        return _digest(path)
    return FOLDER if stat.S_ISDIR(mode) else OTHER


def link_to(target: str) -> str:
    """The content of a symlink to ``target``."""
    return f"->{target}"


def is_bytecode(path: str) -> bool:
    """True if a release path is compiled Python, which anybody can make again."""
    return path.endswith(".pyc")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()
