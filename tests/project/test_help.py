"""Every option of the tool and the server has help, every command an example."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import patchtool.cli.parser
import pytest

import patchserver.run.cli

PARSERS = {
    "patchtool": patchtool.cli.parser._parser,
    "patchserver": patchserver.run.cli._parser,
}


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands that run something."""
    subparsers = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in subparsers:
        for below in dict.fromkeys(action.choices.values()):
            yield from leaves(below)
    if not subparsers:
        yield parser


@pytest.mark.parametrize("program", PARSERS)
def test_every_option_has_help_and_every_command_an_example(program: str) -> None:
    for command in leaves(PARSERS[program]()):
        assert str(command.epilog).startswith(f"example: {command.prog}"), command.prog
        assert [a.dest for a in command._actions if not a.help] == [], command.prog


@pytest.mark.parametrize("program", PARSERS)
def test_an_example_is_a_line_that_the_command_takes(program: str) -> None:
    for command in leaves(PARSERS[program]()):
        words = str(command.epilog).split()[2:]
        assert PARSERS[program]().parse_args(words).run
