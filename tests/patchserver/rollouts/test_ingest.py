"""Check-ins and reports: stored before they are acknowledged, once, and never believed too much."""

from __future__ import annotations

import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from patchserver.database.tables import Base, Failure, Install, Sighting
from patchserver.rollouts.ingest import RESERVE
from tests.support.repository.publisher import NOW
from tests.support.servers.served import CHECKIN, REPORT, Server, checkin, report
from updater.errors import FormatError
from updater.format.reports import CHECKIN_BYTES, REPORT_BYTES, CheckIn, FailureReport

DAY = 86_400


def count(server: Server, table: type[Base]) -> int:
    with server.services.database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def post(server: Server, kind: str, data: bytes) -> int:
    return server.client.post(f"/api/v1/{kind}", data=data).status_code


def test_a_message_that_comes_twice_is_one(server: Server) -> None:
    once, twice = checkin(1), report(1)
    for _ in range(3):
        assert post(server, "checkins", once) == 204
        assert post(server, "reports", twice) == 204
    assert [count(server, table) for table in (Install, Sighting, Failure)] == [1, 1, 1]


def test_an_install_is_known_by_its_last_word(server: Server) -> None:
    post(server, "checkins", checkin(1, version="1.0"))
    server.clock.now += DAY
    post(server, "checkins", checkin(1, version="2.0", state="unconfirmed"))
    server.clock.now += 60
    post(server, "checkins", checkin(1, version="2.0"))
    with server.services.database.reading() as session:
        (found,) = session.scalars(select(Install)).all()
    assert (found.version, found.state) == ("2.0", "clean")
    assert (found.since, found.seen) == (NOW + DAY, NOW + DAY + 60)
    assert count(server, Sighting) == 2


def test_where_an_install_is_stands_nowhere(server: Server) -> None:
    post(server, "checkins", checkin(1))
    with server.services.database.reading() as session:
        (found,) = session.scalars(select(Install)).all()
    assert "127.0.0" not in str(vars(found))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("checkins", {"app": "../x"}),
        ("checkins", {"version": "1.0; DROP TABLE installs"}),
        ("checkins", {"state": "great"}),
        ("checkins", {"install": "1" * 31}),
        ("checkins", {"id": "Z" * 32}),
        ("checkins", {"platform": "<script>alert(1)</script>"}),
        ("checkins", {"more": "field"}),
        ("reports", {"step": "' OR 1=1 --"}),
        ("reports", {"error": "x" * 5000}),
        ("reports", {"error": "nul\0"}),
        ("reports", {"from": ""}),
    ],
)
def test_what_is_no_message_is_refused_for_good(
    server: Server, kind: str, changes: dict[str, str]
) -> None:
    make = checkin if kind == "checkins" else report
    assert post(server, kind, make(1, **changes)) == 400
    assert count(server, Install) == count(server, Failure) == 0


@pytest.mark.parametrize("kind", ["checkins", "reports"])
def test_garbage_and_too_much_are_refused_before_they_are_parsed(server: Server, kind: str) -> None:
    for data in (b"", b"null", b"[]", b"\xff", b"{" * 2000, b'{"id": 1e999}', b'{"id":1,"id":2}'):
        assert post(server, kind, data) == 400
    assert post(server, kind, b" " * (REPORT_BYTES + 1)) == 413


def test_an_app_that_is_not_hosted_is_said_so(server: Server) -> None:
    assert post(server, "checkins", checkin(1, app="other")) == 404
    assert post(server, "reports", report(1, app="other")) == 404


def test_attacks_in_a_report_are_only_text(server: Server) -> None:
    evil = "'; DROP TABLE failures; -- <script>alert(1)</script> {{7*7}} %s"
    assert post(server, "reports", report(1, error=evil)) == 204
    with server.services.database.reading() as session:
        (found,) = session.scalars(select(Failure)).all()
    assert (found.error, found.kind) == (evil, "other")


def test_what_is_old_is_forgotten(server: Server) -> None:
    post(server, "checkins", checkin(1))
    post(server, "reports", report(1))
    server.services.ingest.sweep(NOW + 300 * DAY)
    assert [count(server, table) for table in (Install, Sighting, Failure)] == [1, 1, 1]
    server.services.ingest.sweep(NOW + 500 * DAY)
    assert [count(server, table) for table in (Install, Sighting, Failure)] == [0, 0, 0]


def _values(base: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    strange = st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text(), max_size=3)
    )
    names = st.sampled_from([*base, "id", "install", "new field"])
    return st.dictionaries(names, strange, min_size=1).map(lambda changes: {**base, **changes})


def test_a_full_disk_takes_no_word_of_installs_and_leaves_room_for_publishers(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=RESERVE - 1)
    monkeypatch.setattr("patchserver.publishing.uploads.shutil.disk_usage", lambda _: usage)
    assert post(server, "checkins", checkin(1)) == 507
    assert post(server, "reports", report(1)) == 507
    assert [count(server, table) for table in (Install, Failure)] == [0, 0]


def test_a_flood_of_reports_is_forgotten_but_for_the_newest(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchserver.rollouts.ingest.REPORTS_MOST", 3)
    for number in range(8):
        server.clock.now += 1
        assert post(server, "reports", report(number)) == 204
    server.services.ingest.sweep(server.clock.now)
    with server.services.database.reading() as session:
        kept = session.scalars(select(Failure.received)).all()
    assert sorted(kept) == [NOW + 6, NOW + 7, NOW + 8]


@given(_values(CHECKIN), st.binary(max_size=20))
def test_a_checkin_is_parsed_or_refused_and_nothing_else(value: dict[str, Any], end: bytes) -> None:
    for data in (json.dumps(value).encode(), json.dumps(value).encode() + end, end):
        with suppress(FormatError):
            CheckIn.parse(data)


@given(_values(REPORT), st.binary(max_size=20))
def test_a_report_is_parsed_or_refused_and_nothing_else(value: dict[str, Any], end: bytes) -> None:
    for data in (json.dumps(value).encode(), json.dumps(value).encode() + end, end):
        with suppress(FormatError):
            assert len(FailureReport.parse(data).kind) <= 64


def test_both_limits_are_those_the_docs_name() -> None:
    assert (CHECKIN_BYTES, REPORT_BYTES) == (4096, 65536)
