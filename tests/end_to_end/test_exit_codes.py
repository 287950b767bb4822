"""One table from what was found to exit codes: it follows from the worst, in every command."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patchtool.cli.parser import main
from patchtool.doctor.client_forecast import Forecast
from patchtool.doctor.doctor import Diagnosis, diagnose
from patchtool.keys.roles import RoleStatus
from patchtool.keys.signing_clock import DAY
from patchtool.release.recall import recall
from patchtool.release.refresh import Refreshed
from patchtool.repository.stored_files import FileFaults

from tests.support.attacks.hostile import newest
from tests.support.paths import ROOT
from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.trees.trees import Tree
from updater.cli.terminal import print_concerns
from updater.errors import UpdaterError
from updater.exit_codes import ERRORS, NOTHING_TO_DO, Concern, Severity, exit_code, worst

ONE: Tree = {"f": b"1"}
concerns = st.lists(
    st.builds(Concern, st.sampled_from(sorted(ERRORS)), st.text(max_size=5), st.text(max_size=5))
)
names = st.lists(st.sampled_from(["app.notes", "timestamp"]), max_size=2, unique=True).map(tuple)
statuses = st.lists(
    st.builds(
        RoleStatus,
        st.sampled_from(["app.notes", "root"]),
        st.just("release"),
        st.just(1),
        st.integers(NOW - 5, NOW + 5),
        st.booleans(),
    ),
    max_size=3,
).map(tuple)
outlooks = st.lists(
    st.builds(
        Forecast,
        st.just("notes"),
        st.just("stable"),
        st.sampled_from(["", "1.0"]),
        st.none(),
        st.sampled_from(["nothing", "stuck", "patch"]),
        st.just(0),
        st.just(100),
    ),
    max_size=3,
).map(tuple)
diagnoses = st.builds(
    Diagnosis,
    statuses,
    names,
    names,
    st.builds(FileFaults, names, names, names),
    st.sampled_from(["", "clients refuse it"]),
    outlooks,
    st.sampled_from(["", "a clock was ahead"]),
    names,
)


@given(concerns, st.booleans())
def test_the_exit_code_is_that_of_the_worst_concern(found: list[Concern], idle: bool) -> None:
    codes = {concern.error.exit_code for concern in found}
    code = print_concerns(found, idle=idle)
    assert code == exit_code(worst(found), idle=idle)
    if found:
        assert code == ERRORS[max(concern.severity for concern in found)].exit_code
        assert code in codes
    else:
        assert code == (NOTHING_TO_DO if idle else 0)


@given(diagnoses)
def test_whatever_a_doctor_finds_the_exit_code_follows(found: Diagnosis) -> None:
    broken = found.expired or found.unsigned or found.faults.missing or found.faults.damaged
    now = bool(broken or found.refused or found.stuck)
    later = bool(found.due or found.ahead or found.faults.unread)
    assert exit_code(worst(found.concerns)) == (4 if now else 7 if later else 0)
    assert all(concern.what and concern.hint for concern in found.concerns)


STUCK = Forecast("notes", "stable", "", None, "stuck", 0, 100, "nothing is offered")
DUE = RoleStatus("root", "root", 1, NOW, is_due=True)
WELL = Diagnosis((), (), (), FileFaults(), "", ())


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (WELL, 0),
        (replace(WELL, unreferenced=("f",)), 0),
        (replace(WELL, statuses=(DUE,)), 7),
        (replace(WELL, ahead="a clock was ahead"), 7),
        (replace(WELL, faults=FileFaults(unread=("f",))), 7),
        (replace(WELL, faults=FileFaults(missing=("f",))), 4),
        (replace(WELL, faults=FileFaults(damaged=("f",))), 4),
        (replace(WELL, expired=("root",)), 4),
        (replace(WELL, unsigned=("root",)), 4),
        (replace(WELL, refused="clients refuse it"), 4),
        (replace(WELL, clients=(STUCK,)), 4),
        (replace(WELL, statuses=(DUE,), clients=(STUCK,)), 4),
    ],
)
def test_each_finding_of_a_doctor_alone_has_its_exit_code(found: Diagnosis, code: int) -> None:
    assert exit_code(worst(found.concerns)) == code


@given(statuses, statuses)
def test_whatever_a_refresh_leaves_undone_the_exit_code_follows(
    signed: tuple[RoleStatus, ...], missing: tuple[RoleStatus, ...]
) -> None:
    found = Refreshed(signed, missing).concerns(NOW)
    expired = any(standing.expires <= NOW for standing in missing)
    code = exit_code(worst(found), idle=not signed)
    assert code == (4 if expired else 7 if missing else 0 if signed else NOTHING_TO_DO)


@given(st.sampled_from(UpdaterError.__subclasses__()))
def test_an_error_that_ends_a_look_is_no_clean_bill(kind: type[UpdaterError]) -> None:
    assert exit_code(Concern.of(kind("x")).severity) in {4, 7}


def test_the_table_in_the_documents_is_this_one() -> None:
    text = (ROOT / "docs/operating.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `([a-z]+)` \|.*\| ([0-9]+) \|$", text, re.MULTILINE))
    assert told == {severity.name.lower(): str(exit_code(severity)) for severity in Severity}


def doctor(publisher: Publisher) -> int:
    return main(["doctor", str(publisher.folder)])


@pytest.fixture
def today(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "today", now=int(time.time()))
    made.release("1.0", ONE)
    return made


def test_a_doctor_does_not_call_well_what_leaves_installs_without_an_offer(
    today: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(today) == 0
    recall(today.repository(), "notes", "1.0", now=today.now)
    capsys.readouterr()
    assert doctor(today) == 4
    said = capsys.readouterr()
    assert "error: notes stable: a new install: stuck: nothing is offered" in said.err
    assert "hint: offer a version they can take" in said.err


def test_a_refresh_does_not_call_well_what_clients_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(*next(iter(PASSWORD.items())))
    old = Publisher(tmp_path / "old", now=int(time.time()) - 370 * DAY)
    old.release("1.0", ONE)
    (old.keys.folder / "release.pem").unlink()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    words = ["refresh", str(old.folder), "--keys", str(old.keys.folder), "--clock", today]
    assert [main(words), main(words)] == [4, 4]
    assert "app.notes has expired, and clients refuse it" in capsys.readouterr().err
    assert doctor(old) == 4


@pytest.fixture
def nobody(today: Publisher) -> Iterator[None]:
    """Not to be root, who may read everything."""
    if os.name == "nt" or os.geteuid() != 0:
        yield
        return
    for folder in [today.folder, *today.folder.parents]:
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
    for path in [today.folder.parent, *today.folder.parent.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("name", ["targets", "metadata", "file", "app", "timestamp", "root"])
def test_what_a_doctor_may_not_read_is_told_and_is_not_well(
    name: str, today: Publisher, nobody: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = next(today.folder.rglob("*.bundle"))
    places = {"targets": today.folder / "targets", "metadata": today.folder / "metadata"}
    places |= {"file": bundle, "app": newest(today, "app.notes"), "root": newest(today, "root")}
    place = places.get(name) or today.folder / "metadata/timestamp.json"
    place.chmod(0)
    try:
        assert doctor(today) in {4, 7}
    finally:
        place.chmod(0o700)
    said = capsys.readouterr()
    assert "error:" in said.err
    assert "hint:" in said.err


def test_files_that_cannot_be_read_do_not_hide_what_is_worse(
    today: Publisher, nobody: None
) -> None:
    bundle = next(today.folder.rglob("*.bundle"))
    manifest = next(today.folder.rglob("*.manifest"))
    bundle.chmod(0)
    manifest.unlink()
    found = diagnose(today.folder, today.now)
    assert found.faults.unread == (bundle.relative_to(today.folder).as_posix(),)
    assert len(found.faults.missing) == 1
    assert doctor(today) == 4


@pytest.mark.parametrize("command", ["pause", "refresh", "sync"])
@pytest.mark.parametrize("name", ["keys", "repository"])
def test_what_a_command_may_not_use_is_told(
    name: str, command: str, today: Publisher, nobody: None, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = {
        "pause": f"pause REPO --app notes --version 1.0 --keys {today.keys.folder}",
        "refresh": f"refresh REPO --at-least 50 --keys {today.keys.folder}",
        "sync": f"sync REPO {today.folder.parent / 'copy'}",
    }
    place = today.keys.folder if name == "keys" else today.folder
    place.chmod(0o500 if name == "repository" else 0)
    try:
        code = main(lines[command].replace("REPO", str(today.folder)).split())
    finally:
        place.chmod(0o700)
    assert code == (0 if (name, command) == ("keys", "sync") else 7)
    said = capsys.readouterr().err
    assert ("error:" in said, "hint:" in said) == (bool(code), bool(code))
