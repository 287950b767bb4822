"""A transport for clients of ours that look at a repository on this machine before others do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from patchtool.repository.snapshot import Snapshot
from updater.errors import TransportError
from updater.transport import ResponseBody

URL = "http://local"


class SnapshotTransport:
    """Serves the metadata of a snapshot, as a static host would."""

    received = 0

    def __init__(self, seen: Snapshot) -> None:
        self._seen = seen

    @property
    def first_root(self) -> bytes:
        """The root that clients are installed with."""
        return self._seen.file("1.root.json")

    @contextmanager
    def get(
        self,
        url: str,
        start: int = 0,  # noqa: ARG002 - a whole file comes, always
        stop: int | None = None,  # noqa: ARG002
    ) -> Iterator[ResponseBody]:
        """See `Transport`."""
        name = url.removeprefix(f"{URL}/metadata/")
        if name not in self._seen.files:
            raise TransportError(f"{url}: HTTP status 404", status=404)
        yield ResponseBody(0, iter([self._seen.file(name)]))
