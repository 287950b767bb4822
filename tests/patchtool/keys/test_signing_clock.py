"""A clock that does not fit what was signed before signs nothing, until somebody says the date."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patchtool.cli.parser import main
from patchtool.doctor.doctor import diagnose
from patchtool.keys.signing_clock import (
    AHEAD_MOST,
    BEHIND_MOST,
    DAY,
    Date,
    check_clock,
    check_server_clock,
    day,
    doubt_of,
)
from patchtool.release.refresh import refresh

from tests.support.repository.publisher import NOW, PASSWORD, Publisher
from tests.support.repository.seen_by_clients import files, look
from tests.support.servers.processes import environment
from tests.support.servers.serving import misserved
from tests.support.trees.trees import Tree, write_tree
from updater.check.watermarks import clock_doubt, read_watermarks
from updater.errors import FormatError, InstallError

ONE: Tree = {"f": b"1"}
SIGNING = {
    "add-release": "add-release {repository} {release} --app notes --version 3.0 --quiet",
    "promote": "promote {repository} --app notes --version 1.0",
    "pause": "pause {repository} --app notes --version 2.0",
    "resume": "resume {repository} --app notes --version 2.0",
    "recall": "recall {repository} --app notes --version 2.0",
    "refresh": "refresh {repository} --at-least 50",
    "prune": "prune {repository}",
    "apps add": "apps add {repository} --app other",
    "apps remove": "apps remove {repository} --app notes",
    "keys rotate": "keys rotate {repository} --role online",
    "keys revoke": "keys revoke {repository} --role online",
    "keys publish-root": "keys publish-root {repository} {release}",
}


@given(st.integers(0, 4 * NOW), st.integers(1, 4 * NOW))
def test_a_clock_is_doubted_if_it_is_behind_or_far_ahead(now: int, signed: int) -> None:
    fits = -BEHIND_MOST <= now - signed <= AHEAD_MOST
    assert (doubt_of(now, signed) == "") == fits
    check_clock(now, signed, Date.parse(day(now)))
    if fits:
        check_clock(now, signed)
    else:
        with pytest.raises(InstallError, match=r"days (before|after) the last signature"):
            check_clock(now, signed)


@given(st.integers(0, 2 * NOW), st.integers(-400, 400))
def test_a_date_that_is_said_vouches_for_no_other(now: int, days: int) -> None:
    said = Date.parse(day(now))
    other = now + days * DAY
    if abs(days) <= 1:
        check_clock(other, 0, said)
    elif abs(days) > 2 and other > 0:
        with pytest.raises(InstallError, match=r"clock says"):
            check_clock(other, 0, said)


@pytest.mark.parametrize("text", ["", "tomorrow", "2027-13-01", "1800000000", "2027-01-31T00:00Z"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        Date.parse(text)


@pytest.fixture
def publisher(publisher_of_today: Publisher, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    monkeypatch.setenv(*next(iter(PASSWORD.items())))
    publisher_of_today.release("1.0", ONE)
    publisher_of_today.release("2.0", {"f": b"2"})
    return publisher_of_today


def line(command: str, publisher: Publisher) -> list[str]:
    release = publisher.folder.parent / "release"
    if not release.exists():
        write_tree(release, {"f": b"3"})
    words = SIGNING[command].format(repository=publisher.folder, release=release).split()
    return [*words, "--keys", str(publisher.keys.folder)]


@pytest.mark.parametrize("days", [-400, -5, 40, 400])
@pytest.mark.parametrize("command", SIGNING)
def test_no_command_signs_by_a_clock_that_does_not_fit(
    command: str,
    days: int,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, before = line(command, publisher), files(publisher.folder)
    there = time.time() + days * DAY
    monkeypatch.setattr("time.time", lambda: there)
    assert main(words) == 7
    assert files(publisher.folder) == before
    said = capsys.readouterr().err
    assert f"{abs(days)} days {'before' if days < 0 else 'after'} the last signature" in said
    assert "--clock YYYY-MM-DD" in said
    assert main([*words, "--clock", "2001-01-01"]) == 7
    assert files(publisher.folder) == before


def test_a_date_that_is_said_lets_a_command_sign(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = time.time() + 40 * DAY
    monkeypatch.setattr("time.time", lambda: there)
    assert main([*line("refresh", publisher), "--clock", day(int(there))]) == 0
    assert main(line("promote", publisher)) == 0, "it is known to be right now"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime")
@pytest.mark.parametrize("shift", ["-400 days", "+400 days"])
def test_a_real_command_on_a_machine_whose_clock_is_wrong(shift: str, publisher: Publisher) -> None:
    before = files(publisher.folder)
    words = ["faketime", shift, sys.executable, "-m", "patchtool", *line("promote", publisher)]
    done = subprocess.run(
        words, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, files(publisher.folder)) == (7, before)
    assert "400 days" in done.stderr


@pytest.mark.parametrize("days", [2, 5, 100, 300])
def test_a_refresh_puts_right_what_a_clock_that_was_ahead_has_signed(
    days: int, publisher: Publisher, tmp_path: Path
) -> None:
    """Both who has seen it and who has not go on, and nobody learns the wrong time any more."""
    root, folder, right = publisher.root, publisher.folder, publisher.now
    publisher.now = wrong = right + days * DAY
    publisher.release("3.0", {"f": b"3"})
    look(folder, tmp_path / "victim", root, right)
    assert read_watermarks(tmp_path / "victim/seen").time.value == wrong
    publisher.now = right
    found = diagnose(publisher.folder, right)
    assert f"{days} days before the last signature" in found.ahead
    refresh(publisher.repository())
    for later in range(0, 40, 3):
        publisher.now = right + later * DAY
        refresh(publisher.repository())
        memory = tmp_path / f"new {later}"
        for client in ("victim", memory.name):
            look(folder, tmp_path / client, root, publisher.now)
        assert read_watermarks(memory / "seen").time.value <= publisher.now
    assert diagnose(publisher.folder, publisher.now).ahead == ""


def test_a_promotion_by_a_right_clock_takes_the_wrong_time_out_of_its_channel(
    publisher: Publisher, tmp_path: Path
) -> None:
    right = publisher.now
    publisher.add("3.0", {"f": b"3"})
    publisher.now += 20 * DAY
    publisher.promote("3.0")
    publisher.now = right
    publisher.promote("3.0")
    seen = look(publisher.folder, tmp_path / "m", publisher.root, right)
    assert (seen.now, seen.head.issued, seen.head.entries[0].reach(right)) == (right, right, 10_000)


def test_a_time_that_no_client_believes_makes_no_signature_hold_longer(
    publisher: Publisher,
) -> None:
    """Clients ignore it, because the app's signature ends before it."""
    right = publisher.now
    publisher.now += 400 * DAY
    publisher.promote("2.0")
    publisher.now = right
    refresh(publisher.repository())
    ends = {s.role: s.expires for s in publisher.repository().statuses()}
    assert ends["timestamp"] == right + 7 * DAY


def test_clients_are_told_whose_clock_is_likelier_wrong() -> None:
    assert clock_doubt(NOW, NOW + DAY, None) == ""
    signed = NOW + 5 * DAY
    nobody_knows = clock_doubt(NOW, signed, None)
    assert "5 days after this machine's clock" in nobody_knows
    assert "or tell the publisher" in nobody_knows
    assert "tell the publisher to run patchtool refresh" in clock_doubt(NOW, signed, NOW + 60)
    assert "set this machine's clock right" in clock_doubt(NOW, signed, signed + 60)


@pytest.mark.parametrize("days", [-3, 3])
def test_a_clock_that_is_not_the_servers_takes_no_copy_to_sign_in(
    days: int,
    publisher: Publisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    elsewhere = formatdate(time.time() + days * DAY, usegmt=True)

    def misdate(handler: BaseHTTPRequestHandler, _: Path) -> bool:
        monkeypatch.setattr(handler, "date_time_string", lambda _=None: elsewhere)
        return False

    words = [str(tmp_path / "copy"), "--quiet"]
    with misserved(publisher.folder, misdate) as url:
        assert main(["fetch", url, *words]) == 7
        assert "3 days apart" in capsys.readouterr().err
        assert not list(tmp_path.glob("copy/metadata/*"))
        assert main(["fetch", url, *words, "--clock", day(int(time.time()))]) == 0


def test_a_server_that_does_not_tell_the_time_is_believed() -> None:
    check_server_clock(NOW, None)
    check_server_clock(NOW, NOW + DAY)
    check_server_clock(NOW, NOW + 9 * DAY, Date.parse(day(NOW)))
    with pytest.raises(InstallError, match="9 days apart"):
        check_server_clock(NOW, NOW + 9 * DAY)
