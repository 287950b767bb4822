"""The launcher: recovers, commits what is staged, starts the application, watches a new version.

Shortcuts, services and `restart` start it, never the application itself: a half-swapped tree
may hold the interpreter, or this very package. It lies outside the tree and needs the standard
library only.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from updater.disk.durable import WINDOWS, disk_error, machine_errors, present
from updater.disk.json_file import read
from updater.disk.lock import locked
from updater.errors import InstallError, RequestError, UpdateInProgress, UpdaterError
from updater.launch.commit.journal import Phase, phase_of
from updater.launch.commit.pending import commit_pending, pending_version
from updater.launch.commit.recover import recover
from updater.launch.commit.rollback import rollback
from updater.launch.start.environment import for_application, seconds_to_wait
from updater.launch.start.release_facts import ReleaseFacts, is_text, read_release_facts
from updater.launch.start.run_lock import alone, share
from updater.launch.start.trial import (
    Trial,
    begin_start,
    end_start,
    is_confirmed,
    read_trial,
    settle,
)
from updater.launch.start.watch import POLL, Clock, Ended, Start, Watch
from updater.launch.state import GONE_HINT, SUFFIX, State

LOCK_TIMEOUT = 60.0
"""Seconds to wait for a commit that is at work; one takes seconds at most."""
SHARE_TIMEOUT = 5.0
"""Seconds after which it is asked whether a commit is at work at all."""
TRIAL_TIMEOUT = 10.0
"""Seconds to wait for the lock if a start must be counted."""
END_TIMEOUT = 1.0
"""Seconds to wait for it at the end of a start: somebody may have asked for that end."""
ALONE_TIMEOUT = 2.0
"""Seconds the helper processes of a version that has failed have to end after it."""


@dataclass(frozen=True)
class Launcher:
    """Starts the application of one install."""

    state: State
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    clock: Clock = field(default_factory=Clock)

    def run(self, arguments: Sequence[str] = ()) -> int:
        """Start the application, after whatever must be done first; its exit code.

        On POSIX this process becomes the application where nothing is left to watch.

        Raises:
            InstallError: the tree is not whole and cannot be made so, or nothing can be started.
        """
        with machine_errors(f"starting {self.state.install}"):
            self._require_folder()
            trial = self._make_ready()
            start, facts = self._start(arguments)
            for tried in count(1):
                if trial is None:
                    break
                ended = self._watch(start, facts, trial)
                is_last = tried >= facts.starts
                if ended.why is None or not self._goes_on(ended.why, trial, facts, is_last=is_last):
                    return ended.code
                trial = self._trial()
                start, facts = self._start(arguments)
            return self._become(start)

    def _require_folder(self) -> None:
        """Without it nothing can be told, nor held against a version on trial."""
        if not present(self.state.install):
            raise RequestError(f"{self.state.install} is not there", hint=GONE_HINT)

    def _make_ready(self) -> Trial | None:
        """The tree whole, and what was staged in place; the trial that is now on."""
        # An update that is being fetched is no reason to wait; a trial must be counted.
        patience = TRIAL_TIMEOUT if self._trial() else 0.0
        try:
            with locked(self.state.lock, "starting", patience):
                recover(self.state)
                return self._bring_up()
        except UpdateInProgress:
            return self._trial()
        except PermissionError:
            self._print_what_waits()
            return None  # somebody else's install: its owner's starts decide
        except (OSError, UpdaterError) as error:
            if not self._is_whole():
                raise
            _print_error(error)  # old or new, the tree is whole: it is started, and watched
            return None if _is_read_only(error) else self._trial()

    def _print_what_waits(self) -> None:
        """Say that this user's starts do not commit the staged update."""
        with suppress(OSError, InstallError):
            if phase_of(self.state) is Phase.STAGED:  # its journal is for the owner to read
                pending = pending_version(self.state) or "an update"
                _print(f"{pending} waits: this user may not change {self.state.install}")
                _print("hint: its owner brings it, by a start or by updater update")

    def _trial(self) -> Trial | None:
        """The trial that is on, for a start without the lock; None if that cannot be told."""
        with suppress(OSError):  # who starts the application can do nothing about it
            trial = read_trial(self.state)
            if trial is not None and not is_confirmed(self.state, trial):
                return trial
        return None

    def _is_whole(self) -> bool:
        return phase_of(self.state) in {None, Phase.STAGED, Phase.COMMITTED}

    def _bring_up(self) -> Trial | None:
        trial = settle(self.state)
        with self._alone() as nobody_runs:
            if nobody_runs and not (trial is not None and self._is_taken_back(trial)):
                self._commit()
        trial = settle(self.state)
        return None if trial is None else self._begin(trial)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Yield True if no application runs; a restart lets this wait for its end."""
        seconds = seconds_to_wait(self.environment)
        pending = pending_version(self.state) if seconds else ""
        with alone(self.state) as nobody_runs:
            pass
        if pending and not nobody_runs:
            _print(f"{pending} waits up to {seconds:g} seconds for the application to end")
        with alone(self.state, patience=seconds if pending else 0.0) as nobody_runs:
            if pending and not nobody_runs:
                _print(f"{pending} comes with a later start: the application still runs")
            yield nobody_runs

    def _is_taken_back(self, trial: Trial) -> bool:
        """Roll back what has failed before, when another window of it ran."""
        why = trial.verdict(read_release_facts(self.state).starts)
        if why:
            self._rollback(why)
        return bool(why)

    def _begin(self, trial: Trial) -> Trial:
        """One start more; if that cannot be noted, it is watched all the same."""
        try:
            return begin_start(self.state, trial)
        except OSError as error:
            _print_error(error)
            return trial

    def _commit(self) -> None:
        pending = pending_version(self.state)
        try:
            if commit_pending(self.state) is None and pending:
                _print(
                    f"{pending} does not fit what was changed here meanwhile: updater update does"
                )
        except InstallError as error:
            if phase_of(self.state) is not None:
                raise
            _print_error(error)  # the old version is whole: it is started

    def _goes_on(self, why: str, trial: Trial, facts: ReleaseFacts, *, is_last: bool) -> bool:
        """True if something is to be started after a failure: the same version, or the old one.

        Not if another start has decided meanwhile. While another window runs nothing is taken
        back: the failure is noted, and the next start does it.
        """
        with locked(self.state.lock, "rolling back", LOCK_TIMEOUT):
            recover(self.state)  # what is parked must be what this version replaced
            now = settle(self.state)
            if now is None or now.version != trial.version:
                return False
            now = self._count(now, why)
            if now.failed < facts.starts and not is_last:
                _print(f"{now.version} {why}: it is started once more")
                self._begin(now)
                return True
            return self._gives_back(now.version, why)

    def _gives_back(self, version: str, why: str) -> bool:
        with alone(self.state, patience=ALONE_TIMEOUT) as nobody_runs:
            if not nobody_runs:
                _print(f"{version} {why}: not rolled back, because it still runs elsewhere")
                return False
            try:
                self._rollback(why)
            except InstallError as error:
                if not self._is_whole():
                    raise
                _print_error(error)  # there is no way back: every start tries what is there
                return False
            return True

    def _count(self, trial: Trial, why: str) -> Trial:
        """A failed start; a disk that is full keeps nobody from going back."""
        try:
            return end_start(self.state, trial, why)
        except OSError as error:
            _print_error(error)
            return replace(trial, failed=trial.failed + 1, why=why)

    def _rollback(self, why: str) -> None:
        commit = rollback(self.state, why)
        _print(f"{commit.new} {why}: {commit.old} is back")

    def _share(self) -> int | None:
        """The lock of a running application, when the tree is whole.

        Raises:
            UpdateInProgress: it does not become whole.
        """
        deadline = self.clock.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                lock = share(self.state, SHARE_TIMEOUT)
            except UpdateInProgress:
                if self._nobody_commits():
                    return None
                lock = None
            else:
                if self._is_whole():
                    return lock
            if lock is not None:
                os.close(lock)
            if self.clock.monotonic() >= deadline:
                raise UpdateInProgress(
                    f"{self.state.install} is being changed",
                    hint="wait and start it again, or run updater recover as its owner",
                )
            self.clock.sleep(POLL)

    def _nobody_commits(self) -> bool:
        """True if the run lock is held though no commit is at work."""
        try:
            with locked(self.state.lock, "starting"):
                return self._is_whole()
        except UpdateInProgress:
            return False
        except OSError:  # whose install this is not cannot tell, and is not to be kept out
            return self._is_whole()

    def _start(self, arguments: Sequence[str]) -> tuple[Start, ReleaseFacts]:
        """The start to make, and the facts of its release; from here on nothing is committed."""
        lock = self._share()
        facts = read_release_facts(self.state)  # not before: a commit may have been at work
        environment = for_application(
            self.environment, self.state.install, facts.version, self._previous(), lock
        )
        return Start(self.command(facts, arguments), environment, lock), facts

    def _watch(self, start: Start, facts: ReleaseFacts, trial: Trial) -> Ended:
        """Watch one start; one that says nothing of the version is not held against it."""
        is_failed = False
        try:
            ended = Watch(self.state, self.clock, facts, trial).run(start)
            is_failed = ended.why is not None
            return ended
        finally:
            if not is_failed:
                self._note_end(trial.version)

    def _note_end(self, version: str) -> None:
        """End a trial that was confirmed; else this start was not cut off."""
        with suppress(OSError, UpdaterError), locked(self.state.lock, "confirming", END_TIMEOUT):
            now = settle(self.state)
            if now is not None and now.version == version:
                end_start(self.state, now)

    def _become(self, start: Start) -> int:
        with suppress(OSError):  # told once; twice is no harm
            self.state.disk.unlink(self.state.arrival)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # a Windows program without a console has none
                stream.flush()
        if not WINDOWS:
            os.execve(start.line[0], start.line, start.environment)  # noqa: S606 - verified
        return subprocess.call(start.line, env=start.environment)  # noqa: S603 - as above

    def command(self, facts: ReleaseFacts, arguments: Sequence[str]) -> list[str]:
        """The command line that starts the application.

        Raises:
            InstallError: the release names nothing to start.
        """
        if not facts.entry:
            raise RequestError(
                "this release names no entry to start",
                hint="set entry in release.toml when the release is made",
            )
        return [str(self.state.install / facts.entry[0]), *facts.entry[1:], *arguments]

    def _previous(self) -> str:
        with suppress(OSError, InstallError):
            previous = (read(self.state.arrival) or {}).get("previous")
            if is_text(previous):
                return str(previous)
        return ""


def _is_read_only(error: OSError | UpdaterError) -> bool:
    """True if the disk is read-only: neither a confirmation nor a rollback can be written."""
    return isinstance(error, OSError) and error.errno == errno.EROFS


def _print_error(error: OSError | UpdaterError) -> None:
    shown = disk_error("starting", error) if isinstance(error, OSError) else error
    _print(f"error: {shown}")
    if shown.hint:
        _print(f"hint: {shown.hint}")


def _print(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def state_around(launcher: Path) -> State:
    """The install a launcher belongs to, from where the launcher lies: the folder may be moved.

    Args:
        launcher: ``STATE/launcher/N/FILE``; if a link leads to the State, its own name counts, or
            else that of the link.

    Raises:
        InstallError: neither is the name of a State.
    """
    for place in (launcher.resolve(), launcher.absolute()):
        folder = place.parents[2]
        if folder.name == SUFFIX:
            return State(folder.parent, folder)
        if folder.name.startswith(".") and folder.name.endswith(SUFFIX):
            return State(folder.parent / folder.name[1 : -len(SUFFIX)], folder)
    raise RequestError(
        f"{launcher.parents[2]} is not the State of an install",
        hint=f"put it beside the install, with the name .NAME{SUFFIX}, NAME being the install's",
    )


def main(launcher: Path, arguments: Sequence[str]) -> int:
    """Be the launcher that lies at ``launcher``; the exit code."""
    try:
        return Launcher(state_around(launcher)).run(arguments)
    except UpdaterError as error:
        _print_error(error)
        return error.exit_code
