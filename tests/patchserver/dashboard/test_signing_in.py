"""Signing in: nobody learns who has an account, guesses for long, or takes a session over."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from werkzeug.test import TestResponse

from patchserver.accounts import users
from patchserver.accounts.users import Role, Scope
from tests.support.servers.browsing import HOST, Browser, browser
from tests.support.servers.served import PASSWORD, Server, checkin


@pytest.fixture
def server(server: Server) -> Server:
    server.services.accounts.add("root", PASSWORD, Role.ADMIN, server.clock.now)
    server.services.accounts.add("anna", PASSWORD, Role.PUBLISHER, server.clock.now)
    return server


def _cookie(answer: TestResponse) -> str:
    return answer.headers["Set-Cookie"]


def test_whoever_may_not_is_told_the_same_whatever_the_reason(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.services.accounts.add("gone", PASSWORD, Role.VIEWER, server.clock.now)
    server.services.accounts.set_active("gone", is_active=False)
    verified: list[str] = []
    verify = users._verify

    def noted(hashed: str, password: str) -> bool:
        verified.append(hashed)
        return verify(hashed, password)

    monkeypatch.setattr(users, "_verify", noted)
    answers = []
    for name, password in (("anna", "wrong"), ("nobody", "wrong"), ("gone", PASSWORD)):
        made = Browser(server)
        token = made.csrf("/sign-in")
        answer = made.post("/sign-in", {"name": name, "password": password}, token)
        again = made.csrf("/sign-in")
        text = answer.text.replace(token, "").replace(again, "")
        answers.append((answer.status_code, len(text), "do not fit" in text))
    assert len(set(answers)) == 1, answers
    assert answers[0][0] == 403
    assert len(verified) == 3
    assert all(hashed.startswith("$argon2id$") for hashed in verified)


def test_the_session_cookie_is_for_this_host_by_tls_and_not_for_scripts(server: Server) -> None:
    answer = Browser(server).sign_in("anna")
    parts = {part.strip().partition("=")[0] for part in _cookie(answer).split(";")}
    assert _cookie(answer).startswith("__Host-upswap=")
    assert {"Secure", "HttpOnly", "SameSite", "Path", "Expires"} <= parts
    assert "SameSite=Lax" in _cookie(answer)
    assert "Path=/;" in _cookie(answer) + ";"
    assert "Domain" not in parts


@pytest.mark.parametrize(
    ("host", "name", "secure"),
    [
        ("localhost:8080", "upswap-local", False),
        ("127.0.0.1", "upswap-local", False),
        ("[::1]:8080", "upswap-local", False),
        ("updates.example", "__Host-upswap", True),
        ("127.0.0.1.evil.example", "__Host-upswap", True),
        ("localhost.evil.example:80", "__Host-upswap", True),
    ],
)
def test_plain_http_is_for_this_very_machine_only(
    server: Server, host: str, name: str, secure: bool
) -> None:
    answer = server.app.test_client().get("/sign-in", base_url=f"http://{host}/")
    assert _cookie(answer).startswith(f"{name}=")
    assert ("Secure" in _cookie(answer)) == secure


def test_a_sign_in_begins_another_session(server: Server) -> None:
    planted = Browser(server)
    before = planted.csrf("/sign-in")
    with planted.client.session_transaction(base_url=HOST) as session:
        session["planted"] = "by somebody else"
    planted.sign_in("anna")
    with planted.client.session_transaction(base_url=HOST) as session:
        assert "planted" not in session
        assert session.permanent
    assert planted.post("/password", {"old": "x", "new": "x"}, before).status_code == 400


def test_a_session_ends_by_itself_however_busy_it_is(server: Server) -> None:
    busy = browser(server, Role.PUBLISHER, "anna")
    for _ in range(11):
        server.clock.now += 3600
        busy.post("/password", {"old": PASSWORD, "new": "short"})
    assert busy.get("/").status_code == 200
    server.clock.now += 3600
    assert busy.get("/").status_code == 302


def test_sessions_end_everywhere_at_a_sign_out(server: Server) -> None:
    here, there = browser(server, Role.PUBLISHER, "anna"), browser(server, Role.PUBLISHER, "anna")
    assert there.get("/").status_code == 200
    assert here.post("/sign-out").status_code == 303
    for one in (here, there):
        assert one.get("/").status_code == 302


def test_reading_pages_does_not_make_a_session_longer(server: Server) -> None:
    reader = browser(server, Role.PUBLISHER, "anna")
    reader.get("/apps/notes")  # whose forms have a token, which the session keeps
    assert "Set-Cookie" not in reader.get("/apps/notes").headers


@pytest.mark.parametrize(
    "there",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%09/evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/x?y=//evil.example",
        "@evil.example",
        " //evil.example",
        "/\n/evil.example",
    ],
)
def test_a_sign_in_leads_to_this_site_only(server: Server, there: str) -> None:
    made = Browser(server)
    assert "evil" not in made.get("/sign-in", query_string={"next": there}).text
    answer = made.sign_in("anna", next=there)
    assert answer.headers["Location"] == "/"


def test_a_sign_in_leads_to_the_page_that_was_asked_for(server: Server) -> None:
    made = Browser(server)
    asked = made.get("/apps/notes/channels/stable").headers["Location"]
    assert 'value="/apps/notes/channels/stable"' in made.text(asked)
    answer = made.sign_in("anna", next="/apps/notes/channels/stable")
    assert answer.headers["Location"] == "/apps/notes/channels/stable"


def test_guessing_is_stopped_by_address_and_the_page_says_when(server: Server) -> None:
    made = Browser(server)
    token = made.csrf("/sign-in")
    form = {"name": "anna", "password": "wrong"}
    answers = [made.post("/sign-in", form, token) for _ in range(11)]
    assert [a.status_code for a in answers] == [403] * 10 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert "Too many tries" in answers[-1].text
    assert made.sign_in("anna").status_code == 429


def test_strangers_do_not_share_a_limit_because_a_socket_serves_both_versions(
    server: Server,
) -> None:
    form = {"name": "nobody", "password": "wrong"}
    statuses = set()
    for number in range(12):
        made = Browser(server)
        made.client.environ_base["REMOTE_ADDR"] = f"::ffff:192.0.2.{number}"
        statuses.add(made.post("/sign-in", form, made.csrf("/sign-in")).status_code)
    assert statuses == {403}


def test_guessing_is_stopped_by_name_wherever_it_comes_from(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "_verify", lambda *_: False)
    form = {"name": "anna", "password": "wrong"}
    statuses = []
    for number in range(31):
        made = Browser(server)
        made.client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        statuses.append(made.post("/sign-in", form, made.csrf("/sign-in")).status_code)
    assert statuses == [403] * 30 + [429]


def test_a_password_is_changed_by_who_knows_it_and_other_sessions_end(server: Server) -> None:
    here, there = browser(server, Role.PUBLISHER, "anna"), browser(server, Role.PUBLISHER, "anna")
    new = "another long password"
    assert here.post("/password", {"old": "wrong", "new": new}).status_code == 403
    assert "10 to 1000" in here.told(here.post("/password", {"old": PASSWORD, "new": "short"}))
    told = here.told(here.post("/password", {"old": PASSWORD, "new": new}))
    assert "You have another password" in told
    assert there.get("/").status_code == 302
    assert Browser(server).sign_in("anna", new).status_code == 303
    actions = [event.action for event in server.services.audit.events()]
    assert actions.count("password") == 2


def test_bad_tokens_are_tried_a_few_times_only(server: Server) -> None:
    good = server.token(Scope.PROMOTE)
    path = "/api/v1/apps/notes/channels"
    for _ in range(40):
        assert server.client.get(path, headers=good).status_code == 200
    bad = {"Authorization": "Bearer ups_wrong"}
    statuses = [server.client.get(path, headers=bad).status_code for _ in range(31)]
    assert statuses == [401] * 30 + [429]
    answer = server.client.get(path, headers=bad)
    assert answer.json == {"error": "too many requests"}
    assert int(answer.headers["Retry-After"]) > 0
    assert server.client.post("/api/v1/checkins", data=checkin(1)).status_code == 204


def test_many_who_try_passwords_at_once_take_neither_all_memory_nor_all_threads(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashing, entered, go_on = [0], threading.Semaphore(0), threading.Event()

    class Slow:
        def verify(self, _hashed: str, _password: str) -> bool:
            hashing[0] += 1
            entered.release()
            return go_on.wait(60)

    users._nobody()
    monkeypatch.setattr(users, "_hasher", Slow)
    browsers = [Browser(server) for _ in range(12)]
    for number, made in enumerate(browsers):
        made.client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
    forms = [made.csrf("/sign-in") for made in browsers]
    form = {"name": "anna", "password": "wrong"}
    with ThreadPoolExecutor(12) as pool:
        told = [
            pool.submit(made.post, "/sign-in", form, token)
            for made, token in zip(browsers, forms, strict=True)
        ]
        refused = [one for _, one in zip(range(8), as_completed(told), strict=False)]
        assert all(entered.acquire(timeout=60) for _ in range(2))
        assert hashing[0] == 2
        go_on.set()
    assert {one.result().status_code for one in refused} == {503}
    assert [one.result().status_code for one in told].count(303) == 4
