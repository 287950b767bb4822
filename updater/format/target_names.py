"""Target names: where releases, patches and heads stand among the signed targets of an app.

==================================  =========================================
``APP/releases/VERSION/manifest``   the manifest of a release
``APP/releases/VERSION/bundle``     the whole release
``APP/patches/OLD_NEW``             a patch from one version to another
``APP/channels/CHANNEL``            the head of a channel
==================================  =========================================

The content of ``FOLDER/NAME`` lies in the file ``targets/FOLDER/SHA256.NAME`` of the repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TIMESTAMP = "metadata/timestamp.json"
"""The file that every check begins with, as a path below the repository."""
TargetKind = Literal["manifest", "bundle", "patch", "head"]


@dataclass(frozen=True)
class TargetName:
    """A target name taken apart; its parts are not checked yet."""

    app: str
    kind: TargetKind
    last: str
    """The version it is of, or leads to; of a head, the channel."""
    old: str = ""
    """The version a patch starts from."""

    @classmethod
    def parse(cls, name: str) -> TargetName | None:
        """The parts of ``name``; None if it is no target of ours."""
        match name.split("/"):
            case [app, "releases", version, "manifest" | "bundle" as kind]:
                return cls(app, kind, version)
            case [app, "patches", pair] if pair.count("_") == 1:
                old, new = pair.split("_")
                return cls(app, "patch", new, old)
            case [app, "channels", channel]:
                return cls(app, "head", channel)
            case _:
                return None


def release_folder(app: str, version: str) -> str:
    """The folder of a release's manifest and bundle."""
    return f"{app}/releases/{version}"


def release_name(app: str, version: str, kind: Literal["manifest", "bundle"]) -> str:
    """The name of a release's manifest or bundle."""
    return f"{release_folder(app, version)}/{kind}"


def patch_name(app: str, old: str, new: str) -> str:
    """The name of a patch."""
    return f"{app}/patches/{old}_{new}"


def head_name(app: str, channel: str) -> str:
    """The name of a channel's head."""
    return f"{app}/channels/{channel}"


def release_patterns(app: str) -> list[str]:
    """The names that the role of an app's releases may sign, as TUF matches them."""
    return [f"{app}/releases/*/*", f"{app}/patches/*"]


def channel_pattern(app: str) -> str:
    """The names that the role of an app's channels may sign, as TUF matches them."""
    return head_name(app, "*")


def file_name(name: str, sha256: str) -> str:
    """The file of a target's content, as a path below the repository."""
    folder, _, base = name.rpartition("/")
    return f"targets/{folder}/{sha256}.{base}"
