"""The results of the load on the server, kept beside those of the other run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

REFERENCE = "nginx"
"""The server that the others are told as ratios of."""
LEAST = {"patchserver serve": 0.15, "nginx + gunicorn": 0.9}
"""What an update check must reach at least, as a ratio."""


@dataclass(frozen=True)
class Rate:
    """Requests a second of one kind to one server."""

    what: str
    server: str
    per_second: float


@dataclass(frozen=True)
class Load:
    """One run."""

    date: str
    machine: dict[str, str]
    connections: int
    rates: list[Rate]

    def ratio(self, what: str, server: str) -> float:
        """A rate in relation to that of the reference."""
        rates = {(rate.what, rate.server): rate.per_second for rate in self.rates}
        return rates[what, server] / rates[what, REFERENCE]

    def rows(self) -> Iterator[list[str]]:
        """A line for each kind: the reference's rate, and the ratios of the others."""
        for what in dict.fromkeys(rate.what for rate in self.rates):
            rates = {rate.server: rate.per_second for rate in self.rates if rate.what == what}
            others = (f"{self.ratio(what, name):.2f}" for name in LEAST)
            yield [what, f"{rates[REFERENCE]:,.0f}", *others]


def save(load: Load, path: Path) -> None:
    """Write the run as JSON."""
    path.write_text(json.dumps(asdict(load), indent=1) + "\n", "utf-8")


def load_load(path: Path) -> Load:
    """Read what `save` wrote."""
    document = json.loads(path.read_text("utf-8"))
    document["rates"] = [Rate(**rate) for rate in document["rates"]]
    return Load(**document)
