"""The two kinds of swap behind one interface: which one a commit uses is in its journal."""

from __future__ import annotations

from typing import Protocol

from updater.launch.disk import Disk
from updater.launch.journal import Journal
from updater.launch.reversal import Reversal
from updater.launch.state import State
from updater.launch.swap import FileSwap
from updater.launch.treeswap import TreeReversal, TreeSwap


class Swap(Protocol):
    """Brings a commit forward or back. Each call may be repeated after an interruption."""

    def forward(self) -> None:
        """Bring the live tree from wherever it is to the new one, durably.

        Raises:
            CannotExchange: another kind of swap must do it; nothing live was touched.
            OSError, InstallError: it failed; `backward` can be called.
        """

    def backward(self) -> None:
        """Bring the live tree from wherever it is back to the old one, durably.

        Raises:
            OSError: it failed; call it again when its cause is gone.
        """

    def park(self) -> None:
        """After the commit: keep what is old for a rollback.

        Raises:
            OSError: as `backward`.
        """

    def discard(self) -> None:
        """After the commit: remove what is old, but for what is the user's.

        Raises:
            OSError: as `backward`.
        """

    def kept(self) -> tuple[str, ...]:
        """After the commit: where the user's work lies that had to make way."""


class WayBack(Protocol):
    """Takes a commit back that was made and parked."""

    def damaged(self) -> list[str]:
        """What was not kept whole: without it nothing may be begun."""

    def blocked(self) -> str:
        """Why nothing may be begun here; empty if it may."""

    def edited(self) -> tuple[str, ...]:
        """What was kept and is not as it was: its user has changed it, and keeps it."""

    def run(self) -> None:
        """Bring the old tree back, durably.

        Raises:
            OSError: it failed; call it again when its cause is gone.
        """

    def carry(self) -> None:
        """Bring over what somebody made in the old tree since.

        Raises:
            OSError: as `run`.
        """

    def forget(self) -> None:
        """Remove what lies outside the State, but for what is the user's.

        Raises:
            OSError: as `run`.
        """


def swap_of(disk: Disk, state: State, journal: Journal) -> Swap:
    """What brings ``journal`` forward or back."""
    if journal.tree is None:
        return FileSwap(disk, state, journal)
    return TreeSwap(disk, state, journal, journal.tree)


def way_back(disk: Disk, state: State, journal: Journal) -> WayBack:
    """What takes ``journal`` back."""
    if journal.tree is None:
        return Reversal(disk, state, journal)
    return TreeReversal(disk, state, journal, journal.tree)
