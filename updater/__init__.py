"""upswap: an updater for installed applications.

An application that updates itself needs these lines::

    import updater

    app = updater.Updater(folder)
    try:
        if app.update():
            app.restart()  # does not return
    except updater.UpdaterError as error:
        print(error, error.hint)  # goes on as the version it is

It raises `UpdaterError`, in one of five branches: see `updater.errors`.

The names below are the public interface; everything else may move. They are looked up when
first asked for, so that ``import updater`` costs an application's start next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from updater.process_start import BEGAN as _BEGAN  # noqa: F401 - now, and not when somebody asks
from updater.version import __version__

if TYPE_CHECKING:
    from updater.application import Confirmation, confirm, previous_version
    from updater.client import Offer, RolledBack, Status, Updater
    from updater.config import UpdaterConfig
    from updater.errors import (
        ApplicationRuns,
        FormatError,
        InstallError,
        MachineError,
        PatchError,
        RequestError,
        TransportError,
        TrustError,
        UpdaterError,
    )
    from updater.format.release_description import Release
    from updater.launch.commit.recover import Outcome
    from updater.local.session import Session
    from updater.progress import Progress
    from updater.stage.inspect import Findings
    from updater.update.adopt import adopt
    from updater.update.install_new import install
    from updater.update.job import Updated, UpdateOutcome
    from updater.update.repair import Repaired

_HOMES = {
    "ApplicationRuns": "updater.errors",
    "FormatError": "updater.errors",
    "InstallError": "updater.errors",
    "MachineError": "updater.errors",
    "RequestError": "updater.errors",
    "PatchError": "updater.errors",
    "TransportError": "updater.errors",
    "TrustError": "updater.errors",
    "UpdaterError": "updater.errors",
    "Confirmation": "updater.application",
    "confirm": "updater.application",
    "previous_version": "updater.application",
    "Findings": "updater.stage.inspect",
    "Offer": "updater.client",
    "Outcome": "updater.launch.commit.recover",
    "Progress": "updater.progress",
    "Release": "updater.format.release_description",
    "Repaired": "updater.update.repair",
    "RolledBack": "updater.client",
    "Session": "updater.local.session",
    "Status": "updater.client",
    "UpdateOutcome": "updater.update.job",
    "Updated": "updater.update.job",
    "Updater": "updater.client",
    "UpdaterConfig": "updater.config",
    "adopt": "updater.update.adopt",
    "install": "updater.update.install_new",
}

__all__ = [
    "ApplicationRuns",
    "Confirmation",
    "Findings",
    "FormatError",
    "InstallError",
    "MachineError",
    "Offer",
    "Outcome",
    "PatchError",
    "Progress",
    "Release",
    "Repaired",
    "RequestError",
    "RolledBack",
    "Session",
    "Status",
    "TransportError",
    "TrustError",
    "UpdateOutcome",
    "Updated",
    "Updater",
    "UpdaterConfig",
    "UpdaterError",
    "__version__",
    "adopt",
    "confirm",
    "install",
    "previous_version",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
