"""The signed manifest of a release: what is signed as one and is not is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.attacks.hostile import publish
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import served
from tests.support.trees.trees import read_tree, write_tree
from updater.check.catalogue import PublishedRelease, SignedTarget
from updater.config import UpdaterConfig
from updater.errors import FormatError, TransportError
from updater.format.encoding.limits import Limits
from updater.format.names import Digest
from updater.local.session import Session
from updater.transport import ResponseBody
from updater.update.adopt import adopt
from updater.update.manifests import take_manifest


class Breaking:
    """A transport whose line breaks after one byte, every time."""

    received = 0

    @contextmanager
    def get(self, url: str, start: int = 0, stop: int | None = None) -> Iterator[ResponseBody]:
        del url, stop  # it breaks whatever is asked for
        self.received += 1
        yield ResponseBody(start, iter([b"{"]))


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


def test_a_line_that_breaks_is_given_time_before_the_next_try() -> None:
    config, waits = UpdaterConfig(attempts=3, backoff=1.0), list[float]()
    session = Session(config=config, transport=Breaking())
    target = SignedTarget("notes/releases/1.0/manifest", "http://x/f", 9, Digest.of(b""))
    with pytest.raises(TransportError, match="cut off"):
        take_manifest(session, "notes", PublishedRelease("1.0", target, None), waits.append)
    assert waits == [1.0, 2.0]
