"""The identity of an install: a random name that decides where it stands in rollouts.

A disk image is copied to many machines, a folder to another place: then many installs have one
name, stand at one place of every rollout, and count as one in reports. So it is kept beside the
name which machine and which folder it was drawn for, as salted digests that never leave this
disk; where both tell that this is a copy, a new name follows from the old one. Who may only read
the State finds the same name as who then writes it down.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from updater.disk.durable import machine_errors
from updater.errors import FormatError
from updater.format.encoding.canonical import INTEGER_MAX, Record, decode, encode
from updater.format.encoding.limits import KIB
from updater.launch.state import State

FORMAT = 1
_LINUX = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_WINDOWS = r"SOFTWARE\Microsoft\Cryptography"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """``identity.json``."""

    name: str
    """Random; names nobody."""
    machine: str = ""
    """Digest of the machine it was drawn on, salted with the name; empty where none is known."""
    place: str = ""
    """Digest of where the State lay, salted likewise."""
    inode: int = 0
    """Number of the State folder: a folder that was moved keeps it, a copy does not."""

    @property
    def data(self) -> bytes:
        """The bytes of ``identity.json``."""
        return encode(vars(self) | {"format": FORMAT})

    @classmethod
    def parse(cls, data: bytes) -> Identity:
        """The identity that ``data`` spells.

        Raises:
            FormatError: it is not an ``identity.json`` this updater knows.
        """
        record = Record(decode(data, KIB))
        record.integer("format", FORMAT, low=FORMAT)
        identity = cls(
            name=record.text("name"),
            machine=record.text("machine"),
            place=record.text("place"),
            inode=record.integer("inode", INTEGER_MAX),
        )
        record.end()
        return identity


class Identities:
    """The identity of one install, on this machine."""

    def __init__(self, state: State, machine: Callable[[], str]) -> None:
        """``machine``: gives what names this machine, or nothing; see `machine_id`."""
        self._disk = state.disk
        self._state = state
        self._machine = machine

    def read(self) -> Identity:
        """The identity it has, or has to have where it is a copy. Writes nothing.

        Raises:
            InstallError: the disk does not give it now.
        """
        with machine_errors(f"reading {self._state.identity}"):
            try:
                known = Identity.parse(self._state.identity.read_bytes())
            except (FileNotFoundError, FormatError):  # the same at every look, until it is kept
                return self._of(_digest("lost", self._machine(), str(self._state.folder)))
            here = self._of(known.name)
            if known.machine and here.machine and here.machine != known.machine:
                return self._of(_digest("machine", known.name, here.machine))
            if known.place != here.place and known.inode != here.inode:
                return self._of(_digest("place", known.name, here.place))
            return here

    def keep(self) -> None:
        """Write down the identity as it is to be now, if that is not what is kept.

        Raises:
            InstallError: the disk.
        """
        now = self.read().data
        with machine_errors(f"writing {self._state.identity}"):
            with suppress(FileNotFoundError):
                if self._state.identity.read_bytes() == now:
                    return
            self._disk.write(self._state.identity, now)

    def draw(self) -> None:
        """Draw a new one.

        Raises:
            InstallError: the disk; it stays as it was.
        """
        with machine_errors(f"writing {self._state.identity}"):
            self._disk.write(self._state.identity, self._of(uuid.uuid4().hex).data)

    def _of(self, name: str) -> Identity:
        """An identity of this name, here and now."""
        machine = self._machine()
        return Identity(
            name=name,
            machine=_digest("machine-id", name, machine) if machine else "",
            place=_digest("folder", name, str(self._state.folder)),
            inode=self._state.folder.stat().st_ino & INTEGER_MAX,
        )


def machine_id() -> str:
    """The operating system's name of this machine; empty if there is none.

    It is made anew for a clone by systemd's first boot, by Windows' sysprep and by each Mac.
    """
    with suppress(Exception):  # whatever is wrong with it, an install goes on without
        if sys.platform == "win32":
            import winreg  # noqa: PLC0415 - there alone

            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _WINDOWS) as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        if sys.platform == "darwin":
            import ctypes  # noqa: PLC0415 - there alone

            made, wait = (ctypes.c_ubyte * 16)(), (ctypes.c_long * 2)(1, 0)
            failed = ctypes.CDLL(None).gethostuuid(made, wait)
            return "" if failed else bytes(made).hex()
        found = next(path.read_text().strip() for path in _LINUX if path.exists())
        return "" if found == "uninitialized" else found
    return ""


def _digest(*parts: str) -> str:
    said = "\0".join(parts).encode(errors="surrogateescape")  # a folder may have any name
    return hashlib.sha256(said).hexdigest()[:32]
