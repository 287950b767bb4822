"""The plot: patch sizes relative to the best peer, a row for each pair, as SVG.

Colours are readable on light and on dark; a viewer that tells which it has gets better ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmarks.figures import best_peer
from benchmarks.methods import METHODS, Method
from benchmarks.results import Results

WIDTH, LEFT, RIGHT, TOP, ROW, LANE = 860, 120, 40, 40, 70, 6
LEGEND_ROW, LEGEND_COLUMNS = 22, 3
COLOURS = ("#e4572e", "#d9a400", "#2e9e6b", "#3d85c6", "#a05fb5", "#8a8f98")
SHOWN = [method for method in METHODS if method.build]
OURS = [method for method in SHOWN if method.ours]
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #777 }
line { stroke: #8888; stroke-width: 1 } line.one { stroke: #888; stroke-width: 2 }
.ours { fill: #1a73e8 }
@media (prefers-color-scheme: light) { text { fill: #333 } }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .ours { fill: #6ab0ff } }
</style>"""


def draw(results: Results) -> str:
    """The plot of a run; pairs no peer was measured on are left out."""
    rows = list(_rows(results))
    height = TOP + ROW * len(rows) + LEGEND_ROW * (math.ceil(len(SHOWN) / LEGEND_COLUMNS) + 1)
    scale = _Scale([ratio for _, dots in rows for _, ratio in dots])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Patch size relative to the best peer of each pair, logarithmic</title>",
        STYLE,
        *_grid(scale, TOP + ROW * len(rows)),
    ]
    for number, (name, dots) in enumerate(rows):
        top = TOP + ROW * number
        parts.append(
            f'<text x="{LEFT - 12}" y="{top + ROW / 2 + 4}" text-anchor="end">{name}</text>'
        )
        parts.append(f'<line x1="{LEFT}" y1="{top + ROW}" x2="{WIDTH - RIGHT}" y2="{top + ROW}"/>')
        parts += [
            _mark(m, scale.x(ratio), top + LANE * (SHOWN.index(m) + 1.5)) for m, ratio in dots
        ]
    return "\n".join([*parts, *_legend(TOP + ROW * len(rows) + LEGEND_ROW), "</svg>\n"])


class _Scale:
    """Whole powers of ten around the ratios."""

    def __init__(self, ratios: list[float]) -> None:
        self.low = math.floor(math.log10(min(ratios, default=1)))
        self.high = max(math.ceil(math.log10(max(ratios, default=1))), self.low + 1)

    def x(self, ratio: float) -> float:
        share = (math.log10(ratio) - self.low) / (self.high - self.low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _rows(results: Results) -> Iterator[tuple[str, list[tuple[Method, float]]]]:
    """Pairs and their dots; every method has a lane of its own within a row."""
    for pair in results.pairs:
        peer = best_peer(results, pair.name)
        if peer and peer.size:
            cells = [(m, results.cell(pair.name, m.key).size) for m in SHOWN]
            yield pair.name, [(m, size / peer.size) for m, size in cells if size]


def _grid(scale: _Scale, bottom: int) -> Iterator[str]:
    for power in range(scale.low, scale.high + 1):
        x, kind = scale.x(10.0**power), ' class="one"' if power == 0 else ""
        yield f'<line{kind} x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{bottom}"/>'
        label = "best peer = 1" if power == 0 else f"{10.0**power:,g}"
        yield f'<text x="{x}" y="{TOP - 16}" text-anchor="middle">{label}</text>'


def _mark(method: Method, x: float, y: float) -> str:
    """A diamond for ours, larger with the effort; a circle of its own colour for a peer."""
    if method.ours:
        r = 4 + 1.5 * OURS.index(method)
        points = f"{x},{y - r} {x + r},{y} {x},{y + r} {x - r},{y}"
        return f'<polygon class="ours" points="{points}"/>'
    colour = COLOURS[(SHOWN.index(method) - len(OURS)) % len(COLOURS)]
    return f'<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/>'


def _legend(top: int) -> Iterator[str]:
    for number, method in enumerate(SHOWN):
        row, column = divmod(number, LEGEND_COLUMNS)
        x, y = LEFT + column * (WIDTH - LEFT) // LEGEND_COLUMNS, top + LEGEND_ROW * row
        yield _mark(method, x, y)
        yield f'<text x="{x + 14}" y="{y + 4}">{method.title}</text>'
