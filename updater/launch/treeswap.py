"""The tree swap: the new tree stands beside the install, whole, and the two change places at once.

There is no moment at which a file of the one and a file of the other are live together. Which
tree is live is told by inode, so that every step can be repeated, forward and backward:

============================== =============== ===============
name                           before          after
============================== =============== ===============
``NAME``                       old             new
``NAME.new``                   new             old
``NAME.old``                   (nothing)       old, once parked
============================== =============== ===============

Before it stands at ``NAME.new`` the new tree is part of the stage. The files of the State are
put in place one by one, as in a file swap. What the user did in the moment of the exchange, and
what a process that runs in the old tree does after it, is carried over; see carrier.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from updater.errors import InstallError, RollbackFailed
from updater.launch.carrier import Carrier, Side, drop
from updater.launch.disk import NO_EXCHANGE, Disk, present
from updater.launch.journal import Exchange, Journal
from updater.launch.listing import Listing, Mark, Root, list_tree, mark_of, root_of
from updater.launch.reversal import Reversal
from updater.launch.state import State
from updater.launch.swap import FileSwap


class CannotExchange(InstallError):  # noqa: N818 - reads as what it says
    """The folders cannot change places, or must not any more; nothing live was touched."""


class Trees:
    """The two trees of one exchange, wherever they stand."""

    def __init__(self, disk: Disk, state: State, tree: Exchange) -> None:
        self._disk = disk
        self._state = state
        self._tree = tree
        self.live = state.install
        self.incoming = state.beside(tree.incoming)
        self.aside = state.beside(tree.aside)

    @property
    def is_new(self) -> bool:
        """Whether the new tree is the live one.

        Raises:
            RollbackFailed: neither tree is; nothing is touched then.
        """
        root = root_of(self.live)
        for known in (self._tree.old_root, self._tree.new_root):
            if root is not None and self._is(root, known):
                return known is self._tree.new_root
        raise RollbackFailed(
            f"{self.live} is neither the old folder nor the new one: somebody replaced it",
            hint=f"put back the folder that was there, or {self.incoming}",
        )

    def resting(self, root: Root) -> Path | None:
        """Where the tree that is not live stands, if it does."""
        for place in (self.aside, self.incoming):
            found = root_of(place)
            if found is not None and self._is(found, root):
                return place
        return None

    def exchange(self, place: Path) -> None:
        """Let the live tree and the one at ``place`` change places, durably."""
        self._disk.exchange(self.live, place)
        self._disk.sync_directory(self.live.parent)

    def fits(self) -> bool:
        """Whether the live tree is what the new one was made of: nobody came or changed it."""
        found = list_tree(self.live)
        is_known = all(self.old.is_known(path) for path in found)
        return is_known and all(found.get(path) == mark for path, mark in self._tree.old.items())

    def carry(self, source: Side, target: Side) -> Listing:
        """Carry the user's work; what is left may be deleted. See `Carrier.run`."""
        shared, desk = self._tree.shared, self._state.carried
        return Carrier(self._disk, source, target, shared, desk).run()

    def fell(self, place: Path) -> None:
        """Delete the old tree at ``place`` when an unknown tree is live, which keeps all it has."""
        stays = Side(self.live, list_tree(self.live))
        source, desk = self.old_at(place), self._state.carried
        drop(self._disk, place, Carrier(self._disk, source, stays, frozenset(), desk).run())

    def remove(self, source: Side, target: Side) -> None:
        """Carry the user's work, and delete the rest, entry by entry."""
        drop(self._disk, source.folder, self.carry(source, target))

    @property
    def old(self) -> Side:
        """The old tree where it is live."""
        return self.old_at(self.live)

    @property
    def new(self) -> Side:
        """The new tree where it is live."""
        return self.new_at(self.live)

    def old_at(self, place: Path) -> Side:
        """The old tree at ``place``."""
        contents = {step.path: step.was for step in self._tree.files}
        return Side(place, self._tree.old, contents, self._tree.disposable)

    def new_at(self, place: Path) -> Side:
        """The new tree at ``place``."""
        contents = {step.path: step.content for step in self._tree.files}
        return Side(place, self._tree.new, contents)

    def _is(self, found: Root, known: Root) -> bool:
        """The same folder; its disk may have another number since the machine was started."""
        disk = root_of(self._state.folder)
        return found == known or (disk is not None and found == Root(disk.device, known.inode))


class TreeSwap:
    """Runs a tree swap; what `FileSwap` is for files."""

    def __init__(self, disk: Disk, state: State, journal: Journal, tree: Exchange) -> None:
        self._disk = disk
        self._state = state
        self._tree = tree
        self._trees = Trees(disk, state, tree)
        self._own = FileSwap(disk, state, journal)

    def forward(self) -> None:
        """Bring the live tree from wherever it is to the new one, durably.

        Raises:
            CannotExchange: the file swap must do it; nothing live was touched.
            OSError: a step failed; `backward` can be called.
            RollbackFailed: neither tree is live.
        """
        if not self._trees.is_new:
            self._place()
            self._exchange()
        self._own.forward()

    def backward(self) -> None:
        """Bring the live tree from wherever it is back to the old one, durably.

        Raises:
            OSError: a step could not be undone; call it again when its cause is gone.
            RollbackFailed: neither tree is live.
        """
        self._own.backward()
        if self._trees.is_new:
            self._trees.exchange(self._trees.incoming)
        place = self._trees.resting(self._tree.new_root)
        if place is not None:
            self._trees.remove(self._trees.new_at(place), self._trees.old)

    def park(self) -> None:
        """After the commit: the old tree gets the name it keeps, its user's work comes along."""
        place = self._trees.resting(self._tree.old_root)
        if place is not None:
            self._trees.carry(self._trees.old_at(place), self._trees.new)
        self._own.park()
        if place == self._trees.incoming and not present(self._trees.aside):
            self._disk.replace(place, self._trees.aside)
            self._disk.sync_directory(place.parent)

    def discard(self) -> None:
        """After the commit: remove the old tree, but for what is the user's."""
        place = self._trees.resting(self._tree.old_root)
        if place is not None:
            self._trees.remove(self._trees.old_at(place), self._trees.new)
        self._own.discard()

    def kept(self) -> tuple[str, ...]:
        """After the commit: where the user's work lies that had to make way."""
        strange = (p for p in list_tree(self._trees.live) if not self._trees.new.is_known(p))
        return tuple(path for path in strange if ".old" in path.rpartition("/")[2])

    def _place(self) -> None:
        """From the stage to beside the install."""
        is_there = self._trees.resting(self._tree.new_root) == self._trees.incoming
        if not self._trees.fits():
            self._withdraw(is_there=is_there)
            raise CannotExchange("the install was changed while the update was made ready")
        if not is_there:
            if present(self._trees.incoming):
                raise CannotExchange(f"{self._trees.incoming} is in the way")
            self._disk.replace(self._state.staged_tree, self._trees.incoming)
            self._disk.sync_directory(self._state.stage)
            self._disk.sync_directory(self._state.install.parent)

    def _exchange(self) -> None:
        try:
            self._trees.exchange(self._trees.incoming)
        except OSError as error:
            if error.errno not in NO_EXCHANGE:
                raise
            self._withdraw(is_there=True)
            raise CannotExchange(f"the folders cannot be exchanged: {error.strerror}") from error

    def _withdraw(self, *, is_there: bool) -> None:
        """Back into the stage, which goes as a whole."""
        if is_there:
            self._disk.replace(self._trees.incoming, self._state.staged_tree)


class TreeReversal:
    """Takes a tree swap back after its commit; what `Reversal` is for files."""

    def __init__(self, disk: Disk, state: State, journal: Journal, tree: Exchange) -> None:
        self._state = state
        self._tree = tree
        self._trees = Trees(disk, state, tree)
        self._own = Reversal(disk, state, journal)

    def blocked(self) -> str:
        """Why nothing may be begun here; empty if it may: two folders change names."""
        parent = self._state.install.parent
        return "" if os.access(parent, os.W_OK | os.X_OK) else f"no permission to change {parent}"

    def damaged(self) -> list[str]:
        """What was not kept: without it nothing may be begun.

        Raises:
            OSError: the disk.
        """
        place = self._trees.resting(self._tree.old_root)
        if place is None:
            return [str(self._trees.aside)]
        gone = (path for path, mark in self._tree.old.items() if not _is_kind(place / path, mark))
        return [*self._own.damaged(), *gone]

    def edited(self) -> tuple[str, ...]:
        """Files of the old tree that its user has changed since, such as by a shared inode.

        Raises:
            OSError: the disk.
        """
        place = self._trees.resting(self._tree.old_root)
        if place is None:
            return ()
        return tuple(path for path, mark in self._tree.old.items() if mark_of(place / path) != mark)

    def run(self) -> None:
        """Bring the old tree back, with the user's latest work, and delete the new one.

        Raises:
            OSError: a step failed; call it again when its cause is gone.
            RollbackFailed: neither tree is live, or the old one is gone.
        """
        self._own.run()
        if self._trees.is_new:
            self._trees.exchange(self._trees.resting(self._tree.old_root) or self._trees.aside)
        place = self._trees.resting(self._tree.new_root)
        if place is not None:
            self._trees.remove(self._trees.new_at(place), self._trees.old)

    def carry(self) -> None:
        """Bring over what a process that still runs in the old tree has made there.

        Raises:
            OSError: the disk; it can be repeated.
        """
        place = self._trees.resting(self._tree.old_root)
        if place is not None and self._trees.is_new:
            self._trees.carry(self._trees.old_at(place), self._trees.new)

    def forget(self) -> None:
        """Remove the old tree, but for what is the user's: there is no way back any more.

        Raises:
            OSError: the disk; call it again.
        """
        place = self._trees.resting(self._tree.old_root)
        if place is not None:
            self._trees.fell(place)


def _is_kind(place: Path, mark: Mark) -> bool:
    found = mark_of(place)
    return found is not None and found.kind == mark.kind
