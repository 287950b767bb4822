"""The health of a repository, as its doctor finds it."""

from __future__ import annotations

from patchtool.doctor.doctor import Diagnosis


def require_health(found: Diagnosis) -> None:
    """Raise the error of the worst concern, if there is one."""
    if found.concerns:
        raise max(found.concerns, key=lambda concern: concern.severity).error
