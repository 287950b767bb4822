"""Pages of the three commands, made from their parsers when the site is built."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import patchtool.cli.parser

import patchserver.run.cli
import updater.cli.commands

PROGRAMS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "updater": updater.cli.commands._parser,
    "patchtool": patchtool.cli.parser._parser,
    "patchserver": patchserver.run.cli._parser,
}


def page_of(program: str) -> str:
    """Describe every command of a program, in Markdown."""
    return "\n".join(
        line
        for name, (parser, summary) in sorted(commands_of(PROGRAMS[program]()).items())
        for line in _section(name, parser, summary)
    )


def commands_of(
    parser: argparse.ArgumentParser, before: str = ""
) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Collect the commands below a parser by their full names, each with its one line of help."""
    found = {}
    for action in _subcommands(parser):
        summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, below in action.choices.items():
            full = f"{before}{name}"
            deeper = commands_of(below, f"{full} ")
            found.update(deeper or {full: (below, summaries[name])})
    return found


def _subcommands(parser: argparse.ArgumentParser) -> list[Any]:
    return [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]


def _section(name: str, parser: argparse.ArgumentParser, summary: str) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{_sentence(summary)}\n"
    yield f"```text\n{_usage(parser)}\n```\n"
    rows = [row for action in parser._actions if (row := _row(action))]
    if rows:
        yield "| argument | meaning |\n|---|---|"
        yield from rows
        yield ""
    if parser.epilog:
        yield f"```console\n{parser.epilog.strip()}\n```\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage as the command prints it, whatever terminal the site is built in."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=88)
    return parser.format_usage().removeprefix("usage: ").replace("\n       ", "\n").strip()


def _row(action: argparse.Action) -> str:
    if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
        return ""
    value = "" if action.nargs == 0 else _value(action)
    names = " ".join(filter(None, (", ".join(action.option_strings), value))).replace("|", "\\|")
    text = (action.help or "") % {**vars(action), "prog": ""}
    return f"| `{names}` | {_sentence(text)} |".replace("\n", " ")


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices:
        return "|".join(map(str, action.choices))
    return action.dest.upper() if action.option_strings else action.dest


def _sentence(text: str) -> str:
    """A help text, which begins small and has no period, as a sentence of a page."""
    text = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
