"""The settings of a server, from its command line or the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limits import parse_many

from updater.errors import RequestError

_ACCEL = re.compile(r"(?:/[a-z0-9_-]+)+")


@dataclass(frozen=True)
class Bounds:
    """The rate limit of one address, and the storage that counts for it."""

    rate: str = "600/minute"
    """Check-ins, and reports."""
    storage: str = "memory://"
    """The place where requests are counted: in each process, or for several in ``redis://HOST``."""


BOUNDS = Bounds()


@dataclass(frozen=True)
class ServerSettings:
    """The settings of one server.

    ``data`` is the folder of what the server keeps itself; without one it only serves files.
    ``keys`` is the folder of the online key. ``database`` is an SQLAlchemy URL, empty without
    ``data``. ``proxies`` is the number of trusted reverse proxies in front. ``accel`` is the
    path below which nginx finds the repository for ``X-Accel-Redirect``, empty without nginx.
    """

    repository: Path
    data: Path | None = None
    keys: Path | None = None
    database: str = ""
    proxies: int = 0
    accel: str = ""
    bounds: Bounds = BOUNDS


def settings_for(
    repository: Path,
    data: Path | None = None,
    keys: Path | None = None,
    database: str = "",
    proxies: int = 0,
    accel: str = "",
    bounds: Bounds = BOUNDS,
) -> ServerSettings:
    """Settings with what was not said filled in: the data folder beside the repository.

    Raises:
        InstallError: A value that cannot be meant.
    """
    if accel and not _ACCEL.fullmatch(accel):
        message = f"not a path of nginx: {accel}"
        raise RequestError(message, hint="name the internal location, e.g. /internal")
    beside = data_beside(repository)
    data = data or (beside if beside.is_dir() else None)
    if data is not None and not database:
        database = f"sqlite:///{data.absolute() / 'patchserver.db'}"
    return ServerSettings(repository, data, keys, database, proxies, accel, bounds)


def data_beside(repository: Path) -> Path:
    """The data folder of a repository that nobody named another one for."""
    return repository.with_name(f"{repository.resolve().name}.server")


def settings_from_environment(environment: Mapping[str, str]) -> ServerSettings:
    """Settings from variables such as ``UPSWAP_REPO``, for servers that take no arguments of ours.

    Raises:
        InstallError: A variable is missing or cannot be meant.
    """
    repository = _path(environment, "UPSWAP_REPO")
    if repository is None:
        hint = "set it to the folder that patchtool init made"
        raise RequestError("UPSWAP_REPO is not set", hint=hint)
    return settings_for(
        repository,
        data=_path(environment, "UPSWAP_DATA"),
        keys=_path(environment, "UPSWAP_KEYS"),
        database=environment.get("UPSWAP_DATABASE", ""),
        proxies=_count(environment, "UPSWAP_PROXIES"),
        accel=environment.get("UPSWAP_ACCEL", "").rstrip("/"),
        bounds=_bounds(environment),
    )


def _bounds(environment: Mapping[str, str]) -> Bounds:
    rate = environment.get("UPSWAP_RATE") or BOUNDS.rate
    try:
        parse_many(rate)
    except ValueError as error:
        hint = "such as 600/minute or 10/second;600/minute"
        raise RequestError(f"UPSWAP_RATE is no rate: {rate}", hint=hint) from error
    return Bounds(rate, environment.get("UPSWAP_LIMITS") or BOUNDS.storage)


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value) if value else None


def _count(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name) or "0"
    if not re.fullmatch("[0-9]", value):
        message = f"{name} is not a number from 0 to 9: {value}"
        raise RequestError(message, hint="set it to the number of your own proxies in front")
    return int(value)
