"""Names that stand in target names and URLs: apps, channels, versions; and digests."""

from __future__ import annotations

import hashlib
import re

from packaging.version import InvalidVersion, Version

from updater.errors import FormatError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_HEX = re.compile(r"[0-9a-f]{64}")
_ROLES = {"root", "targets", "snapshot", "timestamp"}
VERSION_LENGTH = 24


class Digest(bytes):
    """A SHA-256, 32 bytes; ``str()`` gives its hexadecimal spelling."""

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of ``data``."""
        return cls(hashlib.sha256(data).digest())

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that 64 lower-case hexadecimal digits spell."""
        if not _HEX.fullmatch(text):
            raise FormatError("not a SHA-256 in lower-case hexadecimal")
        return cls(bytes.fromhex(text))

    def __str__(self) -> str:
        return self.hex()


UNKNOWN = Digest(bytes(32))
"""Stands where a digest is not known yet: content that is still to be decoded."""


def check_app(name: str) -> str:
    """``name`` if it can name an app (a product on one platform)."""
    return _check_name(name, "app")


def check_channel(name: str) -> str:
    """``name`` if it can name a channel."""
    return _check_name(name, "channel")


def check_version(text: str) -> str:
    """``text`` if it is a version in the one spelling we accept.

    PEP 440 in its normalised spelling, no epoch, no local part, at most 24 characters.
    """
    try:
        version = Version(text) if len(text) <= VERSION_LENGTH else None
    except InvalidVersion:
        version = None
    if version is None or version.epoch or version.local:
        raise FormatError(
            f"version {text[:40]!a} refused",
            hint=f"PEP 440 such as 1.2.0 or 2.0rc1, no epoch, no local part, "
            f"at most {VERSION_LENGTH} characters",
        )
    if str(version) != text:
        raise FormatError(f"version {text!a} refused", hint=f"spell it {version}")
    return text


def order(version: str) -> Version:
    """Sort key of a checked version."""
    return Version(version)


def _check_name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name) or name in _ROLES:
        raise FormatError(
            f"{what} name {name[:60]!a} refused",
            hint="1 to 40 of a-z, 0-9 and -, not starting with -, no name of a TUF role",
        )
    return name
