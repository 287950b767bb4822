"""Settings of the documentation site; built by ``make docs``, every warning an error."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from command_pages import PROGRAMS, page_of
from folder_map import modules
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring

from updater.version import __version__

project = "upswap"
author = "The upswap developers"
copyright = "2026, The upswap developers"  # noqa: A001 - the name that Sphinx reads
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["site"]
root_doc = "index"

myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_display_short_literal_types = True
add_module_names = False
smartquotes = False  # `--` of an option is no dash

html_theme = "furo"
html_title = f"upswap {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["theme.css"]
html_css_files = ["theme.css"]
pygments_style = "default"
pygments_dark_style = "github-dark"


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put what is read from parsers and docstrings in the places that pages name."""
    for program in PROGRAMS:
        mark = f"<!-- commands of {program} -->"
        if mark in source[0]:
            source[0] = source[0].replace(mark, page_of(program))
    source[0] = source[0].replace("<!-- modules -->", modules())


def hide_signature(
    app: Sphinx, what: str, name: str, value: object, options: Any, given: str | None, returns: str
) -> tuple[str | None, str] | None:
    """Show no constructor of values that callers are given and never make."""
    hides = what == "class" and inspect.isclass(value) and "__dataclass_fields__" in vars(value)
    return ("", returns) if hides else None


def read_docstring(
    app: Sphinx, what: Any, name: str, value: object, options: Any, lines: list[str]
) -> None:
    """Read the sections of a docstring; that of an attribute has none, and may begin ``word:``."""
    if what not in {"attribute", "data", "property"}:
        config: Any = Config()  # what napoleon reads of it is what it would add to the site's
        lines[:] = GoogleDocstring(lines, config, app, what, name, value, options).lines()


def setup(app: Sphinx) -> None:
    """Add what this site does besides."""
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-signature", hide_signature)
