"""Pushing: releases that were signed here are uploaded to the server, which lets clients see them.

Stopped anywhere, the same command goes on: what was signed lies in the repository, and how far the
uploads are the server knows. If somebody else has published meanwhile, ours is put on top of that
and signed anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from patchtool.folder.transfer_lock import transferring
from patchtool.keys.signing_clock import CheckTime, any_time
from patchtool.keys.signing_keys import Keys
from patchtool.repository.repository import Repository
from patchtool.repository.repository_folder import RepositoryFolder
from patchtool.repository.snapshot import Snapshot
from patchtool.repository.targets import Listed, NewTarget
from patchtool.repository.writer import writer_of
from patchtool.server.fetch import follow, mirrored
from patchtool.server.rebase import ours
from patchtool.server.server_client import Behind, MissingFile, PushStatus, Server
from patchtool.upkeep.prune import superfluous
from patchtool.upkeep.unpublished import is_overtaken, release_metadata_path, signed_since
from updater.disk.durable import Disk, machine_errors
from updater.errors import RequestError
from updater.format.target_names import file_name
from updater.local.session import Session
from updater.progress import Progress
from updater.transport import server_time

ROUNDS = 5
"""The rounds in which somebody else may be faster, or a server lack files after all."""


@dataclass(frozen=True)
class Pushed:
    """The outcome of a push."""

    apps: dict[str, int]
    """By app, the version of its release metadata that clients see now."""
    bytes: int
    """Uploaded."""
    rebased: tuple[str, ...]
    """Apps whose releases were put on top of what somebody else has published."""


def push(
    session: Session,
    server: Server,
    repository: RepositoryFolder,
    *,
    apps: Sequence[str] = (),
    keys: Keys | None = None,
    check_time: CheckTime = any_time,
) -> Pushed | None:
    """Publish what was signed in ``repository`` on its server; None if nothing is to be.

    Args:
        session: how bytes come, progress, and what time it is.
        server: where to.
        repository: its lock is taken for moments; becomes what the server shows.
        apps: those to push; default: all.
        keys: with the release key, to sign again if somebody else was faster.
        check_time: is asked before anything is published.

    Raises:
        TransportError: the network; the same again goes on.
        TrustError: what is served does not verify, or is older than what was seen here.
        FormatError: the server refuses it, or somebody else has published the same with other
            content.
        InstallError: the token, keys that are needed, a repository that no server writes, or the
            disk. Clients see what they saw before, or all of a release.
    """
    repository.require()
    _refuse_local(repository.folder)
    with (
        machine_errors(f"pushing {repository.folder}"),
        transferring(repository.folder, repository.patience),
    ):
        return _Push(session, server, repository, apps, keys).run(check_time)


class _Push:
    """One push; the repository is held only while it is made what the server shows."""

    def __init__(
        self,
        session: Session,
        server: Server,
        repository: RepositoryFolder,
        apps: Sequence[str],
        keys: Keys | None,
    ) -> None:
        self._session = session
        self._server = server
        self._repository = repository
        self._folder = repository.folder
        self._only = apps
        self._keys = keys
        self._done: dict[str, int] = {}
        self._rebased: list[str] = []
        self._bytes = _Counter(session.progress)

    def run(self, check_time: CheckTime) -> Pushed | None:
        for number in range(ROUNDS):
            self._catch_up()
            check_time(server_time(self._session.transport))
            waiting = self._waiting()
            if not waiting:
                done = Pushed(self._done, self._bytes.total, tuple(self._rebased))
                return done if self._done else None
            if self._done:  # it is published; whoever serves it may keep a copy for a moment
                self._server.sleep(number)
            self._publish_waiting(waiting, is_last=number == ROUNDS - 1)
        raise RequestError(
            f"{self._server.url} does not show what it has published",
            hint="is a cache in front of it? run it again later",
        )

    def _publish_waiting(self, waiting: Mapping[str, Sequence[int]], *, is_last: bool) -> None:
        try:
            for app, versions in waiting.items():
                for version in versions:
                    self._publish(app, version)
                    self._done[app] = version
        except Behind:
            if is_last:
                raise

    def _catch_up(self) -> None:
        """Make the repository what the server shows, and ours follow it."""
        now = self._session.now()
        showing = mirrored(self._session, self._server.url, self._folder)
        with showing as there, self._repository.held():
            here = Snapshot.read(self._folder)
            for app in self._apps(here):
                _require_hosted(there, app, self._server.url)
                if is_overtaken(here, there, app) or _removed_in_vain(here, there, app):
                    is_new = _rebase(here, there, app, self._keys, now)
                    self._rebased += [app] if is_new else []
            follow(there, self._folder, now)

    def _apps(self, here: Snapshot) -> list[str]:
        """The apps to push; by default those with something to push."""
        return list(self._only) or [app for app in here.apps() if _signed(here, app)]

    def _waiting(self) -> dict[str, list[int]]:
        """Return the versions of each app's metadata that were signed and not published."""
        here = Snapshot.read(self._folder)
        signed = {app: _signed(here, app) for app in self._apps(here)}
        return {app: versions for app, versions in signed.items() if versions}

    def _publish(self, app: str, version: int) -> None:
        """Let clients see one version of an app's metadata, and its content."""
        place = release_metadata_path(self._folder, version, app)
        data = place.read_bytes()
        files = _files(self._folder, _targets(data))
        for _ in range(ROUNDS):
            announced = self._server.announce(app, version - 1, data)
            if announced.published:
                return
            if self._upload(app, announced, files) and self._server.publish(app, announced):
                return
        raise RequestError(
            f"{self._server.url} does not keep what it is sent", hint="its log says why"
        )

    def _upload(self, app: str, announced: PushStatus, files: Mapping[str, Path]) -> bool:
        """Send all the server lacks; False: it wants the push announced again."""
        missing = announced.missing
        for blob in missing:
            _require(files, blob)
        self._bytes.start(sum(blob.length - blob.received for blob in missing))
        try:
            for blob in missing:
                with files[blob.digest].open("rb") as file:
                    if not self._server.upload(app, announced, blob, file, self._bytes.advance):
                        return False
        finally:
            self._bytes.finish()
        return True


class _Counter:
    """Bytes that were uploaded, shown while they are."""

    def __init__(self, progress: Progress) -> None:
        self.total = 0
        self._progress = progress

    def start(self, total: int) -> None:
        self._progress.start("upload", total)

    def advance(self, done: int) -> None:
        self.total += done
        self._progress.advance(done)

    def finish(self) -> None:
        self._progress.finish()


def _signed(here: Snapshot, app: str) -> list[int]:
    return signed_since(here.folder, here.listed[f"app.{app}.json"], app)


def _refuse_local(folder: Path) -> None:
    if writer_of(folder) != "server":
        raise RequestError(
            f"{folder} is written by this tool, not by a server",
            hint="copy it to a static host with patchtool sync; or, if a server is to take over: "
            "patchtool writer REPO server",
        )


def _require_hosted(there: Snapshot, app: str, url: str) -> None:
    if app not in there.apps():
        raise RequestError(
            f"{url} does not host {app}",
            hint="name another with --app; or its owner adds it: patchtool apps add",
        )


def _rebase(here: Snapshot, there: Snapshot, app: str, keys: Keys | None, now: int) -> bool:
    """Sign ours on top of theirs; whether they lacked anything of it.

    Stopped anywhere, it is done again with the same outcome.
    """
    folder = here.folder
    listed, theirs = (seen.listed[f"app.{app}.json"] for seen in (here, there))
    signed = signed_since(folder, listed, app)
    ancestor, newest, other = (
        _targets(place.read_bytes())
        for place in (
            release_metadata_path(folder, listed, app),
            release_metadata_path(folder, signed[-1], app),
            release_metadata_path(there.folder, theirs, app),
        )
    )
    change = ours(ancestor, newest, other)
    change = replace(change, gone=_still_gone(here, there, app, change.gone))
    if change and keys is None:
        raise RequestError(
            f"somebody else has published or promoted releases of {app} since these were signed",
            hint="--keys KEYS signs them again on top of that; nothing was published",
        )
    if change and keys is not None:
        targets = [NewTarget.there(name, dict(target)) for name, target in change.new.items()]
        onto = Repository(there.folder, keys, now)
        onto.publish(f"app.{app}", targets, said=change.said, gone=change.gone)
        Disk().copy(
            release_metadata_path(there.folder, theirs + 1, app),
            release_metadata_path(folder, theirs + 1, app),
        )
    _drop(folder, app, signed, theirs + 1 if change else 0)
    return bool(change)


def _removed_in_vain(here: Snapshot, there: Snapshot, app: str) -> bool:
    """Return whether ``there`` needs what was pruned ``here``, such as for a channel."""
    role = f"app.{app}"
    if not signed_since(here.folder, here.versions().get(role, 0), app):
        return False
    gone = tuple(there.targets(role).keys() - here.targets(role).keys())
    return len(_still_gone(here, there, app, gone)) < len(gone)


def _still_gone(here: Snapshot, there: Snapshot, app: str, gone: Sequence[str]) -> tuple[str, ...]:
    """Return what was pruned ``here`` and is not needed ``there`` either once ours is added."""
    added: dict[str, Listed] = here.targets(f"app.{app}")
    unneeded = superfluous(there, app, added.items()) if gone else []
    return tuple(name for name in gone if name in unneeded)


def _drop(folder: Path, app: str, signed: Sequence[int], kept: int) -> None:
    """Remove what was signed before, the newest last: all of ours is in that one."""
    disk = Disk()
    disk.sync_directory(folder / "metadata")
    for version in signed:
        if version != kept:
            disk.unlink(release_metadata_path(folder, version, app))


def _targets(data: bytes) -> dict[str, Any]:
    """The targets of metadata that was verified, or signed here."""
    targets: dict[str, Any] = json.loads(data)["signed"]["targets"]
    return targets


def _files(folder: Path, targets: Mapping[str, Any]) -> dict[str, Path]:
    """Return the places of the contents of targets, by digest."""
    return {
        target["hashes"]["sha256"]: _path(folder, name, target) for name, target in targets.items()
    }


def _path(folder: Path, name: str, target: Mapping[str, Any]) -> Path:
    return folder / file_name(name, target["hashes"]["sha256"])


def _require(files: Mapping[str, Path], blob: MissingFile) -> None:
    """Refuse to begin an upload that cannot end."""
    path = files.get(blob.digest)
    if path is None or not path.is_file() or path.stat().st_size != blob.length:
        raise RequestError(
            f"the server lacks {blob.digest}, and it is not here either",
            hint="run it where the release was added, or add it again there",
        )
