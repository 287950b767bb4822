"""The updater command: what it says where, and its exit codes; other tools rely on both."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patchtool.release.recall import recall

from tests.support.attacks.hostile import evil_patch, flip, rewrite
from tests.support.paths import ROOT
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import quick_session
from tests.support.servers.serving import served
from tests.support.trees.trees import Exe, Tree, noise, read_tree, write_tree
from updater.cli import commands
from updater.client import Updater
from updater.disk.lock import locked
from updater.errors import (
    FormatError,
    InstallError,
    PatchError,
    TransportError,
    TrustError,
    UpdaterError,
)
from updater.format.changes import Change, Kind
from updater.format.release_description import Confirm, Release
from updater.local.settings import find_install
from updater.version import __version__

COMMANDS = ("install", "adopt", "status", "check", "update", "recover", "verify", "repair")
OLD: Tree = {"data": noise(200_000), "version": b"1"}
NEW: Tree = {"data": noise(200_000) + b"2", "version": b"2"}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(commands, "Session", lambda **fields: quick_session(time.time, **fields))


@pytest.fixture
def publisher(tmp_path: Path, publisher_of_today: Publisher) -> Publisher:
    publisher_of_today.release("1.0", OLD)
    (tmp_path / "root.json").write_bytes(publisher_of_today.root)
    return publisher_of_today


class Said:
    """What one command said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def document(self) -> dict[str, Any]:
        """Stdout as the one JSON document it must be."""
        value = json.loads(self.out)
        assert self.out.count("\n") == 1
        assert isinstance(value, dict)
        return value

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if re.match("error:|hint:", line)]


Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = commands.main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def app(tmp_path: Path, url: str, run: Run) -> Path:
    """An install of 1.0."""
    place = tmp_path / "home/app"
    assert run(*first(tmp_path, url), place).code == 0
    return place


def first(tmp_path: Path, url: str, app: str = "notes") -> list[str]:
    return ["install", "--url", url, "--root", str(tmp_path / "root.json"), "--app", app]


def process(*arguments: str | Path) -> Said:
    """The real command, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "updater", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_install_puts_the_release_there_and_says_so(tmp_path: Path, url: str, run: Run) -> None:
    said = run(*first(tmp_path, url), tmp_path / "app")
    assert (said.code, said.out) == (0, "installed notes 1.0\n")
    assert read_tree(tmp_path / "app") == OLD


def test_install_tells_programs_what_it_did(tmp_path: Path, url: str, run: Run) -> None:
    document = run(*first(tmp_path, url), "--json", tmp_path / "app").document
    assert {k: document[k] for k in ("state", "from", "to")} == {
        "state": "installed",
        "from": "",
        "to": "1.0",
    }
    assert document["fetched_bytes"] > 200_000
    assert document["written_bytes"] == 200_001


def test_check_is_0_with_an_update_and_10_without(
    app: Path, publisher: Publisher, run: Run
) -> None:
    said = run("check", "--dir", app)
    assert (said.code, said.out) == (10, "1.0 is up to date\n")
    document = run("check", "--dir", app, "--json").document
    assert document == {"available": None, "installed": "1.0", "recalled": False}
    publisher.release("2.0", NEW)
    said = run("check", "--dir", app)
    assert said.code == 0
    assert said.out.startswith("1.0 -> 2.0: ")
    document = run("check", "--dir", app, "--json").document
    assert (document["installed"], document["available"]) == ("1.0", "2.0")
    assert document["fetch_bytes"] < document["full_bytes"]
    assert document["disk_bytes"] > document["write_bytes"] > 0
    assert (document["required"], document["restart"], document["recalled"]) == (False,) * 3
    assert read_tree(app) == OLD


def test_update_is_0_and_then_10(app: Path, publisher: Publisher, run: Run) -> None:
    publisher.release("2.0", NEW)
    said = run("update", "--dir", app)
    assert (said.code, said.out) == (0, "updated 1.0 -> 2.0\n")
    assert read_tree(app) == NEW
    said = run("update", "--dir", app)
    assert (said.code, said.out) == (10, "2.0 is up to date\n")


def test_update_tells_programs_what_it_did(app: Path, publisher: Publisher, run: Run) -> None:
    publisher.release("2.0", NEW)
    document = run("update", "--dir", app, "--json").document
    assert {k: document[k] for k in ("state", "from", "to", "changes")} == {
        "state": "updated",
        "from": "1.0",
        "to": "2.0",
        "changes": {"modify": 2},
    }
    assert 0 < document["fetched_bytes"] < 50_000 < document["full_bytes"]
    assert document["written_bytes"] == 200_002
    said = run("update", "--dir", app, "--json")
    assert said.code == 10
    assert said.document == {"state": "current", "from": "2.0", "to": "2.0"}


def test_update_says_where_the_users_own_work_went(
    app: Path, publisher: Publisher, run: Run
) -> None:
    publisher.release("2.0", NEW)
    (app / "version").write_bytes(b"mine")
    said = run("update", "--dir", app, "--quiet", "--json")
    (kept,) = said.document["kept"]
    assert (app / kept).read_bytes() == b"mine"
    assert kept in said.err


def test_status_says_what_is_installed(app: Path, publisher: Publisher, run: Run) -> None:
    assert run("status", "--dir", app, "--json").document == {
        "app": "notes",
        "version": "1.0",
        "channel": "stable",
        "state": "clean",
        "pending": "",
        "previous": "",
        "bad": [],
        "recalled": False,
        "launcher": "",
    }
    said = run("status", "--dir", app)
    assert (said.code, said.err) == (0, "")
    assert "version: 1.0\n" in said.out
    assert "previous: -\n" in said.out
    assert "recalled: no\n" in said.out
    publisher.release("2.0", NEW)
    run("update", "--dir", app)
    assert run("status", "--dir", app, "--json").document["previous"] == "1.0"


@pytest.mark.parametrize("command", ["status", "update"])
def test_a_disk_that_does_not_give_the_state_is_told(command: str, app: Path, run: Run) -> None:
    trial = find_install(app).trial
    trial.symlink_to(trial)  # nobody can read a link that leads to itself
    said = run(command, "--dir", app)
    assert (said.code, "Traceback" in said.err) == (7, False)
    assert "hint:" in said.err


def test_check_and_status_say_that_what_is_installed_was_recalled(
    app: Path, publisher: Publisher, run: Run
) -> None:
    recall(publisher.repository(), "notes", "1.0", now=publisher.now)
    assert "recalled: no\n" in run("status", "--dir", app).out, "nobody was asked yet"
    said = run("check", "--dir", app)
    assert said.code == 10
    assert said.out.startswith("1.0 was recalled by its publisher, and nothing is offered")
    assert run("update", "--dir", app).out == said.out
    assert run("check", "--dir", app, "--json").document["recalled"] is True
    assert run("status", "--dir", app, "--json").document["recalled"] is True
    publisher.release("2.0", NEW)
    for command in ("check", "status"):
        said = run(command, "--dir", app)
        assert said.code == 0
        assert "hint: 1.0 was recalled by its publisher: run updater update" in said.err
    assert run("check", "--dir", app, "--json").document["recalled"] is True
    run("update", "--dir", app)
    said = run("status", "--dir", app)
    assert ("recalled: no\n" in said.out, said.err) == (True, "")


def test_status_and_recover_ask_nobody(tmp_path: Path, publisher: Publisher, run: Run) -> None:
    with served(publisher.folder) as url:
        run(*first(tmp_path, url), tmp_path / "app")
    assert run("status", "--dir", tmp_path / "app").code == 0
    said = run("recover", "--dir", tmp_path / "app")
    assert (said.code, said.out) == (0, "nothing to recover\n")
    assert run("recover", "--dir", tmp_path / "app", "--json").document == {"recovered": "clean"}


def test_progress_goes_to_stderr_and_quiet_silences_it(
    app: Path, publisher: Publisher, run: Run
) -> None:
    publisher.release("2.0", NEW)
    said = run("update", "--dir", app, "--json")
    assert said.document["to"] == "2.0"
    assert "download" in said.err
    assert "apply" in said.err
    publisher.release("3.0", OLD)
    said = run("update", "--dir", app, "--json", "--quiet")
    assert said.document["to"] == "3.0"
    assert said.err == ""


def test_nothing_to_do_shows_no_progress(app: Path, run: Run) -> None:
    assert run("update", "--dir", app).err == ""
    assert run("check", "--dir", app).err == ""


def break_network(publisher: Publisher) -> None:
    for path in publisher.folder.glob("targets/notes/**/*"):
        if path.suffix == ".bundle" or path.name.endswith("_2.0"):
            path.unlink()


def break_signature(publisher: Publisher) -> None:
    rewrite(publisher.folder / "metadata/timestamp.json", lambda _: None)


def break_bytes(publisher: Publisher) -> None:
    for path in publisher.folder.glob("targets/notes/*/**/*.*"):
        if path.is_file():
            path.write_bytes(flip(path.read_bytes(), -1))


def break_format(publisher: Publisher) -> None:
    evil_patch(publisher, [Change(Kind.ADD, "../evil", size=0)], base="1.0")


def break_nothing(publisher: Publisher) -> None:
    pass


@pytest.mark.parametrize(
    ("fault", "code"),
    [(break_network, 3), (break_signature, 4), (break_bytes, 4), (break_format, 5)],
)
def test_a_failed_update_says_error_and_hint_and_leaves_by_its_code(
    fault: Callable[[Publisher], None], code: int, app: Path, publisher: Publisher, run: Run
) -> None:
    publisher.release("2.0", NEW)
    fault(publisher)
    said = run("update", "--dir", app, "--json")
    assert (said.code, said.out) == (code, "")
    assert said.errors[0].startswith("error: ")
    assert not said.errors[0].endswith(".")
    if code != 5:
        assert said.errors[1].startswith("hint: ")
    assert "Traceback" not in said.err
    assert read_tree(app) == OLD


def test_an_update_under_way_is_told_with_7(app: Path, run: Run) -> None:
    with locked(app.parent / ".app.upswap/lock", "updating"):
        for command in ("update", "recover", "repair"):
            said = run(command, "--dir", app)
            assert (said.code, said.out) == (7, "")
            assert len(said.errors) == 2
        assert run("status", "--dir", app).code == 0
        assert run("check", "--dir", app).code == 10
        assert run("verify", "--dir", app).code == 0


@pytest.mark.parametrize("command", ["status", "check", "update", "recover", "verify", "repair"])
@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_folder_that_is_no_install_is_told_with_7(
    command: str, kind: str, tmp_path: Path, run: Run
) -> None:
    place = tmp_path / "other"
    if kind == "empty":
        place.mkdir()
    elif kind == "file":
        place.write_bytes(b"")
    said = run(command, "--dir", place)
    assert (said.code, said.out) == (7, "")
    assert ("is not there" if kind == "missing" else "not an install") in said.errors[0]
    assert "updater install" in said.errors[1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["destroy"],
        ["status"],
        ["update", "--dir"],
        ["status", "--dir", "x", "--no-restart"],
        ["check", "--dir", "x", "extra"],
        ["install", "x"],
        ["install", "--url", "http://x", "--root", "y", "x"],
        ["adopt", "--url", "http://x", "--root", "y", "--app", "a", "--dir", "x"],
        ["repair", "--dir", "x", "--full"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        commands.main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: updater" in err


def test_help_names_every_command_and_the_version_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as caught:
            commands.main([option])
        assert caught.value.code == 0
    out, _ = capsys.readouterr()
    assert all(name in out for name in COMMANDS)
    assert out.endswith(f"upswap {__version__}\n")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UpdaterError("x"), 1),
        (TransportError("x"), 3),
        (TrustError("x"), 4),
        (FormatError("x"), 5),
        (PatchError("x"), 6),
        (InstallError("x"), 7),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_branch_of_errors_has_its_exit_code(
    fault: BaseException, code: int, app: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Updater, running: str) -> None:
        raise fault

    monkeypatch.setattr(Updater, "update", fail)
    said = run("update", "--dir", app)
    assert (said.code, said.out) == (code, "")
    assert said.err == ("error: interrupted\n" if code == 130 else "error: x\n")


def test_verify_is_0_if_all_is_whole_though_there_is_more(app: Path, run: Run) -> None:
    (app / "mine.txt").write_bytes(b"mine")
    for options in ([], ["--full"]):
        said = run("verify", "--dir", app, *options)
        assert (said.code, said.errors) == (0, [])
        assert said.out == "extra: 'mine.txt'\n1.0 is whole\n"


def test_verify_is_6_and_lists_everything_if_something_is_damaged(app: Path, run: Run) -> None:
    (app / "data").write_bytes(b"x")
    (app / "version").unlink()
    said = run("verify", "--dir", app)
    assert said.code == 6
    assert said.out == "missing: 'version'\nchanged: 'data'\n1.0 is damaged\n"
    assert said.errors == [
        "error: not 1.0 as released: 1 missing, 1 changed ('data', 'version')",
        "hint: run updater repair",
    ]


def test_verify_tells_programs_every_list(app: Path, run: Run) -> None:
    (app / "data").unlink()
    (app / "mine").write_bytes(b"mine")
    said = run("verify", "--full", "--json", "--dir", app)
    assert said.code == 6
    assert said.document == {
        "state": "damaged",
        "version": "1.0",
        "full": True,
        "missing": ["data"],
        "changed": [],
        "mode_changed": [],
        "wrong_kind": [],
        "unreadable": [],
        "kept": [],
        "extra": ["mine"],
        "earlier": [],
    }


def test_verify_asks_nobody_and_writes_nothing(
    app: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(p, p.lstat().st_mtime_ns) for p in sorted(app.parent.rglob("*"))]
    monkeypatch.setattr(commands, "Session", lambda **_: quick_session(lambda: 1 << 40))
    settings = app.parent / ".app.upswap/install.json"
    times = settings.stat()
    settings.write_bytes(re.sub(rb'"http://[^"]*"', b'"http://127.0.0.1:9"', settings.read_bytes()))
    os.utime(settings, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run("verify", "--full", "--dir", app).code == 0
    assert [(p, p.lstat().st_mtime_ns) for p in sorted(app.parent.rglob("*"))] == before


def test_repair_is_0_if_something_was_put_back_and_10_if_nothing_had_to_be(
    app: Path, run: Run
) -> None:
    (app / "version").write_bytes(b"edited")
    said = run("repair", "--dir", app)
    assert (said.code, said.out) == (0, "put back: 'version'\nrepaired 1.0\n")
    assert "what was there is kept as version.old" in said.err
    assert read_tree(app) == {**OLD, "version.old": b"edited"}
    assert run("repair", "--dir", app).code == 10
    assert run("repair", "--json", "--dir", app).document == {"state": "whole", "version": "1.0"}


def test_repair_tells_programs_what_it_did(app: Path, run: Run) -> None:
    (app / "version").write_bytes(b"edited")
    document = run("repair", "--json", "--dir", app).document
    assert document.pop("fetched_bytes") > 0
    assert document == {
        "state": "repaired",
        "version": "1.0",
        "repaired": ["version"],
        "written_bytes": 1,
        "kept": ["version.old"],
        "failed": [],
    }


def adopting(tmp_path: Path, url: str, place: Path) -> list[str]:
    words = first(tmp_path, url)[1:]
    return ["adopt", *words, "--version", "1.0", "--dir", str(place)]


def test_adopt_takes_over_what_another_installer_placed(tmp_path: Path, url: str, run: Run) -> None:
    place = write_tree(tmp_path / "home/app", OLD)
    said = run(*adopting(tmp_path, url, place))
    assert (said.code, said.out) == (0, "adopted notes 1.0\n")
    assert run("status", "--dir", place, "--json").document["version"] == "1.0"


def test_adopt_is_6_and_lists_what_differs_unless_it_shall_repair(
    tmp_path: Path, url: str, run: Run
) -> None:
    place = write_tree(tmp_path / "home/app", {**OLD, "version": b"?"})
    said = run(*adopting(tmp_path, url, place), "--json")
    assert said.code == 6
    assert (said.document["state"], said.document["changed"]) == ("damaged", ["version"])
    assert len(said.errors) == 2
    assert not (tmp_path / "home/.app.upswap").exists()
    done = run(*adopting(tmp_path, url, place), "--repair", "--json")
    assert done.code == 0
    assert done.document["state"] == "adopted"
    assert read_tree(place) == {**OLD, "version.old": b"?"}


@pytest.mark.parametrize("content", ["file", "folder", "hidden", "link"])
def test_install_into_a_folder_with_something_in_it_is_refused(
    content: str, tmp_path: Path, url: str, run: Run
) -> None:
    place = tmp_path / "home/app"
    place.mkdir(parents=True)
    if content == "folder":
        (place / "sub").mkdir()
    elif content == "link":
        (place / "link").symlink_to("nowhere")
    else:
        (place / (".hidden" if content == "hidden" else "file")).write_bytes(b"mine")
    before = read_tree(tmp_path / "home")
    said = run(*first(tmp_path, url), place)
    assert (said.code, said.out) == (7, "")
    assert "not empty" in said.errors[0]
    assert said.errors[1].startswith("hint: ")
    assert read_tree(tmp_path / "home") == before


def test_install_over_an_install_is_refused(app: Path, tmp_path: Path, url: str, run: Run) -> None:
    said = run(*first(tmp_path, url), app)
    assert said.code == 7
    assert "an install already" in said.errors[0]
    assert read_tree(app) == OLD
    assert run("status", "--dir", app).code == 0


def test_install_onto_a_file_is_refused(tmp_path: Path, url: str, run: Run) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    assert run(*first(tmp_path, url), tmp_path / "file").code == 7
    assert (tmp_path / "file").read_bytes() == b"mine"


def no_app(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    arguments[-1] = "other"


def bad_app(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    arguments[-1] = "../other"


def bad_root(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    (folder / "root.json").write_text("<html>")


def no_root(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    (folder / "root.json").unlink()


def other_root(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    (folder / "root.json").write_bytes(Publisher(folder / "other", now=publisher.now).root)


def no_server(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    arguments[2] = "http://127.0.0.1:1"


def bad_url(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    arguments[2] = "ftp://127.0.0.1/"


def bad_bytes(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    path = next(publisher.folder.glob("targets/notes/releases/1.0/*.bundle"))
    path.write_bytes(flip(path.read_bytes(), -1))


def unsigned(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    break_signature(publisher)


def no_channel(arguments: list[str], publisher: Publisher, folder: Path) -> None:
    arguments += ["--channel", "beta"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (no_app, 7),
        (bad_app, 5),
        (bad_root, 4),
        (no_root, 7),
        (other_root, 4),
        (no_server, 3),
        (bad_url, 7),
        (bad_bytes, 4),
        (unsigned, 4),
        (no_channel, 7),
    ],
)
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "empty"])
def test_a_failed_install_leaves_nothing(
    fault: Callable[[list[str], Publisher, Path], None],
    code: int,
    is_new: bool,
    tmp_path: Path,
    publisher: Publisher,
    url: str,
    run: Run,
) -> None:
    arguments = first(tmp_path, url)
    fault(arguments, publisher, tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    place = home / "app"
    None if is_new else place.mkdir()
    said = run(*arguments, place)
    assert (said.code, said.out) == (code, "")
    assert len(said.errors) == 2
    assert sorted(path.name for path in home.rglob("*")) == ([] if is_new else ["app"])


@pytest.mark.parametrize("arguments", [["--json"], ["--quiet"], []])
def test_the_command_is_a_process_like_any_other(
    arguments: list[str], tmp_path: Path, publisher: Publisher, url: str
) -> None:
    place = tmp_path / "app"
    assert process(*first(tmp_path, url), *arguments, place).code == 0
    assert process("check", "--dir", place, *arguments).code == 10
    publisher.release("2.0", NEW)
    assert process("check", "--dir", place, *arguments).code == 0
    said = process("update", "--dir", place, *arguments)
    assert said.code == 0
    assert "Traceback" not in said.err
    if "--json" in arguments:
        assert said.document["to"] == "2.0"
    else:
        assert said.out == "updated 1.0 -> 2.0\n"
    assert (said.err == "") == ("--quiet" in arguments)
    assert process("status", "--dir", tmp_path / "none").code == 7
    assert process("nonsense").code == 2
    assert read_tree(place) == NEW


def starting(out: Path, version: int) -> dict[str, Any]:
    """A release whose entry is noisy, then leaves a note."""
    text = f'#!/bin/sh\necho noise; echo noise >&2; echo "{version} $*" > "{out}.part"\n'
    text += f'mv "{out}.part" "{out}"\n'
    return {
        "tree": {"start": Exe(text.encode()), "data": noise(5000)},
        "release": Release(entry=("start", "--quickly")),
    }


def installed_noisy(tmp_path: Path, publisher: Publisher, url: str) -> tuple[Path, Path]:
    """An install of such a release, and where its note will lie."""
    out, place = tmp_path / "note", tmp_path / "app"
    publisher.release("2.0", **starting(out, 2))
    assert process(*first(tmp_path, url), place).code == 0
    return place, out


def test_the_new_version_is_started_after_an_update_and_its_noise_is_its_own(
    tmp_path: Path, publisher: Publisher, url: str
) -> None:
    place, out = installed_noisy(tmp_path, publisher, url)
    assert process("check", "--dir", place).code == 10
    publisher.release("3.0", **starting(out, 3))
    assert process("check", "--dir", place, "--json").document["restart"] is True
    assert not out.exists()
    said = process("update", "--dir", place, "--quiet", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.document["to"] == "3.0"
    deadline = time.monotonic() + 20
    while not out.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert out.read_text() == "3 --quickly\n"


def test_nothing_is_started_if_not_wanted_or_if_nothing_was_updated(
    tmp_path: Path, publisher: Publisher, url: str
) -> None:
    place, out = installed_noisy(tmp_path, publisher, url)
    assert process("update", "--dir", place).code == 10
    publisher.release("3.0", **starting(out, 3))
    assert process("update", "--dir", place, "--no-restart").code == 0
    time.sleep(0.3)
    assert not out.exists()


RESTART = """
import os, sys, time
import updater
app = updater.Updater(sys.argv[1])
done = app.update()
print("updated to", done.new, os.getpid())
app.restart(["--after", done.old])
"""


def test_an_application_updates_itself_and_becomes_its_new_version(
    tmp_path: Path, publisher: Publisher, url: str
) -> None:
    place = tmp_path / "app"
    entry = Release(entry=("start",))
    publisher.release("2.0", {"start": Exe(b"#!/bin/sh\nexit 1\n")}, release=entry)
    assert process(*first(tmp_path, url), place).code == 0
    now = Exe(b'#!/bin/sh\necho "3.0 here, $$ $*"\nexit 33\n')
    publisher.release("3.0", {"start": now}, release=entry)
    done = subprocess.run(
        [sys.executable, "-c", RESTART, str(place)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told, here = done.stdout.splitlines()
    pid = told.removeprefix("updated to 3.0 ")
    assert here == f"3.0 here, {pid} --after 2.0"
    assert (done.returncode, done.stderr) == (33, "")


def test_an_install_without_a_launcher_is_told_as_that_and_updated_all_the_same(
    publisher: Publisher, url: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a frozen installer makes it on a machine without Python."""
    monkeypatch.setattr("updater.local.launcher_files._interpreter", lambda _: "")
    trial = Release(entry=("app",), confirm=Confirm(mode="app"))
    app = Exe(b"#!/bin/sh\nexit 0\n")
    publisher.release("1.1", {**OLD, "app": app}, release=trial)
    place = tmp_path / "home/app"
    said = run(*first(tmp_path, url), "--quiet", place)
    assert (said.code, said.out) == (0, "installed notes 1.1\n")
    assert said.err.startswith("hint: no launcher was made, for want of a Python outside")
    assert run("status", "--dir", place).err.startswith("hint: no launcher was made")
    assert run("status", "--dir", place, "--json").document["launcher"] == ""
    for version in ("2.0", "3.0"):
        publisher.release(version, {**NEW, "app": app, "v": version.encode()}, release=trial)
        document = run("update", "--dir", place, "--json", "--no-restart").document
        assert (document["state"], document["to"]) == ("updated", version)


def test_status_tells_what_a_shortcut_shall_start(
    publisher: Publisher, url: str, tmp_path: Path, run: Run
) -> None:
    publisher.release("1.1", {**OLD, "app": Exe(b"#!/bin/sh\n")}, release=Release(entry=("app",)))
    place = tmp_path / "home/app"
    assert run(*first(tmp_path, url), "--quiet", place).err == ""
    said = run("status", "--dir", place)
    assert said.err == ""
    assert f"launcher: {tmp_path}/home/.app.upswap/launcher/start\n" in said.out
