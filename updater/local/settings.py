"""Settings and manifest of an install, read from its State."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from updater.disk.durable import machine_errors, present
from updater.errors import DamagedState, FormatError, RequestError
from updater.format.encoding.canonical import Record, decode, encode, string
from updater.format.encoding.limits import DEFAULT, MIB, Limits
from updater.format.manifest import Manifest
from updater.format.names import check_app, check_channel
from updater.launch.commit.bad_versions import BAD_MOST
from updater.launch.commit.obstacles import refuse_names
from updater.launch.state import GONE_HINT, State, find
from updater.net.address import Address

T = TypeVar("T")

FORMAT = 1
ADOPT_HINT = "run updater adopt --repair, with URL, root.json, application and version once more"
"""The hint where a repair cannot know what belongs into the install, or where it is from."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``install.json``."""

    app: str
    channel: str
    url: str
    previous: str = ""
    """The version before the last update."""
    bad: tuple[str, ...] = ()
    """Versions that failed here and are not tried again."""

    @property
    def data(self) -> bytes:
        """The bytes of ``install.json``."""
        document: dict[str, Any] = vars(self) | {"bad": list(self.bad), "format": FORMAT}
        return encode(document)

    @classmethod
    def parse(cls, data: bytes) -> Settings:
        """The settings that ``data`` spells.

        Raises:
            FormatError: it is not an ``install.json`` this updater knows.
        """
        record = Record(decode(data, MIB))
        record.integer("format", FORMAT, low=FORMAT)
        settings = cls(
            app=check_app(record.text("app")),
            channel=check_channel(record.text("channel")),
            url=record.text("url"),
            previous=record.text("previous"),
            bad=record.items("bad", string, BAD_MOST),
        )
        record.end()
        return settings


def find_install(folder: Path) -> State:
    """The State of the install at ``folder``.

    Raises:
        InstallError: upswap installed nothing there.
    """
    with machine_errors(f"looking at {folder}"):
        install = Path(os.path.realpath(folder))  # Path.resolve raises RuntimeError on a loop
        if not present(install):
            raise RequestError(f"{install} is not there", hint=GONE_HINT)
        state = find(install)
    if state is None:
        raise RequestError(
            f"{install} is not an install of upswap",
            hint="name the folder given to `updater install`",
        )
    return state


def read_settings(state: State) -> Settings:
    """The settings of an install.

    Raises:
        InstallError: they cannot be read now; if they are missing or damaged: `DamagedState`.
    """
    return _read(state, state.settings, Settings.parse, ADOPT_HINT)


def read_address(state: State, settings: Settings) -> Address:
    """The address of the repository of an install, with login and query.

    Raises:
        InstallError: it is not this user's to read; if it is damaged: `DamagedState`.
    """
    address = Address(settings.url)
    if not present(state.access):
        return address
    return _read(state, state.access, address.with_secrets, ADOPT_HINT)


def read_root(state: State) -> bytes:
    """The root metadata an install was made with, as it is.

    Raises:
        InstallError: it cannot be read now; if it is missing: `DamagedState`.
    """
    return _read(state, state.root, bytes, ADOPT_HINT)


def read_manifest(state: State, limits: Limits = DEFAULT) -> Manifest:
    """The manifest of the installed release.

    Raises:
        InstallError: it cannot be read now, or this process cannot spell the names in it; if it is
            missing or damaged: `DamagedState`.
    """
    manifest = _read(
        state, state.manifest, lambda data: Manifest.parse(data, limits), "run updater repair"
    )
    refuse_names(manifest.by_path)
    return manifest


def _read(state: State, path: Path, parse: Callable[[bytes], T], hint: str) -> T:
    with machine_errors(f"reading {path}"):  # a disk that fails now need not do so later
        try:
            return parse(path.read_bytes())
        except (FormatError, FileNotFoundError, IsADirectoryError) as error:
            raise DamagedState(
                f"the state of {state.install} is damaged: {error}", hint=hint
            ) from error
