"""The methods that are compared: ours, the peers, and the floor."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT

PYTHON = sys.executable
MB = 10**6
UNLIMITED = 1 << 62
DIFF = "-m patchtool diff {old} {new} -o {patch} --quiet --effort"
APPLY = "-m patchtool apply {patch} {old} {out} --quiet"


@dataclass(frozen=True)
class Pair:
    """Two release folders."""

    name: str
    folder: Path
    files: int
    old_bytes: int
    new_bytes: int
    largest: int  # bytes of its largest file

    @property
    def old(self) -> Path:
        """The release that is installed."""
        return self.folder / "old"

    @property
    def new(self) -> Path:
        """The release it becomes."""
        return self.folder / "new"


@dataclass(frozen=True)
class Method:
    """One column of the comparison. Command lines are Python's, blank-separated templates."""

    key: str
    title: str
    build: str | None  # None: the patch of `patch_of` is used, or none is needed
    apply: str
    patch_of: str = ""
    ours: bool = False
    needs: tuple[str, ...] = ()  # commands and Python modules
    most_tree: int = UNLIMITED  # bytes of the old folder
    most_file: int = UNLIMITED  # bytes of the largest file

    @property
    def is_floor(self) -> bool:
        """Whether this is the floor: no patch, and the old folder comes out."""
        return self.build is None and not self.patch_of

    def hindrance(self, pair: Pair) -> str:
        """Why this method is not run on a pair; empty: it is."""
        for need in self.needs:
            if not _present(need):
                return f"{need} is not installed"
        if pair.old_bytes > self.most_tree:
            return f"not run on folders over {self.most_tree // MB} MB"
        if pair.largest > self.most_file:
            return f"not run on files over {self.most_file // MB} MB"
        return ""


def words(template: str, **places: Path) -> list[str]:
    """The command line of a template, run by this Python."""
    return [PYTHON, *(word.format(**places) for word in template.split(" "))]


def _ours(effort: str) -> Method:
    return Method(effort, f"upswap {effort}", f"{DIFF} {effort}", APPLY, ours=True)


def _peer(
    key: str,
    title: str,
    module: str,
    *needs: str,
    most_tree: int = UNLIMITED,
    most_file: int = UNLIMITED,
) -> Method:
    command = f"-m benchmarks.peers.{module}"
    return Method(
        key,
        title,
        f"{command} build {{old}} {{new}} {{patch}}",
        f"{command} apply {{old}} {{patch}} {{out}}",
        needs=needs,
        most_tree=most_tree,
        most_file=most_file,
    )


METHODS = (
    _ours("fast"),
    _ours("default"),
    _ours("best"),
    Method(
        "one-job",
        "upswap default, apply --jobs 1",
        None,
        f"{APPLY} --jobs 1",
        patch_of="default",
        ours=True,
    ),
    _peer("hdiffpatch", "hdiffpatch per file, lzma2", "hdiff_files", "hdiffpatch",
          most_file=300 * MB),
    _peer("bsdiff", "bsdiff4 per file", "bsdiff_files", "bsdiff4", most_file=100 * MB),
    _peer("bsdiff-tar", "bsdiff4 on the tar", "bsdiff_tar", "bsdiff4", "tar", most_tree=100 * MB),
    _peer("zstd", "zstd -19 --patch-from on the tar", "zstd_tar", "zstd", "tar",
          most_tree=1000 * MB),
    _peer("xdelta3", "xdelta3 -9 on the tar", "xdelta_tar", "xdelta3", "tar",
          most_tree=1000 * MB),
    _peer("xz", "whole download, tar + xz -9e", "whole", "tar", most_tree=1000 * MB),
    Method("floor", "floor: copy and hash", None, "-m benchmarks.peers.floor {old} {new} {out}"),
)  # fmt: skip
BY_KEY = {method.key: method for method in METHODS}


def chosen(keys: list[str]) -> list[Method]:
    """The methods named, in table order, and those whose patches they use."""
    wanted = set(keys) | {BY_KEY[key].patch_of for key in keys}
    return [method for method in METHODS if method.key in wanted]


def versions() -> dict[str, str]:
    """What was measured, as each tells it."""
    return dict(_versions())


def _versions() -> Iterator[tuple[str, str]]:
    yield "upswap commit", _first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    yield "Python", sys.version.split()[0]
    for package in ("bsdiff4", "hdiffpatch"):
        yield package, _package_version(package)
    for command, flag in (("zstd", "--version"), ("xdelta3", "-V"), ("tar", "--version")):
        told = _first_line(command, flag)
        number = re.search(r"\d+\.\d[\d.]*", told)
        yield command, number[0] if number else told


def _package_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _first_line(*line: str) -> str:
    if shutil.which(line[0]) is None:
        return "not installed"
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _present(need: str) -> bool:
    return shutil.which(need) is not None or importlib.util.find_spec(need) is not None
