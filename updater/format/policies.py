"""Policies: how an update treats managed files that the user changed."""

from __future__ import annotations

from updater.format.globs import Globs
from updater.format.release_description import Policy, Release


class Policies:
    """The policies of one release."""

    def __init__(self, release: Release) -> None:
        self._rules = [(Globs([glob]), policy) for glob, policy in release.policy]

    def of(self, path: str) -> Policy:
        """The policy of a file: that of the first glob that matches, else ``replace``."""
        return next((policy for globs, policy in self._rules if globs.match(path)), "replace")
