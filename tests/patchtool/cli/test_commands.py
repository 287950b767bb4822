"""The ``patchtool`` command: exit codes, what it prints where, and what it leaves on disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
from patchtool.cli.parser import main
from patchtool.keys.signing_keys import PASSWORD

from tests.support.trees.trees import Exe, Link, Tree, noise, read_tree, write_tree
from updater.disk.durable import WINDOWS
from updater.disk.lock import locked
from updater.format.patch_header.header import MAGIC
from updater.version import __version__

SECRET = "correct horse battery staple"

OLD: Tree = {
    "app": Exe(b"#!/bin/sh\necho 1\n"),
    "lib/a.py": b"a = 1\n" * 30,
    "lib/b.py": b"b = 1\n" * 30,
    "lib/c.py": b"c = 1\n" * 30,
    "data": noise(3000, 1),
    "gone": b"gone",
    "link": Link("app"),
    "mode": b"mode",
    "alpha": b"alpha",
    "twice": noise(40, 2),
}
NEW: Tree = {
    "app": Exe(b"#!/bin/sh\necho 2\n"),
    "src/a.py": b"a = 1\n" * 30,
    "src/b.py": b"b = 1\n" * 30,
    "src/c.py": b"c = 2\n" + b"c = 1\n" * 29,
    "data": noise(3000, 1)[:2000] + noise(500, 3),
    "link": Link("src/a.py"),
    "mode": Exe(b"mode"),
    "beta": b"alpha",
    "twice": noise(40, 2),
    "twice too": noise(40, 2),
    "new": Exe(b"new"),
    "empty": None,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder every command of a test runs in, with folders ``old`` and ``new``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PASSWORD, SECRET)
    write_tree(tmp_path / "old", OLD)
    write_tree(tmp_path / "new", NEW)
    return tmp_path


@pytest.fixture
def patch(here: Path) -> Path:
    assert run("diff old new -o patch --quiet") == 0
    return here / "patch"


@pytest.fixture
def repository(here: Path) -> Path:
    """A repository with 1.0, and the keys beside it."""
    assert run("init repo --app notes --keys keys") == 0
    assert add("1.0 old") == 0
    return here / "repo"


def run(line: str) -> int:
    """The exit code of a command line, words divided by blanks."""
    return main(line.split())


def add(words: str) -> int:
    version, folder, *more = words.split()
    line = f"add-release repo {folder} --version {version} --app notes --keys keys --effort fast"
    return run(f"{line} --quiet {' '.join(more)}")


def refused(code: int, line: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Error and hint of a command line that ends with ``code``, and prints nothing else."""
    capsys.readouterr()
    assert run(line) == code
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert len(lines) <= 2
    return lines[0], " ".join(lines[1:])


def leftovers(folder: Path) -> list[str]:
    """What is in ``folder`` besides what the fixtures put there."""
    own = {"old", "new", "patch", "repo", "keys"}
    return sorted(path.name for path in folder.iterdir() if path.name not in own)


# Usage


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "diff",
        "diff old",
        "diff old new",
        "diff old new more -o p",
        "diff old new -o p --effort much",
        "diff old new -o p --jobs 0",
        "diff old new -o p --jobs -1",
        "diff old new -o p --jobs many",
        "diff old new -o p --memory 511M",
        "diff old new -o p --memory 2",
        "diff old new -o p --memory -2G",
        "diff old new -o p --memory lots",
        "diff old new -o p --verbose",
        "apply patch old",
        "inspect",
        "init repo --app notes",
        "init repo --keys keys",
        "init repo --app notes --keys keys --threshold 0",
        "add-release repo old --app notes --keys keys",
        "add-release repo --version 1 --app notes --keys keys",
        "add-release repo old --version 1 --app notes --keys keys --from",
        "promote repo --app notes --keys keys",
        "promote repo --version 1.0 --app notes --keys keys --ramp 50@now,10@+1h",
        "promote repo --version 1.0 --app notes --keys keys --ramp 50@now --rollout 10",
        *(
            f"promote repo --version 1.0 --app notes --keys keys --rollout {share}"
            for share in ("-1", "100.01", "2.505", "ten", "nan", "snan", "inf", "1e999999999")
        ),
    ],
)
def test_wrong_usage_ends_with_2_and_does_nothing(
    line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(line)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: patchtool")
    assert leftovers(here) == []


@pytest.mark.parametrize("line", ["--help", "diff --help", "add-release --help", "--version"])
def test_help_is_given(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(line)
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert ("usage: patchtool" in out) or out == f"upswap {__version__}\n"
    assert err == ""


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "patchtool", "inspect", "missing"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("error: reading missing: no such file")


def environment() -> dict[str, str]:
    """For a process that runs our code from the checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


# diff, apply, inspect


def test_diff_and_apply_rebuild_the_new_folder(patch: Path, here: Path) -> None:
    assert run("apply patch old out") == 0
    assert read_tree(here / "out") == NEW
    assert (read_tree(here / "old"), read_tree(here / "new")) == (OLD, NEW)
    assert leftovers(here) == ["out"]


def test_every_process_makes_the_same_patch(patch: Path, here: Path) -> None:
    """Whatever the order in which a set of strings is walked, which differs by process."""
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "patchtool", "diff", "old", "new", "-o", "again"]
        environ = {**environment(), "PYTHONHASHSEED": seed}
        subprocess.run(command, env=environ, capture_output=True, check=True)
        assert (here / "again").read_bytes() == patch.read_bytes()


@pytest.mark.skipif(WINDOWS, reason="no mode bits")
def test_files_and_folders_have_released_modes_whatever_the_umask(patch: Path, here: Path) -> None:
    before = os.umask(0o077)
    try:
        assert run("apply patch old out") == 0
    finally:
        os.umask(before)
    modes = {path: (here / "out" / path).stat().st_mode & 0o777 for path in ("src", "empty", "app")}
    assert set(modes.values()) == {0o755}
    assert (here / "out/data").stat().st_mode & 0o777 == 0o644


def test_diff_tells_what_other_tools_rely_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff old new -o patch --json --quiet --jobs 1") == 0
    document = document_of(capsys)
    assert set(document) == {"bytes", "header_bytes", "changes", "blocks", "seconds", "peak_rss"}
    assert document["bytes"] == Path("patch").stat().st_size
    assert document["changes"] == {
        "add": 1,
        "add_directory": 1,
        "copy": 1,
        "delete": 1,
        "mode": 1,
        "modify": 3,
        "move_directory": 1,
        "rename": 1,
        "symlink": 1,
    }
    assert document["peak_rss"] > 1 << 20 or WINDOWS


CHANGES: list[dict[str, Any]] = [
    {"kind": "move_directory", "path": "src", "source": "lib"},
    {"kind": "delete", "path": "gone"},
    {"kind": "rename", "path": "beta", "source": "alpha"},
    {"kind": "copy", "path": "twice too", "source": "twice"},
    {"kind": "modify", "path": "app", "size": 17, "executable": True},
    {"kind": "modify", "path": "data", "size": 2500},
    {"kind": "modify", "path": "src/c.py", "size": 180},
    {"kind": "mode", "path": "mode", "executable": True},
    {"kind": "add", "path": "new", "size": 3, "executable": True},
    {"kind": "add_directory", "path": "empty"},
    {"kind": "symlink", "path": "link", "target": "src/a.py"},
]


def test_inspect_lists_every_change(patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("inspect patch --json") == 0
    document = document_of(capsys)
    assert document["changes"] == CHANGES
    assert (document["app"], document["from"], document["to"]) == ("folder", "0", "1")
    assert document["bytes"] == patch.stat().st_size
    assert sum(document["kinds"].values()) == len(CHANGES)


def test_inspect_speaks_to_people(patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("inspect patch") == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == f"folder 0 -> 1: {patch.stat().st_size:,} bytes"
    assert lines == [
        "  move directory lib -> src",
        "  delete         gone",
        "  rename         alpha -> beta",
        "  copy           twice -> twice too",
        "  modify         app (17 bytes)",
        "  modify         data (2,500 bytes)",
        "  modify         src/c.py (180 bytes)",
        "  mode           mode",
        "  add            new (3 bytes)",
        "  add directory  empty",
        "  symlink        link -> src/a.py",
    ]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("diff missing new -o p", 7, "missing is not a folder"),
        ("diff old new/app -o p", 7, "new/app is not a folder"),
        ("diff old new -o missing/p", 7, "writing missing/p: no such file"),
        ("diff old new -o old/app/p", 7, "writing old/app/p: not a directory"),
        ("diff old new -o old", 7, "old is not a file"),
        ("apply missing old out", 7, "applying missing: no such file"),
        ("apply old old out", 7, "applying old: is a directory"),
        ("apply patch missing out", 7, "missing is not a folder"),
        ("apply patch old new", 7, "new exists"),
        ("apply patch old new/app", 7, "new/app exists"),
        ("apply patch old new/app/out", 7, "applying patch: file exists"),
        ("apply patch new out", 6, "new is not the folder this patch was made from"),
        ("apply old/app old out", 5, "not an upswap patch"),
        ("inspect missing", 7, "reading missing: no such file"),
        ("inspect old", 7, "reading old: is a directory"),
        ("inspect old/link", 5, "not an upswap patch"),
        ("inspect new/empty/../mode", 5, "patch magic cut short"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_exit_code(
    line: str,
    code: int,
    words: str,
    patch: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = patch.read_bytes()
    error, _ = refused(code, line, capsys)
    assert words in error
    assert leftovers(here) == []
    assert (read_tree(here / "old"), read_tree(here / "new")) == (OLD, NEW)
    assert patch.read_bytes() == before


@pytest.mark.parametrize("folder", ["old", "new"])
def test_a_folder_with_what_a_release_cannot_hold_is_refused(
    folder: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(here / folder / "pipe")
    error, _ = refused(5, "diff old new -o p", capsys)
    assert "'pipe' is neither file, folder nor symlink" in error
    assert leftovers(here) == []


def test_a_newer_format_asks_for_a_newer_updater(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "patch").write_bytes(MAGIC[:-1] + b"\x02" + bytes(100))
    for line in ("inspect patch", "apply patch old out"):
        error, hint = refused(5, line, capsys)
        assert "patch format 2, 1 known" in error
        assert "newer updater" in hint


def edit(path: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        edit("data", noise(3000, 9)),
        edit("mode", b"node"),
        edit("extra", b""),
        lambda folder: (folder / "gone").unlink(),
        lambda folder: (folder / "empty").mkdir(),
        lambda folder: (folder / "mode").chmod(0o755),
        lambda folder: (folder / "app").chmod(0o644),
        lambda folder: (folder / "alpha").rename(folder / "Alpha"),
    ],
    ids=["edited", "one byte", "file more", "file less", "folder more", "mode", "no mode", "name"],
)
def test_an_old_folder_that_is_not_quite_the_one_is_refused(
    damage: Callable[[Path], object], patch: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(here / "old")
    error, hint = refused(6, "apply patch old out", capsys)
    assert "not the folder this patch was made from" in error
    assert "exactly as released" in hint
    assert leftovers(here) == []


def test_a_patch_with_any_byte_changed_is_refused_and_nothing_left(
    patch: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = patch.read_bytes()
    for at in range(len(data)):
        patch.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        assert run("apply patch old out") in {5, 6}, f"byte {at}"
        assert leftovers(here) == []
    assert capsys.readouterr().out == ""


def test_a_patch_cut_anywhere_or_with_bytes_behind_it_is_refused(patch: Path, here: Path) -> None:
    data = patch.read_bytes()
    for damaged in (*(data[:end] for end in range(len(data))), data + b"\0"):
        patch.write_bytes(damaged)
        assert run("apply patch old out") == 5
        assert leftovers(here) == []


def test_an_interrupted_diff_leaves_nothing_behind(here: Path) -> None:
    (here / "old/large").write_bytes(noise(6 << 20, 4))
    (here / "new/large").write_bytes(noise(6 << 20, 4)[::-1])
    command = [sys.executable, "-m", "patchtool", "diff", "old", "new", "-o", "p", "--quiet"]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not list(here.glob(".upswap-*/blocks")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "error: interrupted\n")
    assert leftovers(here) == []


def test_an_interrupted_apply_leaves_nothing_behind(
    patch: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("patchtool.folder.apply_to_folder.shutil.copyfile", interrupted)
    assert run("apply patch old out") == 130
    assert leftovers(here) == []
    assert capsys.readouterr().err.endswith("error: interrupted\n")


def interrupted(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


# init, add-release, promote


def document_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one JSON document, on the one line, that is on stdout."""
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    document = json.loads(out)
    assert isinstance(document, dict)
    return document


STORY = [
    "diff old new -o patch",
    "apply patch old out",
    "inspect patch",
    "init repo --app notes --keys keys --threshold 2",
    "add-release repo old --version 1.0 --app notes --keys keys",
    "add-release repo new --version 2.0 --app notes --keys keys --from 1.0",
    "promote repo --version 2.0 --app notes --keys keys --rollout 12.5",
]


def test_json_is_one_document_on_stdout_and_quiet_is_silence_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for line in STORY:
        assert run(f"{line} --json --quiet") == 0
        out, err = capsys.readouterr()
        assert out.count("\n") == 1
        assert isinstance(json.loads(out), dict)
        assert err == "" or line.startswith("init"), "new keys are no progress: they are told"


def test_progress_is_on_stderr_and_words_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    for line in STORY:
        assert run(line) == 0
        out, err = capsys.readouterr()
        assert out != ""
        assert "%|" not in out
        assert ("%|" in err) == line.startswith(("diff", "add-release"))


def test_no_key_and_no_password_is_ever_printed(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in [*STORY, STORY[3], "init repo --app notes --keys repo/keys"]:
        run(line)
    monkeypatch.setenv(PASSWORD, "another secret")
    assert run(STORY[-1]) == 7
    out, err = capsys.readouterr()
    for secret in ("PRIVATE KEY", SECRET, "another secret"):
        assert secret not in out + err
    assert not any(path.suffix == ".pem" for path in (here / "repo").rglob("*"))
    assert len(list((here / "keys").glob("root-*.pem"))) == 3


def test_init_names_the_new_keys_and_what_clients_need(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("init repo --app notes --keys keys --json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    made = [f"keys/{role}.pem" for role in ("root", "targets", "release", "online")]
    assert document["keys"] == made
    assert (here / document["root"]).is_file()
    assert [line.split()[2] for line in err.splitlines()] == made


def test_init_takes_the_keys_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("init repo --app notes --keys keys --json") == 0
    first = document_of(capsys)
    assert run("init other --app paint --keys keys --json") == 0
    assert (len(first["keys"]), document_of(capsys)["keys"]) == (4, [])


def test_a_failed_init_makes_no_keys(
    repository: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error, _ = refused(7, "init repo --app notes --keys fresh", capsys)
    assert "is a repository already" in error
    error, _ = refused(5, "init other --app NOTES --keys fresh", capsys)
    assert "app name 'NOTES' refused" in error
    assert leftovers(here) == []


@pytest.mark.parametrize("keys", ["repo", "repo/keys", "old/../repo/metadata"])
def test_keys_inside_the_repository_are_refused(
    keys: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error, hint = refused(7, f"init repo --app notes --keys {keys}", capsys)
    assert "lies inside the repository" in error
    assert "serve the keys" in hint
    assert leftovers(here) == []
    assert not (here / "repo").exists()


def test_add_release_tells_its_sizes(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert add("2.0 new --json") == 0
    document = document_of(capsys)
    (bundle,) = (repository / "targets/notes/releases/2.0").glob("*.bundle")
    (made,) = (repository / "targets/notes/patches").glob("*.1.0_2.0")
    assert document == {
        "version": "2.0",
        "state": "published",
        "holds": {"files": 10, "bytes": 3149, "symlinks": 1, "empty_folders": 1},
        "difference": {
            "version": "1.0",
            "added": {"entries": 7, "bytes": 588},
            "removed": {"entries": 5, "bytes": 549},
            "changed": {"entries": 4, "bytes": 2521},
        },
        "warnings": [],
        "bundle": bundle.stat().st_size,
        "patches": {"1.0": made.stat().st_size},
        "skipped": [],
    }


def test_add_release_says_to_people_what_it_made(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert add("2.0 new") == 0
    out = capsys.readouterr().out
    assert out.startswith("notes 2.0\n  holds 10 files, 3,149 bytes, 1 symlinks, 1 empty folders\n")
    assert "\n  removed since 1.0: 5 (549 bytes): " in out
    assert "\n  bundle: " in out
    assert "\n  patch from 1.0: " in out


def test_a_dry_run_tells_what_a_release_holds_and_writes_nothing(
    repository: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    shutil.move(here / "keys", here / "away")
    capsys.readouterr()
    assert add("2.0 new --dry-run") == 0
    out, err = capsys.readouterr()
    assert out.startswith("notes 2.0\n  holds 10 files, ")
    assert out.endswith("\n  nothing is built or published: a dry run\n")
    assert err == ""
    assert add("2.0 new --dry-run --json") == 0
    document = document_of(capsys)
    assert (document["state"], document["holds"]["files"]) == ("dry run", 10)
    assert add("1.0 new --dry-run") == 5, "refused as it would be"
    assert add("1.0 old --dry-run") == 10
    shutil.move(here / "away", here / "keys")
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")}.items() >= before.items()
    assert leftovers(here) == []


def test_warnings_go_to_stderr_and_into_the_document(
    repository: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "new/.env").write_text("PASSWORD=1")
    capsys.readouterr()
    assert add("2.0 new --dry-run --json") == 0
    out, err = capsys.readouterr()
    warning = "it holds settings that may hold passwords: '.env'"
    assert err == f"warning: {warning}\n"
    assert json.loads(out)["warnings"] == [warning]


def test_an_empty_folder_is_published_if_it_is_asked_for(repository: Path, here: Path) -> None:
    (here / "nothing").mkdir()
    assert add("2.0 nothing") == 5
    assert add("2.0 nothing --allow-empty") == 0
    shutil.rmtree(here / "nothing")


LOCKING = [
    "add-release repo new --app notes --keys keys --version 2.0 --quiet",
    "recall repo --app notes --keys keys --version 1.0",
    "promote repo --app notes --keys keys --version 1.0",
    "refresh repo --keys keys --at-least 100",
    "prune repo --keys keys",
    "sync repo copy",
    "writer repo",
    "apps add repo --app draw --keys keys",
    "keys rotate repo --role release --keys keys",
]


@pytest.mark.parametrize("line", LOCKING, ids=lambda line: line.partition(" repo")[0])
def test_whoever_finds_the_repository_held_is_told_by_whom(
    line: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(repository / ".lock", "patchtool promote"):
        error, hint = refused(7, f"{line} --wait 0", capsys)
    assert f"another command writes repo (patchtool promote, process {os.getpid()})" in error
    assert "wait for it to end" in hint


def test_a_command_waits_for_another_one(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wait in ("", "--wait 60", "--wait"):
        with ThreadPoolExecutor() as pool, locked(repository / ".lock", "patchtool prune"):
            waiting = pool.submit(run, f"promote repo --app notes --keys keys --version 1.0 {wait}")
            time.sleep(0.3)
            assert not waiting.done()
        assert waiting.result(timeout=60) == 0


@pytest.mark.parametrize("wait", ["-1", "soon", "1.5", ""])
def test_a_time_to_wait_that_is_none_is_a_mistake_of_usage(wait: str, repository: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["promote", "repo", "--app", "a", "--keys", "k", "--version", "1", f"--wait={wait}"])
    assert caught.value.code == 2


def test_a_release_that_is_published_already_is_nothing_to_do(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert add("1.0 old --json") == 10
    assert document_of(capsys) == {"version": "1.0", "state": "published before"}


def test_promote_tells_the_head(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    line = "promote repo --app notes --keys keys --version 1.0 --channel beta"
    assert run(f"{line} --rollout 12.34 --json") == 0
    document = document_of(capsys)
    assert (document["app"], document["channel"]) == ("notes", "beta")
    ((_, points),) = document["entries"][0]["steps"]
    assert points == 1234
    assert run(f"{line} --rollout 0.5") == 0
    assert capsys.readouterr().out == "beta offers notes 1.0 to 0.5 % of its installs\n"


def test_a_ramp_is_told_and_can_be_paused_and_resumed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    line = "repo --app notes --keys keys --version 1.0"
    assert run(f"promote {line} --ramp 2.5@now,100@2100-01-31T09:00Z") == 0
    ramp = (
        "stable offers notes 1.0 to 2.5 % of its installs, to 100 % from 2100-01-31 09:00 UTC on\n"
    )
    assert capsys.readouterr().out == ramp
    assert [run(f"pause {line} --json"), run(f"pause {line}")] == [0, 10]
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[0])["entries"][0]["paused"]
    assert out.endswith("notes 1.0 on stable is paused already\n")
    refused(7, f"promote {line}", capsys)
    assert [run(f"resume {line}"), run(f"resume {line} --json")] == [0, 10]
    out = capsys.readouterr().out
    assert out.startswith("notes 1.0 on stable goes on: stable offers notes 1.0 to 2.5 %")
    error, _ = refused(7, f"pause {line} --channel beta", capsys)
    assert "no channel beta" in error


ADD = "add-release repo {} --app notes --keys keys --quiet --version"
PROMOTE = "promote repo --app notes --keys keys --version"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (f"{ADD.format('missing')} 2.0", 7, "missing is not a folder"),
        (f"{ADD.format('new')} two", 5, "version 'two' refused"),
        (f"{ADD.format('new')} 1.0", 5, "published with other content"),
        (f"{ADD.format('new')} 2.0 --from 0.9", 7, "notes 0.9 has no bundle"),
        (f"{ADD.format('new')} 2.0 --config missing.toml", 7, "reading missing.toml: no such file"),
        (f"{ADD.format('new')} 2.0 --config old/app", 5, "old/app is not TOML"),
        (f"{ADD.format('new')} 2.0 --keys missing", 7, "no release key in missing"),
        (f"{ADD.format('new')} 2.0 --app other", 7, "repo does not know app.other"),
        (f"{ADD.format('new')} 2.0 --app ../x", 5, "app name '../x' refused"),
        (f"{PROMOTE} 2.0", 7, "notes 2.0 is not published"),
        (f"{PROMOTE} 1", 7, "notes 1 is not published"),
        (f"{PROMOTE} 1.0 --channel Beta", 5, "channel name 'Beta' refused"),
        (f"{PROMOTE} 1.0 --app other", 7, "repo does not know app.other"),
        (f"{PROMOTE} 1.0 --keys new", 7, "no online key in new"),
        (f"{PROMOTE.replace('repo', 'old', 1)} 1.0", 7, "old is not a repository"),
        (f"{PROMOTE.replace('repo', 'missing', 1)} 1.0", 7, "missing is not a repository"),
    ],
)
def test_what_cannot_be_published_is_told_and_changes_nothing(
    line: str,
    code: int,
    words: str,
    repository: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = read_tree(repository)
    error, _ = refused(code, line, capsys)
    assert words in error
    assert {**read_tree(repository), ".lock": b""} == {**before, ".lock": b""}
    assert leftovers(here) == []


def test_a_wrong_password_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "wrong")
    error, hint = refused(7, f"{PROMOTE} 1.0", capsys)
    assert "online.pem cannot be opened" in error
    assert PASSWORD in hint
    monkeypatch.delenv(PASSWORD)
    error, hint = refused(7, f"{PROMOTE} 1.0", capsys)
    assert "no password for" in error
    assert hint == f"hint: set {PASSWORD}"


def test_an_interrupted_add_release_publishes_nothing(
    repository: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_tree(repository)
    (here / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(here / "temporary"))
    monkeypatch.setattr("patchtool.release.add_release.apply_patch", interrupted)
    assert add("2.0 new") == 130
    assert {**read_tree(repository), ".lock": b""} == {**before, ".lock": b""}
    assert list((here / "temporary").iterdir()) == []


def test_a_release_whose_entry_is_gone_is_another_tree(
    repository: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Applying a repository's patch to a folder without its entry: wrong base, not wrong patch."""
    (here / "release.toml").write_text("entry = 'app'")
    assert add("2.0 old --config release.toml") == 0
    assert add("3.0 new --config release.toml --from 2.0") == 0
    (made,) = (repository / "targets/notes/patches").glob("*.2.0_3.0")
    assert run(f"apply {made} old out") == 0
    assert read_tree(here / "out") == NEW
    (here / "old/app").unlink()
    error, _ = refused(6, f"apply {made} old other", capsys)
    assert "old is not the folder this patch was made from" in error


def test_a_bundle_is_applied_to_an_empty_folder_only(
    repository: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle,) = (repository / "targets/notes/releases/1.0").glob("*.bundle")
    error, _ = refused(6, f"apply {bundle} old out", capsys)
    assert "a bundle starts from an empty folder, old is not" in error
    (here / "nothing").mkdir()
    assert run(f"apply {bundle} nothing out") == 0
    assert read_tree(here / "out") == OLD


@pytest.mark.parametrize(
    ("code", "line", "words"),
    [
        (7, "add-release repo loop --version 2.0 --app notes --keys keys", "loop is not a folder"),
        (7, "add-release loop old --version 2.0 --app notes --keys keys", "not a repository"),
        (7, "pause loop --version 1.0 --app notes --keys keys", "not a repository"),
        (7, "pause repo --version 1.0 --app notes --keys loop", "no online key in loop"),
        (7, "sync loop copy", "not a repository"),
        (7, "sync repo loop", "copying"),
        (7, "doctor loop", "not a repository"),
        (7, "apply patch loop out", "loop is not a folder"),
    ],
)
def test_a_symlink_to_itself_is_told(
    code: int, line: str, words: str, repository: Path, here: Path, capsys: Any
) -> None:
    (here / "loop").symlink_to("loop")
    (here / "patch").write_bytes(next(repository.rglob("*.bundle")).read_bytes())
    error, hint = refused(code, line, capsys)
    assert words in error
    assert hint


@pytest.mark.parametrize("line", ["pause", "recall", "resume"])
def test_an_urgent_command_needs_no_room_for_temporary_files(
    line: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    assert run(f"{PROMOTE} 1.0") == 0
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    code = 10 if line == "resume" else 0
    assert run(f"{line} repo --app notes --version 1.0 --keys keys") == code


def test_a_doctor_without_room_does_not_say_that_clients_are_refused(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    assert run(f"{PROMOTE} 1.0") == 0
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    error, hint = refused(7, "doctor repo", capsys)
    assert "no folder for temporary files" in error
    assert "TMPDIR" in hint


def test_a_version_that_was_mistyped_is_not_signed_for_good(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "refresh repo --keys keys --at-least"
    error, hint = refused(7, f"{line} 99999999999999999999", capsys)
    assert "no client has seen a version such as 99999999999999999999" in error
    assert "--at-least" in hint
    assert run(f"{line} 1000") == 0


def test_a_recall_is_told_before_its_patches_are_built(
    repository: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    assert add("2.0 new") == 0
    assert run(f"{PROMOTE} 1.0") == 0
    monkeypatch.setattr("patchtool.release.add_release.build_patch", interrupted)
    capsys.readouterr()
    assert run("recall repo --version 2.0 --app notes --keys keys --patch") == 130
    told, ended = capsys.readouterr().err.splitlines()
    assert told == "notes 2.0 is recalled; patches for its installs follow"
    assert ended == "error: interrupted"


def test_a_killed_apply_leaves_no_folder_that_looks_whole(patch: Path, here: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from patchtool.folder import apply_to_folder as folders\n"
        "folders._put = lambda *_: os._exit(9)\n"
        "folders.apply_to_folder(Path('patch'), Path('old'), Path('out'))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert not (here / "out").exists()
    assert run("apply patch old out") == 0
    assert read_tree(here / "out") == NEW
    assert leftovers(here) == ["out"]
