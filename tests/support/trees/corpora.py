"""Corpora made in a folder, for the tests of the builder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchtool.diff.matching.corpus import Corpus, CorpusPart


def corpus(folder: Path, contents: Sequence[bytes], name: str = "file") -> Corpus:
    """A corpus of files with ``contents``, numbered from 0."""
    parts = []
    for number, data in enumerate(contents):
        place = folder / f"{name}-{number}"
        place.write_bytes(data)
        parts.append(CorpusPart(number, len(data), place))
    return Corpus(parts)


def sized(lengths: Sequence[int]) -> Corpus:
    """A corpus that is only planned with, never read."""
    return Corpus(
        CorpusPart(number, length, Path("nowhere")) for number, length in enumerate(lengths)
    )
