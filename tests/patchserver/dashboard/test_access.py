"""Who may do what: looked up in the map of URLs, so that a new route is covered by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from patchserver.accounts.users import Role, Scope
from patchserver.web.access import Access, access_of
from tests.support.servers.browsing import HOST, Browser, browser
from tests.support.servers.served import PASSWORD, Server, server_at

READING = {"GET", "HEAD", "OPTIONS"}
FOR_INSTALLS = {"api.checkins", "api.reports"}
"""What anybody may change without a form: named here, so that another one is noticed."""
FORM = {"name": "x", "old": "x", "new": "x", "role": "x", "channel": "x", "version": "x"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_at(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def browsers(server: Server) -> dict[Role | None, Browser]:
    """One for each role, and one for nobody."""
    return {role: browser(server, role) for role in (None, *Role)}


def test_every_route_says_whom_it_is_for(server: Server) -> None:
    for rule in server.app.url_map.iter_rules():
        assert _access(server, rule) is not None, rule


def test_what_anybody_may_change_is_what_installs_send_and_the_sign_in(server: Server) -> None:
    found = {rule.endpoint for rule, _ in _changing(server) if _access(server, rule) == Access()}
    assert found == FOR_INSTALLS | {"dashboard.enter"}


def test_no_reading_route_of_people_is_public_but_the_sign_in(server: Server) -> None:
    rules = [r for r in server.app.url_map.iter_rules() if r.endpoint.startswith("dashboard.")]
    public = {rule.endpoint for rule in rules if _access(server, rule) == Access()}
    assert public == {"dashboard.sign_in", "dashboard.enter", "dashboard.static"}


def test_a_change_wants_a_session_or_a_token(
    server: Server, browsers: dict[Role | None, Browser]
) -> None:
    nobody = browsers[None]
    token = nobody.csrf("/sign-in")
    for rule, method in _changing(server):
        if _access(server, rule) == Access():
            continue
        answer = _ask(nobody, rule, method, csrf_token=token)
        assert answer.status_code == 401, (rule, method, answer.status_code)


def test_a_change_by_a_session_wants_its_role(
    server: Server, browsers: dict[Role | None, Browser]
) -> None:
    for rule, method in _changing(server):
        needed = _access(server, rule).role
        for role in [r for r in Role if needed and r < needed]:
            answer = _ask(browsers[role], rule, method, csrf_token=browsers[role].csrf())
            assert answer.status_code == 403, (rule, method, role, answer.status_code)


def test_a_change_by_a_session_wants_a_form_of_that_session(
    server: Server, browsers: dict[Role | None, Browser]
) -> None:
    foreign = browsers[Role.VIEWER].csrf()
    admin = browsers[Role.ADMIN]
    for rule, method in _changing(server):
        access = _access(server, rule)
        if access.scope is not None or rule.endpoint in FOR_INSTALLS:
            continue
        for form in ({}, {"csrf_token": ""}, {"csrf_token": foreign}):
            answer = _ask(admin, rule, method, **form)
            assert answer.status_code == 400, (rule, method, answer.status_code)


def test_a_form_that_another_site_shows_is_refused(browsers: dict[Role | None, Browser]) -> None:
    admin = browsers[Role.ADMIN]
    form = {"name": "eve", "password": PASSWORD, "role": "viewer"}
    for referer in ("https://evil.example/", "http://localhost/", None):
        headers = {"Referer": referer} if referer else {}
        sent = {**form, "csrf_token": admin.csrf()}
        assert admin.client.post("/users", data=sent, headers=headers).status_code == 400
    assert "eve can sign in now" in admin.told(admin.post("/users", form))


def test_a_program_needs_a_token_of_the_scope_and_no_session_will_do(
    server: Server, browsers: dict[Role | None, Browser]
) -> None:
    for rule in server.app.url_map.iter_rules():
        needed = _access(server, rule).scope
        if needed is None:
            continue
        other = next(scope for scope in Scope if scope is not needed)
        wrong, elsewhere = server.token(other), server.token(needed, app="elsewhere")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            admin = browsers[Role.ADMIN]
            assert _ask(admin, rule, method, csrf_token=admin.csrf()).status_code == 401
            for headers in (wrong, elsewhere):
                path = _path(server, rule)
                answer = server.client.open(path, method=method, headers=headers)
                assert answer.status_code == 403, (rule, method)


def test_a_page_of_people_sends_whoever_is_not_signed_in_to_the_sign_in(server: Server) -> None:
    for rule in server.app.url_map.iter_rules():
        if _access(server, rule).role is None or "GET" not in (rule.methods or ()):
            continue
        path = _path(server, rule)
        answer = server.client.get(f"{path}?next=https://evil.example")
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"/sign-in?next={path}"


def test_a_viewer_sees_every_page_but_accounts_and_no_control(
    server: Server, browsers: dict[Role | None, Browser]
) -> None:
    viewer = browsers[Role.VIEWER]
    for path in ("/", "/apps/notes", "/apps/notes/releases", "/log", "/tokens"):
        page = viewer.text(path)
        assert page.count('<form method="post"') == 1  # to sign out
    assert viewer.get("/users").status_code == 403


def _changing(server: Server) -> list[tuple[Rule, str]]:
    """All routes that may change something."""
    rules = server.app.url_map.iter_rules()
    return [(rule, method) for rule in rules for method in (rule.methods or set()) - READING]


def _access(server: Server, rule: Rule) -> Access:
    found = access_of(server.app.view_functions[rule.endpoint])
    assert found is not None, rule
    return found


def _path(server: Server, rule: Rule) -> str:
    names = {"app": "notes", "channel": "stable", "area": "metadata"}
    values = {name: names.get(name, "x") for name in rule.arguments}
    path: str = server.app.url_map.bind("localhost").build(rule.endpoint, values)
    return path


def _ask(asking: Browser, rule: Rule, method: str, **form: str) -> TestResponse:
    arguments: dict[str, Any] = {"headers": {"Referer": f"{HOST}/"}}
    if method != "GET":
        arguments["data"] = {**FORM, **form}
    return asking.client.open(_path(asking.server, rule), method=method, **arguments)
