"""From two trees to one patch file, proven by applying it before anybody sees it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from patchtool.blocks import BUNDLE_BLOCK, Content, Draft, cut, encode
from patchtool.similarity import describe
from updater.apply import PatchFile, Tree, apply_patch, nothing
from updater.errors import FormatError, InstallError, PatchError
from updater.format.changes import Layout
from updater.format.header import encode_header
from updater.format.limits import DEFAULT
from updater.format.lzma2 import BEST
from updater.format.manifest import File, Manifest
from updater.format.patch import Block, Header, check_header
from updater.format.patch import Tree as Named
from updater.launch.disk import told
from updater.progress import Progress, Silent

Effort = Literal["fast", "default", "best"]

PRESETS: dict[Effort, tuple[int, int]] = {
    "fast": (1, 1),
    "default": (BEST, 6),
    "best": (BEST, BEST),
}
"""xz presets by effort: of patches, of bundles."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to build."""

    effort: Effort = "default"
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Blocks encoded at once; each takes up to 20 times its 16 MiB."""
    progress: Progress = field(default_factory=Silent)
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Built:
    """A patch file that was built and proven."""

    path: Path
    header: Header
    header_bytes: bytes
    write_bytes: int
    """Bytes its application writes into the stage: decoded, carried and copied files."""
    seconds: float

    @property
    def bytes(self) -> int:
        """Bytes of the patch."""
        return len(self.header_bytes) + self.header.blocks_length

    @property
    def changes(self) -> dict[str, int]:
        """How many changes of each kind."""
        kinds = Counter(change.kind.name.lower() for change in self.header.changes)
        return dict(sorted(kinds.items()))


def build_patch(old: Tree | None, new: Tree, out: Path, options: Options | None = None) -> Built:
    """Write the patch from ``old`` to ``new`` (a bundle if ``old`` is None) to ``out``.

    The same trees and effort always give the same bytes.

    Raises:
        FormatError: the trees pass a limit.
        PatchError: the patch does not give ``new`` when applied: a defect of ours, or files
            that changed meanwhile.
        InstallError: the disk. After any error there is no ``out``.
    """
    if out.exists() and not out.is_file():
        raise InstallError(f"{out} is not a file", hint="name a file for the patch")
    options = options or Options()
    begin = options.monotonic()
    with told(f"writing {out}"), _workshop(out) as folder:
        base = old or nothing(new.manifest.app)
        changes = describe(base.manifest, new.manifest)
        layout = Layout(base.manifest, changes)
        blocks = _encode_all(
            list(_contents(layout, base, new)), folder, options, bundle=old is None
        )
        header = Header(
            new.manifest.app,
            None if old is None else _named(old.manifest),
            _named(new.manifest),
            changes,
            (),
            (),
            (),
            tuple(blocks),
        )
        data = encode_header(check_header(header))
        draft = _assemble(data, folder)
        _prove(draft, base, folder)
        draft.replace(out)
    return Built(
        out, header, data, _write_bytes(base.manifest, new.manifest), options.monotonic() - begin
    )


def _named(manifest: Manifest) -> Named:
    return Named(manifest.version, manifest.digest, len(manifest.data), manifest.release)


def _contents(layout: Layout, old: Tree, new: Tree) -> Iterator[Content]:
    """The content that blocks must give, related files beside each other."""
    numbers = [n for n, change in enumerate(layout.changes) if change.size]
    for number in sorted(numbers, key=lambda n: _kinship(layout.changes[n].path)):
        change = layout.changes[number]
        path = layout.olds.get(number)
        entry = old.manifest.by_path.get(path) if path is not None else None
        size = entry.size if isinstance(entry, File) else 0
        place = old.places[path] if path is not None and size else None
        yield Content(number, change.size or 0, new.places[change.path], place, size)


def _kinship(path: str) -> tuple[str, str]:
    suffix = path.rpartition("/")[2].rpartition(".")[2]
    return suffix, path


def _encode_all(
    contents: list[Content], folder: Path, options: Options, *, bundle: bool
) -> list[Block]:
    """Encode all blocks, several at once; their bytes go to ``folder``, in order."""
    preset = PRESETS[options.effort][bundle]
    files = {content.number: content for content in contents}
    target = BUNDLE_BLOCK if bundle else DEFAULT.block_new_bytes
    blocks = []

    def work(draft: Draft) -> tuple[Block, bytes]:
        return encode(draft, files, preset)

    options.progress.start("diff", sum(content.size for content in contents))
    with ThreadPoolExecutor(options.jobs) as pool, (folder / "blocks").open("wb") as spool:
        try:
            for block, packed in pool.map(work, cut(contents, target)):
                spool.write(packed)
                blocks.append(block)
                options.progress.advance(block.new_length)
        finally:
            pool.shutdown(cancel_futures=True)
            options.progress.finish()
    return blocks


def _assemble(header: bytes, folder: Path) -> Path:
    patch = folder / "patch"
    with patch.open("wb") as file, (folder / "blocks").open("rb") as blocks:
        file.write(header)
        shutil.copyfileobj(blocks, file)
        file.flush()
        os.fsync(file.fileno())
    return patch


def _prove(patch: Path, old: Tree, folder: Path) -> None:
    scratch = folder / "proof"
    scratch.mkdir()
    try:
        apply_patch(PatchFile(patch), old, scratch)
    except (FormatError, PatchError) as error:
        raise PatchError(
            f"the patch does not give the new release: {error}",
            hint="did a file change meanwhile? try again",
        ) from error


def _write_bytes(old: Manifest, new: Manifest) -> int:
    """Bytes of the files that are not at their place already."""
    return sum(file.size for file in new.files() if old.by_path.get(file.path) != file)


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` for what is not finished, gone afterwards whatever happens."""
    with tempfile.TemporaryDirectory(prefix=".upswap-", dir=out.parent) as folder:
        yield Path(folder)
