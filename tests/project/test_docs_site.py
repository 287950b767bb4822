"""The documentation site: built without a warning, whole by itself, and about what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import command_pages
import folder_map
import pytest

import updater
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(900)  # minutes on a machine that is busy

LOADED = re.compile(r"@import|url\(\s*[\"']?(?:https?:)?//")
"""What makes a style sheet load something from elsewhere."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    settings = ("-q", "-W", "--keep-going", "-E", "-c", "docs/site", "-d", str(out / "doctrees"))
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *settings, "docs", str(out / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return out / "html"


class Resources(HTMLParser):
    """Collects what a page loads by itself: everything but the links that people follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the addresses of a tag that is no link."""
        names = {"src", "srcset", "data", "poster"} | ({"href"} if tag != "a" else set())
        self.found += [value for name, value in attrs if name in names and value]


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text("utf-8"))
        assert resources.found
        assert [address for address in resources.found if "//" in address] == []


def test_the_style_sheets_load_nothing_from_elsewhere(site: Path) -> None:
    sheets = sorted(site.rglob("*.css"))
    assert sheets
    assert [sheet.name for sheet in sheets if LOADED.search(sheet.read_text("utf-8"))] == []


def test_every_page_can_be_reached_from_the_first(site: Path) -> None:
    first = (site / "index.html").read_text("utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert f'href="{page.stem}.html"' in first or page.stem == "index"


@pytest.mark.parametrize("program", command_pages.PROGRAMS)
def test_every_command_has_its_section(program: str, site: Path) -> None:
    text = (site / f"reference/{program}.html").read_text("utf-8")
    commands = command_pages.commands_of(command_pages.PROGRAMS[program]())
    assert len(commands) > 5
    assert [
        name for name in commands if f'<section id="{name.replace(" ", "-")}">' not in text
    ] == []


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    text = "".join(
        (site / f"reference/{page}.html").read_text("utf-8") for page in ("api", "errors")
    )
    names = [name for name in updater.__all__ if not name.startswith("__")]
    assert [
        name for name in names if not re.search(rf'id="updater\.(errors\.)?{name}"', text)
    ] == []


def test_the_map_is_the_present_one_and_names_every_folder() -> None:
    page = folder_map.PAGE.read_text("utf-8")
    assert page == folder_map.renewed(page), "run `make map`"
    for package in folder_map.HOMES:
        home = ROOT / folder_map.HOMES[package] / package
        with_code = {path.parent for path in home.rglob("*.py")}
        assert [
            folder
            for folder in with_code
            if f"| `{folder.relative_to(ROOT).as_posix()}/` |" not in page
        ] == []


def test_the_picture_has_every_layer_of_every_contract() -> None:
    page = folder_map.PAGE.read_text("utf-8")
    layers = re.search(r"\[tool.importlinter\].*", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert layers
    picture = page.split("<!-- end of picture -->")[0]
    for block in re.findall(r"^layers = \[(.*?)\]", layers[0], re.DOTALL | re.MULTILINE):
        for name in re.findall(r"\w+", block):
            assert name in picture


def test_top_folders_of_the_repository_are_on_the_map() -> None:
    page = folder_map.PAGE.read_text("utf-8")
    built = {"build", "dist", "__pycache__"}
    names = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}
    assert [name for name in names - built if f"`{name}/" not in page] == []
