"""The launcher: recovers, commits what is staged, starts the application, watches a new version.

Shortcuts, services and `restart` start it, never the application itself: a half-swapped tree
may hold the interpreter, or this very package. It lies outside the tree and needs the standard
library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from updater.errors import InstallError, UpdateInProgress, UpdaterError
from updater.launch.brief import Brief, is_text, read_brief
from updater.launch.disk import WINDOWS, Disk, disk_error, told
from updater.launch.document import read
from updater.launch.environment import unfrozen
from updater.launch.journal import Phase, phase_of
from updater.launch.lock import locked
from updater.launch.pending import commit_pending
from updater.launch.recover import recover
from updater.launch.rollback import roll_back
from updater.launch.running import VARIABLE, alone, share
from updater.launch.state import State
from updater.launch.trial import Trial, confirm, count_start, is_confirmed, read_trial, settle

FOLDER_VARIABLE = "UPSWAP_DIR"
"""Environment of the application: its install folder."""
VERSION_VARIABLE = "UPSWAP_VERSION"
"""Environment of the application: its version, which it confirms."""
PREVIOUS_VARIABLE = "UPSWAP_PREVIOUS_VERSION"
"""Environment of the application: the version before, on the first start after a change."""

LOCK_TIMEOUT = 60.0
"""Seconds to wait for a commit that is at work; one takes seconds at most."""
SHARE_TIMEOUT = 5.0
"""Seconds after which it is asked whether a commit is at work at all."""
TRIAL_TIMEOUT = 10.0
"""Seconds to wait for the lock if a start must be counted."""
POLL = 0.1
"""Seconds between two looks at a new version."""
GRACE = 10.0
"""Seconds a version that is rolled back has to end by itself."""
HEALTH_PAUSE = 1.0
"""Seconds between two health commands."""


@dataclass(frozen=True)
class Launcher:
    """Starts the application of one install."""

    state: State
    disk: Disk = field(default_factory=Disk)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self, arguments: Sequence[str] = ()) -> int:
        """Start the application, after whatever must be done first; its exit code.

        On POSIX this process becomes the application where nothing is left to watch.

        Raises:
            InstallError: the tree is not whole and cannot be made so, or nothing can be started.
        """
        with told(f"starting {self.state.install}"):
            trial = self._make_ready()
            while True:
                lock = self._share()
                brief = read_brief(self.state)  # not before: a commit may have been at work
                if trial is None:
                    return self._become(brief, arguments, lock)
                ended = _Watch(self, brief, trial, lock).run(arguments)
                if ended.why is None or not self._give_back(ended.why):
                    return ended.code
                trial = None

    def _make_ready(self) -> Trial | None:
        """The tree whole, and what was staged in place; the trial that is now on."""
        # An update that is being fetched is no reason to wait; a trial must be counted.
        patience = TRIAL_TIMEOUT if read_trial(self.state) else 0.0
        try:
            with locked(self.state.lock, "starting", patience):
                recover(self.disk, self.state)
                return self._bring_up()
        except UpdateInProgress:
            return read_trial(self.state)
        except (OSError, UpdaterError) as error:
            if not self._is_whole():
                raise
            if isinstance(error, PermissionError):
                return None  # somebody else's install: its owner's starts decide
            _tell(error)  # old or new, the tree is whole: it is started, and watched
            return read_trial(self.state)

    def _is_whole(self) -> bool:
        return phase_of(self.state) in {None, Phase.STAGED, Phase.COMMITTED}

    def _bring_up(self) -> Trial | None:
        trial = settle(self.disk, self.state)
        if trial is not None:
            return self._again(trial)
        with alone(self.state) as nobody_runs:
            if nobody_runs:
                self._commit()
        trial = settle(self.disk, self.state)
        return None if trial is None else self._count(trial)

    def _count(self, trial: Trial) -> Trial:
        """One start more; if that cannot be noted, it is watched all the same."""
        try:
            return count_start(self.disk, self.state, trial)
        except OSError as error:
            _tell(error)
            return trial

    def _commit(self) -> None:
        try:
            commit_pending(self.disk, self.state)
        except InstallError as error:
            if phase_of(self.state) is not None:
                raise
            _tell(error)  # the old version is whole: it is started

    def _again(self, trial: Trial) -> Trial | None:
        """Another start of a version that did not confirm the one before."""
        starts = read_brief(self.state).starts
        if trial.started < starts:
            return self._count(trial)
        with alone(self.state) as nobody_runs:
            if nobody_runs:
                self._roll_back(f"not confirmed in {starts} starts")
                return None
        return trial

    def _give_back(self, why: str) -> bool:
        """Roll back, unless another start has decided, or another window runs: it was counted."""
        with locked(self.state.lock, "rolling back", LOCK_TIMEOUT):
            if settle(self.disk, self.state) is None:
                return False
            with alone(self.state) as nobody_runs:
                if nobody_runs:
                    self._roll_back(why)
                return nobody_runs

    def _roll_back(self, why: str) -> None:
        commit = roll_back(self.disk, self.state, why)
        _say(f"{commit.new} {why}: {commit.old} is back")

    def _share(self) -> int | None:
        """The lock of a running application, when the tree is whole.

        Raises:
            UpdateInProgress: it does not become whole.
        """
        deadline = self.monotonic() + LOCK_TIMEOUT
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
            if self.monotonic() >= deadline:
                raise UpdateInProgress(
                    f"{self.state.install} is being changed", hint="wait and start it again"
                )
            self.sleep(POLL)

    def _nobody_commits(self) -> bool:
        """Whether the run lock is held by somebody who has no business with it."""
        with suppress(OSError, UpdateInProgress), locked(self.state.lock, "starting"):
            return self._is_whole()
        return False

    def _become(self, brief: Brief, arguments: Sequence[str], lock: int | None) -> int:
        line = self.command(brief, arguments)
        environment = self.surroundings(brief, lock)
        with suppress(OSError):  # told once; twice is no harm
            self.disk.unlink(self.state.arrival)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # a Windows program without a console has none
                stream.flush()
        if not WINDOWS:
            os.execve(line[0], line, environment)  # noqa: S606 - the publisher's, verified
        return subprocess.call(line, env=environment)  # noqa: S603 - as above

    def command(self, brief: Brief, arguments: Sequence[str]) -> list[str]:
        """The command line that starts the application.

        Raises:
            InstallError: the release names nothing to start.
        """
        if not brief.entry:
            raise InstallError(
                "this release names no entry to start",
                hint="set entry in release.toml when the release is made",
            )
        return [str(self.state.install / brief.entry[0]), *brief.entry[1:], *arguments]

    def surroundings(self, brief: Brief, lock: int | None) -> dict[str, str]:
        """The environment of the application."""
        environment = unfrozen(self.environment)
        for name in (VARIABLE, PREVIOUS_VARIABLE):
            environment.pop(name, None)
        environment[FOLDER_VARIABLE] = str(self.state.install)
        environment[VERSION_VARIABLE] = brief.version
        if lock is not None:
            environment[VARIABLE] = str(lock)
        if previous := self._previous():
            environment[PREVIOUS_VARIABLE] = previous
        return environment

    def _previous(self) -> str:
        with suppress(OSError, InstallError):
            previous = (read(self.state.arrival) or {}).get("previous")
            if is_text(previous):
                return str(previous)
        return ""


@dataclass(frozen=True)
class _Ended:
    """How a watched start ended."""

    code: int
    why: str | None = None
    """What was wrong with the new version; None: nothing."""


class _Watch:
    """One start of a version on trial."""

    def __init__(self, launcher: Launcher, brief: Brief, trial: Trial, lock: int | None) -> None:
        self._launcher = launcher
        self._brief = brief
        self._trial = trial
        self._lock = lock
        self._asked_to_end = False

    def run(self, arguments: Sequence[str]) -> _Ended:
        """Start it, and wait for its end, or for the end of its time."""
        launcher = self._launcher
        try:
            child = self._start(arguments)
        except OSError as error:
            self._let_go()
            return _Ended(1, f"cannot be started: {error.strerror}")
        before = {number: signal.signal(number, self._pass_on(child)) for number in _PASSED_ON}
        try:
            why = self._until_settled(child, launcher.monotonic() + self._brief.seconds)
            if why is not None:
                _end(child)
            code = _code_of(child.wait())
            if why is None:
                self._settle()
            return _Ended(code, why)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._let_go()

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        launcher = self._launcher
        return subprocess.Popen(  # noqa: S603 - the publisher's own, verified executable
            launcher.command(self._brief, arguments),
            env=launcher.surroundings(self._brief, self._lock),
            pass_fds=() if WINDOWS or self._lock is None else (self._lock,),
        )

    def _until_settled(self, child: subprocess.Popen[bytes], deadline: float) -> str | None:
        """Wait until the version is confirmed or has ended well (None), or has failed (why)."""
        launcher = self._launcher
        checked = launcher.monotonic()
        while True:
            if self._is_settled():
                self._let_go()  # an update it makes is committed by the launcher it restarts
                return None
            code = child.poll()
            if code is not None:
                good = code == 0 or self._asked_to_end or -code in _PASSED_ON
                return None if good else f"ended with {_told(code)}"
            if self._asked_to_end:
                return None
            if launcher.monotonic() >= deadline:
                return f"not confirmed in {self._brief.seconds} seconds"
            if self._brief.health and launcher.monotonic() - checked >= HEALTH_PAUSE:
                self._ask_health(child, deadline)
                checked = launcher.monotonic()
            launcher.sleep(POLL)

    def _settle(self) -> None:
        launcher = self._launcher
        with suppress(OSError, UpdaterError), locked(launcher.state.lock, "confirming"):
            settle(launcher.disk, launcher.state)

    def _is_settled(self) -> bool:
        """Without the lock, which the application may want for an update of its own."""
        state = self._launcher.state
        with suppress(OSError):  # the next look sees it
            return is_confirmed(state, self._trial) or read_trial(state) is None
        return False

    def _ask_health(self, child: subprocess.Popen[bytes], deadline: float) -> None:
        """Run the health command as long as the application runs and there is time."""
        launcher = self._launcher
        try:
            command = self._start_health()
        except OSError:
            return
        while command.poll() is None and child.poll() is None and launcher.monotonic() < deadline:
            launcher.sleep(POLL)
        if command.poll() == 0 and child.poll() in {None, 0}:
            with suppress(OSError):
                confirm(launcher.disk, launcher.state, self._trial.version)
        _kill_all(command)

    def _start_health(self) -> subprocess.Popen[bytes]:
        launcher, brief = self._launcher, self._brief
        nothing = subprocess.DEVNULL  # the application speaks there
        return subprocess.Popen(  # noqa: S603 - the publisher's own, verified executable
            [str(launcher.state.install / brief.health[0]), *brief.health[1:]],
            cwd=launcher.state.install,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            env=launcher.surroundings(brief, None),
            start_new_session=True,
        )

    def _pass_on(self, child: subprocess.Popen[bytes]) -> Callable[[int, FrameType | None], None]:
        """A service that is stopped, or Ctrl-C, says nothing about the version."""

        def handler(number: int, _frame: FrameType | None) -> None:
            self._asked_to_end = True
            if number != signal.SIGINT or not _from_terminal():  # else it has it already
                child.send_signal(number)

        return handler

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


_PASSED_ON = [signal.SIGTERM, signal.SIGINT] + ([] if WINDOWS else [signal.SIGHUP])


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask a version that has failed to end, then make it."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()


def _kill_all(command: subprocess.Popen[bytes]) -> None:
    """End a health command, with whatever it has started."""
    if WINDOWS:
        command.kill()
    else:
        with suppress(OSError):  # it has ended, and all of its own
            os.killpg(command.pid, signal.SIGKILL)
    command.wait()


def _from_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _code_of(code: int) -> int:
    """An exit code as shells give it."""
    return code if code >= 0 else 128 - code


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _tell(error: OSError | UpdaterError) -> None:
    shown = disk_error("starting", error) if isinstance(error, OSError) else error
    _say(f"error: {shown}")
    if shown.hint:
        _say(f"hint: {shown.hint}")


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def state_around(launcher: Path) -> State:
    """The install a launcher belongs to, from where the launcher lies: the folder may be moved.

    Args:
        launcher: ``STATE/launcher/N/FILE``.
    """
    folder = launcher.resolve().parents[2]
    name = folder.name.removesuffix(".upswap").removeprefix(".")
    return State(folder.parent / name if name else folder.parent, folder)


def main(launcher: Path, arguments: Sequence[str]) -> int:
    """Be the launcher that lies at ``launcher``; the exit code."""
    try:
        return Launcher(state_around(launcher)).run(arguments)
    except UpdaterError as error:
        _tell(error)
        return error.exit_code
