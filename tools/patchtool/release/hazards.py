"""Hazards: files that lie in a release folder by mistake, such as the keys it is signed with."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from patchtool.folder.real_paths import lies_in, real, repository_around
from patchtool.keys.key_command import PEM_MOST
from updater.disk.durable import machine_errors
from updater.errors import FormatError, RequestError
from updater.format.manifest import File, Manifest
from updater.format.paths import shown
from updater.patch.apply import digest_of

PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----(.*?)-----END", re.DOTALL)
ED25519 = bytes.fromhex("06032b6570")
"""The object identifier of the only kind of key that signs here."""
ENCRYPTED_MOST = 200
"""Bytes of an encrypted Ed25519 key, at most: keys of other kinds are longer."""
KIT = b"Recovery kit "
SUSPECTS = {
    "the history of its source": (".git", ".hg", ".svn", ".bzr"),
    "settings that may hold passwords": (
        ".env",
        ".env.*",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".htpasswd",
        ".aws",
        ".ssh",
        ".gnupg",
    ),
    "what looks like a key": (
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.keystore",
        "*.kdbx",
    ),
    "what Python compiled when it ran": ("__pycache__",),
    "what a desktop leaves in folders": (".DS_Store", "Thumbs.db", "desktop.ini"),
}
"""Names of files and folders that a release rarely means to hold, by what they are."""
DUMPS = ("core", "core.[0-9]*", "*.dmp", "hs_err_pid*")
"""Names of memory dumps; many folders are called so too."""
LEAVE_OUT = "leave it out with exclude in release.toml, or name the folder of the build alone"


def refuse_place(folder: Path, repository: Path) -> None:
    """Refuse a release folder that is the repository, lies in one, or holds this one.

    Raises:
        InstallError: it does, or this user may not look.
    """
    around = repository_around(folder)
    if around is None and not lies_in(repository, folder):
        return
    what = "is or lies in" if around else "holds"
    raise RequestError(
        f"{folder} {what} the repository {around or real(repository)}",
        hint="name the folder of the build, and keep the repository elsewhere",
    )


def refuse_secrets(folder: Path, manifest: Manifest, keys: Path) -> None:
    """Refuse a release that holds what must never be published.

    Args:
        folder: of the release.
        manifest: what it would publish.
        keys: the folder of the keys of this command.

    Raises:
        FormatError: a signing key, a recovery kit, or a repository.
        InstallError: it cannot be read.
    """
    with machine_errors(f"reading {folder}"):
        ours = {str(digest_of(path)) for path in keys.glob("*.pem")} if keys.is_dir() else set()
        for file in manifest.files():
            reason = _secret(folder / file.path, file, ours)
            if reason:
                raise FormatError(f"{shown(file.path)} is {reason}", hint=LEAVE_OUT)
    repository = next(_repositories(manifest), None)
    if repository is not None:
        raise FormatError(f"{shown(repository)} is a repository", hint=LEAVE_OUT)


def warnings(folder: Path, manifest: Manifest) -> list[str]:
    """Warn of files in a release that its publisher may not have meant.

    Raises:
        InstallError: it cannot be read.
    """
    found: dict[str, list[str]] = {}
    for entry in manifest.entries:
        for kind in _kinds(PurePosixPath(entry.path).parts):
            found.setdefault(kind, []).append(entry.path)
    with machine_errors(f"reading {folder}"):
        private = [f.path for f in manifest.files() if any(_pems(folder / f.path, f.size))]
    if private:
        found["a private key"] = private
    return [f"it holds {kind}: {_some(paths)}" for kind, paths in found.items()]


def _secret(place: Path, file: File, ours: set[str]) -> str:
    """Explain why a file must never be published; None if it may."""
    if str(file.digest) in ours:
        return "a key of this repository"
    if any(_signs(label, der) for label, der in _pems(place, file.size)):
        return "a signing key"
    if place.name == "README.txt" and file.size <= PEM_MOST and place.read_bytes().startswith(KIT):
        return "part of a recovery kit"
    return ""


def _pems(place: Path, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The private keys in a file: how each is labelled, and its bytes."""
    data = place.read_bytes() if size <= PEM_MOST else b""
    for found in PEM.finditer(data):
        with suppress(binascii.Error):  # words about a key
            yield found[1].strip(), binascii.a2b_base64(b"".join(found[2].split()))


def _signs(label: bytes, der: bytes) -> bool:
    """Return whether a key is of the only kind that may sign a repository."""
    if label == b"ENCRYPTED":
        return len(der) <= ENCRYPTED_MOST
    return label == b"" and ED25519 in der[:32]


def _repositories(manifest: Manifest) -> Iterator[str]:
    """Folders of a release that are repositories."""
    for path in manifest.by_path:
        top, found, _ = path.rpartition("metadata/timestamp.json")
        is_whole = f"{top}metadata/1.root.json" in manifest.by_path
        if found and is_whole and f"{top}targets" in manifest.directories:
            yield top.rstrip("/") or "."


def _kinds(names: Sequence[str]) -> set[str]:
    """Classify the parts of a path."""
    kinds = {kind for kind, patterns in SUSPECTS.items() if _matches(names, patterns)}
    return kinds | ({"a memory dump"} if _matches(names[-1:], DUMPS) else set())


def _matches(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _some(paths: list[str]) -> str:
    first = shown(paths[0])
    return first if len(paths) == 1 else f"{len(paths)} entries, such as {first}"
