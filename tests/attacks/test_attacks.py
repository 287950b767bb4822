"""Attacks on what is downloaded, and faults, end to end; the oracle of every story is `Victim`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.attacks.hostile import (
    block_of,
    evil_patch,
    flip,
    named,
    newest,
    publish,
    publish_patch,
    rewrite,
)
from tests.support.attacks.victim import NEW, OLD, Victim, bundle_of, patch_of
from tests.support.paths import ROOT
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import misserved, send
from tests.support.trees.trees import noise, read_tree
from updater.client import Updater
from updater.disk.durable import Disk
from updater.disk.lock import locked
from updater.errors import (
    FormatError,
    InstallError,
    NotEnoughSpace,
    TransportError,
    TrustError,
    UpdateInProgress,
)
from updater.format.changes import Change, Kind
from updater.format.encoding import lzma2
from updater.format.encoding.limits import MIB
from updater.format.names import Digest
from updater.format.patch_header.patch import LZMA2, Block, Extent, FileView, TreeDescriptor
from updater.format.release_description import Release
from updater.local.session import Session
from updater.update.install_new import install

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def saying(status: int, body: bytes = b"", part: str = "targets") -> Callable[..., bool]:
    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if part in str(path):
            send(handler, status, body)
        return part in str(path)

    return misbehave


@pytest.mark.parametrize("at", [0, 8, 100, -1], ids=["magic", "preamble", "header", "last block"])
def test_a_patch_with_a_flipped_bit_on_the_server_gives_way_to_the_bundle(
    at: int, victim: Victim
) -> None:
    victim.publisher.release("2.0", NEW)
    path = patch_of(victim.publisher)
    path.write_bytes(flip(path.read_bytes(), at))
    assert victim.takes() == {}


@pytest.mark.parametrize("left", [0, 1, 50, -1])
def test_a_patch_cut_short_on_the_server_gives_way_to_the_bundle(left: int, victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    path = patch_of(victim.publisher)
    path.write_bytes(path.read_bytes()[:left])
    assert victim.takes() == {}


def test_a_patch_with_more_behind_it_on_the_server_is_harmless(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    path = patch_of(victim.publisher)
    path.write_bytes(path.read_bytes() + bytes(MIB))
    assert victim.takes() == {}


def test_the_patch_of_another_release_in_place_of_ours_gives_way_to_the_bundle(
    victim: Victim,
) -> None:
    victim.publisher.release("2.0", NEW)
    path = patch_of(victim.publisher)
    path.write_bytes(bundle_of(victim.publisher).read_bytes())
    assert victim.takes() == {}


def test_bundle_and_patch_both_damaged_on_the_server(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    (victim.folder / "data").write_bytes(b"edited, so that the bundle is needed")
    for path in (patch_of(victim.publisher), bundle_of(victim.publisher)):
        path.write_bytes(flip(path.read_bytes(), -1))
    (victim.folder / "data").write_bytes(noise(20_000))
    victim.refuses(TrustError, 4)
    victim.recovers()


def test_a_wrong_base_and_damaged_bundles_leave_the_users_edit_alone(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    bundles = victim.publisher.folder.glob("targets/notes/releases/*/*.bundle")
    honest = {path: path.read_bytes() for path in bundles}
    for path, data in honest.items():
        path.write_bytes(bytes(len(data)))
    edited = {**OLD, "data": b"edited"}
    (victim.folder / "data").write_bytes(b"edited")
    with pytest.raises(TrustError):
        victim.updater.update()
    assert read_tree(victim.folder) == edited
    (victim.folder / "data").write_bytes(noise(20_000))
    for path, data in honest.items():
        path.write_bytes(data)
    victim.recovers()


@pytest.mark.parametrize("damage", ["edited", "older", "empty", "bigger", "missing", "link"])
def test_a_wrong_base_gives_way_to_the_bundle(damage: str, victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    data = victim.folder / "data"
    original = data.read_bytes()
    data.unlink()
    if damage == "link":
        data.symlink_to("../mine")
    elif damage != "missing":
        content = {"edited": flip(original, 7), "older": b"0", "empty": b""}
        data.write_bytes(content.get(damage, original + b"more"))
    mine = victim.takes()
    assert set(mine) == (set() if damage == "missing" else {"data.old"})
    assert (victim.folder.parent / "mine").read_bytes() == b"the user's"


def test_a_record_of_another_base_gives_way_to_the_bundle(victim: Victim) -> None:
    """State and tree do not agree with what was published as 1.0."""
    victim.publisher.release("2.0", NEW)
    manifest = victim.folder.parent / ".app.upswap/manifest"
    data = manifest.read_bytes().replace(b'"size":20000', b'"size":20001')
    assert data != manifest.read_bytes()
    manifest.write_bytes(data)
    victim.takes()


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503, 302, 204])
@pytest.mark.parametrize("part", ["targets", "metadata"])
def test_a_server_that_does_not_give(status: int, part: str, victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    victim.misbehave = saying(status, part=part)
    error = victim.refuses(TransportError, 3, str(status) if status != 302 else "redirect")
    assert error.hint
    victim.recovers()


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_server_that_gives_garbage_for_a_patch(length: int, victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    victim.misbehave = saying(200, noise(length, 9))
    kind = TransportError if length == 10 else TrustError
    victim.refuses(kind, kind.exit_code)
    victim.recovers()


@pytest.mark.parametrize("part", ["targets", "metadata"])
def test_a_server_that_hangs_up(part: str, victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)

    def misbehave(handler: BaseHTTPRequestHandler, path: Path) -> bool:
        handler.close_connection = True
        return part in str(path)

    victim.misbehave = misbehave
    error = victim.refuses(TransportError, 3)
    assert error.retryable
    assert error.hint
    victim.recovers()


def test_a_server_that_is_gone(tmp_path: Path, publisher: Publisher, session: Session) -> None:
    publisher.release("1.0", OLD)
    with misserved(publisher.folder, lambda *_: False) as url:
        install(tmp_path / "app", url, publisher.root, "notes", session=session)
    victim = Victim(tmp_path / "app", publisher, session)
    error = victim.refuses(TransportError, 3, "refused")
    assert error.retryable
    assert error.hint


def test_unsigned_metadata(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    path = newest(victim.publisher, "app.notes")
    honest = path.read_bytes()
    rewrite(path, lambda _: None)
    error = victim.refuses(TrustError, 4)
    assert error.hint
    path.write_bytes(honest)
    victim.recovers()


OUTSIDE = [
    "../evil",
    "..",
    "a/../../evil",
    "/tmp/evil",
    "//host/evil",
    "./evil",
    "a/./evil",
    "a//evil",
    "",
    ".",
    "evil/",
    "..\\evil",
    "a\\..\\..\\evil",
    "C:\\evil",
    "C:evil",
    "\\\\server\\share",
    "data:stream",
    "nul",
    "CON.txt",
    "evil.",
    "evil ",
    "a\0b",
    "a\nb",
    ".upswap/journal",
    ".app.upswap/install.json",
    "sub/.app.upswap/x",
    "e\u0301vil",
    "x" * 256,
    "/".join(["x" * 200] * 6),
]
EVIL = b"evil content"


def ways_out(path: str) -> dict[str, Change]:
    """Every change that could put something at ``path``, take it away, or read it."""
    return {
        "add": Change(Kind.ADD, path, size=len(EVIL)),
        "delete": Change(Kind.DELETE, path),
        "rename to": Change(Kind.RENAME, path, "data"),
        "rename from": Change(Kind.RENAME, "new", path),
        "copy from": Change(Kind.COPY, "new", path),
        "move to": Change(Kind.MOVE_DIRECTORY, path, "lib"),
        "folder": Change(Kind.ADD_DIRECTORY, path),
        "link": Change(Kind.SYMLINK, path, target="app"),
    }


def refuses_evil(victim: Victim, change: Change, base: str | None) -> None:
    blocks = [block_of(EVIL, Extent(0, 0, len(EVIL)))] if change.size else []
    evil_patch(victim.publisher, [change], *blocks, base=base)
    victim.refuses(FormatError, 5)


@pytest.mark.parametrize(
    ("path", "base"),
    [*((path, "1.0") for path in OUTSIDE), *((path, None) for path in OUTSIDE[:4])],
)
def test_a_signed_patch_that_writes_outside(path: str, base: str | None, victim: Victim) -> None:
    """Signed by the right key: a stolen release key, or a publisher's broken tool."""
    refuses_evil(victim, Change(Kind.ADD, path, size=len(EVIL)), base)
    assert not Path("/tmp/evil").exists()
    if path == "../evil":
        victim.recovers()


@pytest.mark.parametrize("way", ways_out(""))
@pytest.mark.parametrize("path", ["../mine", ".app.upswap/manifest"])
def test_no_kind_of_change_leaves_the_folder(way: str, path: str, victim: Victim) -> None:
    refuses_evil(victim, ways_out(path)[way], "1.0")


@pytest.mark.parametrize(
    "target",
    ["../mine", "../../mine", "/etc/passwd", "", "lib/../../mine", "..\\mine", "C:\\x", "a\0b"],
)
@pytest.mark.parametrize("path", ["evil", "lib/evil"])
def test_a_signed_symlink_that_points_outside(path: str, target: str, victim: Victim) -> None:
    if (path, target) == ("lib/evil", "../mine"):
        target = "../../mine"
    refuses_evil(victim, Change(Kind.SYMLINK, path, target=target), "1.0")


@pytest.mark.parametrize(
    "changes",
    [
        (Change(Kind.ADD, "d/x", size=0), Change(Kind.SYMLINK, "d", target="lib")),
        (Change(Kind.ADD, "link/x", size=0),),
        (Change(Kind.ADD, "data/x", size=0),),
        (Change(Kind.ADD, "DATA", size=0),),
        (Change(Kind.ADD, "LIB/x", size=0),),
        (Change(Kind.ADD, "x", size=0), Change(Kind.ADD, "x", size=0)),
        (Change(Kind.ADD, "data", size=0),),
        (Change(Kind.DELETE, "nothing"),),
        (Change(Kind.DELETE, "data"), Change(Kind.DELETE, "data")),
        (Change(Kind.MODE, "nothing", executable=True),),
        (Change(Kind.RENAME, "x", "nothing"),),
        (Change(Kind.COPY, "x", "link"),),
    ],
)
def test_signed_changes_that_make_no_tree(changes: tuple[Change, ...], victim: Victim) -> None:
    evil_patch(victim.publisher, changes, base="1.0")
    victim.refuses(FormatError, 5)
    victim.recovers()


ADD = (Change(Kind.ADD, "evil", size=len(EVIL)),)
BLOCK, PACKED = block_of(EVIL, Extent(0, 0, len(EVIL)))
BOMB = lzma2.pack(bytes(32 * MIB), preset=1)


def bad(**fields: object) -> tuple[Block, bytes]:
    """The good block with one field changed."""
    values = {name: getattr(BLOCK, name) for name in Block.__slots__}
    return Block(**{**values, **fields}), PACKED


@pytest.mark.parametrize(
    "blocks",
    [
        (),
        (bad(), bad()),
        (bad(new=(Extent(0, 1, len(EVIL)),)),),
        (bad(new=(Extent(0, 0, len(EVIL) + 1),)),),
        (bad(new=(Extent(1, 0, len(EVIL)),)),),
        (bad(new=(Extent(0, 0, 1 << 40),)),),
        (bad(codec=9),),
        (bad(raw_length=BLOCK.raw_length + 1),),
        (bad(raw_length=1 << 40),),
        (bad(old=(Extent(99, 0, 1),)),),
        (bad(old=(Extent(0, 0, 1),)),),
        ((Block((), BLOCK.new, LZMA2, BLOCK.raw_length, len(BOMB), Digest.of(BOMB)), BOMB),),
        ((Block((), BLOCK.new, LZMA2, 32 * MIB, len(BOMB), Digest.of(BOMB)), BOMB),),
    ],
    ids=[
        "none",
        "twice",
        "shifted",
        "longer",
        "elsewhere",
        "huge",
        "codec",
        "raw",
        "raw-huge",
        "old-99",
        "old-0",
        "bomb",
        "bomb-announced",
    ],
)
def test_signed_blocks_that_lie(blocks: tuple[tuple[Block, bytes], ...], victim: Victim) -> None:
    evil_patch(victim.publisher, ADD, *blocks, base="1.0")
    victim.refuses(FormatError, 5)
    victim.recovers()


def test_signed_blocks_that_read_behind_the_end_of_an_old_file(victim: Victim) -> None:
    change = (Change(Kind.MODIFY, "data", size=len(EVIL)),)
    evil_patch(victim.publisher, change, bad(old=(Extent(0, 19_999, 2),)), base="1.0")
    victim.refuses(FormatError, 5)
    victim.recovers()


def test_an_unknown_view_asks_for_a_newer_updater(victim: Victim) -> None:
    view = FileView(0, 77, len(EVIL), b"")
    evil_patch(victim.publisher, ADD, (BLOCK, PACKED), base="1.0", new_views=(view,))
    error = victim.refuses(FormatError, 5)
    assert "newer updater" in error.hint
    victim.recovers()


OTHER = TreeDescriptor("2.0", Digest.of(b"another tree"), 30, Release())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"app": "other"}, "something else"),
        ({"old": TreeDescriptor("0.9", OTHER.digest, 30, Release())}, "something else"),
        ({"old": None}, "something else"),
        ({"new": TreeDescriptor("9.0", OTHER.digest, 30, Release())}, "something else"),
        ({"new": OTHER}, "another tree"),
    ],
    ids=["app", "from", "bundle", "to", "tree"],
)
def test_a_patch_signed_under_anothers_name(
    fields: dict[str, object], reason: str, victim: Victim
) -> None:
    evil_patch(victim.publisher, ADD, (BLOCK, PACKED), base="1.0", **fields)
    victim.refuses(FormatError, 5, "notes/patches/1.0_2.0", reason)
    victim.recovers()


def test_a_patch_signed_as_a_bundle(victim: Victim) -> None:
    old = named(victim.publisher, "1.0")
    evil_patch(victim.publisher, ADD, (BLOCK, PACKED), old=old)
    victim.refuses(FormatError, 5, "something else")
    victim.recovers()


def test_a_patch_that_does_not_give_the_tree_its_publisher_signed(victim: Victim) -> None:
    """Only the result tells: patch, then bundle, are tried; both were made to lie."""
    evil_patch(victim.publisher, ADD, (BLOCK, PACKED), base="1.0")
    evil_patch(victim.publisher, ADD, (BLOCK, PACKED))
    error = victim.refuses(FormatError, 5, "every way to 2.0 failed", "the result is not")
    assert error.hint
    victim.recovers()


def test_a_patch_that_lies_gives_way_to_an_honest_bundle(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    honest = patch_of(victim.publisher)
    new = next(victim.publisher.folder.glob("targets/notes/releases/2.0/*.manifest")).read_bytes()
    lie = TreeDescriptor("2.0", Digest.of(new), len(new), Release())
    target = (
        victim.publisher.repository().look().targets("app.notes")["notes/releases/2.0/manifest"]
    )
    evil_patch(victim.publisher, ADD, (BLOCK, PACKED), base="1.0", new=lie)
    publish(victim.publisher, target.path, new, {})
    assert honest.exists()
    assert victim.takes() == {}


@pytest.mark.parametrize(
    "data", [b"", b"x", b"upswap\0\x02" + b"x" * 50, noise(500), b"BSDIFF40" + bytes(24)]
)
def test_rubbish_signed_as_a_patch(data: bytes, victim: Victim) -> None:
    evil_patch(victim.publisher, ADD, (BLOCK, PACKED))
    publish_patch(victim.publisher, "notes/releases/2.0/bundle", data, len(data))
    victim.refuses(FormatError, 5)
    victim.recovers()


def test_a_folder_of_the_release_that_became_a_way_out(victim: Victim) -> None:
    victim.publisher.release("2.0", {**NEW, "lib/core.py": b"VERSION = 2\n"})
    outside = victim.folder.parent / "outside"
    (victim.folder / "lib").rename(outside)
    (victim.folder / "lib").symlink_to("../outside")
    with pytest.raises(InstallError, match="symlink") as caught:
        victim.updater.update()
    assert caught.value.hint
    assert read_tree(outside) == {"core.py": OLD["lib/core.py"]}
    (victim.folder / "lib").unlink()
    outside.rename(victim.folder / "lib")
    victim.recovers()


def test_a_file_with_a_second_name_elsewhere_is_not_written_through(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    elsewhere = victim.folder.parent / "elsewhere"
    os.link(victim.folder / "data", elsewhere)
    assert victim.updater.update()
    assert elsewhere.read_bytes() == OLD["data"]
    assert read_tree(victim.folder) == NEW


def test_a_fifo_in_place_of_a_file_hangs_nobody(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    (victim.folder / "data").unlink()
    os.mkfifo(victim.folder / "data")
    assert victim.updater.update()
    assert (victim.folder / "data").read_bytes() == NEW["data"]


class Small(Disk):
    """A disk with little room."""

    free = 0

    def free_bytes(self, folder: Path) -> int:  # noqa: ARG002
        return self.free


def test_no_room_is_told_before_anything_is_fetched(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    disk = Small()
    offer = victim.updater.check()
    assert offer is not None
    reserve = victim.session.config.disk_reserve
    good = victim.session
    victim.session = Session(
        config=good.config, transport=good.transport, clock=good.clock, disk=disk
    )
    for free in (0, offer.disk_bytes + reserve - 1):
        disk.free = free
        error = victim.refuses(NotEnoughSpace, 7, f"{offer.disk_bytes + reserve:,} bytes")
        assert error.hint
        assert not (victim.folder.parent / ".app.upswap/downloads").exists()
    disk.free = offer.disk_bytes + reserve
    assert victim.updater.update()
    assert read_tree(victim.folder) == NEW


def test_two_updates_at_once(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    with locked(victim.folder.parent / ".app.upswap/lock", "updating"):
        error = victim.refuses(UpdateInProgress, 7, "updating", str(os.getpid()))
        assert error.retryable
        assert error.hint
        with pytest.raises(UpdateInProgress):
            victim.updater.recover()
        assert victim.updater.check() is not None
    victim.recovers()


def test_an_update_of_another_process_is_waited_for_by_nobody(victim: Victim) -> None:
    victim.publisher.release("2.0", NEW)
    lock = victim.folder.parent / ".app.upswap/lock"
    holder = "import sys; from pathlib import Path; from updater.disk.lock import locked\n"
    holder += "with locked(Path(sys.argv[1]), 'updating'): print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        victim.refuses(UpdateInProgress, 7, str(process.pid))
        process.kill()  # however it dies, its lock goes with it
        process.wait()
        victim.recovers()


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder others may enter; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="upswap-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


NOBODY = [] if shutil.which("setpriv") is None else [
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
]  # fmt: skip


def somebody_else_can_run_us() -> bool:
    """Whether another user may use this interpreter and this checkout at all."""
    if not NOBODY or os.geteuid() != 0:
        return False
    probe = [*NOBODY, sys.executable, "-c", "import updater.client"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(probe, env=environment, cwd="/", capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not somebody_else_can_run_us(), reason="needs root, setpriv, open folders")
def test_a_user_who_may_not_change_the_install(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "publisher", now=int(time.time()))
    publisher.release("1.0", OLD)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NOBODY, sys.executable, "-m", "updater", *arguments, "--dir", str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    with public_folder() as parent, misserved(publisher.folder, lambda *_: False) as url:
        folder = parent / "app"
        install(folder, url, publisher.root, "notes")
        publisher.release("2.0", NEW)
        done = run("update")
        assert (done.returncode, done.stdout) == (7, "")
        error, hint = done.stderr.splitlines()
        assert error.startswith("error: ")
        assert "permission denied" in error
        assert "owner" in hint
        assert read_tree(folder) == OLD
        assert run("status").returncode == 0
        assert Updater(folder).update()
        assert read_tree(folder) == NEW
