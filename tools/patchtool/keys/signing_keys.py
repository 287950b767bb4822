"""Signing keys: Ed25519 in password-protected PEM files, one folder, any subset of roles.

A key may also stand in an environment variable (``UPSWAP_KEY_ONLINE``), or be told by a command
(``UPSWAP_KEY_ONLINE_COMMAND``), such as the client of a secret store.
"""

from __future__ import annotations

import errno
import itertools
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from patchtool.folder.real_paths import repository_around
from patchtool.folder.temporary import staging
from patchtool.keys.key_command import PEM_MOST, Failed, output
from updater.disk.durable import WINDOWS, Disk, machine_errors
from updater.errors import RequestError

Role = Literal["root", "targets", "release", "online"]
ROLES: tuple[Role, ...] = ("root", "targets", "release", "online")
VARIABLE = "UPSWAP_KEY"
"""Begins the name of every variable of ours that a key or its password is in."""
PASSWORD = f"{VARIABLE}_PASSWORD"
REVOKED = "revoked-"
"""Begins the name of a key file that signs nothing any more."""

Signer = CryptoSigner
"""The signer of one key."""

AskPassword = Callable[[str], str]
"""Asks a person for the password of what its argument names."""


@dataclass(frozen=True)
class Keys:
    """A folder of keys, and where their passwords come from."""

    folder: Path
    environment: Mapping[str, str]
    ask: AskPassword | None = None
    """None: nobody is there to be asked."""
    lost: frozenset[str] = frozenset()
    """Ids of keys that are treated as if they were not there: a drill rehearses their loss."""
    _answers: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Passwords that somebody typed, so that nobody is asked for one twice."""

    def has(self, role: Role, app: str | None = None) -> bool:
        """Return whether there is a key of a role, or a command that gives one; see `paths`."""
        return bool(self.paths(role, app)) or self._is_handed(role)

    def paths(self, role: Role, app: str | None = None) -> list[Path]:
        """The key files of a role, by name; with ``app``, not those named after another app."""
        paths = sorted(self.folder.glob(f"{role}*.pem")) if self.folder.is_dir() else []
        return [path for path in paths if app is None or _app_of(path) in {"", app}]

    def signers(self, role: Role, app: str | None = None) -> list[Signer]:
        """The keys of a role; several for root, and while one takes over from another.

        Raises:
            InstallError: see `find`; or there is none.
        """
        found = self.find(role, app)
        if not found:
            raise RequestError(
                f"no {role} key in {self.folder}", hint=f"put {role}.pem there for this command"
            )
        return found

    def find(self, role: Role, app: str | None = None) -> list[Signer]:
        """The keys of a role that are at hand, perhaps none: from the environment, then files.

        With ``app``, files that are named after another app are not opened.

        Raises:
            InstallError: unreadable, readable by others, or a wrong password; or the command that
                is to tell it fails.
        """
        with machine_errors(f"reading keys in {self.folder}"):
            handed = [self._open(role, name, pem) for name, pem in self._handed(role)]
            signers = [*handed, *(self._load(role, path) for path in self.paths(role, app))]
        found = {signer.public_key.keyid: signer for signer in signers}
        return [signer for keyid, signer in found.items() if keyid not in self.lost]

    def make_missing(self, threshold: int, root_keys: int | None = None) -> list[Path]:
        """Generate the keys that are in no file and no variable; the paths of the new ones.

        A threshold above 1 gets one root key more than it needs: one may be lost. Root keys come
        first, so where only some of ours are, it was stopped, and the others are made now.

        Raises:
            InstallError: no password to protect them with, or the disk.
        """
        count = root_keys or (1 if threshold == 1 else threshold + 1)
        roots = ["root"] if count == 1 else [f"root-{n + 1}" for n in range(count)]
        with machine_errors(f"writing keys into {self.folder}"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            there = {path.stem for path in self.paths("root")}
            was_stopped = there < set(roots) and not any(self.paths(role) for role in ROLES[1:])
            names = [*(roots if was_stopped else []), *ROLES[1:]]
            paths = [self.folder / f"{name}.pem" for name in names]
            missing = [p for p in paths if not p.exists() and not self._is_handed(_role_of(p))]
            for path in missing:
                self._generate(path)
        return missing

    def make_another(self, role: Role, app: str | None = None) -> Path:
        """Generate a key beside those of a role, named after ``app`` if there is one; its path.

        Raises:
            InstallError: no password to protect it with, or the disk.
        """
        with machine_errors(f"writing keys into {self.folder}"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = {path.name.removeprefix(REVOKED) for path in self.folder.iterdir()}
            path = self.folder / next(name for name in _names(role, app) if name not in taken)
            self._generate(path)
        return path

    def retire(self, role: Role, ended: Iterable[str], app: str | None = None) -> list[Path]:
        """Rename the files of keys that were revoked; their new paths. ``app`` as in `paths`.

        Raises:
            InstallError: a key cannot be opened, or the disk.
        """
        ids = set(ended)
        with machine_errors(f"renaming keys in {self.folder}"):
            held = [(path, self._load(role, path)) for path in self.paths(role, app)]
            old = [path for path, signer in held if signer.public_key.keyid in ids]
            return [path.replace(path.with_name(REVOKED + path.name)) for path in old]

    def load(self, role: Role, path: Path) -> Signer:
        """The key in one file.

        Raises:
            InstallError: unreadable, readable by others, or a wrong password.
        """
        with machine_errors(f"reading {path}"):
            return self._load(role, path)

    def _is_handed(self, role: Role) -> bool:
        return any(self.environment.get(name) for name in _variables(role))

    def _handed(self, role: Role) -> Iterator[tuple[str, bytes]]:
        """Keys that stand in no file, with the name of the variable they come by."""
        variable, command = _variables(role)
        if text := self.environment.get(variable):
            yield variable, text.encode()
        if line := self.environment.get(command):
            yield command, self._output(command, line)

    def _output(self, name: str, line: str) -> bytes:
        """Run the command; errors show neither its output nor the command: it may hold a token."""
        environment = {k: v for k, v in self.environment.items() if not k.startswith(VARIABLE)}
        try:
            return output(shlex.split(line), environment)
        except (ValueError, Failed) as error:
            reason = str(error) if isinstance(error, Failed) else type(error).__name__
            raise RequestError(
                f"the command in {name} gave no key: {reason}", hint="run it by itself"
            ) from None

    def _generate(self, path: Path) -> None:
        password = self._password(_role_of(path), str(path))
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        write_secret(path, pem)

    def _load(self, role: Role, path: Path) -> Signer:
        status = path.stat()  # a pipe is waited for by whoever opens it
        if not stat.S_ISREG(status.st_mode) or status.st_size > PEM_MOST:
            raise RequestError(f"{path} is no key file", hint="restore it from its kit or a backup")
        if not WINDOWS and status.st_mode & 0o077:
            raise RequestError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        return self._decrypt(str(path), path.read_bytes(), self._password(role, str(path)))

    def _open(self, role: Role, name: str, pem: bytes) -> Signer:
        """A key of no file: whoever keeps it may protect it in another way than by a password."""
        is_encrypted = b"ENCRYPTED" in pem
        return self._decrypt(name, pem, self._password(role, name) if is_encrypted else None)

    def _decrypt(self, name: str, pem: bytes, password: bytes | None) -> Signer:
        try:
            key = serialization.load_pem_private_key(pem, password)
        except (ValueError, TypeError) as error:
            raise RequestError(
                f"{name} cannot be opened: {error}",
                hint=f"is {PASSWORD} its password, and is the key encrypted?",
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise RequestError(f"{name} is not an Ed25519 key", hint="use keys made by patchtool")
        return CryptoSigner(key)

    def _password(self, role: Role, name: str) -> bytes:
        """The password of a key: from the environment, else from whoever can be asked."""
        names = (f"{PASSWORD}_{role.upper()}", PASSWORD)
        found = next((self.environment[name] for name in names if self.environment.get(name)), "")
        if not found and self.ask is not None:
            found = self._answers.get(name) or self.ask(f"password of {name}: ")
            self._answers[name] = found
        if not found:
            raise RequestError(f"no password for {name}", hint=f"set {PASSWORD}")
        return found.encode()


def refuse_published(folder: Path) -> None:
    """Refuse a place for secrets that lies inside a repository, whichever it is.

    Raises:
        InstallError: who serves the repository would serve them.
    """
    repository = repository_around(folder)
    if repository is not None:
        raise RequestError(
            f"{folder} lies inside the repository {repository}",
            hint="who serves the repository would serve the keys: name a folder elsewhere",
        )


def write_secret(path: Path, data: bytes) -> None:
    """Make a file that only its owner can read from the first moment on, durably, in one step.

    Half a key would keep all commands that look for one from their work.

    Raises:
        OSError: it is there, or the disk.
    """
    with staging(path.parent) as folder:
        part = folder / path.name
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        _give_name(part, path)
    Disk().sync_directory(path.parent)


def _give_name(part: Path, path: Path) -> None:
    """Let a file have another name, if nothing has it."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # there are no hard links on a USB stick
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.replace(path)


def _variables(role: Role) -> tuple[str, str]:
    """The variables a key of a role may be in: itself, and a command that prints it."""
    return f"{VARIABLE}_{role.upper()}", f"{VARIABLE}_{role.upper()}_COMMAND"


def _names(role: Role, app: str | None) -> Iterator[str]:
    """Names for further keys; an app's never look like those of an app called ``APP-2``."""
    if app is None:
        yield from (f"{role}-{number}.pem" for number in itertools.count(2))
    yield f"{role}.{app}.pem"
    yield from (f"{role}.{app}.{number}.pem" for number in itertools.count(2))


def _app_of(path: Path) -> str:
    """The app that a key file is named after, such as ``release.APP.pem``; empty without one."""
    _, *middle, _ = path.name.split(".")
    return middle[0] if middle else ""


def _role_of(path: Path) -> Role:
    return next(role for role in ROLES if path.name.startswith(role))
