"""Verification of uploaded files against the signed metadata.

A signature says who made a file, not that clients can read it. What they would refuse is refused
here, before anybody can see it; with the client's own parsers and limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from updater.check.catalogue import ListedTarget
from updater.errors import FormatError
from updater.format.encoding.canonical import INTEGER_MAX, Record
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.manifest import Manifest
from updater.format.names import Digest
from updater.format.patch_header.patch import TreeDescriptor
from updater.format.target_names import TargetName, release_name
from updater.patch.apply import PatchFile
from updater.patch.file_digest import digest_of


@dataclass(frozen=True)
class FileVerifier:
    """The targets of an app, and where their files lie."""

    app: str
    entries: Mapping[str, ListedTarget]
    """All of them by name, also those whose files were looked at long ago."""
    place: Callable[[ListedTarget], Path]
    limits: Limits = DEFAULT

    def check(self, entry: ListedTarget) -> None:
        """Refuse a file that clients would refuse.

        Raises:
            FormatError: it is not what its name and the metadata say; ``context`` names it.
            OSError: the disk.
        """
        try:
            self._check(entry)
        except FormatError as error:
            raise error.within(entry.name) from error

    def _check(self, entry: ListedTarget) -> None:
        path = self.place(entry)
        if path.stat().st_size != entry.length or str(digest_of(path)) != entry.sha256:
            raise FormatError("not the file that was signed", hint="push it again")
        name = TargetName.parse(entry.name)
        if name is None or name.kind == "head":
            raise FormatError("no kind of target of ours")
        if name.kind == "manifest":
            self._check_manifest(path, name.last)
        else:
            self._check_patch(entry, path, name.old, name.last)

    def _check_manifest(self, path: Path, version: str) -> None:
        if path.stat().st_size > self.limits.manifest_bytes:
            raise FormatError(f"{self.limits.manifest_bytes} bytes at most")
        manifest = Manifest.parse(path.read_bytes(), self.limits)
        if (manifest.app, manifest.version) != (self.app, version):
            raise FormatError(f"the manifest of {manifest.app} {manifest.version}")

    def _check_patch(self, entry: ListedTarget, path: Path, old: str, new: str) -> None:
        """``old`` is empty for a bundle, which is a patch from nothing."""
        patch = PatchFile(path, self.limits)
        header = patch.header
        if header.app != self.app:
            raise FormatError(f"a patch of {header.app}")
        if (header.old is None) != (old == ""):
            raise FormatError("it begins with another version than its name says")
        self._check_tree(header.new, new)
        if header.old is not None:
            self._check_tree(header.old, old, is_base=True)
        _check_said(entry, patch)

    def _check_tree(self, tree: TreeDescriptor, version: str, *, is_base: bool = False) -> None:
        """The base of a patch may have been pruned; installs compare it with what they have."""
        manifest = self.entries.get(release_name(self.app, version, "manifest"))
        is_same = is_base if manifest is None else str(tree.digest) == manifest.sha256
        if tree.version != version or not is_same:
            raise FormatError(f"it names another tree than that of {version}")


def _check_said(entry: ListedTarget, patch: PatchFile) -> None:
    """Check what the metadata says of the header: clients plan by that before they fetch it."""
    with patch.path.open("rb") as file:
        start = file.read(patch.start)
    custom = Record(entry.custom)
    said = Record(custom.value("header"))
    if (said.value("length"), said.value("sha256")) != (len(start), str(Digest.of(start))):
        raise FormatError("the metadata describes another header")
    custom.integer("write_bytes", INTEGER_MAX, low=patch.header.write_bytes)
    custom.integer("scratch_bytes", INTEGER_MAX, low=patch.header.scratch_bytes)
