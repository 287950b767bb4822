"""The contents that a patch makes and those it may read, through their views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from patchtool.diff.matching.corpus import Corpus, CorpusPart
from patchtool.diff.similar_content import originals
from patchtool.diff.streams.find_streams import FoundStream, Inflated, find, inflate
from updater.format.changes import Kind, Layout
from updater.format.manifest import File
from updater.format.patch_header.patch import FileView
from updater.patch.apply import Tree
from updater.patch.delta.view import INFLATED


@dataclass(frozen=True)
class FileViews:
    """Old and new content as corpora, and the views they are read through."""

    old: Corpus
    new: Corpus
    old_views: tuple[FileView, ...]
    new_views: tuple[FileView, ...]


@dataclass(frozen=True)
class _Wanted:
    """One file, and its number in the header."""

    number: int
    path: str
    place: Path
    size: int


@dataclass(frozen=True)
class _Read:
    """One file as it is read: plainly, or through a view with its two recipes."""

    wanted: _Wanted
    view: Inflated | None = None

    @property
    def part(self) -> CorpusPart:
        """Its place in a corpus."""
        if self.view is None:
            return CorpusPart(self.wanted.number, self.wanted.size, self.wanted.place)
        return CorpusPart(self.wanted.number, self.view.length, self.view.path)

    def plainly(self) -> _Read:
        """The same file without its view."""
        return _Read(self.wanted)


def new_corpus(layout: Layout, new: Tree) -> Corpus:
    """All new content, plainly: what a bundle gives."""
    return Corpus(_Read(wanted).part for wanted in _new_files(layout, new))


def originals_of(layout: Layout, old: Tree, new: Tree) -> tuple[str, ...]:
    """Old files that stay as they are, and that added ones were made from.

    Raises:
        OSError: the disk.
    """
    gone = {wanted.path for wanted in _old_files(layout, old, new)}
    kept = [file for file in old.manifest.files() if file.path not in gone]
    added = [
        file
        for change in layout.changes
        if change.kind == Kind.ADD
        and isinstance(file := new.manifest.by_path.get(change.path), File)
    ]
    return originals(added, kept, old, new)


def gather(
    layout: Layout, sources: tuple[str, ...], old: Tree, new: Tree, scratch: Path, pool: Executor
) -> FileViews:
    """All new content, and old content that may resemble it; views go to ``scratch``.

    Args:
        layout: the changes, whose numbers files have.
        sources: old files to be read besides; numbered after the changes.
        old: where old bytes lie.
        new: where new ones do.
        scratch: an empty folder.
        pool: does the work.

    Raises:
        OSError: the disk.
    """
    fresh = _new_files(layout, new)
    gone = _ordered([*_old_files(layout, old, new), *_sources(layout, sources, old)])
    old_streams, new_streams = (
        list(pool.map(lambda wanted: find(wanted.place), files)) for files in (gone, fresh)
    )
    olds = _read_all(gone, _only(old_streams, new_streams), scratch, "old", pool)
    news = _read_all(fresh, _only(new_streams, old_streams), scratch, "new", pool)
    olds, news = _alike(olds, news), _alike(news, olds)
    return FileViews(
        Corpus(read.part for read in olds),
        Corpus(read.part for read in news),
        tuple(_view(read.wanted, v, v.open_recipe) for read in olds if (v := read.view)),
        tuple(_view(read.wanted, v, v.close_recipe) for read in news if (v := read.view)),
    )


def _new_files(layout: Layout, new: Tree) -> list[_Wanted]:
    """New files whose content blocks must give."""
    return _ordered(
        _Wanted(n, change.path, new.places[change.path], change.size)
        for n, change in enumerate(layout.changes)
        if change.size
    )


def _old_files(layout: Layout, old: Tree, new: Tree) -> list[_Wanted]:
    """Old files that are edited, and those whose content is nowhere in the new tree."""
    kept = {file.digest for file in new.manifest.files()}
    numbers = {path: number for number, path in layout.olds.items()}
    edited = {layout.olds[n] for n, c in enumerate(layout.changes) if c.size and n in layout.olds}
    return _ordered(
        _Wanted(numbers[file.path], file.path, old.places[file.path], file.size)
        for file in old.manifest.files()
        if file.size and file.path in numbers and (file.path in edited or file.digest not in kept)
    )


def _sources(layout: Layout, paths: tuple[str, ...], old: Tree) -> Iterator[_Wanted]:
    sizes = {file.path: file.size for file in old.manifest.files()}
    for number, path in enumerate(paths, len(layout.changes)):
        yield _Wanted(number, path, old.places[path], sizes[path])


def _ordered(files: Iterable[_Wanted]) -> list[_Wanted]:
    """Related files beside each other, in both corpora alike."""
    return sorted(files, key=lambda file: _kinship(file.path))


def _kinship(path: str) -> tuple[str, str]:
    return path.rpartition("/")[2].rpartition(".")[2], path


def _only(here: list[list[FoundStream]], there: list[list[FoundStream]]) -> list[list[FoundStream]]:
    """The streams of ``here`` that are not in ``there`` as well: the others match as they are."""
    known = {stream.digest for streams in there for stream in streams}
    return [[stream for stream in streams if stream.digest not in known] for streams in here]


def _read_all(
    files: list[_Wanted], streams: list[list[FoundStream]], scratch: Path, name: str, pool: Executor
) -> list[_Read]:
    """Every file, through a view where streams of it are worth taking apart."""

    def read(wanted: _Wanted, found: list[FoundStream]) -> _Read:
        place = scratch / f"{name}-{wanted.number}"
        return _Read(wanted, inflate(wanted.place, found, place))

    return list(pool.map(read, files, streams))


def _view(wanted: _Wanted, view: Inflated, recipe: bytes) -> FileView:
    return FileView(wanted.number, INFLATED, view.length, recipe)


def _alike(files: list[_Read], others: list[_Read]) -> list[_Read]:
    """``files``, but plain where the other self of a file, which has its number, is."""
    plain = {read.part.number for read in others if read.view is None}
    return [read.plainly() if read.part.number in plain else read for read in files]
