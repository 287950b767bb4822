"""``release.toml``: the publisher's description of a release, outside the release folder."""

from __future__ import annotations

import codecs
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from updater.disk.durable import machine_errors
from updater.errors import FormatError
from updater.format.encoding.canonical import within
from updater.format.names import order
from updater.format.release_description import Release
from updater.version import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Description:
    """A parsed ``release.toml``."""

    release: Release
    exclude: tuple[str, ...] = ()
    """Patterns of what in the folder is not part of the release, as in a ``.gitignore``."""

    @property
    def unwatched(self) -> str:
        """Warn if a start of the release is not watched, though the release is to be confirmed."""
        if self.release.confirm.mode == "none" or self.release.launcher:
            return ""
        return (
            "only starts through the launcher are watched, and the launcher needs a Python outside "
            "the install: where users may have none, name a launcher in release.toml"
        )


def read_description(path: Path | None) -> Description:
    """The description at ``path``; without one, that of a release with no entry.

    Raises:
        FormatError: not TOML, an unknown key, a value of another type, or one this version
            of upswap does not act upon yet.
        InstallError: the file cannot be read.
    """
    if path is None:
        return Description(Release())
    with machine_errors(f"reading {path}"):
        text = path.read_bytes()
    try:
        document = tomllib.loads(_decoded(text))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not TOML: {error}") from error
    return within(str(path), _parse, document)


def _decoded(data: bytes) -> str:
    """The text of a file; TOML is UTF-8, and nothing else is guessed."""
    if data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it begins with a byte order mark: save it as UTF-8 without one")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8: save it as UTF-8") from error


def _parse(document: dict[str, Any]) -> Description:
    document = dict(document)
    exclude = document.pop("exclude", [])
    if not isinstance(exclude, list) or not all(isinstance(glob, str) for glob in exclude):
        raise FormatError("a list of patterns expected", context="exclude")
    known = Release().to_json(spelled_out=True)
    for key in document.keys() - known.keys():
        raise FormatError(
            f"unknown key {key!a}", hint=f"known: {', '.join(sorted({*known, 'exclude'}))}"
        )
    release = Release.parse(_without_defaults(_spelled(document)))
    _check_sense(release)
    return Description(release, tuple(exclude))


def _spelled(document: dict[str, Any]) -> dict[str, Any]:
    """Expand what people may write short, in the spelling of the manifest."""
    if isinstance(document.get("entry"), str):
        document["entry"] = [document["entry"]]
    if isinstance(document.get("confirm"), str):
        document["confirm"] = {"mode": document["confirm"], "seconds": 60, "starts": 1}
    if isinstance(document.get("policy"), dict):
        document["policy"] = [list(rule) for rule in document["policy"].items()]
    return document


def _without_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The manifest leaves out what says nothing; people may write it."""
    plain = Release().to_json(spelled_out=True)
    # By type too: 0 equals False, and is no flag all the same.
    kept = (k for k, v in document.items() if plain.get(k) != v or type(plain[k]) is not type(v))
    return {key: document[key] for key in kept}


def _check_sense(release: Release) -> None:
    if release.min_updater and order(release.min_updater) > Version(__version__):
        raise FormatError(
            f"no updater {release.min_updater} exists yet",
            context="min_updater",
            hint=f"this upswap is {__version__}",
        )
    if release.confirm.mode != "none" and not release.entry:
        raise FormatError(
            "nothing can be confirmed that cannot be started",
            context="confirm",
            hint="name what is started with entry",
        )
