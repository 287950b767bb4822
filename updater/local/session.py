"""The session: network, progress, clock and disk of one run; a test may bring its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from updater.check.catalogue import Catalogue
from updater.check.trust import Trust, recalled
from updater.config import UpdaterConfig
from updater.disk.durable import Disk, machine_errors
from updater.launch.state import State
from updater.local.identity import Identities, machine_id
from updater.local.settings import Settings, read_address, read_root
from updater.net.address import Address
from updater.net.http import HttpTransport
from updater.progress import Progress, Silent
from updater.transport import Sender, Transport

_HTTP: Any = None
"""Stands for a transport that can only be made when the configuration is known."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Network, progress sink, clock, disk and settings of one run."""

    config: UpdaterConfig = field(default_factory=UpdaterConfig)
    transport: Transport = _HTTP
    """The transport; by default HTTP, as `config` says."""
    sender: Sender | None = None
    """The sender of reports; by default HTTP, with short timeouts."""
    progress: Progress = field(default_factory=Silent)
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    disk: Disk = field(default_factory=Disk)
    machine: Callable[[], str] = machine_id
    """The name of this machine, or nothing; kept as a digest, and never sent."""

    def __post_init__(self) -> None:
        if self.transport is _HTTP:
            object.__setattr__(self, "transport", HttpTransport(self.config))

    def now(self) -> int:
        """Whole seconds since 1970."""
        return int(self.clock())

    def refresh(self, state: State, settings: Settings, now: int) -> Catalogue:
        """Fetch and verify what the repository of an install offers at ``now``.

        Whoever may not write the State sees the same; what is learned then is not kept.

        Raises:
            TransportError, TrustError, FormatError: see `Trust.refresh`.
            InstallError: the metadata folder cannot be used.
        """
        self.admit(read_address(state, settings))
        with machine_errors(f"using {state.trust}"), _memory(state) as memory:
            trust = Trust(
                memory.trust,
                settings.url,
                read_root(state),
                self.transport,
                seen=memory.seen,
                config=self.config,
                disk=self.disk,
            )
            return trust.refresh(settings.app, settings.channel, now)

    def identities(self, state: State) -> Identities:
        """The identity of an install."""
        return Identities(state, self.machine)

    def admit(self, address: Address) -> None:
        """Let the transport use what is secret of a repository's URL.

        A transport that an application brings is given no secret: it knows its own.
        """
        if isinstance(self.transport, HttpTransport):
            self.transport.admit(address)

    def recalled(self, state: State, app: str) -> frozenset[str]:
        """Versions that the publisher of an install recalled, as far as this disk tells.

        Raises:
            InstallError: the disk does not give it now.
        """
        with machine_errors(f"reading {state.trust}"):
            return recalled(state.trust, app, self.config.limits)


@contextmanager
def _memory(state: State) -> Iterator[State]:
    """The State to keep in mind what is seen: a copy for this run, if it may not be written."""
    if os.access(state.folder, os.W_OK):
        yield state
        return
    with TemporaryDirectory(prefix="upswap-") as folder:
        copy = State(state.install, Path(folder))
        with suppress(FileNotFoundError):
            shutil.copyfile(state.seen, copy.seen)
        # What only its owner may read is fetched again.
        with suppress(FileNotFoundError, PermissionError, shutil.Error):
            shutil.copytree(state.trust, copy.trust, copy_function=shutil.copyfile)
        yield copy
