"""Rules of the house: what a folder may hold, and what names may mean."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MOST = 12
"""Modules in a folder, but for `__init__`, `__main__` and `conftest`."""
PRODUCT = ("updater", "patchserver", "tools/patchtool")
EVERYTHING = (*PRODUCT, "tests")
NOT_COUNTED = {"__init__", "__main__", "conftest"}
OF_EACH_PART = {"cli", *NOT_COUNTED}
"""Names of modules that may stand in several parts of the product."""
TESTS = ROOT / "tests"
QUESTION = re.compile(r"(What|Whether|Who|Whose|Which|When|How|Why|Where)\b")


def modules(*parts: str) -> Iterator[Path]:
    """Every module of these parts."""
    return (path for part in parts for path in sorted((ROOT / part).rglob("*.py")))


def folders(*parts: str) -> list[Path]:
    """Every folder that holds modules."""
    return sorted({path.parent for path in modules(*parts)})


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """The modules that a module imports, and the names it takes out of modules."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", folders(*EVERYTHING), ids=name)
def test_a_folder_holds_few_modules(folder: Path) -> None:
    found = {path.stem for path in folder.glob("*.py")} - NOT_COUNTED
    assert len(found) <= MOST


@pytest.mark.parametrize("folder", folders(*EVERYTHING), ids=name)
def test_a_folder_says_what_it_holds(folder: Path) -> None:
    package = folder / "__init__.py"
    assert package.exists()
    assert ast.get_docstring(ast.parse(package.read_text("utf-8")))


def test_a_name_of_a_module_means_one_thing_in_the_product() -> None:
    names = Counter(path.stem for path in modules(*PRODUCT))
    assert sorted(n for n, count in names.items() if count > 1 and n not in OF_EACH_PART) == []


def test_one_module_spells_the_names_of_targets() -> None:
    """Where a target lies is said once; routes of the server's API only look alike."""
    spelled = {
        name(path)
        for path in modules(*PRODUCT)
        for text in _strings(ast.parse(path.read_text("utf-8")))
        if re.search("(^|/)(channels|patches|releases)/", text) and not re.match("/?apps/", text)
    }
    assert spelled == {"updater/format/target_names.py"}


def test_no_test_module_imports_another() -> None:
    others = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in _test_modules()}
    wrong = [
        (name(path), other)
        for path in modules("tests")
        for other in {*imported(path)}
        if other in others or other.rpartition(".")[0] in others
    ]
    assert wrong == []


def test_the_product_imports_no_tests() -> None:
    found = [
        name(path)
        for path in modules(*PRODUCT)
        if any(other.partition(".")[0] == "tests" for other in imported(path))
    ]
    assert found == []


def test_what_helps_tests_holds_none() -> None:
    assert [name(p) for p in _test_modules() if p.is_relative_to(TESTS / "support")] == []


def test_the_folders_of_the_tests_are_those_of_the_product() -> None:
    for part in PRODUCT:
        here = TESTS / Path(part).name
        for folder in {path.parent.relative_to(here) for path in here.rglob("*.py")}:
            assert (ROOT / part / folder).is_dir(), folder


def _strings(tree: ast.Module) -> Iterator[str]:
    """The strings of a module but for its docstrings, with {} for what an f-string fills in."""
    for node in ast.walk(tree):
        inner = [] if isinstance(node, ast.Expr) else ast.iter_child_nodes(node)
        for child in inner:
            if isinstance(child, ast.JoinedStr):
                parts = (part if isinstance(part, ast.Constant) else None for part in child.values)
                yield "".join(str(part.value) if part else "{}" for part in parts)
            elif isinstance(child, ast.Constant) and not isinstance(node, ast.JoinedStr):
                yield str(child.value)


@pytest.mark.parametrize("path", [*modules(*PRODUCT)], ids=name)
def test_no_docstring_begins_like_a_question(path: Path) -> None:
    texts = (text.split("\n")[0] for text in docstrings(path))
    assert [text for text in texts if QUESTION.match(text)] == []


def docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a module: its own, of classes, functions, values and fields."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


def _test_modules() -> list[Path]:
    return sorted(TESTS.rglob("test_*.py"))
