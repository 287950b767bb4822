"""Hostile parts for tests: servers that speak raw bytes, patches and metadata made by hand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchtool.diff.matching.match import whole
from patchtool.keys.roles import SIGNERS
from patchtool.repository.targets import NewTarget
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Targets
from tuf.api.serialization.json import JSONSerializer

from tests.support.repository.publisher import Publisher
from tests.support.trees.trees import noise
from updater.check.catalogue import PatchTarget
from updater.format.changes import Change, Kind
from updater.format.manifest import Manifest
from updater.format.names import Digest
from updater.format.patch_header.header import encode_header
from updater.format.patch_header.patch import STORED, Block, Extent, Header, TreeDescriptor
from updater.format.release_description import Release
from updater.patch.delta.block import encode_block

Answer = Callable[[socket.socket, "Request"], None]
"""Says whatever it wants to one request; the connection is closed afterwards."""


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    """By lower-case name."""

    @property
    def start(self) -> int:
        """The offset asked for by ``Range: bytes=N-``; 0 without one."""
        return int(self._range[0])

    @property
    def stop(self) -> int | None:
        """Behind the last byte asked for by ``Range: bytes=N-M``; None if that is the end."""
        return int(self._range[1]) + 1 if self._range[1] else None

    @property
    def _range(self) -> list[str]:
        return self.headers.get("range", "bytes=0-")[len("bytes=") :].split("-")


@dataclass
class Server:
    """A running server and what it was asked."""

    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def starts(self) -> list[int]:
        """The offsets asked for."""
        return [request.start for request in self.requests]


@contextmanager
def raw_served(*answers: Answer) -> Iterator[Server]:
    """A server that gives the n-th answer to the n-th connection, then the last one for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(listener, server, answers))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends accept()
            thread.join()


def _serve(listener: socket.socket, server: Server, answers: Sequence[Answer]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):  # the client may go at any time
            request = _request(connection)
            if request is not None:
                server.requests.append(request)
                answers[min(len(server.requests), len(answers)) - 1](connection, request)


def _request(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":")[::2] for line in lines)
    headers = {name.lower(): value.strip() for name, value in pairs}
    left = int(headers.get("content-length", "0")) - len(body)
    while left > 0 and (part := connection.recv(65536)):  # unread, it would reset the connection
        left -= len(part)
    return Request(first.split(" ")[1], headers)


def message(
    status: int | str, body: bytes = b"", *, length: int | str | None = -1, **headers: str
) -> bytes:
    """The bytes of one answer; ``length`` may lie, None leaves Content-Length out."""
    lines = [f"HTTP/1.1 {status} X", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def says(data: bytes) -> Answer:
    """Answers every request with ``data``."""
    return lambda connection, _: connection.sendall(data)


def honest(content: bytes) -> Answer:
    """Serves ``content``, ranges included."""
    return lambda connection, request: connection.sendall(whole_or_part(content, request))


def whole_or_part(content: bytes, request: Request) -> bytes:
    """What an honest server says."""
    if "range" not in request.headers:
        return message(200, content)
    if request.start >= len(content):
        return message(416, Content_Range=f"bytes */{len(content)}")
    body = content[request.start : request.stop]
    part = f"bytes {request.start}-{request.start + len(body) - 1}/{len(content)}"
    return message(206, body, Content_Range=part)


def resets_after(content: bytes, count: int) -> Answer:
    """Honest for ``count`` bytes, headers included, then the connection is reset."""

    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(whole_or_part(content, request)[:count])
        reset(connection)

    return answer


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass(frozen=True)
class Patch:
    """A patch made by hand: well-formed, of stored blocks of noise."""

    data: bytes
    blob: PatchTarget
    starts: tuple[int, ...]
    """Where each block begins."""

    def at(self, url: str) -> PatchTarget:
        """The blob as if it were published at ``url``."""
        return PatchTarget(**{**vars(self.blob), "url": f"{url}/patch"})


def make_patch(blocks: int = 4, size: int = 50) -> Patch:
    """A bundle of one file, ``blocks`` blocks of ``size`` bytes."""
    bodies = [noise(size, seed) for seed in range(blocks)]
    parts = tuple(
        Block((), (Extent(0, n * size, size),), STORED, size, size, Digest.of(body))
        for n, body in enumerate(bodies)
    )
    new = TreeDescriptor("1.0", Digest.of(b"manifest"), 100, Release())
    changes = (Change(Kind.ADD, "f", size=blocks * size),)
    header = encode_header(Header("notes", None, new, changes, (), (), (), parts))
    data = header + b"".join(bodies)
    blob = PatchTarget(
        "notes/releases/1.0/bundle",
        "",
        len(data),
        Digest.of(data),
        len(header),
        Digest.of(header),
        0,
        0,
    )
    return Patch(data, blob, tuple(len(header) + n * size for n in range(blocks)))


def flip(data: bytes, at: int) -> bytes:
    """``data`` with one bit of byte ``at`` turned; -1 is the last."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def newest(publisher: Publisher, role: str) -> Path:
    """The file of the newest version of a role."""
    folder = publisher.folder / "metadata"
    if role == "timestamp":
        return folder / "timestamp.json"
    versions = (int(path.name.split(".")[0]) for path in folder.glob(f"*.{role}.json"))
    return folder / f"{max(versions)}.{role}.json"


def right_signer(publisher: Publisher, role: str) -> CryptoSigner:
    """The key that may sign a role."""
    return publisher.keys.signers(SIGNERS[role.partition(".")[0]])[0]


def edit_unsigned(path: Path, change: Callable[[Any], object]) -> None:
    """Change the JSON of a metadata file in place; its signatures stay as they are."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def twice_signed(document: Any) -> None:
    """The same signatures, each of them twice; for `edit_unsigned`."""
    document["signatures"] *= 2


def rewrite(path: Path, edit: Callable[[Metadata[Any]], object], *signers: CryptoSigner) -> None:
    """Change a metadata file in place, signed anew by ``signers`` (by nobody without any)."""
    metadata: Metadata[Any] = Metadata.from_file(str(path))
    edit(metadata)
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    path.write_bytes(metadata.to_bytes(JSONSerializer(compact=True)))


def nobody(_publisher: Publisher, _role: str) -> list[CryptoSigner]:
    return []


def a_stranger(_publisher: Publisher, _role: str) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ed25519()]


def a_stranger_with_the_right_name(publisher: Publisher, role: str) -> list[CryptoSigner]:
    key = CryptoSigner.generate_ed25519()
    key.public_key.keyid = right_signer(publisher, role).public_key.keyid
    return [key]


def the_key_of_another_role(publisher: Publisher, role: str) -> list[CryptoSigner]:
    other = "app.notes" if role in {"timestamp", "snapshot", "channels.notes"} else "timestamp"
    return [right_signer(publisher, other)]


FORGERS = [nobody, a_stranger, a_stranger_with_the_right_name, the_key_of_another_role]
"""Who may not sign a role, and does."""


def forge(path: Path, edit: Callable[[Any], object], *signers: CryptoSigner) -> None:
    """Change a metadata file in a way python-tuf would not write; signed by ``signers``.

    Without any the old signatures stay.
    """
    document = json.loads(path.read_bytes())
    edit(document["signed"])
    if signers:
        data = str(encode_canonical(document["signed"])).encode()
        signatures = [signer.sign(data) for signer in signers]
        document["signatures"] = [signature.to_dict() for signature in signatures]
    path.write_text(json.dumps(document))


def custom_of(publisher: Publisher, name: str) -> dict[str, Any]:
    """What the publisher says of a target; an honest start for a dishonest ``custom``."""
    metadata = Metadata[Targets].from_file(str(newest(publisher, f"app.{publisher.app}")))
    return dict(metadata.signed.targets[name].unrecognized_fields["custom"])


def publish(publisher: Publisher, name: str, content: bytes, custom: dict[str, Any]) -> None:
    """Sign a target as the publisher would, whatever it is."""
    publisher.repository().publish(f"app.{publisher.app}", [NewTarget.of(name, content, custom)])


def publish_patch(publisher: Publisher, name: str, data: bytes, header_length: int) -> None:
    """Sign bytes as a patch or bundle."""
    header = {"length": header_length, "sha256": str(Digest.of(data[:header_length]))}
    custom = {"header": header, "write_bytes": 0, "scratch_bytes": 0}
    publish(publisher, name, data, custom)


def block_of(content: bytes, *extents: Extent, old: tuple[Extent, ...] = ()) -> tuple[Block, bytes]:
    """A valid block that gives ``content``, and its bytes."""
    codec, raw, packed = encode_block(whole(content), 1)
    return Block(old, extents, codec, len(raw), len(packed), Digest.of(packed)), packed


def evil_patch(
    publisher: Publisher,
    changes: Sequence[Change],
    *blocks: tuple[Block, bytes],
    base: str | None = None,
    **fields: Any,
) -> None:
    """Sign, as 2.0, a patch whose parts nobody checked: a bundle, or from ``base``.

    Its manifest is signed too, so that header and manifest agree unless ``fields`` say else.
    """
    manifest = b"the manifest of something evil"
    publish(publisher, "notes/releases/2.0/manifest", manifest, {})
    new = TreeDescriptor("2.0", Digest.of(manifest), len(manifest), Release())
    old = None if base is None else named(publisher, base)
    parts = {
        "app": "notes",
        "old": old,
        "new": new,
        "sources": (),
        "old_views": (),
        "new_views": (),
    }
    described = Header(
        **{**parts, "changes": tuple(changes), "blocks": tuple(b for b, _ in blocks), **fields}
    )
    header = encode_header(described)
    name = "notes/releases/2.0/bundle" if base is None else f"notes/patches/{base}_2.0"
    publish_patch(publisher, name, header + b"".join(data for _, data in blocks), len(header))
    publisher.promote("2.0")


def named(publisher: Publisher, version: str) -> TreeDescriptor:
    """A published tree as a header names it."""
    repository = publisher.repository()
    target = repository.look().targets("app.notes")[f"notes/releases/{version}/manifest"]
    data = repository.path_of(target).read_bytes()
    return TreeDescriptor(version, Digest.of(data), len(data), Manifest.parse(data).release)


HIGHEST = 2**31 - 1


def fast_forward(publisher: Publisher, role: str, version: int) -> bytes:
    """What a thief of the online key can do: the highest version there is. What was there."""
    path = publisher.folder / "metadata/timestamp.json"
    honest = path.read_bytes()
    (thief,) = publisher.keys.signers("online")

    def forward(metadata: Metadata[Any]) -> None:
        metadata.signed.version = version

    rewrite(path, forward, thief)
    return honest


def roll_back(publisher: Publisher, role: str = "app.notes", *, by: int = 1) -> None:
    """What a stolen online key can do: sign a snapshot that names an older version of a role."""
    publisher.repository().publish("channels.notes", [])

    def back(metadata: Metadata[Any]) -> None:
        metadata.signed.meta[f"{role}.json"].version -= by

    rewrite(newest(publisher, "snapshot"), back, right_signer(publisher, "snapshot"))
