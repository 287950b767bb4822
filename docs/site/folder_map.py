"""The map in ``docs/architecture.md``: drawn from the import contracts and the docstrings.

``make map`` writes it anew; a test refuses a page that differs from it.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
HOMES = {"updater": "", "patchtool": "tools/", "patchserver": ""}
"""Each package, and the folder it lies in."""
WIDTH = 26
"""Characters of a column of the picture."""


def main() -> None:
    """Write the map into the page."""
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")


def renewed(page: str) -> str:
    """Put the present picture and the present list of folders into the text of the page."""
    page = _between(page, "picture", f"```text\n{picture()}\n```")
    return _between(page, "folders", table())


def _between(page: str, part: str, content: str) -> str:
    begin, end = f"<!-- {part}: written by `make map` -->", f"<!-- end of {part} -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"


def picture() -> str:
    """Draw each package as a column of layers, and the folders that have layers below."""
    layers = dict(_layers())
    packages = [name for layer in layers.pop("") for name in layer]
    first = [_column(name, layers.pop(name)) for name in packages]
    others = [_column(name, below) for name, below in layers.items()]
    rows = [_beside(first, "  ->  "), *([_beside(others, "      ")] if others else [])]
    return "\n\n".join(rows)


def table() -> str:
    """List every folder of the product with the first line of its docstring."""
    found = [folder for package in HOMES for folder in folders(package)]
    rows = [f"| `{folder}` | {_first_line(ROOT / folder / '__init__.py')} |" for folder in found]
    return "\n".join(["| folder | holds |", "|---|---|", *rows])


def modules() -> str:
    """List every module of the product with the first paragraph of its docstring."""
    lines = []
    for package in HOMES:
        for folder in folders(package):
            found = [path for path in sorted((ROOT / folder).glob("*.py")) if path.stem[0] != "_"]
            rows = [f"| `{path.name}` | {_first_line(path)} |" for path in found]
            lines += [f"## {folder}\n", "| module | holds |\n|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def folders(package: str) -> list[str]:
    """Name every folder of a package that holds code, from the root of the repository."""
    home = ROOT / HOMES[package] / package
    found = sorted(path.parent for path in home.rglob("__init__.py"))
    return [f"{folder.relative_to(ROOT).as_posix()}/" for folder in found]


def _layers() -> Iterator[tuple[str, list[list[str]]]]:
    """Each container of a contract (none: the packages) with its layers, the highest first."""
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "tool"
    ]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["type"] == "layers":
            layers = [[name.strip(" ()") for name in x.split("|")] for x in contract["layers"]]
            for container in contract.get("containers", [""]):
                yield container, layers


def _column(title: str, layers: Sequence[Sequence[str]]) -> list[str]:
    inner = WIDTH - 4
    lines = [f"+-{f' {title} ':-^{inner}}-+"]
    for layer in layers:
        lines += [f"| {text:{inner}} |" for text in textwrap.wrap(", ".join(layer), inner)]
        lines.append(f"+-{'-' * inner}-+")
    return lines


def _beside(columns: Iterable[Sequence[str]], gap: str) -> str:
    """Columns side by side; the gap is drawn once, in the first line of boxes."""
    rows = list(zip_longest(*columns, fillvalue=" " * WIDTH))
    blank = " " * len(gap)
    return "\n".join((gap if n == 1 else blank).join(row).rstrip() for n, row in enumerate(rows))


def _first_line(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    main()
