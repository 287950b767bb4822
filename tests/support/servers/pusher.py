"""A program that pushes releases to a server, request by request."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from patchserver.accounts.users import Scope
from tests.support.servers.served import Server


class Pusher:
    """Speaks the API."""

    def __init__(self, server: Server, *scopes: Scope, app: str = "") -> None:
        self.client: FlaskClient = server.client
        self.headers = server.token(*(scopes or (Scope.PUBLISH,)), app=app)
        self.server = server

    def announce(self, document: bytes, base: int = 1) -> TestResponse:
        headers = {**self.headers, "If-Match": f'"{base}"'}
        return self.client.post("/api/v1/apps/notes/pushes", data=document, headers=headers)

    def send(self, push: str, digest: str, data: bytes, offset: int = 0) -> TestResponse:
        headers = {**self.headers, "Upload-Offset": str(offset)}
        path = f"/api/v1/apps/notes/pushes/{push}/blobs/{digest}"
        return self.client.patch(path, data=data, headers=headers)

    def publish(self, push: str) -> TestResponse:
        path = f"/api/v1/apps/notes/pushes/{push}/publish"
        return self.client.post(path, headers=self.headers)

    def send_all(self, announced: Any) -> None:
        for missing in announced["missing"]:
            data = self.server.blobs()[missing["sha256"]].read_bytes()
            assert self.send(announced["id"], missing["sha256"], data).status_code == 204

    def push(self, document: bytes, base: int = 1) -> TestResponse:
        answer = self.announce(document, base)
        assert answer.status_code == 201, answer.text
        self.send_all(answer.json)
        assert answer.json is not None
        return self.publish(answer.json["id"])
