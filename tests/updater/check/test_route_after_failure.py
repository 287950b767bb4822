"""Whatever a host lacks or spoils: as long as one way is left, it is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.repository.publisher import Publisher
from tests.support.repository.sessions import quick_session
from tests.support.servers.serving import misserved, send
from tests.support.trees.trees import Tree, noise, read_tree
from updater.check.catalogue import Catalogue
from updater.client import Updater
from updater.errors import PatchError, TransportError, TrustError, UpdaterError
from updater.format.release_description import Release
from updater.local.session import Session
from updater.local.settings import read_settings
from updater.update.adopt import adopt
from updater.update.install_new import install
from updater.update.job import Updated
from updater.update.repair import Repaired

BIG = noise(300_000)
VERSIONS = ("1.0", "1.1", "1.2", "2.0")
TREES: dict[str, Tree] = {
    version: {"app": BIG + noise(500 * n, n), "name": version.encode(), "same": BIG[:5000]}
    for n, version in enumerate(VERSIONS)
}
STOP = "1.1"
FAULTS = ("missing", "forbidden", "broken", "page", "other bytes", "short")
PAGE = b"<!doctype html><title>app</title>"


@dataclass
class Host:
    """A static host, and what it does with some of the targets."""

    publisher: Publisher
    url: str
    faults: dict[str, str]
    """By the name of the target."""
    catalogue: Catalogue
    old: Path
    """An install of 1.0."""
    new: Path
    """An install of 2.0."""


def _answer(handler: BaseHTTPRequestHandler, path: Path, faults: dict[str, str]) -> bool:
    folder, _, name = handler.path.removeprefix("/targets/").rpartition("/")
    fault = faults.get(f"{folder}/{name.partition('.')[2]}", "")
    if not fault:
        return False
    data = path.read_bytes()
    match fault:
        case "missing" | "forbidden" | "broken":
            send(handler, {"missing": 404, "forbidden": 403, "broken": 500}[fault], b"")
        case "page":
            send(handler, 200, PAGE)
        case "other bytes":
            send(handler, 200, data[:-9] + bytes(9))
        case "short":
            send(handler, 200, data[: len(data) // 2])
        case _:
            return False
    return True


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Four releases with all patches between neighbours and one over three; 1.1 is a stop."""
    folder = tmp_path_factory.mktemp("ways")
    publisher = Publisher(folder / "publisher")
    bases = {"1.0": [], "1.1": ["1.0"], "1.2": ["1.0", "1.1"], "2.0": ["1.0", "1.1", "1.2"]}
    for version in VERSIONS:
        release = Release(stop=True) if version == STOP else None
        publisher.add(version, TREES[version], release=release, bases=bases[version])
    faults: dict[str, str] = {}
    with misserved(publisher.folder, lambda h, path: _answer(h, path, faults)) as url:
        session = quick_session(lambda: publisher.now)
        publisher.promote("1.0")
        install(folder / "app", url, publisher.root, "notes", session=session)
        publisher.promote("2.0")
        install(folder / "new/app", url, publisher.root, "notes", session=session)
        state = Updater(folder / "app", session)._state
        catalogue = session.refresh(state, read_settings(state), session.now())
        yield Host(publisher, url, faults, catalogue, folder / "app", folder / "new/app")


def is_left(catalogue: Catalogue, start: str | None, goal: str, faults: dict[str, str]) -> bool:
    """Whether patches and bundles without a fault lead to ``goal``."""
    reached = {start} if start else set()
    reached |= {
        version
        for version, release in catalogue.releases.items()
        if release.bundle is not None and release.bundle.name not in faults
    }
    for _ in catalogue.releases:
        reached |= {
            new
            for (old, new), blob in catalogue.patches.items()
            if old in reached and blob.name not in faults
        }
    return goal in reached


def names(catalogue: Catalogue) -> list[str]:
    manifests = [release.manifest.name for release in catalogue.releases.values()]
    bundles = [r.bundle.name for r in catalogue.releases.values() if r.bundle is not None]
    return [*manifests, *bundles, *(blob.name for blob in catalogue.patches.values())]


_numbers = count()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["update", "install", "repair", "adopt"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_while_one_way_is_left_it_is_found(
    what: str, data: st.DataObject, host: Host, tmp_path: Path
) -> None:
    every = names(host.catalogue)
    chosen = data.draw(st.sets(st.sampled_from(every)), label="targets")
    faults = {name: data.draw(st.sampled_from(FAULTS), label=name) for name in sorted(chosen)}
    faults = _troubles_bounded(faults)
    goal, start = {
        "update": (STOP, "1.0"),
        "install": ("2.0", None),
        "repair": ("2.0", None),
        "adopt": ("2.0", None),
    }[what]
    left = is_left(host.catalogue, start, goal, faults)
    session = quick_session(lambda: host.publisher.now)
    folder = tmp_path / str(next(_numbers)) / "app"
    folder.parent.mkdir()
    host.faults.clear()
    host.faults.update(faults)
    try:
        done = _run(what, host, folder, session)
    except UpdaterError:
        if left:
            raise
        return
    finally:
        host.faults.clear()
    assert left or not done.fetched_bytes or what == "adopt"
    assert read_tree(folder) == TREES[goal]
    assert set(done.failed) == set(dict.fromkeys(done.failed))


def _troubles_bounded(faults: dict[str, str]) -> dict[str, str]:
    """A server in trouble is left in peace after a few files: then a way is not looked for."""
    broken = [name for name, fault in faults.items() if fault == "broken"]
    return faults | dict.fromkeys(broken[2:], "missing")


def _run(what: str, host: Host, folder: Path, session: Session) -> Updated | Repaired:
    match what:
        case "install":
            return install(folder, host.url, host.publisher.root, "notes", session=session)
        case "adopt":
            shutil.copytree(host.new, folder)
            (folder / "app").write_bytes(b"damaged")
            made = adopt(
                folder, host.url, host.publisher.root, "notes", "2.0", repair=True, session=session
            )
            (folder / "app.old").unlink()
            return made
        case _:
            return _updated_or_repaired(what, host, folder, session)


def _updated_or_repaired(
    what: str, host: Host, folder: Path, session: Session
) -> Updated | Repaired:
    source = host.new if what == "repair" else host.old
    shutil.copytree(source, folder)
    shutil.copytree(source.parent / ".app.upswap", folder.parent / ".app.upswap")
    updater = Updater(folder, session)
    if what == "repair":
        (folder / "app").unlink()
    done = updater.repair() if what == "repair" else updater.update()
    assert done is not None
    return done


@pytest.mark.parametrize("what", ["install", "repair", "adopt"])
def test_the_last_of_many_ways_is_found(what: str, host: Host, tmp_path: Path) -> None:
    """Over the bundle of 1.0 and two patches, when all that is cheaper has failed."""
    left = ("releases/1.0/bundle", "patches/1.0_1.1", "patches/1.1_2.0")
    gone = [name for name in names(host.catalogue) if not name.endswith(left)]
    host.faults.update(dict.fromkeys(gone, "missing"))
    try:
        done = _run(what, host, tmp_path / "app", quick_session(lambda: host.publisher.now))
    finally:
        host.faults.clear()
    assert len(done.failed) > 1
    assert read_tree(tmp_path / "app") == TREES["2.0"]


def test_what_failed_is_told_and_queued_and_the_update_is_made(host: Host, tmp_path: Path) -> None:
    shutil.copytree(host.old, tmp_path / "app")
    shutil.copytree(host.old.parent / ".app.upswap", tmp_path / ".app.upswap")
    host.faults["notes/patches/1.0_1.1"] = "other bytes"
    try:
        done = Updater(tmp_path / "app", quick_session(lambda: host.publisher.now)).update()
    finally:
        host.faults.clear()
    assert done is not None
    assert done.new == STOP
    assert "other bytes than its publisher signed" in done.failed[0]
    (report,) = (tmp_path / ".app.upswap/reports").iterdir()
    told = json.loads(report.read_bytes())
    assert (told["step"], told["from"], told["to"]) == ("fetch", "1.0", STOP)
    assert "1.0_1.1" in told["error"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("missing", TransportError),
        ("page", TransportError),
        ("broken", TransportError),
        ("other bytes", TrustError),
    ],
)
def test_only_when_no_way_is_left_it_fails_and_says_why_of_each(
    fault: str, kind: type[UpdaterError], host: Host, tmp_path: Path
) -> None:
    shutil.copytree(host.old, tmp_path / "app")
    shutil.copytree(host.old.parent / ".app.upswap", tmp_path / ".app.upswap")
    host.faults.update(dict.fromkeys(names(host.catalogue), fault))
    try:
        with pytest.raises(kind) as caught:
            Updater(tmp_path / "app", quick_session(lambda: host.publisher.now)).update()
    finally:
        host.faults.clear()
    assert "1.0_1.1" in str(caught.value)
    assert "bundle" in str(caught.value)
    assert read_tree(tmp_path / "app") == TREES["1.0"]


def test_a_lost_manifest_is_found_again_though_the_host_has_lost_it_too(
    host: Host, tmp_path: Path
) -> None:
    shutil.copytree(host.old, tmp_path / "app")
    shutil.copytree(host.old.parent / ".app.upswap", tmp_path / ".app.upswap")
    (tmp_path / ".app.upswap/manifest").unlink()
    host.faults["notes/releases/1.0/manifest"] = "missing"
    try:
        updater = Updater(tmp_path / "app", quick_session(lambda: host.publisher.now))
        done = updater.repair()
    finally:
        host.faults.clear()
    assert done is not None
    assert updater.status().version == "1.0"


def test_adoption_of_what_is_no_release_still_says_so(host: Host, tmp_path: Path) -> None:
    shutil.copytree(host.old, tmp_path / "app")
    (tmp_path / "app/app").unlink()
    host.faults.update(dict.fromkeys(names(host.catalogue), "missing"))
    try:
        with pytest.raises((PatchError, TransportError), match="404"):
            adopt(
                tmp_path / "app",
                host.url,
                host.publisher.root,
                "notes",
                "1.0",
                repair=True,
                session=quick_session(lambda: host.publisher.now),
            )
    finally:
        host.faults.clear()
    assert not (tmp_path / ".app.upswap").exists()
