"""The public names of a repository, and how long each may be cached; pure.

The list says what is served, not what is hidden: keys, databases, temporary files, dotfiles
and every spelling of ``..`` are absent from it and need no rule of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from updater.format.target_names import file_name, head_name, patch_name, release_name

_APP = "[a-z0-9][a-z0-9-]{0,39}"
_VERSION = "[0-9][a-z0-9.]{0,23}"  # PEP 440 without epoch and local part; cannot be ".."
_SHA256 = "(?P<sha256>[0-9a-f]{64})"

_METADATA = re.compile(
    r"metadata/(?P<number>[1-9][0-9]{0,9}\.)?"
    rf"(?:root|timestamp|snapshot|targets|app\.{_APP}|channels\.{_APP})\.json"
)
_NAMES = (  # the names of targets, of patterns instead of parts
    release_name(_APP, _VERSION, "manifest"),
    release_name(_APP, _VERSION, "bundle"),
    patch_name(_APP, _VERSION, _VERSION),
    head_name(_APP, _APP),
)
_TARGETS = tuple(re.compile(file_name(name, _SHA256 + "\\")) for name in _NAMES)

_IMMUTABLE = "public, max-age=31536000, immutable"  # seconds: a year, the customary "for ever"
_REVALIDATE = "no-cache"


@dataclass(frozen=True)
class PublicFile:
    """A name the server may answer for; whether the file exists is another question.

    ``name`` is the POSIX path below the repository folder. ``immutable`` means that the
    bytes behind the name never change; ``sha256`` is the lower-case hexadecimal digest the
    name carries, or ``None``.
    """

    name: str
    content_type: str
    immutable: bool
    sha256: str | None = None

    @property
    def cache_control(self) -> str:
        """The value of the ``Cache-Control`` header."""
        return _IMMUTABLE if self.immutable else _REVALIDATE


def public_file(name: str) -> PublicFile | None:
    """The public file called ``name``, e.g. ``metadata/1.root.json``; ``None`` if not public."""
    return _metadata(name) or _target(name)


def _metadata(name: str) -> PublicFile | None:
    match = _METADATA.fullmatch(name)
    if match is None:
        return None
    return PublicFile(name, "application/json", immutable=match["number"] is not None)


def _target(name: str) -> PublicFile | None:
    for pattern in _TARGETS:
        if match := pattern.fullmatch(name):
            digest = match["sha256"]
            return PublicFile(name, "application/octet-stream", immutable=True, sha256=digest)
    return None
