"""What the documents promise is there: commands, options, links."""

from __future__ import annotations

import argparse
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_pages import PROGRAMS as PARSERS

from tests.support.attacks import parsers
from tests.support.paths import ROOT
from updater.update.job import UpdateOutcome

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    path
    for part in ("updater", "patchserver", "tools/patchtool")
    for path in sorted((ROOT / part).rglob("*.py"))
]
SERVICES = {path.name for path in (ROOT / "deploy").glob("*.service")}


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The subcommands of a parser."""
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def command_lines(document: Path) -> list[str]:
    """The command lines of ours in a document's shell blocks."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if set(line.split()).intersection(PARSERS)]


def words_of(line: str) -> list[str]:
    """A command line of ours without variables before it and what the shell makes of the rest."""
    words = shlex.split(line, comments=True)
    begin = next((n for n, word in enumerate(words) if "=" not in word), 0)
    end = next((n for n, word in enumerate(words) if word in {"|", "||", "&", "&&", ">"}), None)
    return words[begin:end]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_in_a_document_is_one_the_command_takes(document: Path) -> None:
    for line in command_lines(document):
        program, *words = words_of(line) or [""]
        if program in PARSERS:
            PARSERS[program]().parse_args(words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_and_folder_of_ours_that_a_document_names_is_there(document: Path) -> None:
    ours = "updater|tools|patchserver|tests|docs|deploy|benchmarks|sample_releases"
    named = re.findall(rf"`((?:{ours})/[\w./-]*)`", document.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *SOURCES], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_every_dotted_name_of_ours_is_there(document: Path) -> None:
    text = document.read_text("utf-8")
    named = set(re.findall(r"`((?:updater|patchtool|patchserver)(?:\.[A-Za-z_]\w*)+)[`(]", text))
    assert [name for name in named - SERVICES if not _exists(name)] == []


def _exists(name: str) -> bool:
    """True if a dotted name is one of a module, or of something in a module."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("program", PARSERS)
def test_every_command_tells_what_it_does(program: str) -> None:
    for name in commands(PARSERS[program]()):
        done = subprocess.run(
            [sys.executable, "-m", program, name, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0
        assert f"usage: {program}" in done.stdout


def test_the_readme_tells_the_two_commands_of_the_makefile() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target} " in readme
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", ["reliability.md", "threat-model.md"])
def test_every_test_that_a_document_names_is_there(name: str) -> None:
    text = (ROOT / "docs" / name).read_text("utf-8")
    sources = {
        path.relative_to(ROOT / "tests").as_posix(): path.read_text("utf-8")
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    named = set(re.findall(r"(?:\btests/)?((?:\w+/)*test_\w+(?:\.py)?)", text))
    functions = {name for name in named if not name.endswith(".py")}
    assert {name for name in named if name.endswith(".py")} <= sources.keys()
    assert {f for f in functions if f"def {f}(" not in "".join(sources.values())} == set()
    wrong = re.findall(r"((?:\w+/)*test_\w+\.py)::(test_\w+)", text)
    assert [f"{file}::{f}" for file, f in wrong if f"def {f}(" not in sources[file]] == []
    assert len(functions) > 30


def test_every_parser_has_its_row_in_the_threat_model() -> None:
    text = (ROOT / "docs/threat-model.md").read_text("utf-8")
    rows = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert [name for name in parsers.NAMES if f"`{name}`" not in rows] == []


@pytest.mark.parametrize("outcome", UpdateOutcome)
def test_every_outcome_of_an_update_is_explained(outcome: UpdateOutcome) -> None:
    assert f"\n| `{outcome.value}` | " in (ROOT / "docs/embedding.md").read_text("utf-8")


@pytest.mark.parametrize(
    "word", ["head", "State", "repair", "adopt", "view", "stage", "writer", "floor", "launcher"]
)
def test_a_word_that_stopped_a_newcomer_is_in_the_glossary(word: str) -> None:
    assert f"\n| {word} | " in (ROOT / "docs/glossary.md").read_text("utf-8")
