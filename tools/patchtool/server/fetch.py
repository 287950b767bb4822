"""Fetching: a local copy of a repository that a server writes, to make releases on top of it.

Metadata is verified by the clients' trust layer and never goes back; of the content only what
patches are made from is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from patchtool.folder.temporary import scratch, staging
from patchtool.folder.transfer_lock import LOCK, transferring
from patchtool.keys.signing_clock import CheckTime, any_time
from patchtool.repository.local_transport import URL, SnapshotTransport
from patchtool.repository.releases import PATCHES_FROM, Releases
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.stored_files import CONTENT, needed
from patchtool.repository.targets import place_of
from patchtool.repository.writer import WRITER_FILE, WRITING_LOCK, name_writer, writer_of
from patchtool.server.mirror import mirror
from patchtool.upkeep.unpublished import is_overtaken
from updater.check.catalogue import ListedTarget, Listing, PatchTarget
from updater.check.trust import TufClient, behind_error, is_behind
from updater.disk.durable import PART, Disk, machine_errors, make_folders
from updater.disk.lock import locked
from updater.errors import RequestError, TrustError
from updater.format.encoding.limits import DEFAULT
from updater.format.target_names import TIMESTAMP, head_name, patch_name
from updater.local.session import Session
from updater.net.download import Download
from updater.transport import server_time
from updater.update.manifests import take_manifest

FIRST = "metadata/1.root.json"


@dataclass(frozen=True)
class Fetched:
    """The content of the copy now."""

    releases: dict[str, tuple[str, ...]]
    """By app, the versions that patches can be made from."""
    metadata: int
    """Files of metadata that are new."""
    bytes: int
    """Of content that was fetched."""


def fetch(
    session: Session,
    url: str,
    folder: Path,
    *,
    root: bytes | None = None,
    bundles: int = PATCHES_FROM,
    check_time: CheckTime = any_time,
    patience: float = 0.0,
) -> Fetched:
    """Make a copy of the repository at ``url``, or bring it up to date.

    Args:
        session: how bytes come, progress, and what time it is.
        url: of the repository.
        folder: of the copy; it is made if it is not there.
        root: a root.json to trust; None: that of the copy, or of the URL if there is none.
        check_time: is asked before anything of the copy changes.
        bundles: so many of the last releases of each app are fetched whole.
        patience: seconds to wait for another command.

    Raises:
        TransportError: the network; the same again goes on.
        TrustError: signatures do not hold, or the copy has seen something newer.
        FormatError: it is no repository of ours.
        InstallError: the folder is something else, or the disk. After any error the copy is as it
            was, or a newer one that lacks content.
    """
    _prepare(folder)
    with machine_errors(f"fetching {url}"), transferring(folder, patience):
        with mirrored(session, url, folder, root) as there, _held(folder, patience):
            check_time(server_time(session.transport))
            _refuse_overtaken(folder, there)
            is_new = follow(there, folder, session.now())
        here, before = Snapshot.read(folder), session.transport.received
        have = {app: _take(session, url, here, app, bundles) for app in here.apps()}
        return Fetched(have, is_new, session.transport.received - before)


@contextmanager
def mirrored(
    session: Session, url: str, folder: Path, root: bytes | None = None
) -> Iterator[Snapshot]:
    """The metadata of the repository at ``url``, verified, in a folder that is gone at the end.

    Args:
        session: how bytes come, and what time it is.
        url: of the repository.
        folder: a copy of it, whose first root is trusted if there is no ``root``.
        root: what is trusted; None, and no copy: what is there.

    Raises:
        TransportError, TrustError, FormatError, InstallError: as `fetch`.
    """
    with machine_errors("looking at what is served"), staging(scratch()) as work:
        place = work / "repository"
        place.mkdir()
        mirror(session.transport, url, place)
        name_writer(Disk(), place, "server")
        there = Snapshot.read(place)
        known = folder / FIRST
        trusted = root or (known if known.exists() else place / FIRST).read_bytes()
        _verify(there, trusted, work / "trust", session.now())
        yield there


def follow(there: Snapshot, folder: Path, now: int) -> int:
    """Make the metadata in ``folder`` what was served; the number of files that are new.

    The timestamp is written last: stopped anywhere, ``folder`` shows the old state or the new.

    Raises:
        TransportError: ``folder`` has something newer, of which a cache may not have heard yet.
        TrustError: ``folder`` has something newer, or another history.
        OSError: the disk.
    """
    disk = Disk()
    if (folder / TIMESTAMP).exists():
        _refuse_older(Snapshot.read(folder), there, now)
    for name in ("metadata", "targets"):
        disk.mkdir(folder / name)
    if writer_of(folder) != "server":
        name_writer(disk, folder, "server")
    names = [name for name in needed(there) if not name.startswith(CONTENT)]
    names = [*(name for name in names if name != TIMESTAMP), TIMESTAMP]
    new = [name for name in names if not _is_equal(there.folder / name, folder / name)]
    for name in new:
        disk.copy(there.folder / name, folder / name)
        disk.sync_directory((folder / name).parent)
    return len(new)


def _verify(there: Snapshot, root: bytes, memory: Path, now: int) -> None:
    """Refuse what clients with this root would refuse."""
    transport = SnapshotTransport(there)
    client = TufClient(memory, f"{URL}/metadata/", root, transport)
    of_releases = [patch_name(app, "", "") for app in there.apps()]
    of_channels = [head_name(app, "") for app in there.apps()]
    client.verify([*of_releases, *of_channels], now)


def _refuse_overtaken(folder: Path, there: Snapshot) -> None:
    """Refuse to put what others published in the place of what was signed here."""
    if not (folder / TIMESTAMP).exists():
        return
    here = Snapshot.read(folder)
    for app in here.apps():
        if is_overtaken(here, there, app):
            raise RequestError(
                f"releases of {app} were signed here and not pushed, and others have published "
                "since",
                hint="push them first: patchtool push --keys signs them again on top of that",
            )


def _refuse_older(here: Snapshot, there: Snapshot, now: int) -> None:
    ours, theirs = here.versions(), there.versions()
    lower = [role for role, version in ours.items() if theirs.get(role, 0) < version]
    if lower and is_behind(there.data("timestamp"), here.data("timestamp"), now):
        raise behind_error("what is served")
    if lower:
        raise TrustError(
            f"what is served was rolled back: {lower[0]} {theirs.get(lower[0], 0)} is served, "
            f"{ours[lower[0]]} was seen here",
            hint="was the server restored from a backup? then refresh --at-least there; if this "
            "copy is of something else, fetch into another folder",
        )
    apart = here.differences(there)
    if apart and (apart != [TIMESTAMP] or ours["timestamp"] == theirs["timestamp"]):
        raise TrustError(
            f"what is served went another way: it has another {apart[0]}",
            hint="two have written this repository, or it is another one",
        )


def _is_equal(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.read_bytes() == other.read_bytes()


def _take(session: Session, url: str, here: Snapshot, app: str, bundles: int) -> tuple[str, ...]:
    """Fetch the last releases of an app; their versions."""
    disk, releases = Disk(), Releases.of(here, app)
    versions = releases.last(most=bundles) if bundles else []
    entries = [
        ListedTarget(target.path, target.length, target.hashes["sha256"], target.custom)
        for target in releases.targets.values()
    ]
    listed, _ = Listing(url, app, DEFAULT).read(entries)
    for version in versions:
        published = listed[version]
        place = place_of(here.folder, releases.manifest(version))
        make_folders(disk, place.parent)
        if not place.exists():
            disk.write(place, take_manifest(session, app, published).data)
        if published.bundle is not None:
            bundle = place_of(here.folder, releases.bundle(version))
            _download(session, published.bundle, bundle, disk)
    return tuple(versions)


def _download(session: Session, blob: PatchTarget, place: Path, disk: Disk) -> None:
    """Fetch a bundle, verified as it comes; what came before a stop is kept."""
    if place.exists() and place.stat().st_size == blob.length:
        return
    part = place.with_name(place.name + PART)
    Download(session.transport, blob, part, config=session.config, progress=session.progress).run()
    disk.settle(part)
    disk.replace(part, place)
    disk.sync_directory(place.parent)


@contextmanager
def _held(folder: Path, patience: float) -> Iterator[None]:
    """Hold a copy, which may be new, so that nobody else writes it."""
    busy = f"another command writes {folder}"
    with locked(folder / WRITING_LOCK, "writing the repository", patience, busy):
        yield


def _prepare(folder: Path) -> None:
    """Make the folder of a copy, if nothing else is there.

    Raises:
        InstallError: something is; or the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    is_copy = (folder / TIMESTAMP).exists()
    if is_copy and writer_of(folder) != "server":
        raise RequestError(
            f"{folder} is written here, and is no copy of what a server writes",
            hint="name another folder; or, if the server took over: patchtool writer REPO server",
        )
    if not is_copy and _others(folder.iterdir()):
        raise RequestError(f"{folder} is not empty", hint="name a new folder")


def _others(paths: Iterable[Path]) -> list[Path]:
    """Return the files that no stopped fetch leaves."""
    ours = {"metadata", "targets", WRITING_LOCK, LOCK, WRITER_FILE}
    return [path for path in paths if path.name not in ours]
