"""The watch over one start of a version on trial, by the launcher, which stays its parent.

It waits until the version is confirmed, or has ended well, or has failed. It judges, and changes
nothing but to note a confirmation: what becomes of a version that has failed the launcher decides.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from updater.disk.durable import FULL, WINDOWS
from updater.errors import MachineError
from updater.launch.start.environment import is_reported_up, watched
from updater.launch.start.release_facts import ReleaseFacts
from updater.launch.start.run_lock import VARIABLE as RUN_LOCK
from updater.launch.start.trial import Trial, confirm, is_confirmed, read_trial
from updater.launch.state import State

POLL = 0.1
"""Seconds between two looks at a new version."""
STEP = 1.0
"""Seconds that count at most between two looks: in a longer gap this machine slept, or all was
stopped with Ctrl-Z."""
GRACE = 10.0
"""Seconds a version that is rolled back has to end by itself."""
HEALTH_PAUSE = 1.0
"""Seconds between two health commands."""
PASSED_ON = [signal.SIGTERM, signal.SIGINT] + ([] if WINDOWS else [signal.SIGHUP])
"""Signals that end the application: from a service manager, a log-out, Ctrl-C."""
ENDED = {-number for number in PASSED_ON} | {128 + number for number in PASSED_ON}
"""Exit codes of what was ended so, itself or, as shells give it, what it waited for."""
CONSOLE_CLOSED = {0xC000013A, 0x40010004}
"""Windows: exit codes of what Ctrl-C, a closed console, a log-off or a shutdown has ended."""
HEARING = 0.3
"""Seconds after a crash within which whoever ends all of a session reaches this process too."""
SCARCE = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
BUSY = {errno.EINTR, errno.ETXTBSY}
BROKEN = {errno.EIO, errno.ESTALE}
MACHINES = SCARCE | BUSY | BROKEN | FULL | {errno.E2BIG}
"""Errors for which no program, or none from this disk or with these arguments, can be started now:
no fault of the version."""
SHARING_VIOLATION = 32
"""Windows: another program has the file open, such as a virus scanner."""


if sys.platform == "win32":

    def _has_ctrl_c(_child: int) -> bool:
        """The console tells all its programs, and nothing else sends it there."""
        return True

    def _may_not_run(_entry: str, error: OSError) -> bool:
        """True if no program at all may be run where ``entry`` lies."""
        return error.winerror == SHARING_VIOLATION

else:
    NOEXEC: int = getattr(os, "ST_NOEXEC", 0)
    """A disk from which no program may be run; Linux says so."""

    def _has_ctrl_c(child: int) -> bool:
        """True if ``child`` has a Ctrl-C that this process has, and must not get it once more.

        The terminal sends it to its foreground process group, whatever stdin is. Where both are
        in that group it is taken for such a one; a service manager's comes without a terminal.
        """
        with suppress(OSError):  # no terminal; or the child has ended
            terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
            try:
                return os.getpgid(child) == os.getpgrp() == os.tcgetpgrp(terminal)
            finally:
                os.close(terminal)
        return False

    def _may_not_run(entry: str, _error: OSError) -> bool:
        """True if no program at all may be run where ``entry`` lies."""
        try:
            return bool(os.statvfs(entry).f_flag & NOEXEC)
        except PermissionError:  # a folder above it
            return True


@dataclass(frozen=True)
class Clock:
    """The launcher's time."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Start:
    """A command line to start, and its environment."""

    line: list[str]
    environment: dict[str, str]
    lock: int | None
    """The open file that says that the application runs."""


@dataclass(frozen=True)
class Ended:
    """The end of a watched start."""

    code: int
    why: str | None = None
    """The fault of the new version; None: there is none."""


class Watch:
    """One start of a version on trial."""

    def __init__(self, state: State, clock: Clock, facts: ReleaseFacts, trial: Trial) -> None:
        self._state = state
        self._clock = clock
        self._facts = facts
        self._trial = trial
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._asked_to_end = False
        self._too_early: list[int] = []
        self._was_heard = False

    def run(self, start: Start) -> Ended:
        """Start it, and wait for its end, or for the end of its time.

        Raises:
            InstallError: it cannot be started, and that is not its own fault.
            OSError: the disk.
        """
        self._lock = start.lock
        try:
            with self._passing_on():
                return self._begun(start)
        finally:
            self._let_go()

    def _begun(self, start: Start) -> Ended:
        try:
            self._child = _begin(start)
        except OSError as error:
            return _not_begun(start, error)
        for number in self._too_early:
            self._pass_on(self._child, number)
        return self._judge(self._child, start)

    def _judge(self, child: subprocess.Popen[bytes], start: Start) -> Ended:
        why = self._until_settled(child, start)
        if why is not None:
            _end(child)
        code = child.wait()
        with suppress(OSError):
            self._note_what_was_heard()
        return Ended(_shell_code(code), why)

    def _until_settled(self, child: subprocess.Popen[bytes], start: Start) -> str | None:
        """Wait until the version is confirmed or has ended well (None), or has failed (why)."""
        time_left = _TimeLeft(self._clock, self._facts.seconds)
        health = _Health(self._state, self._clock, self._facts, start, self._is_over(time_left))
        while not self._is_settled():
            if child.poll() is not None:
                return self._why_ended(child, health)
            if time_left.is_over():
                return self._why_late()
            health.ask(child)
            self._clock.sleep(POLL)
        self._let_go()  # an update it makes is committed by the launcher it restarts
        return None

    def _why_ended(self, child: subprocess.Popen[bytes], health: _Health) -> str | None:
        """Judge an end: a confirmation counts, and after exit code 0 the health command decides."""
        code = child.returncode
        if code != 0:
            self._clock.sleep(HEARING)
        elif not self._asked_to_end:
            health.ask_at_once(child)
        if code == 0 or self._asked_to_end or self._is_settled() or _is_ended_by_others(code):
            return None
        return f"ended with exit code {code}" if code > 0 else f"ended with signal {-code}"

    def _why_late(self) -> str | None:
        """The reason of a start that is not confirmed in time; none if it was asked to end."""
        return None if self._asked_to_end else f"not confirmed in {self._facts.seconds} seconds"

    def _is_over(self, time_left: _TimeLeft) -> Callable[[subprocess.Popen[bytes]], bool]:
        """True if nobody waits for an answer any more."""

        def is_over(child: subprocess.Popen[bytes]) -> bool:
            has_obeyed = self._asked_to_end and child.poll() is not None
            return has_obeyed or time_left.is_over()

        return is_over

    def _is_settled(self) -> bool:
        """Without the lock, which the application may want for an update of its own."""
        with suppress(OSError):  # the next look sees it
            self._was_heard = self._was_heard or is_reported_up(self._lock)
            self._note_what_was_heard()
            return is_confirmed(self._state, self._trial) or read_trial(self._state) is None
        return self._was_heard

    def _note_what_was_heard(self) -> None:
        """On the disk; if that is full just now, the version counts as confirmed all the same."""
        if self._was_heard:
            confirm(self._state, self._facts.version)

    @contextmanager
    def _passing_on(self) -> Iterator[None]:
        """A service that is stopped, or Ctrl-C, says nothing about the version.

        What whoever started this process has it ignore, as nohup does, the application ignores
        too: it ends nobody, so it excuses no end either.
        """

        def handler(number: int, _frame: FrameType | None) -> None:
            self._asked_to_end = True
            if self._child is None:
                self._too_early.append(number)
            else:
                self._pass_on(self._child, number)

        heard = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in heard}
        try:
            yield
        finally:
            for number, formerly in before.items():
                signal.signal(number, formerly)

    def _pass_on(self, child: subprocess.Popen[bytes], number: int) -> None:
        if number != signal.SIGINT or not _has_ctrl_c(child.pid):
            child.send_signal(number)

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _TimeLeft:
    """The seconds in which a version must be confirmed: only those count in which it can run."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._left = seconds
        self._looked = clock.monotonic()

    def is_over(self) -> bool:
        """True if no second is left; ask often, or too few seconds are counted."""
        now = self._clock.monotonic()
        self._left -= min(now - self._looked, STEP)
        self._looked = now
        return self._left <= 0


class _Health:
    """The health command of a release, asked again and again while the application runs."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        facts: ReleaseFacts,
        start: Start,
        is_over: Callable[[subprocess.Popen[bytes]], bool],
    ) -> None:
        self._state = state
        self._clock = clock
        self._facts = facts
        self._environment = start.environment
        self._asked = clock.monotonic()
        self._is_over = is_over

    def ask(self, child: subprocess.Popen[bytes]) -> None:
        """Ask, if it is time, and confirm the version if it is well."""
        if self._clock.monotonic() - self._asked >= HEALTH_PAUSE:
            self.ask_at_once(child)

    def ask_at_once(self, child: subprocess.Popen[bytes]) -> None:
        """Ask, and confirm the version if it is well and ``child`` did not crash."""
        if self._facts.health:
            with suppress(OSError):
                if self._is_well(child):
                    confirm(self._state, self._facts.version)
            self._asked = self._clock.monotonic()

    def _is_well(self, child: subprocess.Popen[bytes]) -> bool:
        command = self._begin()
        while command.poll() is None and child.poll() in {None, 0} and not self._is_over(child):
            self._clock.sleep(POLL)
        is_well = command.poll() == 0 and child.poll() in {None, 0}
        _kill_all(command)
        return is_well

    def _begin(self) -> subprocess.Popen[bytes]:
        install, words = self._state.install, self._facts.health
        known = {name: text for name, text in self._environment.items() if name != RUN_LOCK}
        nothing = subprocess.DEVNULL  # the application speaks there
        return subprocess.Popen(  # noqa: S603 - the publisher's own, verified executable
            [str(install / words[0]), *words[1:]],
            cwd=install,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            env=known,
            start_new_session=True,
        )


def _begin(start: Start) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the publisher's own, verified executable
        start.line,
        env=watched(start.environment, start.lock),
        pass_fds=() if WINDOWS or start.lock is None else (start.lock,),
    )


def _not_begun(start: Start, error: OSError) -> Ended:
    """A version that cannot be started has failed, unless nothing can be just now."""
    entry, why = start.line[0], f"cannot be started: {error.strerror}"
    is_denied = error.errno == errno.EACCES and _may_not_run(entry, error)
    if is_denied or error.errno in MACHINES:
        raise MachineError(
            f"{entry} {why}",
            hint="this says nothing about its version: see to the machine and start it again",
        ) from error
    return Ended(1, why)


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


def _is_ended_by_others(code: int) -> bool:
    return code in (CONSOLE_CLOSED if WINDOWS else ENDED)


def _shell_code(code: int) -> int:
    """An exit code as shells give it."""
    return code if code >= 0 else 128 - code
