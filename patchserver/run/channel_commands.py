"""Commands for what channels offer: when a rollout halts, and what is to be signed anew."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from patchserver.publishing.signer import ELSEWHERE, Date
from patchserver.rollouts.halting import Rule
from patchserver.run.local_services import actor, add_places, changing, opened
from updater.cli.terminal import add_command, print_concerns, print_result
from updater.errors import FormatError
from updater.format.names import check_channel
from updater.format.next_head import parse_percent


def add_commands(commands: Any) -> None:
    """Register ``refresh`` and ``rule``."""
    refresh = add_command(
        commands,
        "refresh",
        _refresh,
        "sign what is due, with the online key",
        "patchserver refresh --repo /srv/updates",
    )
    refresh.add_argument(
        "--at-least",
        type=int,
        default=0,
        metavar="N",
        help="after a restore from a backup: give every role this version at least",
    )
    refresh.add_argument(
        "--clock",
        type=_date,
        metavar="DATE",
        help="today's date, such as 2027-01-31: sign though the last signature makes this "
        "machine's clock look wrong",
    )
    rule = add_command(
        commands,
        "rule",
        _set_rule,
        "set when a channel's rollouts halt by themselves",
        "patchserver rule --app notes --threshold 5 --sample 20",
    )
    rule.add_argument("--app", required=True, help="app of the channel")
    rule.add_argument("--channel", default="stable", help="default: %(default)s")
    rule.add_argument(
        "--threshold",
        type=parse_percent,
        metavar="PERCENT",
        help="failed installs above which a rollout halts; default: 5",
    )
    rule.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="installs that must have reported before a rollout is judged; default: 20",
    )
    for command in (refresh, rule):
        add_places(command)


def _set_rule(options: argparse.Namespace) -> int:
    usual = Rule()
    threshold = usual.threshold if options.threshold is None else options.threshold
    rule = Rule(threshold, usual.sample if options.sample is None else options.sample)
    with opened(options) as services:
        services.signer.heads(options.app)  # which says so if it is not hosted
        services.rollouts.set_rule(actor(), options.app, check_channel(options.channel), rule)
    words = f"halts when more than {rule.threshold / 100:g} % of at least {rule.sample} failed"
    print_result(options, dict(vars(rule)), f"{options.app} {options.channel}: {words}")
    return 0


def _date(text: str) -> Date:
    try:
        return Date.parse(text)
    except FormatError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _refresh(options: argparse.Namespace) -> int:
    with changing(options, "sign", "what is due") as services:
        done = services.signer.refresh(options.at_least, options.clock)
    signed = [status.role for status in done.signed]
    print_result(
        options, {"signed": signed}, f"signed: {', '.join(signed)}" if signed else "nothing is due"
    )
    concerns = [replace(concern, hint=ELSEWHERE) for concern in done.concerns(services.clock())]
    return print_concerns(concerns, idle=not signed)
