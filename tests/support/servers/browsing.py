"""A browser for tests without one: keeps cookies, fills forms in, says where it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from patchserver.accounts.users import Role
from tests.support.servers.served import PASSWORD, Server

_CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
HOST = "https://localhost"


@dataclass
class Browser:
    """Somebody's browser."""

    server: Server
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.server.client

    def get(self, path: str, **arguments: Any) -> TestResponse:
        return self.client.get(path, **arguments)

    def text(self, path: str) -> str:
        """A page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.text

    def csrf(self, page: str = "/password") -> str:
        """The token of a page's forms."""
        found = _CSRF.search(self.text(page))
        assert found is not None
        return found[1]

    def post(self, path: str, data: dict[str, Any] | None = None, token: str = "") -> TestResponse:
        """Send a form as a page of this site would."""
        form = {"csrf_token": token or self.csrf(), **(data or {})}
        return self.client.post(path, data=form, headers={"Referer": f"{HOST}/"})

    def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> TestResponse:
        form = {"name": name, "password": password, **more}
        return self.post("/sign-in", form, self.csrf("/sign-in"))

    def told(self, answer: TestResponse) -> str:
        """What the page after a form says of it."""
        assert answer.status_code == 303, answer.text
        page = self.text(answer.headers["Location"])
        return " ".join(re.findall(r'class="notice[^>]*>([^<]*)<', page))


def browser(server: Server, role: Role | None = None, name: str = "") -> Browser:
    """The browser of somebody with a role, signed in; None: of anybody."""
    made = Browser(server)
    if role is not None:
        name = name or role.name.lower()
        if name not in {user.name for user in server.services.accounts.users()}:
            server.services.accounts.add(name, PASSWORD, role, server.clock.now)
        answer = made.sign_in(name)
        assert answer.status_code == 303, answer.text
    return made
