"""Roles: the key that signs each, how long that holds, and when it is due again."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from patchtool.keys.signing_keys import Role

DAY = dt.timedelta(days=1)
LIFETIMES = {
    "root": 730 * DAY,
    "targets": 730 * DAY,
    "app": 365 * DAY,
    "channels": 30 * DAY,
    "snapshot": 30 * DAY,
    "timestamp": 7 * DAY,
}
"""The lifetime of a signature: long where the key is offline, short where it is at hand."""
NOTICE = {
    "root": 60 * DAY,
    "targets": 60 * DAY,
    "app": 30 * DAY,
    "channels": 15 * DAY,
    "snapshot": 15 * DAY,
    "timestamp": 4 * DAY,
}
"""The time before its end at which a signature is due: enough to find an offline key, or to see
that a job that should have signed did not run."""
SIGNERS: dict[str, Role] = {
    "root": "root",
    "targets": "targets",
    "app": "release",
    "channels": "online",
    "snapshot": "online",
    "timestamp": "online",
}
"""The key that signs a role; ``app.APP`` and ``channels.APP`` by their first part."""


@dataclass(frozen=True)
class RoleStatus:
    """The status of a role."""

    role: str
    key: Role
    """The key that signs it."""
    version: int
    expires: int
    """Seconds since 1970."""
    is_due: bool
    """True if it ought to be signed anew."""

    def is_below(self, version: int) -> bool:
        """Return whether to raise it to ``version``; versions of root have no gaps."""
        return self.role != "root" and self.version < version

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of this value."""
        return {
            "role": self.role,
            "key": self.key,
            "version": self.version,
            "expires": self.expires,
        }


def kind_of(role: str) -> str:
    """The role without its app: the key of the tables above."""
    return role.partition(".")[0]


def app_of(role: str) -> str | None:
    """The app whose release keys sign a role."""
    kind, _, app = role.partition(".")
    return app if kind == "app" else None
