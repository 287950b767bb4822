"""Reports: a publisher learns what failed and where, and nothing about the user."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash.crash_disk import FaultyDisk
from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import Exe, Tree, noise
from updater.client import Updater
from updater.disk import json_file
from updater.disk.durable import Disk
from updater.errors import InstallError, TransportError, TrustError
from updater.format import reports as schema
from updater.format.reports import ReportingInstall
from updater.launch.commit.rollback import rollback
from updater.launch.failure_report import MOST, PATHS_MOST, Report
from updater.local.session import Session
from updater.local.settings import read_settings
from updater.update.install_new import install

OLD: Tree = {"app": Exe(b"1"), "lib/core": noise(3_000, 1), "lib/same": b"same"}
NEW: Tree = {"app": Exe(b"2"), "lib/core": noise(3_000, 2), "lib/same": b"same"}


@pytest.fixture
def updater(tmp_path: Path, url: str, publisher: Publisher, session: Session) -> Updater:
    """An install of 1.0 that is offered 2.0."""
    publisher.release("1.0", OLD)
    install(tmp_path / "app", url, publisher.root, "notes", session=session)
    publisher.release("2.0", NEW)
    return Updater(tmp_path / "app", session)


def reports(updater: Updater) -> list[dict[str, Any]]:
    """What is queued."""
    folder = updater._state.reports
    return [json.loads(p.read_bytes()) for p in folder.iterdir()] if folder.exists() else []


def faulty(updater: Updater, disk: Disk) -> Updater:
    return Updater(updater._state.install, replace(updater._session, disk=disk))


class FullAt(Disk):
    """A disk that is full when ``name`` is to be put in place."""

    def __init__(self, name: str) -> None:
        self._name = name

    def replace(self, source: Path, path: Path) -> None:
        if path.name == self._name and path.parent.name == "app":
            raise OSError(errno.ENOSPC, "no space left", str(path))
        super().replace(source, path)


def test_an_update_that_is_undone_leaves_a_report_of_the_commit(updater: Updater) -> None:
    with pytest.raises(InstallError):
        faulty(updater, FullAt("app")).update()
    (report,) = reports(updater)
    assert (report["step"], report["from"], report["to"]) == ("commit", "1.0", "2.0")
    assert report["error"] == "NotEnoughSpace: ENOSPC"
    assert report["changed"] == []


def test_it_names_files_of_the_release_that_are_not_as_released_and_no_file_of_the_user(
    updater: Updater,
) -> None:
    live = updater._state.install
    (live / "lib/same").write_bytes(b"edited")
    (live / "diary.txt").write_bytes(b"dear diary")
    with pytest.raises(InstallError):
        faulty(updater, FullAt("app")).update()
    (report,) = reports(updater)
    assert report["changed"] == ["lib/same"]
    assert "diary" not in json.dumps(report)


def test_it_does_not_tell_where_the_user_keeps_the_application(
    updater: Updater, tmp_path: Path
) -> None:
    updater.update()
    launched = str(OSError(errno.ENOENT, "no such file", str(updater._state.install / "app")))
    rollback(updater._state, f"cannot be started: {launched}")
    (report,) = reports(updater)
    assert str(tmp_path) not in json.dumps(report)
    assert "DIR/app" in report["error"]


def test_it_tells_no_password(updater: Updater, publisher: Publisher) -> None:
    settings = read_settings(updater._state)
    secret = replace(settings, url=settings.url.replace("//", "//john:secret@"))
    updater._state.settings.write_bytes(secret.data)
    for place in (publisher.folder / "metadata").glob("*.snapshot.json"):
        place.write_bytes(b"{}")
    with pytest.raises(TrustError):
        updater.update()
    (report,) = reports(updater)
    assert "secret" not in json.dumps(report)


def test_a_report_that_cannot_be_made_hides_no_error(
    updater: Updater, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_deep(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("updater.reports.failures.damage", too_deep)
    with pytest.raises(InstallError, match="the update was undone"):
        faulty(updater, FullAt("app")).update()
    assert reports(updater) == []


def test_a_name_that_is_no_text_is_told_in_a_report(updater: Updater) -> None:
    updater.update()
    rollback(updater._state, "cannot read \udcff")
    (report,) = reports(updater)
    assert report["error"] == "cannot read \\udcff"


def test_what_fails_again_in_the_same_way_is_the_same_report(updater: Updater) -> None:
    for _ in range(3):
        with pytest.raises(InstallError):
            faulty(updater, FullAt("app")).update()
    assert len(reports(updater)) == 1
    with pytest.raises(InstallError):
        faulty(updater, FaultyDisk(fail=30, code=errno.EACCES)).update()
    assert len(reports(updater)) == 2


def test_two_installs_with_the_same_failure_are_two_reports(
    updater: Updater, tmp_path: Path, publisher: Publisher
) -> None:
    settings = read_settings(updater._state)
    publisher.promote("1.0")
    install(tmp_path / "two", settings.url, publisher.root, "notes", session=updater._session)
    ids = set()
    publisher.promote("2.0")
    for name in ("app", "two"):
        other = Updater(tmp_path / name, replace(updater._session, disk=FullAt("core")))
        (other._state.install / "lib").rename(tmp_path / "lib")
        (other._state.install / "lib").symlink_to(tmp_path / "lib")
        with pytest.raises(InstallError):
            other.update()
        (other._state.install / "lib").unlink()
        (tmp_path / "lib").rename(other._state.install / "lib")
        ids |= {report["id"] for report in reports(other)}
    assert len(ids) == 2


def test_signatures_that_do_not_hold_are_reported_as_found_by_the_check(
    updater: Updater, publisher: Publisher
) -> None:
    place = publisher.folder / "metadata" / "timestamp.json"
    document = json.loads(place.read_bytes())
    document["signed"]["version"] += 1
    place.write_bytes(json.dumps(document).encode())
    with pytest.raises(TrustError):
        updater.update()
    (report,) = reports(updater)
    assert (report["step"], report["from"], report["to"]) == ("check", "1.0", "")


def test_a_network_that_is_down_is_no_failure_of_a_release(updater: Updater) -> None:
    settings = replace(read_settings(updater._state), url="http://127.0.0.1:9")
    updater._state.settings.write_bytes(settings.data)
    with pytest.raises(TransportError):
        updater.update()
    assert reports(updater) == []


def test_a_version_that_was_taken_back_tells_what_somebody_changed_of_it(updater: Updater) -> None:
    updater.update()
    (updater._state.install / "lib/core").write_bytes(b"damaged")
    updater.rollback()
    (report,) = reports(updater)
    assert (report["step"], report["from"], report["to"]) == ("confirm", "1.0", "2.0")
    assert report["changed"] == ["lib/core"]


def queue(updater: Updater, count: int) -> None:
    """Queue reports that name many files."""
    paths = tuple(f"lib/{number}" for number in range(1_000))
    for number in range(count):
        made = Report(
            identity=f"{number:032}", step="stage", error="", old="1", new="2", changed=paths
        )
        made.write(updater._state)


def test_reports_nobody_takes_stay_few_and_small(updater: Updater) -> None:
    queue(updater, MOST + 5)
    kept = reports(updater)
    assert len(kept) == MOST
    assert {f"{number:032}" for number in range(10, MOST + 5)} <= {report["id"] for report in kept}
    assert all(len(report["changed"]) == PATHS_MOST for report in kept)


def test_what_else_lies_among_the_reports_is_not_touched(updater: Updater) -> None:
    folder = updater._state.reports
    folder.mkdir()
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("nowhere")
    queue(updater, MOST + 5)
    names = {path.name for path in folder.iterdir()}
    assert len(names) == MOST + 2
    assert {"folder", "link"} <= names


def test_nothing_is_written_or_deleted_behind_a_link(updater: Updater, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(MOST + 5):
        (tmp_path / "mine" / f"{number:032}.json").write_bytes(b"mine")
    updater._state.reports.symlink_to(tmp_path / "mine")
    with pytest.raises(InstallError):
        faulty(updater, FullAt("app")).update()
    assert len(list((tmp_path / "mine").iterdir())) == MOST + 5


def test_the_launcher_writes_what_the_schema_takes() -> None:
    sender = ReportingInstall("", "0" * 32, "notes", "stable", "linux", "0.1.0")
    assert PATHS_MOST == schema.PATHS_MOST
    for step in schema.STEPS:
        data = json_file.encode(
            {"id": "1" * 32, "step": step, "error": "E: x", "from": "1.0", "to": "", "changed": []}
        )
        waiting = schema.FailureReport.waiting(data, sender)
        assert schema.FailureReport.parse(waiting.data) == waiting
