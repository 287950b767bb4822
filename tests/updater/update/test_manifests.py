"""The signed manifest of a release: what is signed as one and is not is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.attacks.hostile import publish
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import served
from tests.support.trees.trees import read_tree, write_tree
from updater.config import UpdaterConfig
from updater.errors import FormatError
from updater.format.encoding.limits import Limits
from updater.local.session import Session
from updater.update.adopt import adopt


def refused(publisher: Publisher, folder: Path, session: Session, match: str) -> None:
    """Adopting 2.0 fails, and leaves nothing."""
    write_tree(folder / "home/app", {"f": b"1"})
    with served(publisher.folder) as url, pytest.raises(FormatError, match=match):
        adopt(folder / "home/app", url, publisher.root, "notes", "2.0", session=session)
    assert read_tree(folder / "home") == {"app/f": b"1"}


def test_the_manifest_of_another_version_is_refused(
    publisher: Publisher, tmp_path: Path, session: Session
) -> None:
    publisher.release("1.0", {"f": b"1"})
    (path,) = publisher.folder.glob("targets/notes/releases/1.0/*.manifest")
    publish(publisher, "notes/releases/2.0/manifest", path.read_bytes(), {})
    refused(publisher, tmp_path, session, "manifest of something else")


def test_what_is_no_manifest_is_refused(
    publisher: Publisher, tmp_path: Path, session: Session
) -> None:
    publisher.release("1.0", {"f": b"1"})
    publish(publisher, "notes/releases/2.0/manifest", b"{}\n", {})
    refused(publisher, tmp_path, session, "format: missing")


def test_one_that_is_too_long_is_not_even_fetched(
    publisher: Publisher, tmp_path: Path, session: Session
) -> None:
    publisher.release("2.0", {"f": b"1"})
    config = UpdaterConfig(limits=Limits(manifest_bytes=100))
    small = Session(**{**vars(session), "config": config})
    refused(publisher, tmp_path, small, "100 allowed")
