"""Changes by hand: rollouts, tokens and accounts; each is told, and stands in the audit log."""

from __future__ import annotations

import re
from typing import Any

import pytest

from patchserver.accounts.audit import SERVER
from patchserver.accounts.users import Role, Scope
from patchserver.publishing.signer import OnlineSigner
from patchserver.rollouts.halting import Rule
from tests.support.servers.browsing import Browser, browser
from tests.support.servers.served import NEW, OLD, PASSWORD, Server, report
from updater.errors import MachineError
from updater.format.head import EVERYONE, HeadEntry, RolloutStep

STABLE = "/apps/notes/channels/stable"
DAY = 86_400


@pytest.fixture
def server(server: Server) -> Server:
    server.services.accounts.add("admin", PASSWORD, Role.ADMIN, server.clock.now)
    return server


@pytest.fixture
def publisher(server: Server) -> Browser:
    """The browser of a publisher, where 1.0 is offered to everyone and 2.0 published."""
    server.publish("1.0", OLD)
    server.publish("2.0", NEW)
    server.services.rollouts.promote(SERVER, "notes", "stable", "1.0")
    return browser(server, Role.PUBLISHER)


def _offers(server: Server, channel: str = "stable") -> tuple[HeadEntry, ...]:
    return server.services.signer.heads("notes")[channel].entries


def _logged(server: Server) -> list[tuple[str, str, str, bool]]:
    """What was changed last: by whom, what, of what, and whether it was done."""
    events = server.services.audit.events()
    return [(e.actor, e.action, e.subject, e.outcome == "done") for e in events]


def _promote(page: Browser, share: str, **other: str) -> str:
    form = {"channel": "stable", "version": "2.0", "share": share, **other}
    return page.told(page.post("/apps/notes/promote", form))


def test_a_version_is_offered_to_a_share_or_by_a_ramp(server: Server, publisher: Browser) -> None:
    now = server.clock.now
    assert _promote(publisher, "12.5") == "stable offers 2.0: 12.5."
    assert _offers(server)[0].steps == (RolloutStep(now, 1250),)
    server.clock.now += 60
    assert "stable offers 2.0" in _promote(publisher, " 20@now,100@+24h ")
    steps = (
        RolloutStep(now, 1250),
        RolloutStep(now + 60, 2000),
        RolloutStep(now + 60 + DAY, EVERYONE),
    )
    assert _offers(server)[0].steps == steps
    assert _logged(server)[0] == ("user publisher", "promote", "stable 2.0", True)


def test_a_new_channel_begins_with_its_first_offer(server: Server, publisher: Browser) -> None:
    assert "beta offers 2.0" in _promote(publisher, "100", channel="beta")
    assert _offers(server, "beta")[0].version == "2.0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"share": "0x10"}, "is not a percentage"),
        ({"share": "101"}, "is not a percentage"),
        ({"share": "50@now,10@+1h"}, "must rise"),
        ({"version": "9.9"}, "is not published"),
        ({"version": "<b>"}, "&lt;b&gt;"),
        ({"channel": "../x"}, "../x"),
        ({"channel": ""}, ""),
    ],
)
def test_what_cannot_be_offered_is_told_and_changes_nothing(
    server: Server, publisher: Browser, change: dict[str, str], words: str
) -> None:
    before = server.services.signer.timestamp()
    assert words in _promote(publisher, **{"share": "100", **change})
    assert server.services.signer.timestamp() == before


def test_a_rollout_is_paused_and_goes_on(server: Server, publisher: Browser) -> None:
    _promote(publisher, "50")
    told = publisher.told(publisher.post(f"{STABLE}/pause", {"version": "2.0"}))
    assert told == "2.0 is paused on stable."
    assert _offers(server)[0].paused
    assert "is paused on stable; resume it first" in _promote(publisher, "100")
    told = publisher.told(publisher.post(f"{STABLE}/resume", {"version": "2.0"}))
    assert told == "2.0 goes on where it was, on stable."
    assert not _offers(server)[0].paused
    assert [entry[1:] for entry in _logged(server)[:2]] == [
        ("resume", "stable 2.0", True),
        ("promote", "stable 2.0", False),
    ]


def test_a_rule_is_set_and_halts_by_it(server: Server, publisher: Browser) -> None:
    _promote(publisher, "100")
    form = {"threshold": "12.5", "sample": "2"}
    assert "halts above 12.5 %" in publisher.told(publisher.post(f"{STABLE}/rule", form))
    assert server.services.rollouts.rule("notes", "stable") == Rule(1250, 2)
    for install in range(2):
        server.client.post("/api/v1/reports", data=report(install))
    assert server.services.rollouts.judge()
    server.clock.now += 1
    publisher.post(f"{STABLE}/resume", {"version": "2.0"})
    assert not server.services.rollouts.judge()
    assert 'data-label="Resumed">2027' in publisher.text(STABLE)


@pytest.mark.parametrize(
    ("threshold", "sample"),
    [("101", "5"), ("-1", "5"), ("x", "5"), ("5", "0"), ("5", "x"), ("5", "9999999"), ("5", "²")],
)
def test_a_rule_that_makes_no_sense_is_refused(
    server: Server, publisher: Browser, threshold: str, sample: str
) -> None:
    answer = publisher.post(f"{STABLE}/rule", {"threshold": threshold, "sample": sample})
    assert "halts above" not in publisher.told(answer)
    assert server.services.rollouts.rule("notes", "stable") == Rule()


@pytest.mark.parametrize("verb", ["pause", "resume", "rule"])
def test_a_channel_that_is_not_there_is_told(publisher: Browser, verb: str) -> None:
    form = {"version": "1.0", "threshold": "5", "sample": "5"}
    told = publisher.told(publisher.post(f"/apps/notes/channels/nope/{verb}", form))
    assert "has no channel" in told


def test_what_the_machine_says_of_itself_stays_in_the_log(
    server: Server, publisher: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MachineError("/secret/place is full")

    monkeypatch.setattr(OnlineSigner, "promote", fail)
    told = _promote(publisher, "100")
    assert "/secret" not in told
    assert "Its log says why" in told


def test_a_form_without_its_fields_is_refused(publisher: Browser) -> None:
    for path in ("/apps/notes/promote", f"{STABLE}/pause", f"{STABLE}/rule", "/tokens"):
        assert publisher.post(path).status_code == 400


def test_a_token_is_shown_once_and_stands_nowhere(
    server: Server, publisher: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    form = {"name": "ci", "app": "notes", "days": "30", "scope": ["publish", "promote"]}
    answer = publisher.post("/tokens", form)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    found = re.search(r'id="secret">(ups_[\w-]+)<', answer.text)
    assert found is not None
    grant = server.services.accounts.grant(found[1], server.clock.now)
    assert grant is not None
    assert (grant.app, grant.scopes) == ("notes", frozenset(Scope))
    assert found[1] not in publisher.text("/tokens")
    assert found[1] not in caplog.text
    assert found[1] not in repr([vars(event) for event in server.services.audit.events()])
    assert server.services.accounts.grant(found[1], server.clock.now + 30 * DAY) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"days": "x"}, "no number of days"),
        ({"days": "99999"}, "no number of days"),
        ({"scope": []}, "may make no such token"),
        ({"scope": ["root"]}, "may make no such token"),
        ({"app": "No App"}, "No App"),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    server: Server, publisher: Browser, change: dict[str, Any], words: str
) -> None:
    form = {"name": "ci", "app": "", "days": "1", "scope": ["publish"], **change}
    assert words in publisher.told(publisher.post("/tokens", form))
    assert not server.services.accounts.tokens()


def test_tokens_are_revoked_by_their_makers_and_by_admins(
    server: Server, publisher: Browser
) -> None:
    accounts, now = server.services.accounts, server.clock.now
    mine = accounts.make_token("publisher", "mine", "", [Scope.PUBLISH], now)
    accounts.make_token("admin", "theirs", "", [Scope.PUBLISH], now)
    paths = {t.name: f"/tokens/{t.digest[:16]}/revoke" for t in accounts.tokens()}
    assert publisher.post(paths["theirs"]).status_code == 403
    assert publisher.post("/tokens/0000000000000000/revoke").status_code == 404
    assert "is good for nothing" in publisher.told(publisher.post(paths["mine"]))
    assert accounts.grant(mine, now) is None
    admin = browser(server, Role.ADMIN)
    assert "is good for nothing" in admin.told(admin.post(paths["theirs"]))
    assert not any(token.is_active for token in accounts.tokens())
    assert _logged(server)[0] == ("user admin", "revoke token", "theirs of admin", True)


def test_an_admin_manages_accounts(server: Server) -> None:
    admin = browser(server, Role.ADMIN)
    form = {"name": "eva", "password": PASSWORD, "role": "viewer"}
    assert admin.told(admin.post("/users", form)) == "eva can sign in now."
    eva = browser(server, Role.VIEWER, "eva")
    assert admin.told(admin.post("/users/eva/role", {"role": "publisher"})) == (
        "eva is publisher now."
    )
    assert "Make a token" in eva.text("/tokens")
    assert "cannot sign in" in admin.told(admin.post("/users/eva/close"))
    assert eva.get("/").status_code == 302
    assert Browser(server).sign_in("eva").status_code == 403
    assert "can sign in again" in admin.told(admin.post("/users/eva/open"))
    assert Browser(server).sign_in("eva").status_code == 303
    assert [entry[1:] for entry in _logged(server)[:4]] == [
        ("open user", "eva", True),
        ("close user", "eva", True),
        ("role", "eva publisher", True),
        ("add user", "eva", True),
    ]


def test_what_would_break_accounts_is_refused(server: Server) -> None:
    admin = browser(server, Role.ADMIN)
    form = {"name": "eva", "password": "short", "role": "viewer"}
    assert "10 to 1000" in admin.told(admin.post("/users", form))
    for name, role, words in (
        ("admin", "viewer", "there is a user admin"),
        ("no name", "viewer", "no user name"),
        ("eva", "king", "king is no role"),
    ):
        form = {"name": name, "password": PASSWORD, "role": role}
        assert words in admin.told(admin.post("/users", form)).replace("&#39;", "'")
    assert "nobody could manage" in admin.told(admin.post("/users/admin/close"))
    assert "nobody could manage" in admin.told(admin.post("/users/admin/role", {"role": "viewer"}))
    assert "there is no user" in admin.told(admin.post("/users/nobody/close"))
    assert PASSWORD not in repr([vars(event) for event in server.services.audit.events()])
