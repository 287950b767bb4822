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

from updater.began import BEGAN as _BEGAN  # noqa: F401 - now, and not when somebody asks
from updater.version import __version__

if TYPE_CHECKING:
    from updater.adoption import adopt
    from updater.application import Confirmation, confirm, previous_version
    from updater.client import Offer, Status, Updater
    from updater.config import UpdaterConfig
    from updater.errors import (
        ApplicationRuns,
        FormatError,
        InstallError,
        PatchError,
        TransportError,
        TrustError,
        UpdaterError,
    )
    from updater.inspection import Findings
    from updater.installation import install
    from updater.job import Updated, UpdateOutcome
    from updater.mend import Repaired
    from updater.progress import Progress
    from updater.session import Session

_HOMES = {
    "ApplicationRuns": "updater.errors",
    "FormatError": "updater.errors",
    "InstallError": "updater.errors",
    "PatchError": "updater.errors",
    "TransportError": "updater.errors",
    "TrustError": "updater.errors",
    "UpdaterError": "updater.errors",
    "Confirmation": "updater.application",
    "confirm": "updater.application",
    "previous_version": "updater.application",
    "Findings": "updater.inspection",
    "Offer": "updater.client",
    "Progress": "updater.progress",
    "Repaired": "updater.mend",
    "Session": "updater.session",
    "Status": "updater.client",
    "UpdateOutcome": "updater.job",
    "Updated": "updater.job",
    "Updater": "updater.client",
    "UpdaterConfig": "updater.config",
    "adopt": "updater.adoption",
    "install": "updater.installation",
}

__all__ = [
    "ApplicationRuns",
    "Confirmation",
    "Findings",
    "FormatError",
    "InstallError",
    "Offer",
    "PatchError",
    "Progress",
    "Repaired",
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
