"""From a staged tree to the steps of its commit: looks at the live tree, changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from updater.disk.content import FOLDER, NOTHING, content_of, link_to
from updater.disk.durable import PART, is_folder, is_link, present
from updater.disk.spare_names import spare_names
from updater.errors import MachineError
from updater.format.manifest import Directory, Entry, File, Manifest, Symlink
from updater.format.paths import folded, parents, shown
from updater.format.policies import Policies
from updater.launch.commit.journal import Action, Step
from updater.stage.user_files import DIST, Kept


class StepPlan:
    """The steps from what is installed to ``new``, in the order they must happen.

    Old files that must make way for folders; folders; files; ours beside edited ones; what is
    gone; folders that make way for files; those files; what starts the application, the
    executable last; what started it and is gone; emptied folders.

    So a program that is started in the middle of it is the old one, until all else is in place.
    """

    def __init__(  # noqa: PLR0913 - all that is known of the live tree
        self,
        install: Path,
        old: Manifest,
        new: Manifest,
        staged: dict[str, int],
        changed: frozenset[str],
        kept: Kept | None = None,
        *,
        ours: frozenset[str] = frozenset(),
        over_links: bool = False,
    ) -> None:
        """Plan the commit.

        Args:
            install: the install folder.
            old: what is installed; no entries for a fresh install.
            new: what shall be.
            staged: number of the staged file or symlink, by path.
            changed: old paths whose live content is not the released one: the user's work.
            kept: what policies leave to the user, nothing unless given.
            ours: paths at which lies what some release had there.
            over_links: whether a symlink in the place of a folder makes way; else it is refused.
        """
        self._kept = kept or Kept()
        self._install = install
        self._old = old
        self._new = new
        self._staged = staged
        self._changed = changed
        self._ours = ours
        self._taken = {folded(p) for p in (*new.by_path, *new.directories)}
        self._over_links = over_links
        folders = old.directories | new.directories
        self._links = {p for p in folders if is_link(install / p)}
        self._policies = Policies(new.release)
        self._starts = [*reversed(old.release.entry), *reversed(new.release.entry)]

    def steps(self) -> tuple[Step, ...]:
        """All steps.

        Raises:
            InstallError: a folder of the installed release is a symlink here: what is done
                through it would leave the install.
        """
        if not self._over_links:
            refuse_links(self._install, self._old)
        puts = sorted(self._staged.keys() - {*self._starts})
        starts = self._last(self._staged)
        blocked = [path for path in (*puts, *starts) if self._is_folder(path)]
        gone = self._gone()
        past = [p for p in self._last(gone) if {*parents(p)}.isdisjoint(blocked)]
        way = [path for path in self._new_folders() if self._in_the_way(path)]
        return (
            *(self._remove(path) for path in way),
            *(Step(Action.MKDIR, p) for p in self._new_folders() if not self._is_folder(p)),
            *(self._put(p) for p in puts if p not in blocked),
            *(self._offer(path) for path in sorted(self._kept.offered)),
            *(self._remove(path) for path in gone if path not in (*way, *past)),
            *(Step(Action.SET_ASIDE, path, aside=self._free(path, ".old")) for path in blocked),
            *(self._put(path) for path in puts if path in blocked),
            *(self._put(path) for path in starts),
            *(self._remove(path) for path in past if path not in way),
            *(Step(Action.RMDIR, path) for path in self._emptied(gone)),
        )

    def _last(self, paths: Collection[str]) -> list[str]:
        """Paths that start the application, the new release's executable last."""
        return sorted((p for p in {*self._starts} if p in paths), key=self._rank)

    def _rank(self, path: str) -> int:
        return max(n for n, word in enumerate(self._starts) if word == path)

    def _put(self, path: str) -> Step:
        entry = self._new.by_path[path]
        replaces = self._in_the_way(path)
        return Step(
            Action.PUT,
            path,
            stage=self._staged[path],
            incoming=self._free(path, ".new"),
            aside=self._free(path, ".old") if replaces else "",
            keep=replaces and self._is_users(path),
            size=entry.size if isinstance(entry, File) else -1,
            content=_content(entry),
            was=self._found(path) if replaces else self._blocking(path),
            stays=self._policies.of(path) != "replace",
        )

    def _blocking(self, path: str) -> str:
        return FOLDER if self._is_folder(path) else NOTHING

    def _offer(self, path: str) -> Step:
        """Ours beside the user's: in the place of an older one, or under a free name."""
        entry = self._new.by_path[path]
        replaces = path in self._kept.outdated
        name = path + DIST if replaces else self._free(path, DIST)
        return Step(
            Action.PUT,
            name,
            stage=self._kept.offered[path],
            incoming=self._free(name, ".new"),
            aside=self._free(name, ".old") if replaces else "",
            size=entry.size if isinstance(entry, File) else -1,
            content=_content(entry),
            was=content_of(self._install / name),
        )

    def _remove(self, path: str) -> Step:
        return Step(
            Action.REMOVE,
            path,
            aside=self._free(path, ".old"),
            keep=self._is_users(path),
            disposable=path.endswith(".pyc") and path not in self._old.by_path,
            was=self._found(path),
        )

    def _found(self, path: str) -> str:
        """The content mark of ``path``: known of a released file, else read from disk."""
        entry = self._old.by_path.get(path)
        if entry is None or isinstance(entry, Directory) or path in self._changed:
            return content_of(self._install / path)
        return _content(entry)

    def _is_users(self, path: str) -> bool:
        known = path in self._old.by_path or path.endswith(".pyc")
        return path not in self._ours and (path in self._changed or not known)

    def _gone(self) -> list[str]:
        """Live files of the old release that the new one has not, and stale bytecode."""
        new_files = {e.path for e in self._new.entries if not isinstance(e, Directory)}
        old_files = {e.path for e in self._old.entries if not isinstance(e, Directory)}
        gone = old_files - new_files - self._kept.left
        edited = gone | (self._staged.keys() & old_files)
        stale = {path for name in edited for path in self._bytecode(name)}
        stale -= new_files | old_files
        ours = (p for p in sorted(gone | stale) if not self._is_behind_link(p))
        live = (p for p in ours if present(self._install / p))
        return [path for path in live if not self._is_folder(path)]

    def _bytecode(self, path: str) -> Iterator[str]:
        """Compiled forms of a module: two versions of one size and second would be mixed up."""
        source = PurePosixPath(path)
        cache = source.parent / "__pycache__"
        if source.suffix == ".py" and self._is_folder(str(cache)):
            for compiled in (self._install / cache).glob(f"{_literal(source.stem)}.*.pyc"):
                yield str(cache / compiled.name)

    def _emptied(self, gone: Iterable[str]) -> list[str]:
        """Folders to remove if nothing is left in them, innermost first."""
        dropped = self._old.directories - self._new.directories
        caches = {str(PurePosixPath(path).parent) for path in gone if path.endswith(".pyc")}
        caches |= {f"{folder}/__pycache__" for folder in dropped}
        folders = dropped | {c for c in caches if c not in self._new.directories}
        present_ones = (folder for folder in folders if self._is_folder(folder))
        return sorted(present_ones, key=lambda folder: (-folder.count("/"), folder))

    def _new_folders(self) -> list[str]:
        return sorted(self._new.directories)

    def _in_the_way(self, path: str) -> bool:
        there = not self._is_behind_link(path) and present(self._install / path)
        return there and not self._is_folder(path)

    def _is_folder(self, path: str) -> bool:
        return not self._is_behind_link(path) and is_folder(self._install / path)

    def _is_behind_link(self, path: str) -> bool:
        """True if ``path`` leads through a symlink that makes way for a folder before."""
        return not self._links.isdisjoint(parents(path))

    def _free(self, path: str, suffix: str) -> str:
        """A name beside ``path`` that neither the disk, the release nor another step has."""
        names = map(str, spare_names(PurePosixPath(path), suffix))
        free = next(name for name in names if self._is_free(name) and self._is_free(name + PART))
        self._taken.add(folded(free))
        return free

    def _is_free(self, path: str) -> bool:
        return folded(path) not in self._taken and not present(self._install / path)


def refuse_links(install: Path, manifest: Manifest) -> None:
    """Refuse symlinks in the place of folders: what is done through them would leave the install.

    Raises:
        InstallError: there is one.
    """
    for path in sorted(manifest.directories):
        if is_link(install / path):
            raise MachineError(
                f"{shown(path)} is a symlink here, and a folder of the release",
                hint="put the folder back in its place; updater repair does, and keeps the link",
            )


def _content(entry: Entry) -> str:
    """The content mark of ``entry`` once it is in place."""
    if isinstance(entry, File):
        return str(entry.digest)
    return link_to(entry.target) if isinstance(entry, Symlink) else FOLDER


def _literal(stem: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)
