"""The ``notes`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from updater.errors import UpdaterError

from keeper import __version__, book, templates, updates
from keeper.exporters import EXPORTERS
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
    text = _command(commands, "add", _add, "write down a note", words="*")
    text.add_argument("--template", choices=templates.names(), help="begin with a text of yours")
    which = _command(commands, "list", _list, "show all notes")
    which.add_argument("--tag", help="only those with this #tag")
    number = _command(commands, "remove", _remove, "drop a note")
    number.add_argument("number", type=int)
    _command(commands, "search", _search, "show the notes that hold all words", words="+")
    form = _command(commands, "export", _export, "print all notes")
    form.add_argument("form", nargs="?", choices=sorted(EXPORTERS), default="markdown")
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
    begin = [templates.template(options.template)] if options.template else []
    note = book.add(options.file, put_symbols(" ".join([*begin, *options.words])), date.today())
    print(phrase("added", number=note.number))
    return 0


def _remove(options: Options) -> int:
    removed = book.remove(options.file, options.number)
    print(phrase("removed" if removed else "missing", number=options.number))
    return 0 if removed else 1


def _list(options: Options) -> int:
    notes = book.load(options.file)
    return _show(note for note in notes if not options.tag or options.tag in note.tags)


def _search(options: Options) -> int:
    return _show(search(book.load(options.file), options.words))


def _show(notes: Iterable[Note]) -> int:
    lines = [str(note) for note in notes]
    print("\n".join(lines) if lines else phrase("nothing"))
    return 0


def _export(options: Options) -> int:
    export = EXPORTERS[options.form]
    print(export(book.load(options.file)), end="")
    return 0


def _check(_options: Options) -> int:
    return updates.check()


def _update(options: Options) -> int:
    return updates.update(options.words or ["--version"])
