"""Version counts and failures: what installs told is counted the same by every database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchserver.database.engine import Database
from patchserver.rollouts.failure_groups import groups
from patchserver.rollouts.group_commit import GroupCommit
from patchserver.rollouts.ingest import Ingest
from patchserver.rollouts.version_counts import ACTIVE_DAYS, DAY, Active, active, version_counts
from tests.support.repository.publisher import NOW
from tests.support.servers.databases import KINDS, fresh_database
from tests.support.servers.served import checkin, report
from updater.format.reports import CheckIn, FailureReport


@pytest.fixture(params=KINDS)
def ingest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ingest]:
    with fresh_database(request.param, tmp_path) as url:
        database = Database(url)
        database.upgrade()
        yield Ingest(database, GroupCommit(database), b"secret")
        database.close()


def _seen(ingest: Ingest, install: int, version: str, now: int, **changes: str) -> None:
    message = CheckIn.parse(checkin(install, version=version, **changes))
    ingest.checkin(message, "192.0.2.1", now)


def _failed(ingest: Ingest, install: int, now: int, **changes: str) -> None:
    ingest.report(FailureReport.parse(report(install, **changes)), "192.0.2.1", now)


def test_active_installs_are_counted_by_version_and_channel(ingest: Ingest) -> None:
    for install in range(3):
        _seen(ingest, install, "1.0", NOW - DAY)
    _seen(ingest, 2, "2.0", NOW)
    _seen(ingest, 8, "2.0", NOW, channel="beta")
    _seen(ingest, 9, "1.0", NOW - (ACTIVE_DAYS + 1) * DAY)
    _seen(ingest, 5, "1.0", NOW, app="other")
    assert active(ingest.database, "notes", NOW) == [
        Active("stable", "1.0", 2),
        Active("beta", "2.0", 1),
        Active("stable", "2.0", 1),
    ]
    assert active(ingest.database, "'; --", NOW) == []


def test_adoption_counts_each_install_once_a_day_with_its_last_version(ingest: Ingest) -> None:
    for install in range(3):
        _seen(ingest, install, "1.0", NOW - 2 * DAY)
        _seen(ingest, install, "1.0", NOW)
    _seen(ingest, 0, "2.0", NOW)
    _seen(ingest, 1, "1.0", NOW - 10 * DAY)
    found = version_counts(ingest.database, "notes", NOW, 3)
    assert found.first_day == NOW // DAY - 2
    assert found.installs == {"1.0": (3, 0, 2), "2.0": (0, 0, 1)}


def test_reports_of_one_fault_are_one_group_with_its_newest_as_example(ingest: Ingest) -> None:
    for number in range(4):
        _failed(ingest, number % 3, NOW + number, error=f"NotConfirmed: {number}")
    _failed(ingest, 1, NOW + 9, platform="win32-amd64")
    _failed(ingest, 1, NOW - DAY, error="nothing we know")
    _failed(ingest, 1, NOW, app="other")
    found = groups(ingest.database, "notes", NOW - 2 * DAY)
    assert [(g.kind, g.platform, g.reports, g.installs) for g in found.shown] == [
        ("NotConfirmed", "win32-amd64", 1, 1),
        ("NotConfirmed", "linux-x86_64", 4, 3),
        ("other", "linux-x86_64", 1, 1),
    ]
    group = found.shown[1]
    assert (group.first, group.last, group.example.error) == (NOW, NOW + 3, "NotConfirmed: 3")
    assert group.example.changed == ["lib/core"]
    assert found.all == 3


def test_groups_are_chosen_by_release_and_time_and_are_not_too_many(ingest: Ingest) -> None:
    for number in range(5):
        _failed(ingest, number, NOW + number, platform=f"p{number}")
    _failed(ingest, 9, NOW, to="3.0")
    _failed(ingest, 9, NOW - 9 * DAY, to="3.0", platform="old")
    few = groups(ingest.database, "notes", NOW - DAY, most=2)
    assert [g.platform for g in few.shown] == ["p4", "p3"]
    assert few.all == 6
    only = groups(ingest.database, "notes", NOW - DAY, "3.0")
    assert [(g.release, g.reports) for g in only.shown] == [("3.0", 1)]


def test_a_message_that_comes_twice_counts_once(ingest: Ingest) -> None:
    body = json.loads(report(1))
    for _ in range(3):
        ingest.report(FailureReport.parse(json.dumps(body).encode()), "192.0.2.1", NOW)
    assert groups(ingest.database, "notes", NOW).shown[0].reports == 1
