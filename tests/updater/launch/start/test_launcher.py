"""The launcher, as a user's shortcut starts it: a real process, a real application, real time."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.support.crash.crash_disk import FaultyDisk, Killed, World, manifest_of, prepare, world_of
from tests.support.paths import ROOT
from tests.support.trees.trees import Content, Exe
from updater.disk.durable import Disk
from updater.disk.json_file import encode
from updater.disk.lock import locked
from updater.errors import ApplicationRuns, InstallError, UpdateInProgress
from updater.format.release_description import Confirm, Release
from updater.launch.commit.file_swap import FileSwap
from updater.launch.commit.journal import Phase, enter, named, phase_of
from updater.launch.commit.recover import commit, recover
from updater.launch.start.launcher import TRIAL_TIMEOUT, Launcher
from updater.launch.start.run_lock import alone, leave, share
from updater.launch.start.trial import CUT_OFF_MOST, Trial, confirm, read_trial
from updater.launch.start.watch import HEARING, NOEXEC, Clock
from updater.launch.state import State
from updater.local.launcher_files import (
    check_launcher,
    launcher_command,
    renew_launcher,
    start_command,
)
from updater.local.settings import Settings
from updater.stage.stage import Stage

PATIENCE = 30
SYSTEM_PYTHON = Path("/usr/bin/python3")
"""Root's own may lie where nobody else can read."""


def program(version: str, then: str = "") -> Exe:
    """An application that tells who it is, then does something."""
    text = (
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "def confirm():\n    import updater\n    updater.confirm()\n"
        f"print('I am {version}', os.environ.get('UPSWAP_PREVIOUS_VERSION', '-'),"
        " *sys.argv[1:], flush=True)\n"
        f"{then}\n"
    )
    return Exe(text.encode())


@dataclass
class Case:
    """An install of 1.0, and a launcher."""

    folder: Path
    world: World

    def release(self, version: str, then: str = "", confirm: Confirm | None = None) -> None:
        """Stage ``version`` over what is installed, and commit it."""
        self.stage(version, then, confirm)
        self.commit()

    def stage(self, version: str, then: str = "", confirm: Confirm | None = None) -> None:
        tree: dict[str, Content] = {"app": program(version, then), "data": version.encode()}
        release = Release(entry=("app",), confirm=confirm or Confirm())
        manifest = replace(manifest_of(self.folder, version, tree), release=release)
        state = self.world.state
        notes = {state.arrival: encode({"previous": self.world.manifest.version})}
        if release.confirm.mode != "none":
            notes[state.trial] = Trial(version, self.world.manifest.version).data
        self.journal = prepare(Disk(), self.world, manifest, tree, notes=notes)

    def commit(self) -> None:
        commit(self.world.state, self.journal)

    def hold(self) -> None:
        self.journal.hold(self.world.state)

    @property
    def line(self) -> list[str]:
        return launcher_command(self.world.state) or []

    def start(self, *arguments: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Start the application; what it said."""
        return subprocess.run(
            [*self.line, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """The application, started by the launcher, while the body runs."""
        process = subprocess.Popen(
            self.line, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            assert process.stdout
            process.stdout.readline()  # it tells who it is when it is up
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the launcher, and what it watches
            process.communicate()

    @property
    def version(self) -> str:
        return (self.world.state.install / "data").read_text()

    @property
    def settings(self) -> Settings:
        return Settings.parse(self.world.state.settings.read_bytes())


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return make(tmp_path)


def make(folder: Path, then: str = "") -> Case:
    """1.0 is installed."""
    tree: dict[str, Content] = {"app": program("1.0", then), "data": b"1.0"}
    manifest = replace(manifest_of(folder, "1.0", tree), release=Release(entry=("app",)))
    case = Case(folder, world_of(folder / "world", manifest, tree))
    state = case.world.state
    journal = prepare(Disk(), case.world, manifest, tree)
    commit(state, journal)
    renew_launcher(state, manifest)
    return case


APP = Confirm(mode="app", starts=1, seconds=60)


def test_the_application_gets_its_arguments_and_gives_its_exit_code(tmp_path: Path) -> None:
    case = make(tmp_path, "sys.exit(7)")
    done = case.start("a b", "--flag")
    assert done.stdout == "I am 1.0 - a b --flag\n"
    assert (done.returncode, done.stderr) == (7, "")


def test_the_shortcut_starts_the_application_from_any_folder(case: Case, tmp_path: Path) -> None:
    shortcut = start_command(case.world.state)
    assert shortcut
    done = subprocess.run([shortcut, "x"], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == "I am 1.0 - x\n"


def test_an_install_that_was_moved_still_starts(case: Case, tmp_path: Path) -> None:
    moved = tmp_path / "moved here"
    case.world.folder.rename(moved)
    shortcut = moved / ".app.upswap" / "launcher" / "start"
    done = subprocess.run([shortcut], capture_output=True, text=True, check=True)
    assert done.stdout == "I am 1.0 -\n"


def test_a_service_has_the_application_itself_as_its_process(tmp_path: Path) -> None:
    case = make(tmp_path, "print(os.getpid(), flush=True)")
    process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=PATIENCE)
    assert out.splitlines()[1] == str(process.pid)


@pytest.mark.parametrize("extent", [0.0, 0.5, 1.0])
def test_an_interrupted_update_is_finished_before_the_application_starts(
    extent: float, case: Case
) -> None:
    case.stage("2.0")
    case.journal.write(case.world.state)
    steps = case.journal.steps[: round(len(case.journal.steps) * extent)]
    FileSwap(case.world.state, replace(case.journal, steps=steps)).forward()
    assert case.start().stdout == "I am 2.0 1.0\n"
    assert phase_of(case.world.state) is None


def test_an_interrupted_undo_is_finished_before_the_application_starts(case: Case) -> None:
    case.stage("2.0")
    case.journal.write(case.world.state)
    FileSwap(case.world.state, case.journal).forward()
    enter(case.world.state, Phase.UNDOING)
    assert case.start().stdout == "I am 1.0 -\n"


def test_what_was_staged_while_the_application_ran_comes_with_its_next_start(case: Case) -> None:
    case.stage("2.0")
    case.hold()
    assert case.start().stdout == "I am 2.0 1.0\n"
    assert case.start().stdout == "I am 2.0 -\n", "it is told once"
    assert case.version == "2.0"


def test_nothing_is_committed_under_a_running_application(tmp_path: Path) -> None:
    case = make(tmp_path, "'second' in sys.argv or time.sleep(60)")
    with case.running():
        case.stage("2.0")
        case.hold()
        assert case.start("second").stdout.startswith("I am 1.0"), "a second window"
        assert phase_of(case.world.state) is Phase.STAGED
    assert case.start().stdout.startswith("I am 2.0")


def test_what_the_user_did_to_a_file_since_it_was_staged_is_kept(case: Case) -> None:
    case.stage("2.0")
    case.hold()
    (case.world.state.install / "data").write_bytes(b"mine")
    assert case.start().stdout.startswith("I am 2.0")
    assert (case.world.state.install / "data.old").read_bytes() == b"mine"
    assert case.version == "2.0"


def test_a_stage_that_fits_no_more_is_dropped_and_the_old_version_starts(case: Case) -> None:
    case.stage("2.0")
    case.hold()
    put = next(step for step in case.journal.steps if step.path == "data")
    (case.world.state.install / put.incoming).write_bytes(b"mine")
    assert case.start().stdout == "I am 1.0 -\n"
    assert (case.world.state.install / put.incoming).read_bytes() == b"mine"
    assert phase_of(case.world.state) is None
    assert not case.world.state.stage.exists()


def test_a_staged_journal_that_is_damaged_is_dropped_and_the_old_version_starts(
    case: Case,
) -> None:
    case.stage("2.0")
    case.hold()
    named(case.world.state, Phase.STAGED).write_bytes(b"\0" * 100)
    assert case.start().stdout == "I am 1.0 -\n"
    assert phase_of(case.world.state) is None


def test_a_version_that_confirms_stays(case: Case) -> None:
    case.release("2.0", "confirm()", APP)
    assert case.start().stdout == "I am 2.0 1.0\n"
    assert not case.world.state.trial.exists() or case.world.state.confirmed.exists()
    assert case.start().stdout == "I am 2.0 -\n"
    assert case.start().stdout == "I am 2.0 -\n"
    assert not case.world.state.trial.exists()
    assert not case.world.state.confirmed.exists()
    assert case.settings.bad == ()


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ("sys.exit(1)", "exit code 1"),
        ("raise SystemError", "exit code 1"),
        ("os.abort()", "signal 6"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
    ],
)
def test_a_version_that_crashes_before_it_confirms_is_rolled_back_at_once(
    then: str, why: str, case: Case
) -> None:
    case.release("2.0", then, APP)
    done = case.start("x")
    assert done.stdout == "I am 2.0 1.0 x\nI am 1.0 2.0 x\n"
    assert why in done.stderr
    assert done.returncode == 0, "the exit code is that of the version that stays"
    assert case.version == "1.0"
    assert case.settings.bad == ("2.0",)
    (report,) = case.world.state.reports.iterdir()
    assert why in json.loads(report.read_bytes())["error"]
    assert case.start().stdout == "I am 1.0 -\n"


def test_a_version_that_hangs_is_ended_and_rolled_back(case: Case) -> None:
    case.release("2.0", "time.sleep(100)", replace(APP, seconds=1))
    done = case.start()
    assert done.stdout == "I am 2.0 1.0\nI am 1.0 2.0\n"
    assert "not confirmed in 1 seconds" in done.stderr


def test_a_version_that_ignores_being_ended_is_killed(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)"
    case.release("2.0", deaf, replace(APP, seconds=1))
    done = case.start()
    assert done.stdout == "I am 2.0 1.0\nI am 1.0 2.0\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry.chmod(0o644),
        lambda entry: entry.write_bytes(b"no program"),
        lambda entry: entry.unlink(),
    ],
)
def test_a_version_that_cannot_even_be_started_is_rolled_back(
    spoil: Callable[[Path], None], case: Case
) -> None:
    case.release("2.0", "", APP)
    spoil(case.world.state.install / "app")
    done = case.start()
    assert done.stdout == "I am 1.0 2.0\n"
    assert "cannot be started" in done.stderr
    assert case.settings.bad == ("2.0",)


def test_starts_that_end_well_say_nothing_against_a_version(case: Case) -> None:
    case.release("2.0", "", APP)
    for _ in range(3):
        done = case.start()
        assert (done.stdout, done.stderr) == ("I am 2.0 1.0\n", ""), "told until it is confirmed"
    assert case.settings.bad == ()


def test_a_version_may_fail_as_often_as_its_publisher_says(case: Case) -> None:
    case.release("2.0", "sys.exit(3)", replace(APP, starts=3))
    done = case.start()
    assert done.stdout == 3 * "I am 2.0 1.0\n" + "I am 1.0 2.0\n"
    assert done.stderr.count("ended with exit code 3: it is started once more") == 2
    assert case.settings.bad == ("2.0",)


def test_a_version_that_comes_up_at_the_second_try_stays(case: Case) -> None:
    note = case.folder / "tried"
    then = f"p = {str(note)!r}\nif not os.path.exists(p): open(p, 'x'); sys.exit(3)\nconfirm()"
    case.release("2.0", then, replace(APP, starts=2))
    assert case.start().stdout == 2 * "I am 2.0 1.0\n"
    assert case.start().stdout == "I am 2.0 -\n"
    assert case.settings.bad == ()


def test_failures_are_counted_though_the_disk_is_full(case: Case) -> None:
    """Or one and the same start would go on for ever."""
    case.release("2.0", "sys.exit(3)", replace(APP, starts=3))
    part = case.world.state.trial.with_name("trial.part")
    part.mkdir()
    (part / "in the way").write_bytes(b"")
    assert case.start().stdout == 3 * "I am 2.0 1.0\n" + "I am 1.0 2.0\n"


def cut_off(case: Case) -> None:
    """A start, and the plug is pulled."""
    with case.running():
        pass


def test_a_version_that_takes_the_machine_down_is_not_started_for_ever(case: Case) -> None:
    case.release("2.0", "time.sleep(100)", APP)
    for _ in range(CUT_OFF_MOST):
        cut_off(case)
        assert case.version == "2.0"
    done = case.start()
    assert done.stdout == "I am 1.0 2.0\n"
    assert f"2.0 was cut off in {CUT_OFF_MOST} starts" in done.stderr
    assert case.settings.bad == ("2.0",)


def test_starts_that_are_cut_off_now_and_then_say_nothing(case: Case) -> None:
    case.release("2.0", "'short' in sys.argv or time.sleep(100)", APP)
    for _ in range(CUT_OFF_MOST + 1):
        cut_off(case)
        assert case.start("short").stdout == "I am 2.0 1.0 short\n"
    assert case.settings.bad == ()


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("then", ["", "signal.signal(SIGNAL, lambda *_: os._exit(9))"])
def test_whoever_ends_a_start_says_nothing_of_the_version(
    then: str, kill: signal.Signals, case: Case
) -> None:
    """However often, and whatever it answers: a log-out, a reboot, a supervisor."""
    then = f"import signal\n{then.replace('SIGNAL', str(int(kill)))}\n"
    case.release("2.0", then + "print('up', flush=True)\ntime.sleep(100)", APP)
    for _ in range(3):
        process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "I am 2.0 1.0\n"
        assert process.stdout.readline() == "up\n"
        process.send_signal(kill)
        process.communicate(timeout=PATIENCE)
    trial = read_trial(case.world.state)
    assert trial is not None
    assert (trial.failed, trial.cut_off) == (0, 0)
    assert case.version == "2.0"


def test_a_stop_that_reaches_the_application_before_its_launcher_is_no_crash(case: Case) -> None:
    """Service managers end all processes of a service, one after the other."""
    end = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(9))\n"
    up = "print(os.getpid(), flush=True)\ntime.sleep(100)"
    case.release("2.0", end + up, APP)
    process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    os.kill(int(process.stdout.readline()), signal.SIGTERM)
    time.sleep(HEARING / 2)
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert case.version == "2.0"
    assert case.settings.bad == ()


def test_a_stop_that_comes_while_the_application_is_begun_reaches_it(
    launched: Callable[[Clock], int], case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not outlive a launcher that was ended in its place."""
    case.release("2.0", "time.sleep(100)", APP)
    begin = subprocess.Popen

    def stopped_meanwhile(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        os.kill(os.getpid(), signal.SIGTERM)
        return begin(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", stopped_meanwhile)
    assert launched(Clock()) == 128 + signal.SIGTERM
    assert case.settings.bad == ()


def test_a_wrapper_whose_application_was_ended_has_not_crashed(case: Case) -> None:
    """Its shell gives the signal as an exit code."""
    then = "os.execv('/bin/sh', ['sh', '-c', 'sh -c \"kill $$\"; exit $?'])"
    case.release("2.0", then, APP)
    assert case.start().returncode == 128 + signal.SIGTERM
    assert case.version == "2.0"


def test_a_service_that_is_stopped_says_nothing_about_the_version(case: Case) -> None:
    case.release("2.0", "time.sleep(100)", replace(APP, starts=5))
    process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert case.version == "2.0"
    assert case.settings.bad == ()


HEALTH = Confirm(mode="health", health=("app", "--health"), starts=1, seconds=20)


def test_a_health_command_that_succeeds_keeps_the_version(case: Case) -> None:
    then = "sys.exit(0) if '--health' in sys.argv else time.sleep(2.5)"
    case.release("2.0", then, HEALTH)
    assert case.start().stdout == "I am 2.0 1.0\n", "the health command is not heard"
    assert not case.world.state.trial.exists()
    assert case.version == "2.0"


def test_a_health_command_that_fails_for_all_its_time_gives_the_version_back(case: Case) -> None:
    then = "sys.exit(1) if '--health' in sys.argv else time.sleep(100)"
    case.release("2.0", then, replace(HEALTH, seconds=3))
    done = case.start()
    assert done.stdout == "I am 2.0 1.0\nI am 1.0 2.0\n"
    assert case.settings.bad == ("2.0",)


def test_an_application_that_ends_well_at_once_is_asked_for_its_health(case: Case) -> None:
    case.release("2.0", "'--health' in sys.argv and time.sleep(1.5)", HEALTH)
    assert case.start().stdout == "I am 2.0 1.0\n"
    assert case.start().stdout == "I am 2.0 -\n"
    assert not case.world.state.trial.exists()


def test_an_application_that_has_ended_well_may_be_unwell_without_it(case: Case) -> None:
    """The health command may ask a server that runs no more."""
    case.release("2.0", "sys.exit('--health' in sys.argv)", HEALTH)
    for _ in range(3):
        assert case.start(seconds=10).stdout == "I am 2.0 1.0\n"
    assert case.settings.bad == ()


def test_a_service_that_is_stopped_waits_for_no_answer_about_its_health(case: Case) -> None:
    end = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
    case.release("2.0", end + "time.sleep(100)", replace(HEALTH, seconds=60))
    process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    process.terminate()
    process.communicate(timeout=5)
    assert case.version == "2.0"
    assert case.settings.bad == ()


def test_an_application_that_was_confirmed_can_update_itself_and_restart(case: Case) -> None:
    """The watcher lets go of its lock, or the launcher that is restarted could not commit."""
    held = case.folder / "held"
    restart = (
        "confirm()\n"
        f"while not os.path.exists({str(held)!r}): time.sleep(0.05)\n"
        "import updater\n"
        "updater.Updater(os.environ['UPSWAP_DIR']).restart(['again'])"
    )
    case.release("2.0", restart, APP)
    process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "I am 2.0 1.0\n"
    case.stage("3.0")
    case.hold()
    held.touch()
    assert process.communicate(timeout=PATIENCE)[0] == "I am 3.0 2.0 again\n"
    assert case.version == "3.0"


def test_the_application_is_started_though_the_state_cannot_be_written(case: Case) -> None:
    """A user who does not own the install, or a disk that has become read-only."""
    done = start_as_a_stranger(case)
    assert done.stdout == "I am 1.0 -\n"


def as_a_stranger(case: Case) -> list[str]:
    """The command line that starts it as a user who may read the install, and no more."""
    if os.geteuid() != 0 or not SYSTEM_PYTHON.exists():
        pytest.skip("needs root to become somebody else, and a Python that one may run")
    (case.world.state.install / "app").write_text("#!/bin/sh\necho I am 1.0 -\n")
    for folder in [case.world.folder, *case.world.folder.parents]:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    pyz = case.world.state.launcher / "1" / "launcher.pyz"
    return [*user, str(SYSTEM_PYTHON), "-I", str(pyz)]


def start_as_a_stranger(case: Case) -> subprocess.CompletedProcess[str]:
    line = as_a_stranger(case)
    return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_stranger_is_told_that_his_starts_bring_no_update(case: Case) -> None:
    line = as_a_stranger(case)
    case.stage("2.0")
    case.hold()
    for folder in case.world.state.folder, case.world.state.stage:
        folder.chmod(0o755)
    named(case.world.state, Phase.STAGED).chmod(0o644)
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout == "I am 1.0 -\n"
    assert done.stderr == (
        f"2.0 waits: this user may not change {case.world.state.install}\n"
        "hint: its owner brings it, by a start or by updater update\n"
    )


def test_a_stranger_waits_for_the_end_of_a_commit_too(case: Case) -> None:
    line = as_a_stranger(case)
    case.stage("2.0")
    state = case.world.state
    with locked(state.lock, "updating"), alone(state) as nobody_runs:
        assert nobody_runs
        case.journal.write(state)
        enter(state, Phase.UNDOING)
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        recover(state)
    assert process.communicate(timeout=PATIENCE)[0] == "I am 1.0 -\n"


def test_nobody_keeps_a_stranger_from_starting_by_holding_the_run_lock(case: Case) -> None:
    """Who may read the State may hold it; a stranger cannot find out whether a commit does."""
    case.start()
    with alone(case.world.state) as nobody_runs:
        assert nobody_runs
        assert start_as_a_stranger(case).stdout == "I am 1.0 -\n"


def test_a_start_that_cannot_tell_whether_anybody_commits_goes_on(case: Case) -> None:
    case.world.state.lock.unlink(missing_ok=True)
    case.world.state.lock.mkdir()
    with alone(case.world.state) as nobody_runs:
        assert nobody_runs
        done = case.start()
    assert done.stdout == "I am 1.0 -\n"
    assert "error: " in done.stderr


def test_the_launcher_needs_nothing_but_the_standard_library(case: Case) -> None:
    """Isolated, without site packages, with a planted module in the way."""
    planted = case.folder / "planted"
    planted.mkdir()
    (planted / "json.py").write_text("raise SystemExit('planted')")
    pyz = case.world.state.launcher / "1" / "launcher.pyz"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(pyz)],
        capture_output=True,
        text=True,
        cwd=planted,
        check=False,
        env={**os.environ, "PYTHONPATH": str(planted)},
    )
    assert done.stdout == "I am 1.0 -\n"


def test_a_release_without_an_entry_says_how_to_get_one(case: Case) -> None:
    case.world.state.release.write_bytes(encode({"version": "1.0"}))
    done = case.start()
    assert done.returncode == 7
    assert "names no entry" in done.stderr
    assert "release.toml" in done.stderr


def test_a_launcher_renewed_is_used_and_the_one_before_goes(case: Case) -> None:
    state = case.world.state
    (state.launcher / "1" / "launcher.pyz").write_bytes(b"an older one")
    renew_launcher(state, case.world.manifest)
    assert sorted(path.name for path in state.launcher.iterdir()) == ["2", "current", "start"]
    assert case.start().stdout == "I am 1.0 -\n"
    before = time.time_ns()
    renew_launcher(state, case.world.manifest)
    assert (state.launcher / "2").stat().st_mtime_ns < before, "nothing to renew"


def test_stages_of_the_same_tree_are_no_part_of_a_launch(case: Case) -> None:
    Stage(case.world.state).clear()
    assert case.start().stdout == "I am 1.0 -\n"


def test_a_launcher_of_the_release_is_used_where_there_is_one(case: Case) -> None:
    """For a frozen application: no Python of the machine is needed."""
    state = case.world.state
    text = b'#!/bin/sh\necho "I am a launcher at $0 with $@"\n'
    tree: dict[str, Content] = {"app": program("1.0"), "frozen": text}
    release = Release(entry=("app",), launcher="frozen")
    manifest = replace(manifest_of(case.folder / "frozen", "1.0", tree), release=release)
    renew_launcher(state, manifest)
    assert not (state.launcher / "2").exists(), "it is not there"
    (state.install / "frozen").write_bytes(text)
    renew_launcher(state, manifest)
    place = state.launcher / "2" / "launcher"
    assert case.start("x").stdout == f"I am a launcher at {place} with x\n"
    shortcut = start_command(state)
    assert shortcut
    done = subprocess.run([shortcut, "y"], capture_output=True, text=True, check=True)
    assert done.stdout == f"I am a launcher at {place} with y\n"


def test_a_renewal_killed_anywhere_leaves_a_launcher_that_works(case: Case) -> None:
    def run(at: int) -> bool:
        launchers = case.world.state.launcher
        folder = launchers / (launchers / "current").read_text().strip()
        (folder / "launcher.pyz").write_bytes((folder / "launcher.pyz").read_bytes() + b"\0")
        disk = FaultyDisk(kill=at)
        with suppress(Killed):
            renew_launcher(case.world.state.on(disk), case.world.manifest)
        assert case.start().stdout == "I am 1.0 -\n", f"killed at {at}"
        return disk.dead

    at = 1
    while run(at):
        at += 1
    assert at > 8
    renew_launcher(case.world.state, case.world.manifest)
    assert len(list(case.world.state.launcher.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"\xff\x00", b"7", b"../.."])
def test_a_pointer_that_leads_nowhere_is_mended_by_the_next_renewal(
    damage: bytes, case: Case
) -> None:
    (case.world.state.launcher / "current").write_bytes(damage)
    assert launcher_command(case.world.state) is None
    renew_launcher(case.world.state, case.world.manifest)
    assert case.start().stdout == "I am 1.0 -\n"


def test_a_commit_is_not_left_to_a_launcher_that_cannot_read_its_journal(case: Case) -> None:
    check_launcher(case.world.state)
    (case.world.state.launcher / "1" / "format").write_text("1\n")
    with pytest.raises(InstallError, match="launcher of this install") as caught:
        check_launcher(case.world.state)
    assert "recover" in caught.value.hint


def test_an_update_that_is_being_fetched_keeps_nobody_waiting(case: Case) -> None:
    with locked(case.world.state.lock, "updating"):
        assert case.start().stdout == "I am 1.0 -\n"


def test_a_start_in_the_middle_of_a_commit_waits_for_its_end(case: Case) -> None:
    case.stage("2.0")
    state = case.world.state
    with locked(state.lock, "updating"), alone(state) as nobody_runs:
        assert nobody_runs
        case.journal.write(state)
        process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        recover(state)
    out, _ = process.communicate(timeout=PATIENCE)
    assert out == "I am 2.0 1.0\n"


def test_many_starts_at_once_bring_one_update_and_all_run(case: Case) -> None:
    case.stage("2.0")
    case.hold()
    starts = [subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True) for _ in range(12)]
    said = {process.communicate(timeout=PATIENCE)[0].split()[2] for process in starts}
    assert said <= {"1.0", "2.0"}
    assert all(process.returncode == 0 for process in starts)
    assert case.start().stdout.startswith("I am 2.0")
    assert case.version == "2.0"


def test_the_shortcut_may_be_reached_through_links(case: Case, tmp_path: Path) -> None:
    shortcut = start_command(case.world.state)
    assert shortcut
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "one").symlink_to(shortcut)
    (tmp_path / "two").symlink_to("bin/one")
    done = subprocess.run([tmp_path / "two"], capture_output=True, text=True, check=True)
    assert done.stdout == "I am 1.0 -\n"


def test_another_python_serves_where_the_one_of_the_install_is_gone(case: Case) -> None:
    (case.world.state.launcher / "1" / "python").write_text("/nowhere/python\n")
    assert case.start().stdout == "I am 1.0 -\n"
    shortcut = start_command(case.world.state)
    assert shortcut
    done = subprocess.run([shortcut], capture_output=True, text=True, check=True)
    assert done.stdout == "I am 1.0 -\n"


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("gone", ["/nowhere/python", "/tmp", ""])
def test_without_any_python_the_shortcut_says_what_to_do(gone: str, shell: str, case: Case) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    note = case.world.state.launcher / "1" / "python"
    note.write_text(f"{gone}\n")
    shortcut = start_command(case.world.state) or ""
    line = [shutil.which(shell) or shell, shortcut]
    done = subprocess.run(
        line,
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr == (
        "error: the application cannot be started: no Python was found that its launcher can use\n"
        f"hint: install Python 3.10 or newer, or write the path of one into {note}\n"
    )
    note.write_text(f"{sys.executable}\n")
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "I am 1.0 -\n"


def test_a_python_that_is_too_old_is_passed_over(case: Case) -> None:
    (case.world.state.launcher / "1" / "python").write_text("/nowhere/python\n")
    found = case.folder / "bin"
    found.mkdir()
    (found / "python3").write_text("#!/bin/sh\nexit 1\n")
    (found / "python3.10").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for place in found.iterdir():
        place.chmod(0o755)
    done = subprocess.run(
        [start_command(case.world.state) or ""],
        env={"PATH": str(found)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("I am 1.0 -\n", "")


def test_the_shortcut_starts_where_no_process_more_may_be_made(case: Case) -> None:
    """It forks none itself; neither does the launcher, which becomes the application."""
    if os.geteuid() != 0 or not SYSTEM_PYTHON.exists():
        pytest.skip("needs root to become a user with a limit, and a Python that one may run")
    as_a_stranger(case)
    (case.world.state.launcher / "1" / "python").write_text(f"{SYSTEM_PYTHON}\n")
    limit = ["prlimit", "--nproc=1", "setpriv", "--reuid=45679", "--regid=45679", "--clear-groups"]
    done = subprocess.run(
        [*limit, start_command(case.world.state) or ""],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "I am 1.0 -\n", done.stderr


def test_an_application_that_confirms_and_updates_itself_at_once_meets_no_lock(
    case: Case,
) -> None:
    then = (
        "confirm()\n"
        "from updater.disk.lock import locked\n"
        "from pathlib import Path\n"
        f"for _ in range(100):\n"
        f"    with locked(Path({str(case.world.state.lock)!r}), 'updating'):\n"
        "        time.sleep(0.01)\n"
        "print('never in the way', flush=True)"
    )
    case.release("2.0", then, APP)
    done = case.start()
    assert done.stdout == "I am 2.0 1.0\nnever in the way\n", done.stderr


def test_a_crash_is_no_health_though_the_command_says_so(case: Case) -> None:
    slow = "time.sleep(2); sys.exit(0)"
    then = f"if '--health' in sys.argv:\n    {slow}\ntime.sleep(1.5)\nsys.exit(9)"
    case.release("2.0", then, HEALTH)
    done = case.start()
    assert "ended with exit code 9" in done.stderr
    assert case.settings.bad == ("2.0",)


def test_a_health_command_that_hangs_hides_no_crash_and_leaves_nobody_behind(case: Case) -> None:
    then = (
        "import subprocess\n"
        "if '--health' in sys.argv:\n"
        f"    child = subprocess.Popen(['sleep', '100'])\n"
        f"    open({str(case.folder / 'child')!r}, 'w').write(str(child.pid))\n"
        "    time.sleep(100)\n"
        "time.sleep(3)\n"
        "sys.exit(9)"
    )
    case.release("2.0", then, replace(HEALTH, seconds=60))
    done = case.start(seconds=20)
    assert "ended with exit code 9" in done.stderr
    pid = int((case.folder / "child").read_text())
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_application_ended_from_outside_says_nothing_about_the_version(
    number: signal.Signals, case: Case
) -> None:
    case.release("2.0", f"os.kill(os.getpid(), {int(number)})", replace(APP, starts=5))
    assert case.start().stdout == "I am 2.0 1.0\n"
    assert case.version == "2.0"
    assert case.settings.bad == ()


def test_a_second_window_that_ends_badly_takes_nothing_from_the_first(case: Case) -> None:
    then = "sys.exit(1) if 'second' in sys.argv else time.sleep(100)"
    case.release("2.0", then, replace(APP, starts=5))
    with case.running():
        done = case.start("second")
        assert done.returncode == 1
        assert case.version == "2.0"
        assert case.settings.bad == ()


def test_a_start_on_trial_is_watched_though_it_cannot_be_counted(case: Case) -> None:
    case.release("2.0", "sys.exit(3)", APP)
    part = case.world.state.trial.with_name("trial.part")
    part.mkdir()
    (part / "in the way").write_bytes(b"")
    done = case.start()
    assert done.stdout == "I am 2.0 1.0\nI am 1.0 2.0\n"


@pytest.mark.parametrize(
    "damage",
    [
        {"failed": "x"},
        {"cut_off": None},
        {"version": 2},
        {"version": "\ud800"},
        {"more": 1},
        {"previous": None},
    ],
)
def test_a_trial_of_another_shape_is_none(damage: dict[str, object], case: Case) -> None:
    trial = {"version": "1.0", "previous": "0.9", "failed": 0}
    case.world.state.trial.write_text(json.dumps(trial | damage))
    assert case.start().stdout == "I am 1.0 -\n"


@pytest.mark.parametrize(
    "damage",
    [
        {"entry": [1]},
        {"entry": ["\ud800"]},
        {"version": 3},
        {"starts": "x"},
        {"seconds": 10**400},
        {"x": 1},
    ],
)
def test_release_facts_of_another_shape_is_told(damage: dict[str, object], case: Case) -> None:
    document = json.dumps({"version": "1.0", "entry": ["app"]} | damage)
    case.world.state.release.write_text(document)
    done = case.start()
    assert done.returncode == 7
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_somebody_without_business_with_the_run_lock_stops_nobody(case: Case) -> None:
    with alone(case.world.state) as nobody_runs:
        assert nobody_runs
        assert case.start().stdout == "I am 1.0 -\n"


def test_a_trial_that_cannot_be_read_keeps_nobody_from_starting(case: Case) -> None:
    case.world.state.trial.mkdir()
    done = case.start()
    assert done.stdout == "I am 1.0 -\n"
    assert "error: " in done.stderr


@pytest.mark.parametrize(("is_confirmed", "patience"), [(False, TRIAL_TIMEOUT), (True, 0.0)])
def test_only_a_start_that_must_be_counted_waits_for_another_updater(
    is_confirmed: bool, patience: float, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.release("2.0", "", APP)
    if is_confirmed:
        case.world.state.confirmed.write_text("2.0")
    asked = []

    def held(_path: Path, _what: str, timeout: float = 0.0) -> AbstractContextManager[None]:
        asked.append(timeout)
        raise UpdateInProgress("another updater is at work")

    monkeypatch.setattr("updater.launch.start.launcher.locked", held)
    trial = Launcher(case.world.state)._make_ready()
    assert asked == [patience]
    assert (trial is None) == is_confirmed


def test_a_start_from_a_read_only_disk_is_not_judged(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not confirm the version, and would be ended when its seconds are over."""
    case.release("2.0", "", APP)
    fault = OSError(errno.EROFS, "read-only file system")
    monkeypatch.setattr("updater.launch.start.launcher.locked", Mock(side_effect=fault))
    assert Launcher(case.world.state)._make_ready() is None


HELPER = (
    "import subprocess\n"
    "wait = 'while os.getppid() == int(sys.argv[1]): time.sleep(0.01)'\n"
    "helper = subprocess.Popen(\n"
    "    [sys.executable, '-c', f'import os, sys, time\\n{wait}\\ntime.sleep(float(sys.argv[2]))',"
    " str(os.getpid()), '@'],\n"
    "    pass_fds=[int(os.environ['UPSWAP_RUN_LOCK'])],\n"
    "    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,\n"
    ")\n"
)
"""An application's helper process: it ends so many seconds after the application."""


def test_a_crash_is_rolled_back_at_once_though_a_helper_takes_a_moment_to_end(case: Case) -> None:
    case.release("2.0", HELPER.replace("@", "0.5") + "sys.exit(3)", APP)
    done = case.start()
    assert done.stdout == "I am 2.0 1.0\nI am 1.0 2.0\n"
    assert "2.0 ended with exit code 3: 1.0 is back" in done.stderr


def test_why_a_crash_is_not_rolled_back_is_said(case: Case) -> None:
    note = case.folder / "helper"
    then = f"open({str(note)!r}, 'w').write(str(helper.pid))\nsys.exit(3)"
    case.release("2.0", HELPER.replace("@", "100") + then, APP)
    try:
        done = case.start()
        assert (done.stdout, done.returncode) == ("I am 2.0 1.0\n", 3)
        assert "2.0 ended with exit code 3: not rolled back, because it still runs" in done.stderr
        assert case.version == "2.0"
    finally:
        os.kill(int(note.read_text()), signal.SIGKILL)
    with alone(case.world.state, patience=PATIENCE) as nobody_runs:
        assert nobody_runs
    assert case.start().stdout == "I am 1.0 2.0\n"


TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "os.setsid()\n"
    "fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)
"""Becomes another program, at a terminal of its own."""
TOLD = (
    "import signal\n"
    "signal.signal(signal.SIGINT, lambda *_: print('interrupted', flush=True))\n"
    "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
    "print('ready', flush=True)\n"
    "import time\nwhile True:\n    time.sleep(0.05)\n"  # pause() would miss what came just before
)
"""Tells of every Ctrl-C."""


@contextmanager
def at_a_terminal(case: Case, *, typed: bool) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The application and the keyboard: it was started from a terminal, which is its input too
    if it is ``typed``."""
    keyboard, screen = os.openpty()
    line = [sys.executable, "-c", TERMINAL, os.ttyname(screen), *case.line]
    stdin = screen if typed else subprocess.DEVNULL
    process = subprocess.Popen(line, stdin=stdin, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)][1] == "ready\n"
        yield process, keyboard
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.communicate(timeout=PATIENCE)
        os.close(keyboard)
        os.close(screen)


@pytest.mark.parametrize("typed", [True, False])
def test_ctrl_c_is_not_passed_on_to_an_application_that_has_it(typed: bool, case: Case) -> None:
    case.release("2.0", TOLD, replace(APP, starts=5))
    with at_a_terminal(case, typed=typed) as (process, keyboard):
        process.send_signal(signal.SIGSTOP)  # or two of them at once may be one
        os.write(keyboard, b"\x03")
        assert process.stdout
        assert process.stdout.readline() == "interrupted\n"
        process.send_signal(signal.SIGCONT)
        process.terminate()  # passed on too, after whatever was passed on before
        assert process.stdout.read() == ""


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("group", ["os.setpgid(0, 0)", "os.setsid()"])
def test_ctrl_c_is_passed_on_to_an_application_outside_the_foreground(
    group: str, typed: bool, case: Case
) -> None:
    case.release("2.0", f"{group}\n{TOLD}", replace(APP, starts=5))
    with at_a_terminal(case, typed=typed) as (process, keyboard):
        os.write(keyboard, b"\x03")
        assert process.stdout
        assert process.stdout.readline() == "interrupted\n"
        process.terminate()
        assert process.stdout.read() == ""


def test_an_interrupt_from_elsewhere_is_passed_on_without_a_terminal(case: Case) -> None:
    """Such as a service manager's, which tells the main process alone."""
    case.release("2.0", TOLD, replace(APP, starts=5))
    process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout
    assert [process.stdout.readline() for _ in range(2)][1] == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert case.settings.bad == ()


@pytest.fixture
def launched(case: Case, monkeypatch: pytest.MonkeyPatch) -> Callable[[Clock], int]:
    """Be the launcher of the case in this process, but for the start of the old version."""
    monkeypatch.setattr(Launcher, "_become", lambda _self, _start: OLD_VERSION)
    return lambda clock: Launcher(case.world.state, clock=clock).run()


OLD_VERSION = 77
"""The exit code that says so."""


def test_the_hours_a_machine_sleeps_are_not_the_versions(
    case: Case, launched: Callable[[Clock], int]
) -> None:
    """Nor those in which it is stopped, with its launcher, by Ctrl-Z."""
    awake = case.folder / "awake"
    then = f"while not os.path.exists({str(awake)!r}):\n    time.sleep(0.01)\nconfirm()"
    case.release("2.0", then, replace(APP, seconds=60))
    slept = 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept = 10_000.0
        awake.touch()
        time.sleep(seconds)

    assert launched(Clock(lambda: time.monotonic() + slept, sleep)) == 0
    assert case.version == "2.0"


DENIED = (
    "import errno, updater.application\n"
    "def denied(*_):\n    raise PermissionError(errno.EACCES, 'denied')\n"
    "updater.application.confirm_trial = denied\n"
)
"""As somebody who may not write there."""
NOBODY = "import updater.application\nos.setgid(65534)\nos.setuid(65534)\n"


@pytest.mark.parametrize("drop", [DENIED, NOBODY], ids=["denied", "setuid"])
def test_a_service_that_has_given_up_its_privileges_confirms_all_the_same(
    drop: str, case: Case
) -> None:
    if drop == NOBODY and os.geteuid() != 0:
        pytest.skip("needs root, to give it up")
    case.release("2.0", f"{drop}confirm()", APP)
    done = case.start()
    assert (done.stdout, done.returncode) == ("I am 2.0 1.0\n", 0), done.stderr
    assert not case.world.state.trial.exists()
    assert case.start().stdout == "I am 2.0 -\n"
    assert case.settings.bad == ()


def test_a_confirmation_that_was_heard_counts_though_the_disk_is_full_just_now(
    case: Case, launched: Callable[[Clock], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def full_at_first(state: State, version: str) -> None:
        tries.append(version)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "no space left", str(state.confirmed))
        confirm(state, version)

    case.release("2.0", f"{DENIED}confirm()", APP)
    monkeypatch.setattr("updater.launch.start.watch.confirm", full_at_first)
    assert launched(Clock()) == 0
    assert (case.version, case.settings.bad) == ("2.0", ())
    assert len(tries) >= 2


@pytest.mark.parametrize(
    "lose",
    ["os.close(lock)", "os.dup2(other, lock)", "del os.environ['UPSWAP_RUN_LOCK']"],
)
def test_a_confirmation_that_reaches_nobody_is_an_error_with_a_hint(lose: str, case: Case) -> None:
    """Swallowed, it would take a good version away, and nobody knew why."""
    then = (
        "lock = int(os.environ['UPSWAP_RUN_LOCK'])\n"
        "other = os.open(sys.executable, os.O_RDONLY)\n"
        f"{DENIED}{lose}\n"
        "try:\n    confirm()\n"
        "except updater.InstallError as error:\n    print(error.hint)\n"
        "assert os.lseek(other, 0, os.SEEK_CUR) == 0, 'no business of ours'\n"
    )
    case.release("2.0", then, replace(APP, starts=5))
    done = case.start()
    assert "confirm before giving up privileges" in done.stdout
    assert done.returncode == 0, done.stderr


def test_a_confirmation_nobody_waits_for_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of a user who does not own the install; another start was watched, not this."""
    monkeypatch.setenv("UPSWAP_WATCHED", "-")
    done = make(tmp_path, f"{DENIED}confirm()").start()
    assert (done.stdout, done.returncode) == ("I am 1.0 -\n", 0), done.stderr


def check_a_start_the_machine_does_not_allow(
    case: Case, launched: Callable[[Clock], int], number: int
) -> None:
    case.release("2.0", "confirm()", APP)
    with pytest.MonkeyPatch.context() as patch:
        fault = OSError(number, os.strerror(number))
        patch.setattr(subprocess, "Popen", Mock(side_effect=fault))
        with pytest.raises(InstallError, match="cannot be started: ") as caught:
            launched(Clock())
    assert "start it again" in caught.value.hint
    assert case.start().stdout == "I am 2.0 1.0\n", "it has the one start it had"
    assert case.settings.bad == ()


@pytest.mark.parametrize(
    "name", ["EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "EIO", "ENOSPC", "EDQUOT", "ETXTBSY"]
)
def test_a_start_the_machine_does_not_allow_makes_no_version_bad(
    name: str, case: Case, launched: Callable[[Clock], int]
) -> None:
    check_a_start_the_machine_does_not_allow(case, launched, getattr(errno, name))


@pytest.mark.parametrize(
    "answer",
    [{"return_value": Mock(f_flag=NOEXEC)}, {"side_effect": PermissionError("a folder above")}],
)
def test_a_disk_no_program_may_be_run_from_makes_no_version_bad(
    answer: dict[str, Any],
    case: Case,
    launched: Callable[[Clock], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("updater.launch.start.watch.os.statvfs", Mock(**answer))
    check_a_start_the_machine_does_not_allow(case, launched, errno.EACCES)


def test_a_version_whose_application_survives_ctrl_c_is_still_asked_for_its_health(
    case: Case,
) -> None:
    """In an editor or a shell Ctrl-C ends nothing; the health command must go on being asked."""
    told, confirmed = case.folder / "told", case.world.state.confirmed
    then = (
        "from pathlib import Path\n"
        f"if '--health' in sys.argv:\n    sys.exit(not Path({str(told)!r}).exists())\n"
        "import signal\n"
        f"signal.signal(signal.SIGINT, lambda *_: Path({str(told)!r}).touch())\n"
        "print('ready', flush=True)\n"
        f"until = time.monotonic() + {PATIENCE / 2}\n"
        f"while time.monotonic() < until and not Path({str(confirmed)!r}).exists():\n"
        "    time.sleep(0.01)\n"
    )
    case.release("2.0", then, replace(HEALTH, seconds=60))
    process = subprocess.Popen(case.line, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout
    assert [process.stdout.readline() for _ in range(2)][1] == "ready\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert not case.world.state.trial.exists()
    assert case.version == "2.0"


def test_a_signal_that_nohup_ignores_excuses_no_crash(case: Case) -> None:
    case.release("2.0", "sys.stdin.readline()\nsys.exit(9)", APP)
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *case.line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "I am 2.0 1.0\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate("end\n", timeout=PATIENCE)[0] == "I am 1.0 2.0\n"
    assert case.settings.bad == ("2.0",)


@pytest.mark.parametrize("pending", ["", "2.0"])
def test_who_is_about_to_become_the_launcher_runs_no_more(pending: str, case: Case) -> None:
    """The inherited lock is not handed on, or the launcher would wait for itself."""
    lock = share(case.world.state, 0)
    assert lock is not None
    environment = {"UPSWAP_RUN_LOCK": str(lock)}
    leave(case.world.state, environment, pending)
    assert environment == {}
    with alone(case.world.state) as nobody_runs:
        assert nobody_runs == bool(pending)
    if not pending:
        assert not os.get_inheritable(lock), "kept, should the process go on after all"
        os.close(lock)


def test_who_cannot_leave_runs_on(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("updater.launch.start.run_lock.LEAVING", 0.1)
    state = case.world.state
    mine, others = share(state, 0), share(state, 0)
    assert mine is not None
    assert others is not None
    with pytest.raises(ApplicationRuns, match=r"2\.0 cannot be put in place"):
        leave(state, {"UPSWAP_RUN_LOCK": str(mine)}, "2.0")
    os.close(others)
    assert os.get_inheritable(mine)
    with alone(state) as nobody_runs:
        assert not nobody_runs
    os.close(mine)
    with alone(state) as nobody_runs:
        assert nobody_runs


def test_a_run_lock_that_is_a_folder_is_told_and_keeps_nobody_from_starting(case: Case) -> None:
    case.world.state.run_lock.unlink(missing_ok=True)
    case.world.state.run_lock.mkdir()
    done = case.start()
    assert done.stdout == "I am 1.0 -\n"
    assert f"error: {case.world.state.run_lock} is a folder" in done.stderr
    assert f"hint: remove it: {case.world.state.run_lock}" in done.stderr


ASK = "import updater\nprint(updater.previous_version() or '-')\nupdater.confirm()\n"
"""What every application with an updater does."""


def script(install: Path) -> list[str]:
    (install / "start.py").write_text(ASK)
    return [sys.executable, str(install / "start.py")]


def shell_script(install: Path) -> list[str]:
    (install / "lib").mkdir()
    (install / "lib" / "notes.py").write_text(ASK)
    path = f"$(dirname $0)/lib:{ROOT}"
    (install / "start").write_text(f'PYTHONPATH="{path}" exec {sys.executable} -m notes\n')
    return ["sh", str(install / "start")]


def archive(install: Path) -> list[str]:
    with zipfile.ZipFile(install / "start.pyz", "w") as file:
        file.writestr("__main__.py", ASK)
    return [sys.executable, str(install / "start.pyz")]


def virtual_environment(install: Path) -> list[str]:
    (install / "bin").mkdir()
    (install / "bin" / "python").symlink_to(sys.executable)
    return [str(install / "bin" / "python"), "-c", ASK]


def own_updater(install: Path) -> list[str]:
    shutil.copytree(ROOT / "updater", install / "lib" / "updater")
    code = f"import sys\nsys.path.insert(0, {str(install / 'lib')!r})\n{ASK}"
    return [sys.executable, "-c", code]


def worker(install: Path) -> list[str]:
    (install / "start.py").write_text(
        "import multiprocessing\n"
        f"def ask():\n    exec({ASK!r})\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=ask)\n"
        "    process.start()\n    process.join()\n"
    )
    return [sys.executable, str(install / "start.py")]


def frozen(install: Path) -> list[str]:
    code = f"import sys\nsys.executable, sys.argv = {str(install / 'app')!r}, ['app']\n{ASK}"
    return [sys.executable, "-c", code]


def unpacked_elsewhere(install: Path) -> list[str]:
    """As one-file programs are, which know by what path they were called."""
    code = f"import sys\nsys.argv = [{str(install / 'app')!r}]\n{ASK}"
    return [sys.executable, "-c", code]


def ask(case: Case, line: list[str]) -> bool:
    """Whether the program takes what the launcher says as said to it."""
    case.release("2.0", "", APP)
    told = {"UPSWAP_DIR": str(case.world.state.install), "UPSWAP_VERSION": "2.0"}
    environment = {**os.environ, **told, "UPSWAP_PREVIOUS_VERSION": "1.0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        line,
        env=environment,
        cwd=case.world.state.install,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert (done.stdout == "1.0\n") == case.world.state.confirmed.exists()
    assert done.stdout in {"1.0\n", "-\n"}
    return case.world.state.confirmed.exists()


@pytest.mark.parametrize(
    "way",
    [
        script,
        shell_script,
        archive,
        virtual_environment,
        own_updater,
        worker,
        frozen,
        unpacked_elsewhere,
    ],
)
def test_a_process_of_the_application_confirms_however_it_is_run(
    way: Callable[[Path], list[str]], case: Case
) -> None:
    assert ask(case, way(case.world.state.install))


def test_an_application_run_through_a_link_confirms(case: Case) -> None:
    script(case.world.state.install)
    link = case.folder / "link"
    link.symlink_to(case.world.state.install)
    assert ask(case, [sys.executable, str(link / "start.py")])


DIRECTLY = (
    "import sys, time\n"
    f"sys.path.insert(0, {str(ROOT)!r})\n"
    "import updater\n"
    "print('up', flush=True)\nsys.stdin.readline()\n"
    "print(updater.confirm().value)\n"
)
"""An application that is started by its file, around the launcher, and confirms when it is told."""


@contextmanager
def started_directly(case: Case) -> Iterator[subprocess.Popen[str]]:
    place = case.world.state.install / "start.py"
    place.write_text(DIRECTLY)
    line, pipe = [sys.executable, str(place)], subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True, cwd="/") as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def confirms(process: subprocess.Popen[str]) -> str:
    return process.communicate("now\n", timeout=PATIENCE)[0].strip()


def test_a_version_started_around_the_launcher_confirms_itself(case: Case) -> None:
    case.release("2.0", "", APP)
    with started_directly(case) as process:
        assert confirms(process) == "kept"
    assert case.start().stdout == "I am 2.0 -\n"
    assert not case.world.state.trial.exists()
    with started_directly(case) as process:
        assert confirms(process) == "not-on-trial"


def test_a_version_that_was_replaced_under_it_does_not_speak_for_the_new_one(case: Case) -> None:
    with started_directly(case) as process:
        case.release("2.0", "", APP)
        assert confirms(process) == "replaced"
    assert not case.world.state.confirmed.exists()


def test_a_commit_that_waited_replaces_the_version_when_it_is_made(case: Case) -> None:
    """What is staged is written long before it is put in place."""
    case.stage("2.0", "", APP)
    case.hold()
    with started_directly(case) as process:
        case.start()
        assert confirms(process) == "replaced"
    assert not case.world.state.confirmed.exists()


def test_a_program_of_no_install_is_told_so(case: Case) -> None:
    case.release("2.0", "", APP)
    place = case.folder / "other.py"
    place.write_text(DIRECTLY)
    done = subprocess.run(
        [sys.executable, str(place)], input="now\n", capture_output=True, text=True, check=True
    )
    assert done.stdout == "up\nnot-installed\n"


@pytest.mark.parametrize("place", ["elsewhere", "world/app2"])
def test_another_program_confirms_nothing_and_is_told_no_version(place: str, case: Case) -> None:
    (case.folder / place).mkdir()
    assert not ask(case, script(case.folder / place))


def test_a_program_is_not_the_applications_for_being_run_in_its_folder(case: Case) -> None:
    assert not ask(case, [sys.executable, "-c", ASK])


def test_what_an_application_starts_does_not_confirm_in_its_name(case: Case) -> None:
    (case.folder / "other").mkdir()
    other = script(case.folder / "other")
    then = (
        f"import subprocess\nos.environ['PYTHONPATH'] = {str(ROOT)!r}\nsubprocess.run({other!r})\n"
    )
    case.release("2.0", then, replace(APP, starts=5))
    assert case.start().stdout == "I am 2.0 1.0\n-\n"
    assert case.world.state.trial.exists()
    assert not case.world.state.confirmed.exists()
