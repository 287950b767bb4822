"""Trust: the one door to python-tuf. What comes out of here is signed by who may sign it.

Never hand-written: every hand-written TUF client had a CVE. What is added around the library
are the wrappers it needs in the field: the embedded root passed at every start (without it a
kill at the wrong moment bricks the metadata folder), a lock around the folder (two clients in
one folder crash), durable files afterwards, a memory apart from the folder (see
`updater.check.watermarks`), a clock that is not believed when it is behind signed times, our
transport, our errors.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Key, Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.metadata import Role as Signers
from tuf.api.metadata import Signed as Role
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater

from updater.check.catalogue import Catalogue, ListedTarget, Listing, head_of
from updater.check.watermarks import Watermark, Watermarks, clock_doubt, read_watermarks
from updater.config import UpdaterConfig
from updater.disk.durable import Disk
from updater.disk.lock import locked
from updater.errors import FormatError, RequestError, TransportError, TrustError
from updater.format.encoding.canonical import INTEGER_MAX, Record
from updater.format.encoding.limits import Limits
from updater.format.head import Head
from updater.format.target_names import head_name, patch_name
from updater.retry import Tries
from updater.transport import Transport, server_time
from updater.version import BUILT

T = TypeVar("T", Root, Targets)
ROOT_MOST = 512_000
"""Bytes of a root; python-tuf takes no more either."""
_NEXT_ROOT = re.compile(r"/[0-9]+\.root\.json$")
BEHIND_MOST = 86_400
"""Seconds for which a cache on the way may not have what was seen elsewhere already."""
LAST = 253_402_300_799
"""The last second of the year 9999, in seconds since 1970: signatures end before it."""


class TufClient:
    """python-tuf on one metadata folder, and around it what it lacks in the field.

    All that is general to TUF is here and what is ours in `Trust`, so that the public conformance
    suite tests what the application runs (``tests/conformance/tuf_client``).
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        root: bytes,
        transport: Transport,
        *,
        config: UpdaterConfig | None = None,
        disk: Disk | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read or fetched yet.

        Args:
            folder: where verified metadata is kept.
            url: of the metadata, with a slash at its end.
            root: the root metadata to begin with, at every start.
            transport: how bytes come.
            config: lock timeout, and how often a cache that is behind is asked.
            disk: durable primitives.
            sleep: between these.
        """
        self._folder = folder
        self._url = url
        self._root = root
        self._config = config or UpdaterConfig()
        self._disk = disk or Disk()
        self._fetcher = _Fetcher(transport, url)
        self._sleep = sleep

    @contextmanager
    def alone(self, now: int) -> Iterator[None]:
        """While no other process uses the folder; python-tuf's errors come out as ours.

        Args:
            now: what the clock says, in seconds since 1970.

        Raises:
            TransportError: the network, the server, a captive portal.
            TrustError: signatures, versions or expiry do not hold.
            UpdateInProgress: another process uses the folder and does not end.
        """
        self._disk.mkdir(self._folder)
        timeout = self._config.trust_lock_timeout
        with (
            locked(self._folder / ".lock", "refreshing metadata", timeout),
            _tuf_errors(self._url, now),
        ):
            self._sweep()
            try:
                yield
            finally:
                self._hand_over()

    def verify(self, names: Iterable[str], now: int) -> None:
        """Fetch and verify the top-level roles, and whatever may vouch for targets of these names.

        Args:
            names: of targets, which need not exist.
            now: the time that decides what has expired.

        Raises:
            TransportError, TrustError, UpdateInProgress: see `alone`.
            OSError: the disk.
        """
        with self.alone(now):
            updater = self.refreshed(now)
            for name in names:
                updater.get_targetinfo(name)

    def refreshed(self, now: int) -> Updater:
        """Fetch and verify the top-level roles; to be called while `alone`.

        Args:
            now: the time that decides what has expired.

        Raises:
            TransportError: a cache on the way is behind, at every try.
            TrustError: the root to begin with is none, or a role counts a key twice.
        """
        updater = self._refreshed(now)
        root = Metadata[Root].from_bytes(self.read("root")).signed
        _refuse_twins(root.keys, root.roles.values())
        delegations = Metadata[Targets].from_bytes(self.read("targets")).signed.delegations
        if delegations is not None:
            _refuse_twins(delegations.keys, (delegations.roles or {}).values())
        return updater

    def _refreshed(self, now: int) -> Updater:
        """Fetch and verify the top-level roles, again if a cache is behind."""
        tries = Tries(self._config, self._sleep)
        while True:
            tries.begin()
            updater = self.updater(now)
            try:
                updater.refresh()
            except BadVersionNumberError as error:
                if not self._is_behind(now):
                    raise
                if tries.is_last:
                    raise behind_error(self._url) from error
            else:
                return updater

    def _is_behind(self, now: int) -> bool:
        """True if the refused timestamp is genuine and only older; it is refused all the same."""
        with suppress(RepositoryError, OSError):
            served, kept = self._fetcher.timestamp, self.read("timestamp")
            root = Metadata[Root].from_bytes(self.read("root")).signed
            for data in (served, kept):
                signed = Metadata[Timestamp].from_bytes(data)
                root.verify_delegate("timestamp", signed.signed_bytes, signed.signatures)
            return is_behind(served, kept, now)
        return False

    def updater(self, now: int) -> Updater:
        """Make the TUF client of one refresh at one time; to be used while `alone`.

        Args:
            now: the time that decides what has expired.

        Raises:
            TrustError: the root to begin with is none.
        """
        try:
            updater = Updater(
                metadata_dir=str(self._folder),
                metadata_base_url=self._url,
                fetcher=self._fetcher,
                bootstrap=self._root,
            )
        except RepositoryError as error:  # before anything is fetched: not the server's fault
            raise TrustError(
                f"the root.json this install was made with is none: {error}",
                hint="get root.json from the publisher again; install with it, or, what is "
                "installed, run updater adopt --repair with it",
            ) from error
        # The one private access: python-tuf reads the clock itself, and one run has one "now".
        updater._trusted_set.reference_time = _moment(now)  # noqa: SLF001
        return updater

    def make_durable(self) -> None:
        """python-tuf never syncs: after power loss its rollback memory would be empty files."""
        for folder in (self._folder / "root_history", self._folder):
            for path in sorted(folder.iterdir()):
                if path.suffix == ".json" and not path.is_symlink():
                    self._disk.settle(path)
            self._disk.sync_directory(folder)

    def read(self, role: str) -> bytes:
        """A role that was just verified, from where python-tuf keeps it."""
        return (self._folder / f"{role}.json").read_bytes()  # an `OSError` is one, then

    def forget(self, *roles: str) -> None:
        """Drop what python-tuf has kept of some roles."""
        for role in roles:
            self._disk.unlink(self._folder / f"{role}.json")

    def _hand_over(self) -> None:
        """python-tuf keeps its files for this user alone; they belong to whoever has the folder."""
        for folder in (self._folder, self._folder / "root_history"):
            with suppress(OSError):
                for path in folder.iterdir():
                    self._disk.hand_over(path)

    def _sweep(self) -> None:
        """Remove what python-tuf was writing when it was killed; the lock is held."""
        for path in self._folder.glob("tmp*"):
            if path.suffix != ".json":
                self._disk.unlink(path)


class Trust:
    """The verified view of one repository."""

    def __init__(
        self,
        folder: Path,
        url: str,
        root: bytes,
        transport: Transport,
        *,
        seen: Path,
        config: UpdaterConfig | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Nothing is read or fetched yet.

        Args:
            folder: where verified metadata is kept; survives the loss of downloads.
            url: the repository's URL; ``metadata/`` and ``targets/`` stand below it.
            root: the root metadata this install was made with.
            transport: how bytes come.
            seen: the file that keeps what was seen; outside ``folder``, which may be wiped.
            config: lock timeout and limits.
            disk: durable primitives.
        """
        self._url = url.rstrip("/")
        self._transport = transport
        self._memory = seen
        self._config = config or UpdaterConfig()
        self._disk = disk or Disk()
        metadata = f"{self._url}/metadata/"
        self._tuf = TufClient(folder, metadata, root, transport, config=config, disk=disk)

    def refresh(self, app: str, channel: str, now: int) -> Catalogue:
        """Fetch, verify and keep the metadata; give what it says.

        Args:
            app: whose releases.
            channel: whose head.
            now: what the clock says, in seconds since 1970; with the newest signed time seen it
                decides what has expired.

        Raises:
            TransportError: the network, the server, a captive portal.
            TrustError: signatures, versions or expiry do not hold, or something is older than
                what was seen here.
            FormatError: signed metadata that our format does not allow.
            InstallError: the repository has no such app or channel.
            UpdateInProgress: another process refreshes and does not end.
            OSError: the disk. After any error what was seen before is still remembered.
        """
        with self._tuf.alone(now):
            seen = read_watermarks(self._memory)
            target = self._verified(app, channel, now, seen)
            self._tuf.make_durable()
            if target is None or not self._is_delegated(app):
                raise self._absent(app, channel, seen)
            listed = [entry_of(entry) for entry in self._targets(f"app.{app}").targets.values()]
            head = head_of(entry_of(target), app, channel)
            newest = self._remember(app, seen, self._found(app, head), now).time.value
        releases, patches = Listing(self._url, app, self._config.limits).read(listed)
        return Catalogue(head, releases, patches, max(now, BUILT, newest))

    def _verified(self, app: str, channel: str, now: int, seen: Watermarks) -> TargetFile | None:
        """Verify at the newest time known; the head's target.

        A time that a stolen online key signed would make all that follows look expired: it is
        forgotten with that key.
        """
        latest = max(now, BUILT, seen.time.value)
        try:
            return self._load(app, channel, latest)
        except ExpiredMetadataError as error:
            root = Metadata[Root].from_bytes(self._tuf.read("root")).signed
            if seen.time.may_all(root.roles["timestamp"].keyids):
                doubt = clock_doubt(now, seen.time.value, server_time(self._transport))
                if not doubt:
                    raise
                raise TrustError(
                    f"metadata at {self._url} has expired: {error}",
                    hint=doubt,
                ) from error
            return self._load(app, channel, max(now, BUILT))

    def _load(self, app: str, channel: str, now: int) -> TargetFile | None:
        updater = self._tuf.refreshed(now)
        target = updater.get_targetinfo(head_name(app, channel))
        # Loads and verifies app.APP, whatever the name: no such target need exist.
        updater.get_targetinfo(_nothing(app))
        return target

    def _found(self, app: str, head: Head) -> Watermarks:
        """The watermarks of the metadata that was just verified."""
        root = Metadata[Root].from_bytes(self._tuf.read("root")).signed
        timestamp = Metadata[Timestamp].from_bytes(self._tuf.read("timestamp")).signed
        snapshot = Metadata[Snapshot].from_bytes(self._tuf.read("snapshot")).signed
        targets = self._targets("targets")
        release, channels = self._targets(f"app.{app}"), self._targets(f"channels.{app}")
        delegations = targets.delegations
        roles = (delegations and delegations.roles) or {}
        time = _signed_time(head, timestamp, (root, snapshot, targets, release, channels))
        return Watermarks(
            root=Watermark.of(root.version),
            targets=Watermark.of(targets.version, root.roles["targets"].keyids),
            app=Watermark.of(release.version, roles[f"app.{app}"].keyids),
            time=Watermark.of(time, root.roles["timestamp"].keyids),
        )

    def _remember(self, app: str, seen: Watermarks, found: Watermarks, now: int) -> Watermarks:
        """Keep what was found, durably and before it is used; drop it if it is older than seen."""
        try:
            after = seen.follow(found)
        except TrustError as error:
            # python-tuf has kept it: an honest repository would look older, and be refused.
            self._tuf.forget("timestamp", "snapshot", "targets", f"app.{app}", f"channels.{app}")
            if found.time.value < seen.time.value and abs(now - seen.time.value) <= BEHIND_MOST:
                raise behind_error(self._url) from error
            raise
        if after != seen:
            self._disk.write(self._memory, after.data)
        return after

    def _is_delegated(self, app: str) -> bool:
        """True if ``app.APP`` was among the roles just verified: an old copy proves nothing."""
        delegations = self._targets("targets").delegations
        if delegations is None:
            return False
        for role, terminating in delegations.get_roles_for_target(_nothing(app)):
            if role == f"app.{app}" or terminating:
                return role == f"app.{app}"
        return False

    def _absent(self, app: str, channel: str, seen: Watermarks) -> RequestError:
        """The error of an app or a channel that is not there."""
        if seen.app.value and not self._is_delegated(app):
            return RequestError(
                f"{self._url} publishes {app} no more, on {channel} or elsewhere",
                hint="what is installed goes on working; its publisher knows where updates are now",
            )
        return RequestError(
            f"{self._url} has no channel {channel} of {app}",
            hint="check the app and channel names; was a release promoted?",
        )

    def _targets(self, role: str) -> Targets:
        """A role that was just verified and holds targets or delegates them."""
        return Metadata[Targets].from_bytes(self._tuf.read(role)).signed


def recalled(folder: Path, app: str, limits: Limits) -> frozenset[str]:
    """Versions of ``app`` that its publisher recalled, as far as this disk tells.

    Expired signatures count: a recall is for good. Metadata that is missing, damaged, not ours to
    read or signed by keys that have ended tells nothing.

    Args:
        folder: where verified metadata is kept.
        app: whose releases.
        limits: of what is parsed.

    Raises:
        OSError: the disk does not give it now.
    """
    with suppress(FileNotFoundError, PermissionError, RepositoryError, ValueError, FormatError):
        entries = [entry_of(entry) for entry in _kept(folder, f"app.{app}").targets.values()]
        releases, _ = Listing("", app, limits).read(entries)
        return frozenset(v for v, release in releases.items() if release.floor is not None)
    return frozenset()


def _kept(folder: Path, role: str) -> Targets:
    """A delegated role that was verified once, if those who signed it still may."""
    root, targets = _held(folder, "root", Root), _held(folder, "targets", Targets)
    kept = _held(folder, role, Targets)
    root.signed.verify_delegate("targets", targets.signed_bytes, targets.signatures)
    targets.signed.verify_delegate(role, kept.signed_bytes, kept.signatures)
    return kept.signed


def _held(folder: Path, role: str, kind: type[T]) -> Metadata[T]:
    metadata = Metadata[T].from_bytes((folder / f"{role}.json").read_bytes())
    if not isinstance(metadata.signed, kind):
        raise FormatError(f"{role}.json is metadata of another kind")
    return metadata


class _Fetcher(FetcherInterface):
    """Lets python-tuf fetch through our transport."""

    def __init__(self, transport: Transport, metadata: str) -> None:
        """``metadata``: the URL below which a file is JSON."""
        self.timestamp = b""
        """The last timestamp that came, whatever it is worth."""
        self._transport = transport
        self._metadata = metadata

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            with self._transport.get(url) as answer:
                if _NEXT_ROOT.search(url):
                    yield _root_or_none(url, answer.chunks)
                    return
                first = next(answer.chunks, b"")
                if url.startswith(self._metadata):
                    _refuse_page(url, first)
                if url == f"{self._metadata}timestamp.json":
                    self.timestamp = b""
                for chunk in chain([first], answer.chunks):
                    if url == f"{self._metadata}timestamp.json":
                        self.timestamp += chunk
                    yield chunk
        except TransportError as error:
            if error.status is not None and error.status >= 400:
                raise DownloadHTTPError(str(error), error.status) from error
            raise DownloadError(str(error)) from error


def is_behind(served: bytes, kept: bytes, now: int) -> bool:
    """True if ``served`` may come from a cache that is not up to date yet.

    It is older, has not expired, and the other one was signed less than a day ago.

    Args:
        served: the timestamp that is served; whether it is signed is not looked at.
        kept: the one that was seen.
        now: seconds since 1970.

    Raises:
        RepositoryError: one of them is none.
    """
    older, newer = (Metadata[Timestamp].from_bytes(data).signed for data in (served, kept))
    issued = _issued(newer)
    return (
        older.version < newer.version
        and not older.is_expired(_moment(now))
        and bool(issued)
        and abs(now - issued) <= BEHIND_MOST
    )


def behind_error(url: str) -> TransportError:
    """The error of a repository at ``url`` that is honest and shows an older state than seen."""
    return TransportError(
        f"{url}: the host shows an older state than was seen here",
        hint="a cache on the way is behind: try again in some minutes; after a day it is told as "
        "an attack",
    )


def is_root(data: bytes) -> bool:
    """True if ``data`` is root metadata, whoever signed it."""
    with suppress(RepositoryError):
        return isinstance(Metadata[Root].from_bytes(data).signed, Root)
    return False


def is_metadata(data: bytes) -> bool:
    """True if ``data`` may be TUF metadata; nothing is said of its content."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "signed" in document


def _root_or_none(url: str, chunks: Iterator[bytes]) -> bytes:
    """A root, whose name is guessed: what a host answers instead of 404 says that there is none.

    Who could answer so could answer 404 as well.
    """
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > ROOT_MOST:
            return data
    if not is_metadata(data):
        raise TransportError(
            f"{url}: the host answers a page for what it does not have", status=404
        )
    return data


def _refuse_page(url: str, first: bytes) -> None:
    """A captive portal answers everything with its login page: no attack, no network either."""
    if not first.lstrip().startswith(b"{"):
        raise TransportError(
            f"{url}: the answer is not metadata", hint="is a login page in the way?"
        )


def _refuse_twins(keys: Mapping[str, Key], roles: Iterable[Signers]) -> None:
    """One key under two names is one key: python-tuf would count it twice for a threshold.

    Whoever proposes a root could so reach a threshold alone, and the others would not see it.
    """
    for role in roles:
        known = [keys[keyid] for keyid in role.keyids if keyid in keys]
        values = {"".join(str(key.to_dict()["keyval"]).lower().split()) for key in known}
        if len(values) < len(known):
            raise TrustError(
                "a role counts one key under two names",
                hint="nothing was installed; tell the publisher",
            )


@contextmanager
def _tuf_errors(url: str, now: int) -> Iterator[None]:
    """Turn python-tuf's errors into ours; ``now`` is what the clock says."""
    try:
        yield
    except DownloadError as error:
        raise _transport_error(error) from error
    except ExpiredMetadataError as error:
        raise TrustError(
            f"metadata at {url} has expired: {error}",
            hint="no attack is needed for this: the publisher must sign again (patchtool "
            f"refresh), or this machine's clock is wrong: it says {_date(now)}",
        ) from error
    except TypeError as error:  # python-tuf does not ask whether every name is a text
        raise TrustError(
            f"metadata at {url} makes no sense: {error}",
            hint="nothing was installed; tell the publisher",
        ) from error
    except RepositoryError as error:
        if _is_garbage(error):
            raise TransportError(
                f"{url}: the answer is not metadata", hint="the server has trouble; try later"
            ) from error
        raise TrustError(
            f"metadata at {url} refused: {error}",
            hint="nothing was installed; tell the publisher",
        ) from error


def _transport_error(error: DownloadError) -> TransportError:
    cause = error.__cause__
    if isinstance(cause, TransportError):
        return cause
    return TransportError(str(error), hint="the server has trouble; try later")


def _is_garbage(error: RepositoryError) -> bool:
    """True if what came was no JSON at all: a broken server or proxy, not a signature."""
    cause = error.__cause__
    return isinstance(error, DeserializationError) and isinstance(
        cause, json.JSONDecodeError | UnicodeDecodeError
    )


def _date(now: int) -> str:
    return _moment(now).strftime("%Y-%m-%d %H:%M UTC")


def _moment(now: int) -> dt.datetime:
    """A time, or the nearest there is for a clock that is wrong by thousands of years."""
    return dt.datetime.fromtimestamp(min(max(now, 0), LAST), dt.timezone.utc)


def _nothing(app: str) -> str:
    """The name of a target that would be the app's; to look it up is to verify who vouches."""
    return patch_name(app, "", "")


def entry_of(target: TargetFile) -> ListedTarget:
    """A target as python-tuf has it, without python-tuf."""
    return ListedTarget(target.path, target.length, target.hashes.get("sha256", ""), target.custom)


def _signed_time(head: Head, timestamp: Timestamp, others: Sequence[Role]) -> int:
    """The newest time that was signed, 0 without one.

    A time is ignored at which anything of the same repository had expired: it was not signed then.
    So no key can set the clock further than the others' signatures hold.
    """
    issued = _issued(timestamp)
    end = min(int(role.expires.timestamp()) for role in (timestamp, *others))
    return max((time for time in (head.issued, issued) if time < end), default=0)


def _issued(timestamp: Timestamp) -> int:
    """The time at which a timestamp says it was signed; 0 if it does not say."""
    said = Record(timestamp.unrecognized_fields)
    return said.integer("issued", INTEGER_MAX) if said.has("issued") else 0
