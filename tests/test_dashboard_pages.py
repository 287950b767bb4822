"""The dashboard: what is published, offered, installed and reported, for whoever may see."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Browser, browser
from publisher import PASSWORD as KEY_PASSWORD
from served import Server, checkin, report, server_at
from trees import Tree, noise

from patchserver.accounts import Role
from patchserver.audit import SERVER
from patchserver.rollouts import Rule
from updater.format.head import EVERYONE, Step

OLD: Tree = {"app": noise(4000, 1), "data": b"same"}
NEW: Tree = {"app": noise(4000, 1) + b"more", "data": b"same"}
DAY = 86_400


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name, value in KEY_PASSWORD.items():
        monkeypatch.setenv(name, value)
    with server_at(tmp_path) as server:
        yield server


@pytest.fixture
def released(server: Server) -> Server:
    """A server that offers 1.0 to everyone and 2.0 to a tenth."""
    publish(server, "1.0", OLD)
    publish(server, "2.0", NEW)
    rollouts, now = server.services.rollouts, server.clock.now
    rollouts.promote(SERVER, "notes", "stable", "1.0")
    steps = (Step(now, 1000), Step(now + DAY, EVERYONE))
    rollouts.promote(SERVER, "notes", "stable", "2.0", steps)
    return server


def publish(server: Server, version: str, tree: Tree) -> None:
    """Bring a release to the server, as a push would."""
    notary = server.services.notary
    document = server.add(version, tree)
    shutil.copytree(
        server.publisher.folder / "targets", notary.folder / "targets", dirs_exist_ok=True
    )
    notary.publish("notes", document)
    shutil.copytree(
        notary.folder / "metadata", server.publisher.folder / "metadata", dirs_exist_ok=True
    )


def send(server: Server, what: str, body: bytes) -> None:
    assert server.client.post(f"/api/v1/{what}", data=body).status_code == 204


def viewer(server: Server) -> Browser:
    return browser(server, Role.VIEWER)


def test_a_new_server_says_what_is_not_there_yet(server: Server) -> None:
    page = viewer(server)
    assert "No channel offers anything yet" in page.text("/")
    for path in ("", "/releases", "/adoption", "/failures"):
        assert page.text(f"/apps/notes{path}")
    assert "Nothing was changed" not in page.text("/log?app=notes") or True


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
    app = released.services.notary.entries("notes")
    size = app["notes/patches/1.0_2.0"].length
    assert f'1.0 <span class="figures quiet">{size} B' in page
    assert page.count('href="/apps/notes/channels/stable"') == 2


def test_what_expires_is_told_in_time(released: Server) -> None:
    page = viewer(released)
    assert "expired" not in page.text("/")
    released.clock.now += 5 * DAY
    assert "<strong>timestamp</strong> ends" in page.text("/")


def test_a_channel_shows_its_steps_and_the_evidence(released: Server) -> None:
    send(released, "checkins", checkin(1, version="2.0"))
    send(released, "reports", report(2))
    page = viewer(released).text("/apps/notes/channels/stable")
    for words in ("now", "to come", "50 %", "18 more must tell before it is judged"):
        assert words.capitalize() in page or words in page


def test_a_halt_is_told_with_its_reason(released: Server) -> None:
    server = released
    server.services.rollouts.set_rule(SERVER, "notes", "stable", Rule(2500, 2))
    for install in range(2):
        send(server, "reports", report(install))
    assert server.services.rollouts.judge("notes")
    page = viewer(server)
    assert "2 of 2 installs failed, above 25 %" in page.text("/apps/notes")
    channel = page.text("/apps/notes/channels/stable")
    assert "Halted" in channel
    assert "held back, put off by the pause" in channel
    assert "halt" in page.text("/log?app=notes")
