"""The writer: the one that signs what a repository offers, this tool or its server.

Two that sign snapshots of one repository each count from what they know, and clients that saw one
refuse the other as rolled back. Who it is stands in a file beside what is served: a rule against
mistakes, not against thieves, so that nobody signs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from updater.disk.durable import Disk, machine_errors
from updater.errors import FormatError, RequestError
from updater.format.encoding.canonical import Record, decode, encode, within

Writer = Literal["local", "server"]
FORMAT = 1
WRITER_FILE = ".writer.json"
WRITING_LOCK = ".lock"
"""The file that whoever writes the repository has locked."""
BYTES_MOST = 1024
REFUSALS: dict[Writer, str] = {
    "local": "patchtool writes {}: the server signs nothing of it",
    "server": "the server writes {}: here only releases are signed",
}
"""The refusal of anybody else, by the writer of a repository."""
HINTS: dict[Writer, str] = {
    "local": "hand it over first: patchtool writer REPO server",
    "server": "do this on the server (promote, pause and resume: --to URL); or end it first, fetch "
    "what it has written, and run patchtool writer REPO local",
}


def writer_of(folder: Path) -> Writer:
    """Return who writes the repository in ``folder``; this tool, if nobody was named.

    Raises:
        FormatError: the file that says it is damaged.
        InstallError: it cannot be read.
    """
    place = folder / WRITER_FILE
    with machine_errors(f"reading {place}"):
        if not place.exists():
            return "local"
        data = place.read_bytes()
    try:
        return _parse(data)
    except FormatError as error:
        raise FormatError(
            f"{place}: {error}", hint="say again who writes it: patchtool writer REPO local|server"
        ) from error


def name_writer(disk: Disk, folder: Path, writer: Writer) -> None:
    """Say who writes the repository in ``folder`` from now on.

    Raises:
        OSError: the disk; who wrote it before still does.
    """
    disk.write(folder / WRITER_FILE, encode({"format": FORMAT, "writer": writer}))


def refuse_others(folder: Path, writer: Writer) -> None:
    """Refuse ``writer`` to sign what somebody else signs.

    Raises:
        InstallError: this repository has another writer.
        FormatError: see `writer_of`.
    """
    found = writer_of(folder)
    if found != writer:
        raise RequestError(REFUSALS[found].format(folder), hint=HINTS[found])


def _parse(data: bytes) -> Writer:
    record = Record(decode(data, BYTES_MOST))
    record.integer("format", FORMAT, low=FORMAT)
    writer = within("writer", _writer, record.text("writer"))
    record.end()
    return writer


def _writer(text: str) -> Writer:
    if text == "local":
        return "local"
    if text == "server":
        return "server"
    raise FormatError("local or server expected")
