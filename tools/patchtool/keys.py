"""Signing keys: Ed25519 in password-protected PEM files, one folder, any subset of roles."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from updater.errors import InstallError
from updater.launch.disk import WINDOWS, told

Role = Literal["root", "targets", "release", "online"]
ROLES: tuple[Role, ...] = ("root", "targets", "release", "online")
PASSWORD = "UPSWAP_KEY_PASSWORD"  # noqa: S105 - the name of a variable

Signer = CryptoSigner
"""What signs for one key."""

AskPassword = Callable[[str], str]
"""Asks a person for the password of what its argument names."""


@dataclass(frozen=True)
class Keys:
    """A folder of keys, and where their passwords come from."""

    folder: Path
    environment: Mapping[str, str]
    ask: AskPassword | None = None
    """None: nobody is there to be asked."""

    def has(self, role: Role) -> bool:
        """Whether there is a key file of a role."""
        return self.folder.is_dir() and any(self.folder.glob(f"{role}*.pem"))

    def signers(self, role: Role) -> list[Signer]:
        """The keys of a role, by file name; root may have several, the others have one.

        Raises:
            InstallError: none there, unreadable, readable by others, or a wrong password.
        """
        with told(f"reading keys in {self.folder}"):
            paths = sorted(self.folder.glob(f"{role}*.pem")) if self.folder.is_dir() else []
            if not paths:
                raise InstallError(
                    f"no {role} key in {self.folder}", hint=f"put {role}.pem there for this command"
                )
            return [self._load(role, path) for path in paths]

    def make_missing(self, threshold: int) -> list[Path]:
        """Generate the keys that are not there; the paths of the new ones.

        A threshold above 1 gets one root key more than it needs: one may be lost.

        Raises:
            InstallError: no password to protect them with, or the disk.
        """
        roots = ["root"] if threshold == 1 else [f"root-{n + 1}" for n in range(threshold + 1)]
        with told(f"writing keys into {self.folder}"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = [*([] if any(self.folder.glob("root*.pem")) else roots), *ROLES[1:]]
            paths = [self.folder / f"{name}.pem" for name in names]
            missing = [path for path in paths if not path.exists()]
            for path in missing:
                self._generate(path)
        return missing

    def _generate(self, path: Path) -> None:
        password = self._password(_role_of(path), path)
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)

    def _load(self, role: Role, path: Path) -> Signer:
        if not WINDOWS and path.stat().st_mode & 0o077:
            raise InstallError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), self._password(role, path))
        except (ValueError, TypeError) as error:
            raise InstallError(
                f"{path} cannot be opened: {error}",
                hint=f"is {PASSWORD} its password, and is the key encrypted?",
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InstallError(f"{path} is not an Ed25519 key", hint="use keys made by patchtool")
        return CryptoSigner(key)

    def _password(self, role: Role, path: Path) -> bytes:
        """The password of a key: from the environment, else from whoever can be asked."""
        names = (f"{PASSWORD}_{role.upper()}", PASSWORD)
        found = next((self.environment[name] for name in names if self.environment.get(name)), "")
        if not found and self.ask is not None:
            found = self.ask(f"password of {path}: ")
        if not found:
            raise InstallError(f"no password for {path}", hint=f"set {PASSWORD}")
        return found.encode()


def _role_of(path: Path) -> Role:
    return next(role for role in ROLES if path.name.startswith(role))
