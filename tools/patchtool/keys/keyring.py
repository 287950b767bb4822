"""The key ring: the keys one command has at hand, each opened once.

Whether a key may sign, the repository says; here is only who holds one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from patchtool.keys.roles import SIGNERS, app_of, kind_of
from patchtool.keys.signing_keys import Keys, Role, Signer


class KeyRing:
    """Keys as they are asked for: opening one may ask a person for a password."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._opened: dict[tuple[Role, str | None], list[Signer]] = {}

    @property
    def folder(self) -> Path:
        """The folder of key files."""
        return self._keys.folder

    def at_hand(self, key: Role, app: str | None = None) -> list[Signer]:
        """The keys of a kind that this command has, perhaps none.

        Args:
            key: the kind.
            app: without the release keys that are named after another app.

        Raises:
            InstallError: one is there and cannot be opened.
        """
        if (key, app) not in self._opened:
            self._opened[key, app] = self._keys.find(key, app)
        return self._opened[key, app]

    def required(self, key: Role, app: str | None = None) -> list[Signer]:
        """The keys of a kind, as `at_hand`; at least one.

        Raises:
            InstallError: there is none, or one cannot be opened.
        """
        return self.at_hand(key, app) or self._keys.signers(key, app)  # which says what is missing

    def signers(self, role: str) -> list[Signer]:
        """The keys that sign a role, such as ``snapshot`` or ``app.APP``; at least one.

        Raises:
            InstallError: see `required`.
        """
        return self.required(SIGNERS[kind_of(role)], app_of(role))

    def has(self, role: str) -> bool:
        """Return whether there is a key that might sign a role; none is opened."""
        return self._keys.has(SIGNERS[kind_of(role)], app_of(role))

    def make(self, key: Role, app: str | None = None) -> tuple[Signer, Path]:
        """A new key beside those of a kind, and its file; nothing is published.

        Raises:
            InstallError: no password to protect it with, or the disk.
        """
        self.at_hand(key, app)
        path = self._keys.make_another(key, app)
        signer = self._keys.load(key, path)
        for held in (held for (kind, _), held in self._opened.items() if kind == key):
            held.append(signer)
        return signer, path

    def retire(self, key: Role, ended: Iterable[str], app: str | None = None) -> list[Path]:
        """Rename the files of keys that sign nothing any more; their new paths.

        Raises:
            InstallError: a key cannot be opened, or the disk.
        """
        return self._keys.retire(key, ended, app)
