"""A CI runner that speaks with a server of ours, by the commands."""

from __future__ import annotations

from pathlib import Path

from patchtool.keys.signing_keys import Keys
from patchtool.repository.repository import Repository
from patchtool.server.fetch import fetch
from patchtool.server.push import Pushed, push
from patchtool.server.server_client import Server as Remote

from patchserver.accounts.users import Scope
from tests.support.repository.publisher import NOW, PASSWORD, publish
from tests.support.repository.sessions import quick_session
from tests.support.servers.served import Server
from tests.support.trees.trees import Exe, Tree, noise, write_tree
from updater.format.head import EVERYONE, RolloutStep
from updater.local.session import Session
from updater.net.http import HttpTransport

DAY = 86_400


def tree(n: int) -> Tree:
    return {"app": Exe(b"%d" % n), "data": noise(6_000)}


class Runner:
    """A CI runner that speaks with the server."""

    def __init__(self, folder: Path, url: str, server: Server, *scopes: Scope) -> None:
        token = server.token(*scopes)["Authorization"].removeprefix("Bearer ")
        self.folder = folder
        self.server = Remote(url, token, HttpTransport(), sleep=lambda _: None)
        self.session: Session = quick_session(server.clock)
        self._keys = Keys(server.publisher.keys.folder, PASSWORD)
        fetch(self.session, url, folder)

    def add(self, version: str, n: int) -> None:
        place = write_tree(self.folder.with_name(f"{self.folder.name}-{version}"), tree(n))
        publish(Repository(self.folder, self._keys, NOW), version, place)

    def push(self) -> Pushed | None:
        repository = Repository(self.folder, self._keys, NOW)
        return push(self.session, self.server, repository, keys=self._keys)

    def promote(self, version: str) -> None:
        self.server.promote("notes", "stable", version, (RolloutStep(NOW, EVERYONE),))
