"""What a run found, as values and as the JSON file the page is made from."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost


@dataclass(frozen=True)
class Measured:
    """A pair that was measured."""

    name: str
    files: int
    old_bytes: int
    new_bytes: int
    largest: int


@dataclass(frozen=True)
class Cell:
    """One method on one pair. What is missing was not measured; `note` says why."""

    pair: str
    method: str
    size: int | None = None  # bytes of the patch
    build: Cost | None = None
    apply: Cost | None = None  # the median of the repeats; the largest of their peaks
    note: str = ""


@dataclass(frozen=True)
class Fetched:
    """An update through a real repository."""

    pair: str
    fetched: int = 0  # bytes, patch and metadata, by a client that had not checked before
    patch: int = 0
    note: str = ""  # why there are no figures


@dataclass(frozen=True)
class Results:
    """One run."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    repeat: int
    pairs: list[Measured]
    cells: list[Cell]
    metadata: list[Fetched]

    def cell(self, pair: str, method: str) -> Cell:
        """A cell; an empty one if the run did not have it."""
        found = (cell for cell in self.cells if (cell.pair, cell.method) == (pair, method))
        return next(found, Cell(pair, method, note="not part of this run"))

    def save(self, path: Path) -> None:
        """Write the run as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


def load(path: Path) -> Results:
    """Read what `Results.save` wrote."""
    document = json.loads(path.read_text("utf-8"))
    document["pairs"] = [Measured(**pair) for pair in document["pairs"]]
    document["cells"] = [_cell(cell) for cell in document["cells"]]
    document["metadata"] = [Fetched(**fetched) for fetched in document["metadata"]]
    return Results(**document)


def _cell(document: dict[str, Any]) -> Cell:
    costs = {key: Cost(**document[key]) for key in ("build", "apply") if document[key]}
    return Cell(**(document | costs))


def machine() -> dict[str, str]:
    """The machine this runs on, and how busy it is now."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "processors": str(os.cpu_count()),
        "memory": f"{pages / 10**9:.1f} GB",
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
