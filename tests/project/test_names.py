"""One class name, one meaning: no name stands twice in the product."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.support.paths import ROOT

PRODUCT = ("updater", "patchserver", "tools/patchtool")


def classes() -> Iterator[tuple[str, str]]:
    """Every class of the product at the top of its module, and the module's path."""
    for top in PRODUCT:
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    yield node.name, path.relative_to(ROOT).as_posix()


def test_a_class_name_stands_for_one_thing() -> None:
    places = defaultdict(list)
    for name, place in classes():
        places[name].append(place)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
