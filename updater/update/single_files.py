"""Single files of a release, from its bundle: only the blocks that hold them are fetched.

For files that a patch cannot give on this machine, or that are damaged where they are installed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from updater.check.catalogue import PatchTarget, PublishedRelease
from updater.check.route import Hop, check_header
from updater.check.route_after_failure import blaming
from updater.disk.durable import written_to
from updater.errors import PatchError
from updater.format.manifest import File
from updater.format.patch_header.patch import Header
from updater.launch.state import State
from updater.local.free_space import require_space
from updater.local.session import Session
from updater.net.download import Download
from updater.patch.apply import PatchFile, extract
from updater.patch.file_digest import check_file


def take_files(
    session: Session,
    state: State,
    app: str,
    release: PublishedRelease,
    paths: Collection[str],
    out: Path,
    *,
    reserve: int,
) -> dict[str, Path]:
    """Fetch files of a release: where each of ``paths`` lies in ``out``.

    What was fetched is kept in the State's downloads, whatever happens, and a later call goes on
    from there. The files are those signed with the bundle; whether they are those of a manifest
    is for the caller to check.

    Args:
        session: network, progress and settings.
        state: of the install it is for.
        app: whose release.
        release: which release.
        paths: files of it.
        out: an empty folder; on an error it holds rubbish.
        reserve: bytes of free disk that are needed besides the download: by these files, and by
            what the caller goes on to write.

    Raises:
        PatchError: the release has no bundle, or the bundle not these files.
        NotEnoughSpace: found when the bundle's header tells how much is to be fetched.
        TransportError, TrustError, FormatError, OSError: see `Download.run`.
    """
    bundle = bundle_of(app, release)
    wanted = frozenset(paths)

    def select(header: Header) -> frozenset[int]:
        return header.blocks_of(wanted)

    def checked(header: Header) -> frozenset[int]:
        check_header(header, app, Hop(None, release.version, bundle), release)
        blocks = select(header)
        length = sum(header.blocks[number].packed_length for number in blocks)
        require_space(session, state, length + reserve)
        return blocks

    state.disk.mkdir(state.downloads)
    path = state.downloads / f"{bundle.digest}.partial"
    config, progress = session.config, session.progress
    download = Download(
        session.transport, bundle, path, select=checked, config=config, progress=progress
    )
    with written_to(state.disk, path):
        download.run()
    partial = PatchFile(path, config.limits, select)
    return extract(partial, wanted, out, progress=progress, jobs=config.jobs)


def take_right_files(
    session: Session,
    state: State,
    app: str,
    release: PublishedRelease,
    files: Collection[File],
    out: Path,
    *,
    reserve: int,
) -> dict[str, Path]:
    """`take_files`, each of them as a manifest lists it.

    Raises:
        Unusable: the bundle does not help.
        PatchError: the release has none.
        UpdaterError: as `take_files`.
    """
    paths = [file.path for file in files]
    with blaming(bundle_of(app, release).name):
        places = take_files(session, state, app, release, paths, out, reserve=reserve)
        for file in files:
            check_file(file, places[file.path])
    return places


def bundle_of(app: str, release: PublishedRelease) -> PatchTarget:
    """The bundle of a release of ``app``.

    Raises:
        PatchError: it has none.
    """
    if release.bundle is None:
        raise PatchError(
            f"{app} {release.version} has no bundle to take single files from",
            hint="the publisher pruned it; wait for a newer release, or install the application "
            "again",
        )
    return release.bundle
