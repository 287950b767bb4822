"""Missing files: those that a patch needs and the install lacks, taken from bundles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from updater.check.catalogue import Catalogue
from updater.check.route_after_failure import Unusable
from updater.errors import PatchError
from updater.format.changes import Layout
from updater.format.manifest import File, Manifest
from updater.format.patch_header.patch import Header
from updater.format.paths import shown
from updater.launch.state import State
from updater.local.session import Session
from updater.patch.apply import WrongTree
from updater.patch.file_digest import differs
from updater.stage.user_files import UserFiles
from updater.update.manifests import take_manifest
from updater.update.single_files import take_right_files


class MissingFiles:
    """Files for one update that come from bundles: of the old release, or of the new one."""

    def __init__(
        self, session: Session, state: State, catalogue: Catalogue, installed: Manifest
    ) -> None:
        """``installed``: what the patch was made from."""
        self._session = session
        self._state = state
        self._catalogue = catalogue
        self._installed = installed

    def bases(self, header: Header, out: Path, reserve: int, *, last: bool) -> Mapping[str, Path]:
        """The installed files that a patch needs and that are not as released, by path.

        Args:
            header: of the patch that starts from what is installed.
            out: an empty folder.
            reserve: bytes of free disk that the rest of the update needs.
            last: whether the patch leads to what will be installed; then an edited file that
                stays where it is need not be had.

        Raises:
            PatchError: the installed release or its bundle is published no more.
            Unusable: its bundle does not help.
            UpdaterError: as `take_files`.
        """
        if header.old is None or header.old.digest != self._installed.digest:
            raise PatchError(f"the patch to {header.new.version} is not for what is installed")
        paths = self._needed(header, last=last)
        wrong = [
            file
            for file in self._installed.files()
            if file.path in paths and differs(file, self._state.install / file.path)
        ]
        return self._take(self._installed.version, wrong, out, reserve) if wrong else {}

    def right(
        self, header: Header, error: WrongTree, out: Path, reserve: int
    ) -> Mapping[str, Path]:
        """The files that a patch made wrong, as the signed manifest of its release tells, by path.

        Args:
            header: of the patch.
            error: with what the patch gave.
            out: an empty folder.
            reserve: bytes of free disk that the rest of the update needs.

        Raises:
            PatchError: what is wrong cannot be had from the bundle; its cause is ``error``.
            Unusable: the bundle does not help.
            UpdaterError: as `take_manifest` and `take_files`.
        """
        release = self._catalogue.releases[header.new.version]
        signed = take_manifest(self._session, header.app, release)
        wrong = [e for e in signed.entries if error.manifest.by_path.get(e.path) != e]
        names = ", ".join(shown(entry.path) for entry in wrong) or "there is more than released"
        made = {header.changes[number].path for number in header.contents}
        files = [entry for entry in wrong if isinstance(entry, File) and entry.path in made]
        if not files or len(files) < len(wrong) or signed.release != error.manifest.release:
            raise PatchError(f"{error}: {names}", hint=error.hint) from error
        try:
            return self._take(header.new.version, files, out, reserve)
        except PatchError as again:
            raise PatchError(f"{error}: {names}; {again}", hint=again.hint) from error
        except Unusable as again:
            raise again.after(PatchError(f"{error}: {names}")) from error

    def _needed(self, header: Header, *, last: bool) -> frozenset[str]:
        """Old files that blocks read, or that are carried over whole."""
        layout = Layout(self._installed, header.changes)
        numbers = {extent.file for block in header.blocks for extent in block.old}
        read = {_old_path(header, layout, number) for number in numbers}
        carried = {
            path: slot.source
            for path, slot in layout.slots.items()
            if slot.source and isinstance(slot.entry, File) and not _is_made(layout, path)
        }
        if last:
            carried = {p: source for p, source in carried.items() if not self._stays(header, p)}
        return frozenset(path for path in (*read, *carried.values()) if path)

    def _stays(self, header: Header, path: str) -> bool:
        """True if the user's file stays at ``path``, and ours is not needed."""
        entry = self._installed.by_path.get(path)
        empty = Manifest(header.app, header.new.version, header.new.release, ())
        edits = UserFiles(self._state.install, self._installed, empty)
        return isinstance(entry, File) and edits.stays(entry)

    def _take(self, version: str, files: list[File], out: Path, reserve: int) -> Mapping[str, Path]:
        release = self._catalogue.releases.get(version)
        app = self._installed.app
        if release is None:
            raise PatchError(f"{app} {version} is not published any more")
        reserve += sum(file.size for file in files)
        return take_right_files(
            self._session, self._state, app, release, files, out, reserve=reserve
        )


def _is_made(layout: Layout, path: str) -> bool:
    """True if blocks give the content of the new file."""
    number = layout.slots[path].change
    return number is not None and layout.changes[number].size is not None


def _old_path(header: Header, layout: Layout, number: int) -> str | None:
    """The path of an old file by its number; None if there is no such."""
    count = len(header.changes)
    if number < count:
        return layout.olds.get(number)
    return header.sources[number - count] if number - count < len(header.sources) else None
