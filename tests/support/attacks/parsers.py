"""Every parser of ours that reads bytes somebody else wrote, and an honest document for each.

Those of the network's documents, which are signed, and those of the State's, which the disk or
the user may have changed. ``test_mutations`` and ``fuzz`` change the documents and feed them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from patchtool.diff.matching.match import whole
from patchtool.release.release_toml import read_description

from tests.support.attacks.hostile import make_patch
from tests.support.servers.served import checkin, report
from tests.support.trees.decoding import decode_block, unpack
from updater.check.catalogue import ListedTarget, Listing
from updater.check.watermarks import Watermark, Watermarks
from updater.disk.json_file import read as read_document
from updater.errors import FormatError, InstallError, PatchError
from updater.format.encoding import lzma2, zstandard
from updater.format.encoding.canonical import decode, encode
from updater.format.encoding.limits import DEFAULT, MIB
from updater.format.head import Head
from updater.format.manifest import Directory, File, Manifest, Symlink
from updater.format.names import Digest
from updater.format.patch_header.header import decode_header
from updater.format.patch_header.patch import Block, Extent, Header
from updater.format.release_description import Confirm, Release
from updater.format.reports import CheckIn, FailureReport
from updater.launch.commit import journal
from updater.launch.commit.journal import Action, Journal, Step
from updater.launch.start.release_facts import ReleaseFacts, read_release_facts
from updater.launch.start.trial import Trial, read_trial
from updater.launch.state import State
from updater.local.settings import Settings
from updater.patch.apply import PatchFile
from updater.patch.delta.block import encode_block
from updater.patch.delta.bsdiff import Triples
from updater.patch.delta.control import Control, decode_control, encode_control
from updater.patch.delta.inflated import (
    WHOLE,
    InflatedView,
    Parameters,
    deflate,
    write_close_recipe,
    write_open_recipe,
)

Errors = tuple[type[Exception], ...]


@dataclass(frozen=True)
class Parser:
    """One parser."""

    sample: bytes
    """What it reads without a word."""
    parse: Callable[[bytes, Path], object]
    """Given the bytes, and a folder to put them in."""
    errors: Errors = (FormatError,)
    """All it may say of anything else."""


NETWORK = ["canonical", "manifest", "header", "patch", "partial", "lzma2", "zstd", "block"]
NETWORK += ["control", "head", "custom", "release", "opened", "closed", "checkin", "report"]
LOCAL = ["settings", "seen", "journal", "document", "release_facts", "trial", "release.toml"]
NAMES = NETWORK + LOCAL


def parsers(folder: Path) -> dict[str, Parser]:
    """All of them; ``folder`` is for the samples of those that read files."""
    return {**of_the_network(), **of_the_state(folder)}


def of_the_network() -> dict[str, Parser]:
    """Signed documents: a stolen key, or a publisher's defective tool, may have signed anything."""
    patch = make_patch(3, 50)
    return {
        "canonical": Parser(encode({"a": [1, "é", None, True]}), lambda d, _: decode(d, MIB)),
        "manifest": Parser(_manifest().data, lambda d, _: Manifest.parse(d)),
        "header": Parser(patch.data[: patch.starts[0]], lambda d, _: decode_header(d)),
        "patch": Parser(patch.data, _patch),
        "partial": Parser(patch.data[: patch.starts[1]] + patch.data[patch.starts[2] :], _partial),
        "lzma2": Parser(lzma2.pack(TEXT), lambda d, _: lzma2.unpack(d, len(TEXT), "x")),
        "zstd": Parser(zstandard.pack(TEXT, OLD), lambda d, _: unpack(d, len(TEXT), OLD, "x")),
        "block": _block(),
        "control": _control(),
        "head": Parser(encode(HEAD), lambda d, _: Head.parse(decode(d, MIB))),
        "custom": Parser(encode(CUSTOM), _listing),
        "release": Parser(encode(_release().to_json()), lambda d, _: Release.parse(decode(d, MIB))),
        **_views(),
        "checkin": Parser(checkin(1), lambda d, _: CheckIn.parse(d)),
        "report": Parser(report(1), lambda d, _: FailureReport.parse(d)),
    }


def _views() -> dict[str, Parser]:
    """The view of packed files, both ways: a recipe of a signed header, and any file."""
    both, view, usual = (FormatError, PatchError), InflatedView(), Parameters(6, 15, 8, 0)
    starts, streams = write_open_recipe([(WHOLE, 6)]), write_close_recipe([(WHOLE, usual)])
    packed = _joined(starts, b"before" + b"".join(deflate([TEXT], usual)) + b"behind")
    opened = _joined(streams, _through(view.open, packed))
    return {
        "opened": Parser(packed, lambda d, _: _through(view.open, d), both),
        "closed": Parser(opened, lambda d, _: _through(view.close, d), both),
    }


def _joined(recipe: bytes, file: bytes) -> bytes:
    return len(recipe).to_bytes(2, "big") + recipe + file


def _through(way: Callable[[BinaryIO, bytes, BinaryIO], None], data: bytes) -> bytes:
    length = 2 + int.from_bytes(data[:2], "big")
    out = io.BytesIO()
    way(io.BytesIO(data[length:]), data[2:length], out)
    return out.getvalue()


def of_the_state(folder: Path) -> dict[str, Parser]:
    """What the disk, another program or the user may have changed; and ``release.toml``."""
    local = (InstallError,)
    settings = Settings(app="notes", channel="stable", url="http://x", previous="1.0", bad=("2",))
    seen = Watermarks(
        root=Watermark(1),
        targets=Watermark.of(2, ["a"]),
        app=Watermark.of(3, ["b"]),
        time=Watermark(4),
    )
    facts = ReleaseFacts("1.0", ("app", "-x"), "health", ("app", "--check"), 3, 9)
    return {
        "settings": Parser(settings.data, lambda d, _: Settings.parse(d)),
        "seen": Parser(seen.data, lambda d, _: Watermarks.parse(d)),
        "journal": Parser(_journal(folder), lambda d, f: journal.read(_file(f, d)), local),
        "document": Parser(encode({"a": [1]}), lambda d, f: read_document(_file(f, d)), local),
        "release_facts": Parser(
            facts.data, lambda d, f: read_release_facts(_state(f, "release", d)), local
        ),
        "trial": Parser(
            Trial("2.0", "1.0", ran=True, failed=1, why="x").data,
            lambda d, f: read_trial(_state(f, "trial", d)),
            (),
        ),
        "release.toml": Parser(
            TOML, lambda d, f: read_description(_file(f, d)), (FormatError, InstallError)
        ),
    }


TEXT = b"some text that packs well, " * 20
OLD = b"some text that was there before, " * 20
HEAD = {
    "app": "notes",
    "channel": "stable",
    "entries": [{"paused": False, "steps": [[1, 100], [9, 10_000]], "version": "2.0"}],
    "issued": 1,
    "seed": "5eed",
}
BLOB = {"header": {"length": 9, "sha256": "0" * 64}, "write_bytes": 1, "scratch_bytes": 2}
CUSTOM = {
    "notes/releases/1.0/bundle": BLOB,
    "notes/releases/1.0/manifest": {"stop": True, "recalled": {"floor": "0.9"}},
    "notes/patches/1.0_2.0": BLOB,
}
TOML = b"""entry = ["app", "-x"]
stop = true
min_updater = "0.1"
exclude = ["*.log"]
[confirm]
mode = "app"
seconds = 9
starts = 2
[policy]
"*.ini" = "keep"
"""


def _release() -> Release:
    return Release(entry=("bin/a",), stop=True, confirm=Confirm(mode="app"), notes="new")


def _manifest() -> Manifest:
    file = File("bin/a", 3, Digest.of(b"abc"), executable=True)
    return Manifest.of("notes", "1.0", [file, Symlink("b", "bin/a"), Directory("c")], _release())


def _patch(data: bytes, folder: Path) -> list[tuple[Block, int]]:
    return list(PatchFile(_file(folder, data)).blocks())


def _partial(data: bytes, folder: Path) -> list[tuple[Block, int]]:
    """A bundle of which two blocks were wanted, the second was not."""

    def select(header: Header) -> set[int]:
        return {0, 2} & set(range(len(header.blocks)))

    return list(PatchFile(_file(folder, data), select=select).blocks())


def _block() -> Parser:
    codec, raw, packed = encode_block(whole(TEXT), 1)
    extents = (Extent(0, 0, len(TEXT)),)

    def parse(data: bytes, _: Path) -> bytes:
        """As if what came had been signed: the digest would refuse everything else."""
        block = Block((), extents, codec, len(raw), len(data), Digest.of(data))
        return decode_block(block, data, b"")

    return Parser(packed, parse, (FormatError, PatchError))


def _control() -> Parser:
    control = Control(Triples((3, 4), (2, 1), (5, -3)), (4,), (3,))
    return Parser(encode_control(control), lambda d, _: decode_control(d, 10))


def _listing(data: bytes, _: Path) -> None:
    custom = decode(data, MIB)
    if isinstance(custom, dict):
        entries = [ListedTarget(name, 99, "0" * 64, value) for name, value in custom.items()]
        Listing("http://x", "notes", DEFAULT).read(entries)


def _journal(folder: Path) -> bytes:
    state = State(folder / "app", folder)
    steps = (Step(Action.PUT, "a", 0, "a.new", "a.old", size=1), Step(Action.SET_ASIDE, "b"))
    Journal("1.0", "2.0", steps).write(state)
    return state.journal.read_bytes()


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "document"
    path.write_bytes(data)
    return path


def _state(folder: Path, name: str, data: bytes) -> State:
    state = State(folder / "app", folder)
    place: Path = getattr(state, name)
    place.write_bytes(data)
    return state
