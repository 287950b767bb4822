"""The file swap: staged files take the place of live ones by the ``.new``/``.old`` sequence.

Every step can be done forward and backward, any number of times: each looks at the disk to
see how far it came. On POSIX the live name is never absent: the old file gets its second name
by a hard link, then ``rename`` puts the new one over it. Windows cannot rename over a running
executable, so there the old one is renamed away first.

Where the old content of a step lies:

============================== ==============================
before the step                at its path
after it                       at ``PATH.old``, in the install
after the commit (`park`)      in the State, as ``old/NUMBER``
============================== ==============================

What is the user's work stays at ``PATH.old`` for good. Of a folder that is removed an empty one
is kept in the State, for the same owner with the same permissions.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePosixPath

from updater.disk.content import CACHE, content_of
from updater.disk.durable import (
    PART,
    WINDOWS,
    is_executable,
    is_folder,
    is_link,
    move,
    present,
    same,
)
from updater.errors import MachineError
from updater.launch.commit.journal import Action, Journal, Phase, Step, named, sync_steps
from updater.launch.commit.trash import Trash, clear
from updater.launch.state import State


class FileSwap:
    """Runs the steps of one journal."""

    def __init__(self, state: State, journal: Journal) -> None:
        self._disk = state.disk
        self._state = state
        self._steps = journal.steps
        self._trash = Trash(state)
        self._set_aside = {s.path: s.aside for s in journal.steps if s.action == Action.SET_ASIDE}
        self._made_way = {s.path: s.aside for s in journal.steps if s.action == Action.REMOVE}
        self._made_way |= self._set_aside

    def forward(self) -> None:
        """Bring the live tree from wherever it is to the new one, durably.

        Raises:
            OSError: a step failed; `backward` can be called.
            InstallError: the result is not the new tree; another program was faster.
        """
        for step in self._steps:
            self._forward(step)
        sync_steps(self._state, self._steps)
        for step in self._steps:
            self._check(step)

    def backward(self) -> None:
        """Bring the live tree from wherever it is back to the old one, durably.

        Raises:
            OSError: a step could not be undone; call it again when its cause is gone.
        """
        for step in reversed(self._steps):
            self._backward(step)
        self._trash.save()
        sync_steps(self._state, self._steps)

    def park(self) -> None:
        """After the commit: what went aside moves to the State, but for what is the user's."""
        for number, step in enumerate(self._steps):
            if step.parks:
                self._park(number, step)
            elif step.action in {Action.RMDIR, Action.SET_ASIDE}:
                with suppress(OSError):  # worth less than the clean-up: a rollback makes a new one
                    self._park_folder(self._at(self._resting(step.path)), number)
        self.discard()

    def _park(self, number: int, step: Step) -> None:
        """Park a file; one that cannot be moved gets a second name, `discard` removes the first."""
        aside, parked = self._at(self._resting(step.aside)), self._state.parked_file(number)
        try:
            if not self._is_users(step):
                return move(self._disk, aside, parked)
        except OSError:  # it cannot be looked at, or does not move: `discard` says what of it
            with suppress(OSError):
                return self._park_second_name(aside, parked)
        else:
            return self._park_second_name(aside, parked)  # the user's stays where it is, too

    def _park_second_name(self, aside: Path, parked: Path) -> None:
        if present(aside) and not present(parked):
            self._disk.keep(aside, parked)

    def _park_folder(self, folder: Path, number: int) -> None:
        """An empty one in its stead, for the same people: it may come back."""
        if not is_folder(folder) or folder.name == CACHE:
            return
        parked = self._state.parked_file(number)
        self._disk.rmdir(parked)  # of a clean-up that was stopped: nobody may open it now
        self._disk.mkdir(parked, private=True)
        self._disk.imitate(parked, folder)

    def discard(self) -> None:
        """After the commit: remove what still lies aside, but for what is the user's."""
        for step in self._steps:
            if step.aside and step.action != Action.SET_ASIDE:
                self._discard(step)
        folders = [s.path for s in self._steps if s.action == Action.RMDIR]
        for path in [*folders, *self._set_aside]:
            self._trash.remove_folder(self._resting(path))
        self._trash.save()
        sync_steps(self._state, self._steps)

    def _discard(self, step: Step) -> None:
        aside = self._resting(step.aside)
        try:
            is_users = self._is_users(step)
        except OSError:  # perhaps the user's: it is looked at again
            self._trash.remember(aside, step.was)
        else:
            if not is_users:
                self._trash.remove(aside, step.was)

    def give_up(self) -> None:
        """Remember what lies beside the live files, for a repair goes on without this journal.

        Raises:
            OSError: the disk.
        """
        for step in self._steps:
            if step.action is Action.PUT and not step.own:
                self._trash.remember(step.incoming, step.content)
                if not step.aside:  # if the release has it that is repaired to, it is spared
                    self._trash.remember(step.path, step.content)
            if step.parks and not (step.keep or step.own):
                self._trash.remember(step.aside, step.was)
        self._trash.save()

    def kept(self) -> tuple[str, ...]:
        """After the commit: where the user's work lies that had to make way."""
        files = [self._resting(step.aside) for step in self._steps if self._is_users(step)]
        folders = [aside for aside in self._set_aside.values() if present(self._at(aside))]
        return (*files, *folders)

    def _is_users(self, step: Step) -> bool:
        """True if the file that went aside is the user's work, perhaps saved after the planning.

        No time of a file tells: whoever saves it may set that.
        """
        if step.keep or step.own or step.disposable or not step.parks:
            return step.keep
        aside = self._at(self._resting(step.aside))
        return present(aside) and content_of(aside) != step.was

    def _forward(self, step: Step) -> None:
        path, aside = self._at(step.path), self._at(step.aside)
        if step.action == Action.MKDIR:
            self._disk.mkdir(path)
            self._disk.fit(path, executable=True)
        elif step.action == Action.PUT:
            self._put(step)
        elif not present(aside) and not self._is_carried(step):
            self._move_aside(step, path, aside)

    def _move_aside(self, step: Step, path: Path, aside: Path) -> None:
        if step.action in {Action.REMOVE, Action.SET_ASIDE} and present(path):
            self._disk.replace(path, aside)

    def _is_carried(self, step: Step) -> bool:
        """True if the folder of a step went aside already: its path may lead elsewhere now."""
        folders = map(str, PurePosixPath(step.path).parents)
        asides = (self._set_aside[folder] for folder in folders if folder in self._set_aside)
        return any(present(self._at(aside)) for aside in asides)

    def _put(self, step: Step) -> None:
        path, incoming = self._at(step.path), self._at(step.incoming)
        move(self._disk, self._state.staged(step.stage), incoming)
        if present(incoming):
            aside = self._at(step.aside)
            if not step.aside and not step.own and present(path):
                raise MachineError(
                    f"{step.path} was made while the update was made ready",
                    hint="try again",
                    retryable=True,
                )
            if step.aside and present(path) and not present(aside):
                self._disk.replace(path, aside) if WINDOWS else self._disk.keep(path, aside)
            if not is_link(incoming):
                self._admit(step, incoming)
            self._disk.replace(incoming, path)

    def _admit(self, step: Step, incoming: Path) -> None:
        """Let those use a new file who may use what it replaces, or else who may enter its folder.

        Only whether it is executable is for the release to say.
        """
        path, is_executable_now = self._at(step.path), is_executable(incoming)
        if step.aside and path.is_file() and not is_link(path):
            self._disk.imitate(incoming, path, executable=is_executable_now)
        elif not step.own:
            self._disk.fit(incoming, executable=is_executable_now)
        if step.own:
            self._disk.hand_over(incoming)

    def _backward(self, step: Step) -> None:
        path, aside = self._at(step.path), self._at(step.aside)
        if step.action in {Action.REMOVE, Action.SET_ASIDE}:
            if present(aside):
                self._disk.replace(aside, path)
        elif self._is_undone(step):
            pass
        elif step.action == Action.MKDIR:
            self._trash.remove_folder(step.path)
        elif step.action == Action.PUT:
            self._take_out(step)

    def _is_undone(self, step: Step) -> bool:
        """True if the old entry is back at the path of the step already.

        An undo that was interrupted and runs again must not take that out.
        """
        places = (step.path, *map(str, PurePosixPath(step.path).parents))
        asides = (self._made_way[place] for place in places if place in self._made_way)
        return any(not present(self._at(aside)) for aside in asides)

    def _take_out(self, step: Step) -> None:
        path, aside = self._at(step.path), self._at(step.aside)
        arrived = not present(self._state.staged(step.stage)) and not present(
            self._at(step.incoming)
        )
        if step.aside and present(aside):
            if present(path) and (not arrived or same(path, aside)):
                self._disk.unlink(aside)  # the old file never left, though it may be immutable
            else:
                self._disk.replace(aside, path)
        elif not step.aside and arrived:
            self._take_away(step)
        names = [step.incoming, step.incoming + PART]
        names += [step.aside + PART] if step.aside else []
        for name in names:
            self._disk.unlink(self._at(name))

    def _take_away(self, step: Step) -> None:
        if step.own:  # it says which version this is
            self._disk.unlink(self._at(step.path))
        else:
            self._trash.remove(step.path, step.content)

    def _check(self, step: Step) -> None:
        if step.action == Action.PUT and content_of(self._at(step.path)) != step.content:
            raise MachineError(
                f"{step.path} is not what was put there",
                hint="another program changes the install folder; try again",
            )

    def _at(self, path: str) -> Path:
        return self._state.at(path)

    def _resting(self, path: str) -> str:
        """The place of ``path`` after the commit, folders set aside taken into account."""
        for folder, aside in self._set_aside.items():
            if path == folder or path.startswith(folder + "/"):
                return aside + path[len(folder) :]
        return path


def discard_stage(state: State) -> None:
    """Remove staged and scratch files, and what waits to be committed: no journal needs them.

    With them goes what a killed process was just writing in the State.
    """
    state.disk.unlink(named(state, Phase.STAGED))
    parts = [*state.folder.glob(f"*{PART}")]
    if not is_link(state.reports):
        parts += state.reports.glob(f"*{PART}")
    for path in (state.stage, state.scratch, *sorted(parts)):
        clear(state, path)
