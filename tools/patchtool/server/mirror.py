"""A repository at a URL: its metadata fetched to be looked at, its files asked for, not fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from patchtool.keys.root_documents import ROOTS_MOST
from patchtool.repository.snapshot import roles_listed, snapshot_listed
from updater.check.trust import is_metadata
from updater.errors import FormatError, TransportError
from updater.format.encoding.limits import MIB
from updater.transport import Transport, page_for, refuse_page

METADATA_MOST = 5 * MIB
"""Bytes of one metadata file; python-tuf takes no more either."""
TOTAL_MOST = 256 * MIB
"""Bytes of all metadata together: nothing of it is verified while it comes."""
ROLES = re.compile(r"(targets|(app|channels)\.[a-z0-9][a-z0-9-]{0,39})\.json")
"""The names that a snapshot may list; each becomes a file here."""
GONE = {403, 404, 410}


def mirror(transport: Transport, url: str, folder: Path) -> None:
    """Fetch all metadata that clients see into ``folder``; its signatures are not verified.

    Raises:
        TransportError: the network, or a file is missing; or the host answers something else for
            what it does not have, so that nobody can know how many roots there are.
        FormatError: it is no metadata of ours.
        OSError: the disk.
    """
    source = _MetadataSource(transport, f"{url}/metadata", folder / "metadata")
    (folder / "metadata").mkdir()
    (folder / "targets").mkdir()
    source.take("1.root.json")
    for number in count(2):
        if number > ROOTS_MOST or not source.has(f"{number}.root.json"):
            break
    with _named(f"{url}/metadata/timestamp.json"):
        snapshot = f"{snapshot_listed(source.take('timestamp.json'))}.snapshot.json"
    with _named(f"{url}/metadata/{snapshot}"):
        for name, version in roles_listed(source.take(snapshot)).items():
            if not ROLES.fullmatch(name):
                raise FormatError(f"a snapshot does not list {name[:60]!a}")
            source.take(f"{version}.{name}")


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Name the URL in an error."""
    try:
        yield
    except FormatError as error:
        hint = "look at what the host serves there"
        raise FormatError(f"{url}: {error}", hint=hint) from error


def absent(transport: Transport, url: str, files: Mapping[str, int]) -> list[str]:
    """Files that are not there, or shorter; one byte of each is fetched.

    Raises:
        TransportError: the network.
    """
    return [name for name, length in files.items() if not _answers(transport, url, name, length)]


def _answers(transport: Transport, url: str, name: str, length: int) -> bool:
    start = max(length - 1, 0)
    try:
        with transport.get(f"{url}/{name}", start, start + 1 if start else None) as answer:
            next(answer.chunks, b"")
    except TransportError as error:
        if error.status is None or error.status not in {*GONE, 416}:
            raise
        return False
    return True


class _MetadataSource:
    def __init__(self, transport: Transport, url: str, folder: Path) -> None:
        self._transport = transport
        self._url = url
        self._folder = folder
        self._left = TOTAL_MOST

    def has(self, name: str) -> bool:
        """Take a file if it is there."""
        try:
            self.take(name)
        except TransportError as error:
            if error.status in GONE:
                return False
            raise
        return True

    def take(self, name: str) -> bytes:
        url = f"{self._url}/{name}"
        with self._transport.get(url) as answer:
            data = _bounded(name, answer.chunks, min(METADATA_MOST, self._left))
        refuse_page(url, data)
        if name.endswith(".root.json") and not is_metadata(data):
            raise page_for(url)
        self._left -= len(data)
        (self._folder / name).write_bytes(data)
        return data


def _bounded(name: str, chunks: Iterable[bytes], most: int) -> bytes:
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            raise FormatError(f"{name} has more than {most:,} bytes")
    return data
