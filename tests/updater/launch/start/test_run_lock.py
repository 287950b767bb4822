"""An update while the application runs, from the publisher's server to the user's next start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from patchtool.release.recall import recall

from tests.support.paths import ROOT
from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Exe, Tree
from updater.client import Updater
from updater.format.release_description import Confirm, Release
from updater.local.launcher_files import start_command
from updater.local.session import Session
from updater.update.install_new import install

ENTRY = Release(entry=("app",))


def program(then: str) -> Exe:
    """A program that says its release's version, then does something."""
    return Exe(
        (
            f"#!{sys.executable}\nimport os, sys, time\nsys.path.insert(0, {str(ROOT)!r})\n"
            "here = os.path.dirname(os.path.abspath(__file__))\n"
            "print('I am', open(here + '/version').read(), flush=True)\n"
            f"{then}\n"
        ).encode()
    )


def tree(version: str, then: str = "") -> Tree:
    return {"app": program(then), "version": version.encode()}


class User:
    """Somebody with the application installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the updater's command line."""
        line = [sys.executable, "-m", "updater", command, "--dir", str(self.folder), *options]
        return subprocess.run(
            line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    def document(self, command: str, *options: str) -> dict[str, Any]:
        """What the command line says as JSON, in peace."""
        done = self.run(command, "--json", "--quiet", *options)
        assert done.returncode in {0, 10}, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def start(self) -> subprocess.Popen[str]:
        """Start the application as a shortcut does; it is up when this returns."""
        place = start_command(Updater(self.folder)._state)
        assert place
        process = subprocess.Popen([place], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        self.said = process.stdout.readline()
        return process

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        process = self.start()
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @property
    def version(self) -> str:
        return (self.folder / "version").read_text()


@pytest.fixture
def publisher(publisher_of_today: Publisher) -> Publisher:
    publisher_of_today.release("1.0", tree("1.0", "time.sleep(60)"), release=ENTRY)
    return publisher_of_today


@pytest.fixture
def user(tmp_path: Path, url: str, publisher: Publisher) -> User:
    install(tmp_path / "app", url, publisher.root, "notes", session=Session())
    return User(tmp_path / "app")


def test_an_update_of_a_running_application_waits_for_its_next_start(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0", "time.sleep(60)"), release=ENTRY)
    with user.running():
        done = user.document("update")
        assert (done["state"], done["from"], done["to"]) == ("staged", "1.0", "2.0")
        assert user.version == "1.0"
        status = user.document("status")
        assert (status["state"], status["pending"], status["version"]) == ("staged", "2.0", "1.0")
        again = user.document("update")
        assert again["state"] == "waiting"
        assert again["fetched_bytes"] < 20_000, "nothing but metadata is fetched twice"
    with user.running():
        assert user.said == "I am 2.0\n"
        status = user.document("status")
        assert (status["state"], status["version"], status["previous"]) == ("clean", "2.0", "1.0")


def test_an_update_that_waits_is_dropped_if_it_is_recalled_meanwhile(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0", "time.sleep(60)"), release=ENTRY)
    with user.running():
        assert user.document("update")["state"] == "staged"
        recall(publisher.repository(), "notes", "2.0", now=publisher.now)
        assert user.document("update")["state"] == "current"
    with user.running():
        assert user.version == "1.0"


def test_what_waits_is_brought_by_the_next_update_too(user: User, publisher: Publisher) -> None:
    publisher.release("2.0", tree("2.0"), release=ENTRY)
    with user.running():
        assert user.document("update")["state"] == "staged"
    done = user.document("update", "--no-restart")
    assert (done["state"], done["to"]) == ("updated", "2.0")
    assert user.version == "2.0"


def test_a_newer_release_takes_the_place_of_one_that_waits(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0"), release=ENTRY)
    with user.running():
        assert user.document("update")["to"] == "2.0"
        publisher.release("3.0", tree("3.0"), release=ENTRY)
        assert user.document("update")["to"] == "3.0"
    with user.running():
        assert user.said == "I am 3.0\n"


def test_force_changes_the_files_of_a_running_application(user: User, publisher: Publisher) -> None:
    publisher.release("2.0", tree("2.0"), release=ENTRY)
    with user.running():
        assert user.document("update", "--force", "--no-restart")["state"] == "updated"
        assert user.version == "2.0"


def test_wait_commits_when_the_application_ends(user: User, publisher: Publisher) -> None:
    publisher.release("2.0", tree("2.0"), release=ENTRY)
    with user.running() as application:
        line = [sys.executable, "-m", "updater", "update", "--dir", str(user.folder)]
        options = ["--wait", "--no-restart", "--json", "--quiet"]
        waiting = subprocess.Popen([*line, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(3)
        assert user.version == "1.0"
        application.kill()
        out, _ = waiting.communicate(timeout=60)
    assert json.loads(out)["state"] == "updated"
    assert user.version == "2.0"


def test_rollback_needs_no_network_and_the_version_is_not_offered_again(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0"), release=ENTRY)
    user.document("update", "--no-restart")
    done = user.document("rollback")
    assert done == {"state": "rolled-back", "from": "2.0", "to": "1.0"}
    assert user.version == "1.0"
    assert user.document("status")["bad"] == ["2.0"]
    assert user.document("update")["state"] == "current"
    publisher.release("3.0", tree("3.0"), release=ENTRY)
    assert user.document("update", "--no-restart")["to"] == "3.0"


def test_rollback_without_an_old_version_is_refused(user: User) -> None:
    done = user.run("rollback")
    assert done.returncode == 7
    assert "error: no previous version" in done.stderr
    assert "hint: " in done.stderr


def test_nothing_is_rolled_back_under_a_running_application(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0", "time.sleep(60)"), release=ENTRY)
    user.document("update", "--no-restart")
    with user.running():
        done = user.run("rollback")
        assert (done.returncode, user.version) == (7, "2.0")
        assert "the application runs" in done.stderr


TRIAL = Release(entry=("app",), confirm=Confirm(mode="app", starts=1, seconds=30))


def test_a_version_that_does_not_come_up_makes_way_even_for_a_recalled_one(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0", "sys.exit(3)"), release=TRIAL)
    recall(publisher.repository(), "notes", "1.0", now=publisher.now)
    user.document("update", "--no-restart")
    refused = user.run("rollback")
    assert (refused.returncode, user.version) == (7, "2.0")
    assert "error: 1.0 was recalled by its publisher" in refused.stderr
    assert "/launcher/start: if it does not come up, it goes back by itself" in refused.stderr
    process = user.start()
    assert user.said == "I am 2.0\n"
    assert process.stdout
    assert process.stdout.readline() == "I am 1.0\n"
    process.kill()
    process.communicate()
    status = user.document("status")
    assert (status["version"], status["bad"], status["recalled"]) == ("1.0", ["2.0"], True)
    assert user.document("check") == {"available": None, "installed": "1.0", "recalled": True}


def test_a_bad_release_comes_and_goes_by_itself_and_the_next_good_one_stays(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0", "sys.exit(3)"), release=TRIAL)
    user.document("update", "--no-restart")
    assert user.document("status")["state"] == "unconfirmed"
    current = user.run("update")
    assert current.returncode == 10
    assert "2.0 is not confirmed yet: start the application by" in current.stderr
    process = user.start()
    assert user.said == "I am 2.0\n"
    assert process.stdout
    assert process.stdout.readline() == "I am 1.0\n"
    process.kill()
    process.communicate()
    assert user.document("status")["bad"] == ["2.0"]
    assert user.document("update")["state"] == "current", "no endless loop"
    then = "import updater\nupdater.confirm()"
    publisher.release("3.0", tree("3.0", then), release=TRIAL)
    assert user.document("update", "--no-restart")["to"] == "3.0"
    process = user.start()
    process.communicate(timeout=30)
    assert user.document("recover")
    status = user.document("status")
    assert (status["version"], status["state"]) == ("3.0", "clean")


def test_a_newer_release_is_taken_over_one_that_nobody_confirmed(
    user: User, publisher: Publisher
) -> None:
    """Such as where the application is started around its launcher."""
    for version in ("2.0", "3.0", "4.0"):
        publisher.release(version, tree(version, "sys.exit(3)"), release=TRIAL)
        assert user.document("update", "--no-restart")["state"] == "updated"
        assert user.document("status")["state"] == "unconfirmed"
    process = user.start()
    out, _ = process.communicate(timeout=60)
    assert (user.said, out) == ("I am 4.0\n", "I am 3.0\n"), "the way back is what was there"
    assert user.document("status")["bad"] == ["4.0"]
    publisher.release("5.0", tree("5.0"), release=ENTRY)
    assert user.document("update", "--no-restart")["to"] == "5.0"


def test_a_newer_release_is_staged_over_one_on_trial_that_runs(
    user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0", "time.sleep(60)"), release=TRIAL)
    user.document("update", "--no-restart")
    with user.running() as launcher:
        tell = "print(os.environ.get('UPSWAP_PREVIOUS_VERSION', '-'), flush=True)"
        publisher.release("3.0", tree("3.0", tell), release=ENTRY)
        assert user.document("update")["state"] == "staged"
        launcher.terminate()
        launcher.wait(60)
    with user.start() as process:
        assert process.stdout
        assert (user.said, process.stdout.read()) == ("I am 3.0\n", "2.0\n")
    assert user.document("status")["state"] == "clean"


def test_a_version_on_trial_does_not_restart_for_a_newer_one_before_it_has_confirmed(
    user: User, publisher: Publisher
) -> None:
    """It would end unconfirmed, and with an error: a good version would be taken for a bad one."""
    lines = (
        "import updater\n"
        "while not os.path.exists(here + '/../offered'): time.sleep(0.05)\n"
        "app = updater.Updater(here)\n"
        "done = app.update()\n"
        "print(done.outcome.value, flush=True)\n"
        "if done: app.restart()\n"
        "updater.confirm()"
    )
    publisher.release("2.0", tree("2.0", lines), release=TRIAL)
    user.document("update", "--no-restart")
    with user.start() as process:
        publisher.release("3.0", tree("3.0"), release=ENTRY)
        (user.folder.parent / "offered").touch()
        assert process.stdout
        assert (user.said, process.stdout.read()) == ("I am 2.0\n", "waiting\n")
    with user.start():
        assert user.said == "I am 3.0\n"
    assert user.document("status")["bad"] == []


def test_a_version_that_nobody_confirmed_can_be_repaired(user: User, publisher: Publisher) -> None:
    publisher.release("2.0", tree("2.0"), release=TRIAL)
    user.document("update", "--no-restart")
    (user.folder / "version").write_bytes(b"spoilt")
    assert user.document("repair")["state"] == "repaired"
    assert user.version == "2.0"


@pytest.mark.parametrize("command", ["status", "check", "recover", "update", "rollback"])
def test_every_command_survives_a_damaged_trial(
    command: str, user: User, publisher: Publisher
) -> None:
    """It is an error with a hint, never a traceback."""
    Updater(user.folder)._state.trial.write_bytes(b"\0")
    done = user.run(command)
    assert "Traceback" not in done.stderr
    if done.returncode not in {0, 10}:
        assert "hint: " in done.stderr


@pytest.mark.parametrize("command", ["update", "rollback"])
def test_a_run_lock_that_is_a_folder_is_told_with_what_to_do(
    command: str, user: User, publisher: Publisher
) -> None:
    publisher.release("2.0", tree("2.0"), release=ENTRY)
    place = Updater(user.folder)._state.run_lock
    place.unlink(missing_ok=True)
    place.mkdir()
    done = user.run(command, "--quiet")
    assert done.returncode == 7
    assert f"error: {place} is a folder" in done.stderr
    assert f"hint: remove it: {place}" in done.stderr
    place.rmdir()
    assert user.document("update", "--no-restart")["to"] == "2.0"


def test_a_version_nobody_started_is_not_told_as_the_one_before(
    user: User, publisher: Publisher
) -> None:
    """Its migrations never ran; those of the version that did run are due."""
    tell = "print(os.environ.get('UPSWAP_PREVIOUS_VERSION', '-'), flush=True)"
    publisher.release("2.0", tree("2.0"), release=ENTRY)
    user.document("update", "--no-restart")
    publisher.release("3.0", tree("3.0", tell), release=ENTRY)
    user.document("update", "--no-restart")
    for told in ("1.0\n", "-\n"):
        with user.start() as process:
            assert process.stdout
            assert process.stdout.read() == told


MAIN = """
import os, sys, time
sys.path.insert(0, {root!r})
import updater
here = os.path.dirname(os.path.abspath(getattr(sys, '_MEIPASS', '') and sys.executable or __file__))
print('I am', open(os.path.join(here, 'version')).read(), flush=True)
if 'window' in sys.argv:
    time.sleep(60)
{before}
try:
    app = updater.Updater(here)
    if app.update():
        {staged}
        app.restart({restart})
except updater.UpdaterError as error:
    print('error:', error, 'hint:', error.hint, flush=True)
print('works', flush=True)
"""
"""The tutorial's lines, in an application that is found out by what it prints."""
FORK = """
parent = os.getpid()
if not os.fork():
    while os.getppid() == parent:
        time.sleep(0.05)
    os._exit(0)
"""
"""A worker that has inherited all its application has open, and ends after it."""


def tutorial(
    version: str, *, before: str = "", staged: str = "", restart: str = "", shell: bool = False
) -> Tree:
    """An application with the tutorial's lines, behind a shell that waits for it or not."""
    text = MAIN.format(root=str(ROOT), before=before, staged=staged, restart=restart)
    line = f'"{sys.executable}" "$(dirname "$0")/main.py" "$@"'
    start = f"#!/bin/sh\n{line if shell else f'exec {line}'}\n"
    return {"version": version.encode(), "main.py": text.encode(), "app": Exe(start.encode())}


class Updating:
    """An application that updates itself, and where its publisher offers 2.0."""

    def __init__(self, publisher: Publisher, folder: Path, url: str) -> None:
        self._publisher = publisher
        self._folder = folder
        self._url = url

    def offer(self, old: Tree, new: Tree) -> None:
        self.release("1.1", old)
        install(self._folder, self._url, self._publisher.root, "notes", session=Session())
        self.release("2.0", new)

    def release(self, version: str, tree: Tree) -> None:
        self._publisher.add(version, tree, release=ENTRY, bases=())
        self._publisher.promote(version)

    @property
    def start(self) -> str:
        return start_command(Updater(self._folder)._state) or ""

    def run(self, *arguments: str) -> list[str]:
        """Start it, and wait until it has ended with all that it started; what it printed."""
        done = subprocess.run(
            [self.start, *arguments], stdout=subprocess.PIPE, text=True, timeout=120, check=False
        )
        return done.stdout.splitlines()


@pytest.fixture
def updating(tmp_path: Path, url: str, publisher: Publisher) -> Updating:
    return Updating(publisher, tmp_path / "updating", url)


def test_an_application_that_is_alone_becomes_its_new_version(updating: Updating) -> None:
    updating.offer(tutorial("1.1"), tutorial("2.0"))
    assert updating.run() == ["I am 1.1", "I am 2.0", "works"]


@pytest.mark.parametrize(
    ("before", "shell"), [("", True), (FORK, False)], ids=["a shell waits", "a forked worker"]
)
def test_an_application_that_is_not_alone_goes_on_and_its_next_start_brings_the_update(
    before: str, shell: bool, updating: Updating
) -> None:
    updating.offer(
        tutorial("1.1", before=before, shell=shell), tutorial("2.0", before=before, shell=shell)
    )
    first, told, works = updating.run()
    assert (first, works) == ("I am 1.1", "works")
    assert told.startswith("error: 2.0 cannot be put in place: other processes of the application")
    assert "hint: end them all and start it again" in told
    assert updating.run() == ["I am 2.0", "works"]


def test_an_application_with_another_window_restarts_not_and_says_so_once(
    updating: Updating,
) -> None:
    updating.offer(tutorial("1.1"), tutorial("2.0"))
    line = [updating.start, "window"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as window:
        assert window.stdout
        assert window.stdout.readline() == "I am 1.1\n"
        assert "other processes of the application run" in updating.run()[1]
        assert updating.run() == ["I am 1.1", "works"], "it waits: that was said"
        window.kill()
    assert updating.run() == ["I am 2.0", "works"]


@pytest.mark.parametrize(
    ("before", "shell"), [("", True), (FORK, False)], ids=["a shell waits", "a forked worker"]
)
def test_a_launcher_that_waits_brings_the_update_when_all_have_ended(
    before: str, shell: bool, updating: Updating
) -> None:
    old = tutorial("1.1", before=before, restart="wait=30", shell=shell)
    updating.offer(old, tutorial("2.0"))
    assert updating.run() == ["I am 1.1", "I am 2.0", "works"]


def test_a_launcher_waits_no_longer_than_it_was_told(updating: Updating) -> None:
    updating.offer(tutorial("1.1", restart="wait=1"), tutorial("2.0"))
    line = [updating.start, "window"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as window:
        assert window.stdout
        window.stdout.readline()
        assert updating.run() == ["I am 1.1", "I am 1.1", "works"]
        window.kill()


def test_a_stage_that_no_start_can_bring_is_not_said_to_be_new_again(
    updating: Updating,
) -> None:
    """Each start finds the stage of no use and drops it: to restart for that would never end."""
    spoil = (
        "from updater.launch.commit.pending import waiting\n"
        "        for step in waiting(app._state).steps:\n"
        "            step.own or open(os.path.join(here, step.incoming), 'x').close()"
    )
    updating.offer(tutorial("1.1", staged=spoil), tutorial("2.0"))
    assert updating.run() == ["I am 1.1", "I am 1.1", "works"]
    assert updating.run() == ["I am 2.0", "works"]


def test_an_application_that_needs_its_users_pythonpath_has_it_after_a_restart_too(
    updating: Updating, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it sets meanwhile for itself; else a good version would be taken for a bad one."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "plugin.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugins"))
    before = "import plugin\nos.environ['PYTHONPATH'] = os.environ['PYTHONHOME'] = here"
    updating.offer(tutorial("1.1", before=before), tutorial("2.0", before=before))
    assert updating.run() == ["I am 1.1", "I am 2.0", "works"]


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The application as PyInstaller packs it into one file: its parent unpacks it, and waits."""
    folder = tmp_path_factory.mktemp("frozen")
    main = folder / "app.py"
    restart = "**({'wait': 30} if 'wait' in sys.argv else {})"
    main.write_text(MAIN.format(root="/nowhere", before="", staged="", restart=restart))
    places = [f"--{name}path={folder / name}" for name in ("dist", "work", "spec")]
    line = [sys.executable, "-m", "PyInstaller", "--onefile", "--log-level=ERROR", *places]
    more = [f"--paths={ROOT}", "--collect-submodules=updater", str(main)]
    subprocess.run([*line, *more], cwd=folder, check=True, timeout=280)
    return (folder / "dist" / "app").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_program_in_one_file_is_updated_by_its_next_start_or_by_a_launcher_that_waits(
    one_file: bytes, updating: Updating
) -> None:
    first, second, third = (
        {"app": Exe(one_file), "version": version} for version in (b"1.1", b"2.0", b"3.0")
    )
    updating.offer(first, second)
    begun, told, works = updating.run()
    assert (begun, works) == ("I am 1.1", "works")
    assert told.startswith("error: 2.0 cannot be put in place: other processes of the application")
    assert updating.run() == ["I am 2.0", "works"]
    updating.release("3.0", third)
    assert updating.run("wait") == ["I am 2.0", "I am 3.0", "works"]
