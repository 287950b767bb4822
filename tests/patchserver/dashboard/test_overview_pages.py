"""The dashboard's pages: what is published, offered, installed and reported."""

from __future__ import annotations

import re

import pytest

from patchserver.accounts.audit import SERVER
from patchserver.accounts.users import Role
from patchserver.rollouts.halting import Rule
from tests.support.repository.publisher import NOW
from tests.support.servers.browsing import Browser, browser
from tests.support.servers.served import NEW, OLD, Server, checkin, report
from updater.format.head import EVERYONE, RolloutStep

DAY = 86_400


@pytest.fixture
def released(server: Server) -> Server:
    """A server that offers 1.0 to everyone and 2.0 to a tenth."""
    server.publish("1.0", OLD)
    server.publish("2.0", NEW)
    rollouts, now = server.services.rollouts, server.clock.now
    rollouts.promote(SERVER, "notes", "stable", "1.0")
    steps = (RolloutStep(now, 1000), RolloutStep(now + DAY, EVERYONE))
    rollouts.promote(SERVER, "notes", "stable", "2.0", steps)
    return server


def send(server: Server, what: str, body: bytes) -> None:
    assert server.client.post(f"/api/v1/{what}", data=body).status_code == 204


def viewer(server: Server) -> Browser:
    return browser(server, Role.VIEWER)


def test_a_new_server_says_what_is_not_there_yet(server: Server) -> None:
    page = viewer(server)
    assert "No channel offers anything yet" in page.text("/")
    for path in ("", "/releases", "/adoption", "/failures"):
        assert page.text(f"/apps/notes{path}")
    assert "Nothing was changed" in page.text("/log?app=notes")


def test_the_overview_tells_what_is_offered_to_whom_and_who_has_it(released: Server) -> None:
    for install in range(3):
        send(released, "checkins", checkin(install))
    send(released, "checkins", checkin(9, version="2.0"))
    page = viewer(released).text("/apps/notes")
    for words in ("10 % of installs", "Everyone", "halts above 5 % of 20", "4 altogether"):
        assert words in page
    assert "1 succeeded, 0 failed (0 %)" in page


def test_releases_are_listed_with_what_they_cost_and_who_offers_them(released: Server) -> None:
    page = viewer(released).text("/apps/notes/releases")
    app = released.services.signer.look().targets("app.notes")
    size = app["notes/patches/1.0_2.0"].length
    assert f'1.0 <span class="figures quiet">{size} B' in page
    assert page.count('href="/apps/notes/channels/stable"') == 2


def test_what_expires_is_told_in_time(released: Server) -> None:
    assert "Signatures" not in viewer(released).text("/")
    released.clock.now += 5 * DAY
    assert "<strong>timestamp</strong> ends" in viewer(released).text("/apps/notes")
    released.clock.now += 5 * DAY
    assert "timestamp expired" in viewer(released).text("/")


def test_a_channel_shows_its_steps_and_the_evidence(released: Server) -> None:
    send(released, "checkins", checkin(1, version="2.0"))
    send(released, "reports", report(2))
    page = viewer(released).text("/apps/notes/channels/stable")
    for words in ("now", "to come", "50 %", "18 more reports are needed to judge it"):
        assert words.capitalize() in page or words in page


def test_a_halt_is_told_with_its_reason(released: Server) -> None:
    server = released
    server.services.rollouts.set_rule(SERVER, "notes", "stable", Rule(2500, 2))
    for install in range(2):
        send(server, "reports", report(install))
    assert server.services.rollouts.judge()
    page = viewer(server)
    assert "2 of 2 installs failed, above 25 %" in page.text("/apps/notes")
    channel = page.text("/apps/notes/channels/stable")
    assert "Halted" in channel
    assert "paused here" in channel
    assert "put off" in channel
    assert "halt" in page.text("/log?app=notes")


def test_failures_are_one_line_a_fault_with_an_example(released: Server) -> None:
    for install in range(3):
        send(released, "reports", report(install))
    other = {"error": "PatchError: wrong", "platform": "win32-amd64", "to": "1.0"}
    send(released, "reports", report(7, **other))
    page = viewer(released)
    text = page.text("/apps/notes/failures")
    assert text.count('class="fault"') == 2
    assert "<strong>3</strong> reports of <strong>3</strong> installs" in text
    assert "<li>lib/core</li>" in text
    only = page.text("/apps/notes/failures?release=1.0")
    assert "PatchError" in only
    assert "NotConfirmed" not in only


def test_adoption_is_drawn_and_can_be_read_as_a_table(released: Server) -> None:
    for day in range(3):
        for install in range(4):
            version = "2.0" if install < day else "1.0"
            send(released, "checkins", checkin(install, version=version))
        released.clock.now += DAY
    page = viewer(released)
    for days in (30, 90):
        text = page.text(f"/apps/notes/adoption?days={days}")
        assert text.count("<polygon") == 2
        assert f"over the last {days} days" in text
        assert text.count('<th scope="row">') == days
    assert page.get("/apps/notes/adoption?days=31").status_code == 400


def test_the_log_has_every_change_once_over_all_its_pages(server: Server) -> None:
    audit = server.services.audit
    for number in range(120):
        with audit.change(SERVER, "try", "notes" if number % 2 else "", f"#{number:03}", NOW):
            pass
    reader, seen, path = viewer(server), [], "/log"
    while path:
        text = reader.text(path)
        seen += re.findall(r"#\d{3}", text)
        older = re.search(r'href="(/log\?[^"]+)">Older', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == 120
    assert len(set(seen)) == 120
    assert len(re.findall(r"#\d{3}", reader.text("/log?app=notes"))) == 50


def test_what_is_not_there_is_a_plain_page(server: Server) -> None:
    page = viewer(server)
    for path in ("/apps/other", "/apps/notes/channels/beta", "/log?before=x"):
        answer = page.get(path)
        assert answer.status_code == 404
        assert "There is no such page" in answer.text


def test_a_repository_that_cannot_be_read_is_told_without_its_details(server: Server) -> None:
    page = viewer(server)
    (server.settings.repository / "metadata" / "timestamp.json").unlink()
    answer = page.get("/")
    assert answer.status_code == 503
    assert "Its log says why" in answer.text
    assert str(server.settings.repository) not in answer.text


def test_pages_allow_browsers_nothing_but_what_they_need(released: Server) -> None:
    page = viewer(released)
    csp = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    csp += "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    for path in ("/", "/apps/notes/channels/stable", "/sign-in", "/apps/other", "/users"):
        headers = page.get(path).headers
        assert headers["Content-Security-Policy"] == csp
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    for path in ("/healthz", "/metadata/timestamp.json", "/api/v1/apps/notes/channels"):
        assert page.get(path).headers["Content-Security-Policy"] == "default-src 'none'"


def test_pages_ask_for_nothing_of_others_and_hold_no_script_or_style(released: Server) -> None:
    send(released, "reports", report(1))
    page = viewer(released)
    for path in ("", "/releases", "/adoption", "/failures", "/channels/stable"):
        text = page.text(f"/apps/notes{path}")
        assert not re.search(r'(?:src|href|action)="(?!/|#|\?)', text)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=\"/static/)", text)


def test_style_and_script_are_served_and_nothing_beside_them(server: Server) -> None:
    for name, kind in (("style.css", "text/css"), ("live.js", "javascript"), ("icon.svg", "svg")):
        answer = server.client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert kind in answer.headers["Content-Type"]
        answer.close()
    for name in ("..%2f__init__.py", "%2e%2e/pages.py", "..\\pages.py", "x", "%00"):
        assert server.client.get(f"/static/{name}").status_code in {400, 404}
