"""What strangers send is shown as text and looked up as text, wherever it ends up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from markupsafe import escape

from patchserver.accounts.users import Role, Scope
from patchserver.web.access import access_of
from tests.support.servers.browsing import Browser, browser
from tests.support.servers.served import PASSWORD, Server, checkin, report, server_at

SCRIPTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</pre></dd><svg onload=alert(1)>",
    "{{ config }}{% raw %}{{ 7*7 }}",
    "javascript:alert(1)",
    "\u202e<b>\u2028\ufeff",
)
QUERIES = (
    "'",
    '"',
    "';DROP TABLE users;--",
    "' OR '1'='1",
    "x' UNION SELECT name, password FROM users --",
    "%' ESCAPE '",
    "\\",
    "1); DELETE FROM events; --",
    "\0",
    "x" * 5000,
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
)


class Tags(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_at(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Browser:
    return browser(server, Role.ADMIN)


def _require_harmless(page: str) -> None:
    """Refuse elements and attributes that no template of ours writes."""
    for tag, attributes in Tags(page).found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert tag not in {"svg", "b", "iframe", "object", "style"}, tag
        if tag in {"script", "img"}:
            assert (attributes["src"] or "").startswith("/static/")
        assert not (attributes.get("href") or "").startswith("javascript:")


def test_reports_are_shown_as_the_text_they_are(server: Server, admin: Browser) -> None:
    for number, text in enumerate(SCRIPTS):
        sent = json.loads(report(number, error=text, platform=f"p{number}"))
        body = json.dumps({**sent, "changed": [f"a/{text}"]})
        assert server.client.post("/api/v1/reports", data=body).status_code == 204
    page = admin.text("/apps/notes/failures")
    _require_harmless(page)
    for text in SCRIPTS:
        assert f"<pre>{escape(text)}</pre>" in page
        assert f"<li>a/{escape(text)}</li>" in page


@pytest.mark.parametrize("text", SCRIPTS)
def test_names_that_people_give_are_shown_as_text(
    server: Server, admin: Browser, text: str
) -> None:
    made = admin.post("/tokens", {"name": text[:64], "app": "", "days": "1", "scope": "publish"})
    assert made.status_code == 200
    admin.post("/users", {"name": text, "password": PASSWORD, "role": text})
    admin.post("/users", {"name": "someone", "password": PASSWORD, "role": text})
    admin.post("/apps/notes/promote", {"channel": text[:40], "version": text[:40], "share": text})
    for path in ("/tokens", "/users", "/log", "/", "/apps/notes"):
        page = admin.text(path)
        _require_harmless(page)
    assert text[:20] in unescape(admin.text("/tokens"))


def test_what_the_browser_says_of_itself_is_shown_nowhere(server: Server) -> None:
    loud = browser(server, Role.ADMIN)
    loud.client.environ_base["HTTP_USER_AGENT"] = "<script>loud</script>"
    loud.client.environ_base["HTTP_X_REQUEST_ID"] = "<script>loud</script>"
    loud.post("/users", {"name": "quiet", "password": PASSWORD, "role": "viewer"})
    for path in ("/", "/users", "/log", "/sign-in"):
        assert "loud" not in loud.text(path)


@pytest.mark.parametrize("query", QUERIES)
def test_no_parameter_of_any_route_reaches_the_database_as_more_than_text(
    server: Server, admin: Browser, query: str
) -> None:
    for scope in Scope:
        _token(server, scope)
    before = (_users(server), len(server.services.accounts.tokens()))
    for rule in server.app.url_map.iter_rules():
        if rule.endpoint in {"dashboard.leave", "dashboard.enter"}:
            continue
        for path in _paths(rule.rule, _quoted(query)):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                arguments = _arguments(server, rule.endpoint, admin, query)
                answer = admin.client.open(path, method=method, **arguments)
                assert answer.status_code < 500, (path, method, answer.text)
                answer.close()
    assert (_users(server), len(server.services.accounts.tokens())) == before


@pytest.mark.parametrize("query", QUERIES)
def test_no_sign_in_is_talked_into_opening(server: Server, query: str) -> None:
    for form in ({"name": query, "password": query}, {"name": "admin", "password": query}):
        made = Browser(server)
        made.client.environ_base["REMOTE_ADDR"] = f"192.0.2.{QUERIES.index(query)}"
        answer = made.post("/sign-in", form, made.csrf("/sign-in"))
        assert answer.status_code in {400, 403}


def test_messages_with_queries_in_them_are_refused_or_stored_as_text(server: Server) -> None:
    client = server.client
    for query in QUERIES[:8]:
        for what, make in (("checkins", checkin), ("reports", report)):
            for name in json.loads(make(1)):
                body = json.dumps({**json.loads(make(1)), name: query})
                status = client.post(f"/api/v1/{what}", data=body).status_code
                assert status == (204 if name == "error" else 400), (name, query, status)


def _paths(rule: str, query: str) -> set[str]:
    """The query in every place of a path, or beside an app and a channel that are there."""
    known = rule.replace("<app>", "notes").replace("<channel>", "stable")
    nearly = rule.replace("<app>", "notes")
    return {re.sub(r"<[^>]*>", lambda _: query, path) for path in (rule, known, nearly)}


def _users(server: Server) -> list[tuple[str, str, str, bool]]:
    users = server.services.accounts.users()
    return [(user.name, user.password, user.role, user.is_active) for user in users]


def _arguments(server: Server, endpoint: str, admin: Browser, query: str) -> dict[str, Any]:
    """What a request carries, with the query in every place of it."""
    access = access_of(server.app.view_functions[endpoint])
    names = ("app", "release", "before", "next", "days", "name", "role", "channel", "version")
    more = ("share", "threshold", "sample", "scope", "password", "old", "new")
    found: dict[str, Any] = {"query_string": dict.fromkeys(names, query)}
    if access is not None and access.scope is not None:
        found["headers"] = {**_token(server, access.scope), "Upload-Offset": "0"}
        found["json"] = dict.fromkeys(names, query)
    elif endpoint.startswith("dashboard."):
        form = dict.fromkeys((*names, *more), query)
        found["data"] = {**form, "csrf_token": admin.csrf()}
        found["headers"] = {"Referer": "https://localhost/"}
    return found


_TOKENS: dict[Scope, dict[str, str]] = {}


def _token(server: Server, scope: Scope) -> dict[str, str]:
    if scope not in _TOKENS:
        secret = server.services.accounts.make_token("admin", "try", "", [scope], server.clock.now)
        _TOKENS[scope] = {"Authorization": f"Bearer {secret}"}
    return _TOKENS[scope]


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "replace"))
