"""The ``notes`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from updater.errors import UpdaterError

from keeper import __version__, book, updates
from keeper.markdown import markdown
from keeper.note import Note
from keeper.phrases import phrase
from keeper.search import search
from keeper.symbols import put_symbols

Options = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(argv)
    try:
        code: int = options.run(options)
    except UpdaterError as error:
        return _fail(str(error), error.hint, error.exit_code)
    except book.BookError as error:
        return _fail(str(error), "", 1)
    return code


def _fail(error: str, hint: str, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="notes", description="Keep notes.")
    parser.add_argument("--version", action="version", version=f"notes {__version__}")
    parser.add_argument("--file", type=Path, default=book.DEFAULT, help="default: %(default)s")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "add", _add, "write down a note", words="+")
    _command(commands, "list", _list, "show all notes")
    _command(commands, "search", _search, "show the notes that hold all words", words="+")
    _command(commands, "export", _export, "print all notes as Markdown")
    _command(commands, "check", _check, "is there a newer version?")
    _command(commands, "update", _update, "get it, and start it", words=argparse.REMAINDER)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[Options], int], text: str, *, words: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    if words:
        parser.add_argument("words", nargs=words)
    return parser


def _add(options: Options) -> int:
    note = book.add(options.file, put_symbols(" ".join(options.words)), date.today())
    print(phrase("added", number=note.number))
    return 0


def _list(options: Options) -> int:
    return _show(book.load(options.file))


def _search(options: Options) -> int:
    return _show(search(book.load(options.file), options.words))


def _show(notes: Iterable[Note]) -> int:
    lines = [str(note) for note in notes]
    print("\n".join(lines) if lines else phrase("nothing"))
    return 0


def _export(options: Options) -> int:
    print(markdown(book.load(options.file)), end="")
    return 0


def _check(_options: Options) -> int:
    return updates.check()


def _update(options: Options) -> int:
    return updates.update(options.words or ["--version"])
