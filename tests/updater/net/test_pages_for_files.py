"""A host that answers 200 with a page, or with JSON, for what it does not have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from patchtool.cli.parser import main

from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import misserved, send
from tests.support.trees.trees import noise, read_tree
from updater.client import Updater
from updater.errors import TransportError
from updater.local.session import Session
from updater.update.install_new import install

PAGES = (b"<!doctype html><title>app</title>", b'{"error": "not found"}', b"Not Found", b"")


@contextmanager
def paged(folder: Path, page: bytes) -> Iterator[tuple[str, list[str]]]:
    """The URL of such a host, and the paths it was asked for."""
    asked: list[str] = []

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        asked.append(handler.path)
        if path.is_file():
            return False
        send(handler, 200, page)
        return True

    with misserved(folder, misbehave) as url:
        yield url, asked


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("command", ["doctor", "fetch"])
def test_the_tool_says_at_once_which_answer_is_a_page(
    command: str, page: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = Publisher(tmp_path / "publisher", now=int(time.time()))
    publisher.release("1.0", {"f": b"1"})
    with paged(publisher.folder, page) as (url, asked):
        rest = [str(tmp_path / "copy")] if command == "fetch" else []
        code = main([command, url, *rest])
    said = capsys.readouterr().err
    assert code == 3
    assert len(asked) <= 2
    assert f"{url}/metadata/2.root.json" in said
    assert "page" in said
    assert "404" in said
    for word in ("backup", "tmp", "Traceback"):
        assert word not in said.replace(str(tmp_path), "")


@pytest.mark.parametrize("page", PAGES)
def test_a_client_installs_and_updates_from_it_all_the_same(
    page: bytes, tmp_path: Path, publisher: Publisher, session: Session
) -> None:
    big = noise(100_000)
    publisher.release("1.0", {"f": big})
    with paged(publisher.folder, page) as (url, _):
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
        publisher.release("2.0", {"f": big + b"2"})
        (patch,) = publisher.folder.glob("targets/notes/patches/*")
        patch.unlink()
        updater = Updater(tmp_path / "app", session)
        assert updater.check() is not None
        done = updater.update()
    assert done is not None
    assert patch.name in done.failed[0] or "1.0_2.0" in done.failed[0]
    assert read_tree(tmp_path / "app") == {"f": big + b"2"}


def test_a_login_page_for_everything_is_still_told_as_one(
    tmp_path: Path, publisher: Publisher, session: Session
) -> None:
    publisher.release("1.0", {"f": b"1"})

    def portal(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        send(handler, 200, PAGES[0])
        return True

    with misserved(publisher.folder, portal) as url, pytest.raises(TransportError) as caught:
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
    assert "login page" in caught.value.hint
