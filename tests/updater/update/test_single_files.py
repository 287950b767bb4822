"""Single files from the bundle: for what a patch cannot give on a machine of another zlib."""

from __future__ import annotations

import io
import random
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.attacks.hostile import block_of, honest, raw_served
from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import quick_session
from tests.support.servers.serving import Misbehave, misserved, send, served
from tests.support.trees.trees import Tree, noise, read_tree
from updater.check.catalogue import Catalogue, PatchTarget, PublishedRelease, SignedTarget
from updater.client import Updater
from updater.disk.durable import Disk
from updater.errors import (
    FormatError,
    NotEnoughSpace,
    PatchError,
    TransportError,
    TrustError,
    UpdaterError,
)
from updater.format.changes import Change, Kind
from updater.format.names import Digest
from updater.format.patch_header.header import encode_header
from updater.format.patch_header.patch import Extent, FileView, Header, TreeDescriptor
from updater.format.release_description import Release
from updater.launch.state import State
from updater.local.session import Session
from updater.local.settings import Settings
from updater.patch.apply import PatchFile, unusable
from updater.patch.delta import inflated
from updater.patch.delta.inflated import WHOLE, Parameters, probe_checksum, write_close_recipe
from updater.patch.delta.view import INFLATED
from updater.update.install_new import install
from updater.update.job import Updated
from updater.update.single_files import take_files

Serve = Callable[[Path], AbstractContextManager[str]]


def text(seed: int, length: int = 40_000) -> bytes:
    """Compressible, and never the same twice."""
    words = random.Random(seed)
    return b" ".join(b"%x" % words.randrange(5000) for _ in range(length // 4))[:length]


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive that is the same every time; ``*.raw`` is stored."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            how = zipfile.ZIP_STORED if name.endswith(".raw") else method
            archive.writestr(zipfile.ZipInfo(name), data, how)
    return file.getvalue()


def make_tree(version: int) -> Tree:
    """A release of mostly incompressible files, and two archives that change in every version."""
    change = b"version %d" % version
    return {
        **{f"data/{number}.oat": noise(1_100_000, number) for number in range(5)},
        "lib/first.zip": zipped({"stored.raw": noise(400_000, 9), "changed": change + text(2)}),
        "lib/second.jar": zipped({"changed": text(3) + change, "same": text(4)}),
        "notes.txt": change + text(5),
    }


TREES = {version: make_tree(version) for version in (1, 2, 3)}
"""Made once: another zlib would make other archives."""


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    """Three versions, patches from each to the next; what is offered a test decides."""
    publisher = Publisher(tmp_path_factory.mktemp("single-files"))
    for number, tree in TREES.items():
        publisher.add(f"{number}.0", tree, bases=[f"{number - 1}.0"] if number > 1 else [])
    return publisher


@pytest.fixture
def _other_zlib(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine that updates has a zlib that deflates well, and in its own way."""
    real: Callable[..., Any] = zlib.compressobj

    def other(level: int, *rest: int) -> Any:
        return real(1 if level > 1 else 2, *rest)

    probe_checksum.cache_clear()
    monkeypatch.setattr(zlib, "compressobj", other)
    yield
    probe_checksum.cache_clear()


other_zlib = pytest.mark.usefixtures("_other_zlib")


@dataclass
class World:
    """One install of 1.0 that is offered another version."""

    publisher: Publisher
    folder: Path
    session: Session
    serve: Serve = served

    def update(self, to: str = "2.0", session: Session | None = None) -> Updated:
        self.publisher.promote("1.0")
        with served(self.publisher.folder) as url:
            install(self.folder, url, self.publisher.root, "notes", session=self.session)
        self.publisher.promote(to)
        return self.again(session)

    def again(self, session: Session | None = None) -> Updated:
        """Update; the repository may have moved meanwhile."""
        with self.serve(self.publisher.folder) as url:
            place = self.folder.parent / ".app.upswap/install.json"
            place.write_text(re.sub(r'"http://[^"]*"', f'"{url}"', place.read_text()))
            done = Updater(self.folder, session or self.session).update()
        assert done is not None
        return done

    def fails(self, kind: type[UpdaterError], **options: Any) -> UpdaterError:
        """Update in vain: what was installed is there as before."""
        with pytest.raises(kind) as caught:
            self.update(**options)
        assert read_tree(self.folder) == TREES[1]
        assert not list(self.state.glob("stage/*"))
        assert not list(self.state.glob("scratch/*"))
        return caught.value

    @property
    def state(self) -> Path:
        return self.folder.parent / ".app.upswap"

    def target(self, name: str) -> Path:
        """The file of a target."""
        folder, _, base = name.rpartition("/")
        (path,) = (self.publisher.folder / "targets/notes" / folder).glob(f"*.{base}")
        return path


@pytest.fixture
def world(tmp_path: Path, publisher: Publisher, session: Session) -> World:
    return World(publisher, tmp_path / "app", session)


def send_part(handler: BaseHTTPRequestHandler, data: bytes, most: int | None = None) -> None:
    """What an honest server says of a range, but no more than ``most`` bytes of it."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
    if match is None:
        send(handler, 200, data[:most], Content_Length=str(len(data)))
        return
    start, stop = int(match[1]), int(match[2] or len(data) - 1) + 1
    send(
        handler,
        206,
        data[start:stop][:most],
        Content_Length=str(stop - start),
        Content_Range=f"bytes {start}-{stop - 1}/{len(data)}",
    )
    handler.close_connection = True


@dataclass
class OfBundles:
    """A server that is honest but for bundles, and remembers who asked for which."""

    answer: Callable[[BaseHTTPRequestHandler, bytes], None] = send_part
    asked: list[str] = field(default_factory=list)

    def __call__(self, handler: BaseHTTPRequestHandler, path: Path) -> bool:
        if not path.name.endswith(".bundle"):
            return False
        self.asked.append(path.parent.name)
        self.answer(handler, path.read_bytes())
        return True

    @property
    def serve(self) -> Serve:
        return partial(misserved, misbehave=self)


def plain(_: BaseHTTPRequestHandler, __: Path) -> bool:
    return False


NO_RANGES: Misbehave = plain


@other_zlib
def test_the_patch_really_has_what_this_machine_cannot_make(world: World) -> None:
    """Else no test here would prove anything."""
    for pair in ("1.0_2.0", "2.0_3.0"):
        header = PatchFile(world.target(f"patches/{pair}")).header
        assert [view.id for view in header.new_views] == [INFLATED, INFLATED]
        assert unusable(header) == ["lib/second.jar", "lib/first.zip"]


@other_zlib
@pytest.mark.parametrize("serve", [served, partial(misserved, misbehave=NO_RANGES)])
def test_files_that_cannot_be_made_are_taken_from_the_bundle(world: World, serve: Serve) -> None:
    world.serve = serve
    done = world.update()
    assert read_tree(world.folder) == TREES[2]
    assert done.changes == {"modify": 3}
    if serve is served:
        assert done.fetched_bytes < done.full_bytes / 3
    assert not (world.state / "downloads").exists()


def test_nothing_of_the_bundle_is_fetched_where_zlib_is_as_expected(world: World) -> None:
    server = OfBundles()
    world.serve = server.serve
    world.update()
    assert read_tree(world.folder) == TREES[2]
    assert not server.asked


@other_zlib
def test_every_patch_takes_from_the_bundle_of_its_own_release(world: World) -> None:
    server = OfBundles()
    world.serve = server.serve
    done = world.update("3.0")
    assert read_tree(world.folder) == TREES[3]
    assert set(server.asked) == {"2.0", "3.0"}
    assert done.changes == {"modify": 6}


@other_zlib
def test_a_line_that_breaks_again_and_again_is_gone_on_from_where_it_broke(world: World) -> None:
    world.serve = OfBundles(partial(send_part, most=100_000)).serve
    done = world.update()
    assert read_tree(world.folder) == TREES[2]
    assert done.fetched_bytes < done.full_bytes / 3


@other_zlib
def test_what_came_before_the_network_went_is_kept_for_the_next_run(world: World) -> None:
    answers: Iterator[int | None] = iter([None, 500_000, 0, 0])

    def goes(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        send_part(handler, data, next(answers))

    world.serve = OfBundles(goes).serve
    world.fails(TransportError)
    (kept,) = world.state.glob("downloads/*.partial")
    assert kept.stat().st_size > 500_000
    world.serve = served
    done = world.again()
    assert read_tree(world.folder) == TREES[2]
    assert done.fetched_bytes < done.full_bytes / 3 - 500_000


class TestDamage:
    """Bytes on the server that nobody signed."""

    @staticmethod
    def flipped(data: bytes) -> bytes:
        return data[:-3000] + bytes([data[-3000] ^ 1]) + data[-2999:]

    @other_zlib
    def test_is_repaired_if_it_is_gone_at_the_next_try(self, world: World) -> None:
        bad = iter([True] * 3)  # the header, and either stretch of blocks

        def once(handler: BaseHTTPRequestHandler, data: bytes) -> None:
            send_part(handler, self.flipped(data) if next(bad, False) else data)

        server = OfBundles(once)
        world.serve = server.serve
        done = world.update()
        assert read_tree(world.folder) == TREES[2]
        assert len(server.asked) == 4
        assert done.fetched_bytes < done.full_bytes / 2

    @other_zlib
    @pytest.mark.parametrize("answer", [send_part, lambda handler, data: send(handler, 200, data)])
    def test_is_no_network_error_if_it_stays(self, world: World, answer: Any) -> None:
        world.serve = OfBundles(lambda handler, data: answer(handler, self.flipped(data))).serve
        assert "2.0/bundle" in str(world.fails(TrustError))


@dataclass(frozen=True, kw_only=True)
class Pruned(Session):
    """Sees a repository that has dropped some bundles."""

    gone: frozenset[str] = frozenset()

    def refresh(self, state: State, settings: Settings, now: int) -> Catalogue:
        catalogue = super().refresh(state, settings, now)
        left = {
            version: replace(published, bundle=None if version in self.gone else published.bundle)
            for version, published in catalogue.releases.items()
        }
        return replace(catalogue, releases=left)


class TestWithoutBundle:
    """The publisher, or a mirror, has dropped it."""

    def pruned(self, session: Session, *versions: str) -> Pruned:
        return Pruned(**vars(session), gone=frozenset(versions))

    @other_zlib
    def test_there_is_no_way(self, world: World) -> None:
        error = world.fails(PatchError, session=self.pruned(world.session, "2.0"))
        assert "notes 2.0 has no bundle" in str(error)
        assert "newer release" in error.hint

    @other_zlib
    def test_of_a_release_between_there_is_that_of_the_last(self, world: World) -> None:
        done = world.update("3.0", self.pruned(world.session, "2.0"))
        assert read_tree(world.folder) == TREES[3]
        assert done.fetched_bytes > done.full_bytes

    @other_zlib
    def test_on_the_server_it_is_told_as_the_network(self, world: World) -> None:
        world.serve = OfBundles(lambda handler, _: send(handler, 404, b"")).serve
        error = world.fails(TransportError)
        assert isinstance(error, TransportError)
        assert error.status == 404

    def test_a_machine_that_can_make_all_files_needs_none(self, world: World) -> None:
        world.update(session=self.pruned(world.session, "2.0"))
        assert read_tree(world.folder) == TREES[2]


@other_zlib
def test_what_does_not_fit_otherwise_still_gives_way_to_the_whole_bundle(world: World) -> None:
    world.publisher.promote("1.0")
    with served(world.publisher.folder) as url:
        install(world.folder, url, world.publisher.root, "notes", session=world.session)
    (world.folder / "notes.txt").unlink()
    world.publisher.promote("2.0")
    done = world.again(Pruned(**vars(world.session), gone=frozenset({"1.0"})))
    assert done.fetched_bytes > done.full_bytes
    assert read_tree(world.folder) == TREES[2]


class Small(Disk):
    """A disk with so many bytes free."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self.free = free

    def free_bytes(self, folder: Path) -> int:  # noqa: ARG002
        return self.free


class TestSpace:
    """Free disk is asked for as soon as it is known what is to be fetched."""

    def needed(self, world: World) -> int:
        """Of the whole update: the plan's, and the header and blocks that are taken."""
        bundle, patch = world.target("releases/2.0/bundle"), world.target("patches/1.0_2.0")
        header = PatchFile(bundle).header
        blocks = header.blocks_of({"lib/first.zip", "lib/second.jar"})
        made = PatchFile(patch).header
        return (
            made.write_bytes
            + made.scratch_bytes
            + max(patch.stat().st_size, sum(header.blocks[n].packed_length for n in blocks))
            + world.session.config.disk_reserve
        )

    @other_zlib
    def test_it_suffices_to_the_byte(self, world: World) -> None:
        needed = self.needed(world)
        world.update(session=replace(world.session, disk=Small(needed)))
        assert read_tree(world.folder) == TREES[2]

    @other_zlib
    def test_one_byte_less_is_refused_before_blocks_are_fetched(self, world: World) -> None:
        server = OfBundles()
        world.serve = server.serve
        session = replace(world.session, disk=Small(self.needed(world) - 1))
        world.fails(NotEnoughSpace, session=session)
        assert server.asked == ["2.0"]


CONTENT = {"a": noise(900, 1), "b": noise(700, 2), "c": noise(500, 3), "empty": b""}
CHANGES = tuple(Change(Kind.ADD, path, size=len(data)) for path, data in CONTENT.items())
MANIFEST = SignedTarget("notes/releases/1.0/manifest", "", 100, Digest.of(b"manifest"))
A, B, C = (CONTENT[path] for path in "abc")
BLOCKS = (
    block_of(B[:300] + A[600:], Extent(1, 0, 300), Extent(0, 600, 300)),
    block_of(C, Extent(2, 0, 500)),
    block_of(A[:300], Extent(0, 0, 300)),
    block_of(A[300:600] + B[300:], Extent(0, 300, 300), Extent(1, 300, 400)),
)
"""Parts of files in an order no builder gives them."""


@dataclass
class Bundle:
    """A bundle made by hand, on a server of its own."""

    folder: Path
    header: Header
    session: Session = field(default_factory=lambda: quick_session(lambda: 0))

    def take(self, *paths: str, **fields: Any) -> dict[str, bytes]:
        """The files, and what was received for them."""
        header = encode_header(self.header)
        data = header + b"".join(packed for _, packed in BLOCKS)
        length, digest = len(header), Digest.of(header)
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        with raw_served(honest(data)) as server:
            name, url = "notes/releases/1.0/bundle", f"{server.url}/bundle"
            blob = PatchTarget(name, url, len(data), Digest.of(data), length, digest, 0, 0)
            release = replace(PublishedRelease("1.0", MANIFEST, blob), **fields)
            state = State(self.folder / "app", self.folder)
            places = take_files(self.session, state, "notes", release, paths, out, reserve=0)
        assert set(places.values()) == set(out.iterdir())
        return {path: place.read_bytes() for path, place in places.items()}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    new = TreeDescriptor("1.0", MANIFEST.digest, MANIFEST.length, Release())
    blocks = tuple(block for block, _ in BLOCKS)
    return Bundle(tmp_path, Header("notes", None, new, CHANGES, (), (), (), blocks))


class TestTakeFiles:
    """What an update and a repair ask for."""

    @pytest.mark.parametrize(
        ("paths", "blocks"),
        [("a", [0, 2, 3]), ("b", [0, 3]), ("c", [1]), ("ab", [0, 2, 3]), ("bc", [0, 1, 3])],
    )
    def test_a_file_may_lie_in_several_blocks_and_share_them(
        self, bundle: Bundle, paths: str, blocks: list[int]
    ) -> None:
        assert bundle.take(*paths) == {path: CONTENT[path] for path in paths}
        lengths = [len(BLOCKS[number][1]) for number in blocks]
        received = bundle.session.transport.received
        assert received == len(encode_header(bundle.header)) + sum(lengths)

    def test_one_call_after_another_fetches_what_is_missing(self, bundle: Bundle) -> None:
        for paths in ("c", "abc", "b", "c"):
            assert bundle.take(*paths) == {path: CONTENT[path] for path in paths}

    def test_an_empty_file_costs_the_header_only(self, bundle: Bundle) -> None:
        assert bundle.take("empty") == {"empty": b""}
        assert bundle.session.transport.received == len(encode_header(bundle.header))

    def test_what_the_bundle_does_not_have_is_told(self, bundle: Bundle) -> None:
        with pytest.raises(PatchError, match=r"the bundle of notes 1\.0 has no 'nowhere'"):
            bundle.take("a", "nowhere")

    @pytest.mark.parametrize(
        "fields",
        [
            {"version": "1.1"},
            {"manifest": replace(MANIFEST, digest=Digest.of(b"other"))},
            {"manifest": replace(MANIFEST, length=99)},
        ],
    )
    def test_the_bundle_of_something_else_is_refused_before_blocks_are_fetched(
        self, bundle: Bundle, fields: dict[str, Any]
    ) -> None:
        with pytest.raises(FormatError):
            bundle.take("a", **fields)
        assert bundle.session.transport.received == len(encode_header(bundle.header))

    def test_a_patch_is_no_bundle(self, bundle: Bundle) -> None:
        bundle.header = replace(bundle.header, old=bundle.header.new)
        with pytest.raises(FormatError, match="something else"):
            bundle.take("a")

    def test_a_bundle_that_reads_old_files_is_refused(self, bundle: Bundle) -> None:
        first, *others = bundle.header.blocks
        reading = replace(first, old=(Extent(0, 0, 5),))
        bundle.header = replace(bundle.header, blocks=(reading, *others))
        with pytest.raises(FormatError, match="not a file"):
            bundle.take("a")
        assert bundle.take("c") == {"c": C}

    def test_a_bundle_whose_view_does_not_work_here_is_told(
        self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe = write_close_recipe([(WHOLE, Parameters(6, 15, 8, 0))])
        monkeypatch.setattr(inflated, "probe_checksum", lambda _: 0)
        bundle.header = replace(bundle.header, new_views=(FileView(2, INFLATED, 500, recipe),))
        with pytest.raises(PatchError, match="deflates in another way"):
            bundle.take("c")
        assert bundle.take("a") == {"a": A}
