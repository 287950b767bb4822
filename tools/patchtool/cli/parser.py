"""The ``patchtool`` command: for who releases, usually in CI."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from patchtool.diff.options import MEMORY_LEAST, Effort
from patchtool.folder.apply_to_folder import apply_to_folder
from patchtool.keys.signing_clock import Date
from patchtool.repository.writer import Writer
from updater.cli.terminal import (
    add_command,
    print_result,
    run,
)
from updater.disk.durable import machine_errors
from updater.errors import FormatError
from updater.exit_codes import INTERRUPTED
from updater.format.changes import WITH_SOURCE, Change
from updater.format.encoding.limits import GIB, MIB
from updater.format.head import EVERYONE, RolloutStep
from updater.format.next_head import parse_percent, parse_ramp
from updater.patch.apply import PatchFile
from updater.version import __version__

UNITS = {"M": MIB, "G": GIB}
WAIT = 30.0
"""Seconds to wait for another command: none of ours holds a repository for so long."""
WAIT_LONG = 600.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``; the exit code (see design, section 6)."""
    if argv is None:  # a CI job that is cancelled is told so by SIGTERM: as clean as Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parser().parse_args(argv)
    code = run(lambda: options.run(options))
    if argv is None and code == INTERRUPTED:
        os._exit(code)  # a matcher still at work would be waited for, for minutes
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="patchtool", description=__doc__)
    parser.add_argument("--version", action="version", version=f"upswap {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_folder_commands(commands)
    _add_repository_commands(commands)
    _add_rollout_commands(commands)
    _add_server_commands(commands)
    _add_app_commands(commands)
    _add_key_commands(commands)
    return parser


def _later(name: str, module: str = "release_commands") -> Callable[[argparse.Namespace], int]:
    """A command that builds: its libraries take longer to load than a small patch to apply."""

    def run_it(options: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"patchtool.cli.{module}"), name)(options)
        return code

    return run_it


def _add_folder_commands(commands: Any) -> None:
    diff = add_command(commands, "diff", _later("diff"), "make a patch from one folder to another")
    diff.add_argument("old", metavar="OLD", type=Path)
    diff.add_argument("new", metavar="NEW", type=Path)
    diff.add_argument("-o", "--output", metavar="P", required=True, type=Path)
    _add_effort(diff)
    apply = add_command(
        commands, "apply", _apply, "rebuild the new folder from patch and old folder"
    )
    apply.add_argument("patch", metavar="P", type=Path)
    apply.add_argument("old", metavar="OLD", type=Path)
    apply.add_argument("out", metavar="OUT", type=Path)
    apply.add_argument(
        "--jobs", type=_positive, default=2, help="blocks decoded at once; default: %(default)s"
    )
    inspect = add_command(commands, "inspect", _inspect, "what a patch changes")
    inspect.add_argument("patch", metavar="P", type=Path)


def _add_repository_commands(commands: Any) -> None:
    init = add_command(
        commands, "init", _later("init"), "make a repository, and the keys that are missing"
    )
    init.add_argument("repository", metavar="REPO", type=Path)
    init.add_argument("--threshold", type=_positive, help="root signatures needed; default: 1")
    add = add_command(commands, "add-release", _later("release"), "publish a folder as a version")
    add.add_argument("repository", metavar="REPO", type=Path)
    add.add_argument("folder", metavar="FOLDER", type=Path)
    add.add_argument("--version", required=True)
    add.add_argument(
        "--from",
        dest="bases",
        nargs="+",
        action="extend",
        metavar="V",
        help="versions to make patches from; default: the last three, and what was recalled since",
    )
    add.add_argument("--config", type=Path, metavar="release.toml")
    add.add_argument(
        "--dry-run", action="store_true", help="only tell what the folder holds; needs no key"
    )
    add.add_argument(
        "--allow-empty", action="store_true", help="publish a folder with nothing in it"
    )
    _add_effort(add)
    withdrawn = add_command(
        commands, "recall", _later("withdraw"), "withdraw a version for good; its installs go back"
    )
    withdrawn.add_argument("repository", metavar="REPO", type=Path)
    withdrawn.add_argument("--version", required=True)
    withdrawn.add_argument(
        "--floor", metavar="W", help="lowest version to go back to; default: the next lower one"
    )
    withdrawn.add_argument(
        "--patch", action="store_true", help="make patches to what its installs go to"
    )
    _add_effort(withdrawn)
    renewed = add_command(
        commands, "refresh", _later("renew"), "sign what expires soon; exit code 10: nothing did"
    )
    renewed.add_argument("repository", metavar="REPO", type=Path)
    renewed.add_argument(
        "--at-least",
        type=_positive,
        default=0,
        metavar="N",
        help="after a restore from a backup: give every role this version at least",
    )
    examined = add_command(
        commands, "doctor", _later("examine"), "what clients cannot use, now or soon"
    )
    examined.add_argument("repository", metavar="REPO|URL")
    examined.add_argument(
        "--root", type=Path, help="root.json of your installers; default: believe that of the URL"
    )
    pruned = add_command(
        commands, "prune", _later("shrink"), "remove what nobody needs; exit code 10: nothing"
    )
    pruned.add_argument("repository", metavar="REPO", type=Path)
    synced = add_command(
        commands, "sync", _later("copy"), "copy to a folder that is served; exit code 10: nothing"
    )
    synced.add_argument("repository", metavar="REPO", type=Path)
    synced.add_argument("copy", metavar="DEST", type=Path)
    written = add_command(
        commands, "writer", _later("say_writer"), "who signs what is offered, this tool or a server"
    )
    written.add_argument("repository", metavar="REPO", type=Path)
    written.add_argument("writer", nargs="?", choices=get_args(Writer), help="from now on")
    for command in (add, withdrawn, renewed, pruned, synced, written):
        _add_wait(command)
    for command in (init, add, withdrawn):
        command.add_argument("--app", required=True)
    for command in (init, add, withdrawn, renewed, pruned):
        _add_keys(command)


def _add_rollout_commands(commands: Any) -> None:
    promoted = add_command(
        commands, "promote", _later("offer", "rollout_commands"), "let a channel offer a version"
    )
    halted = add_command(
        commands,
        "pause",
        _later("halt", "rollout_commands"),
        "let a channel offer a version to nobody for now; exit code 10: it does so already",
    )
    resumed = add_command(
        commands,
        "resume",
        _later("go_on", "rollout_commands"),
        "go on with a paused version where its ramp was; exit code 10: it is not paused",
    )
    share = promoted.add_mutually_exclusive_group()
    share.add_argument(
        "--rollout", type=_percent, default=EVERYONE, metavar="PERCENT", help="default: 100"
    )
    share.add_argument(
        "--ramp",
        type=_ramp,
        metavar="STEPS",
        help="percentages and their times, such as 10@now,50@+24h,100@2027-01-31T09:00Z; "
        "+ minutes (m), hours (h) or days (d)",
    )
    for command in (promoted, halted, resumed):
        _add_wait(command)
        command.add_argument("repository", metavar="REPO|-", type=Path)
        command.add_argument("--app", required=True)
        command.add_argument("--channel", default="stable", help="default: %(default)s")
        command.add_argument("--version", required=True)
        who = command.add_mutually_exclusive_group(required=True)
        who.add_argument("--keys", type=Path, help="folder of *.pem files, if this tool signs")
        who.add_argument("--to", metavar="URL", help="the server, if it signs")
        _add_clock(command)
        _add_token(command)


def _add_server_commands(commands: Any) -> None:
    sent = add_command(
        commands,
        "push",
        _later("send", "server_commands"),
        "publish on the server what was signed here; exit code 10: nothing was",
    )
    _add_wait(sent)
    sent.add_argument("repository", metavar="REPO", type=Path)
    sent.add_argument("--to", metavar="URL", required=True, help="the server")
    sent.add_argument("--app", action="append", default=[], help="default: all")
    sent.add_argument(
        "--keys", type=Path, help="folder with release.pem, to sign again if others were faster"
    )
    _add_clock(sent)
    _add_token(sent)
    taken = add_command(
        commands,
        "fetch",
        _later("take", "server_commands"),
        "make or renew a copy of what a server writes, to add releases to",
    )
    _add_wait(taken)
    taken.add_argument("url", metavar="URL")
    _add_clock(taken)
    taken.add_argument("repository", metavar="REPO", type=Path)
    taken.add_argument(
        "--root", type=Path, help="root.json of your installers; default: believe that of the URL"
    )
    taken.add_argument(
        "--bundles",
        type=_count,
        default=3,
        metavar="N",
        help="releases of each app to fetch whole, to make patches from; default: %(default)s",
    )


def _add_keys(command: argparse.ArgumentParser) -> None:
    """The options of a command that signs."""
    command.add_argument("--keys", required=True, type=Path, help="folder of *.pem files")
    _add_clock(command)


def _add_clock(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--clock",
        type=_date,
        metavar="DATE",
        help="today's date, such as 2027-01-31: this clock is right, whatever speaks against it",
    )


def _add_token(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--token-env",
        metavar="NAME",
        default="UPSWAP_TOKEN",
        help="environment variable with the token for the server; default: %(default)s",
    )
    command.add_argument(
        "--insecure-http",
        action="store_true",
        help="send the token though everybody on the way can read it",
    )


def _add_wait(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait",
        type=_seconds,
        default=WAIT,
        const=WAIT_LONG,
        nargs="?",
        metavar="SECONDS",
        help="how long to wait for another command that writes the repository; default: "
        f"{WAIT:g}; --wait without a number: {WAIT_LONG:g}",
    )


def _add_app_commands(commands: Any) -> None:
    apps = commands.add_parser("apps", help="host several apps, each with a release key of its own")
    verbs = apps.add_subparsers(required=True, metavar="COMMAND")
    listed = add_command(verbs, "list", _later("list_apps", "app_commands"), "the apps hosted here")
    added = add_command(
        verbs, "add", _later("add", "app_commands"), "host an app, signed with release.APP.pem"
    )
    removed = add_command(
        verbs, "remove", _later("remove", "app_commands"), "host an app no more; installs stay"
    )
    for command in (listed, added, removed):
        command.add_argument("repository", metavar="REPO", type=Path)
    for command in (added, removed):
        _add_wait(command)
        command.add_argument("--app", required=True)
        _add_keys(command)


def _add_key_commands(commands: Any) -> None:
    keys = commands.add_parser("keys", help="make, replace and end keys; rehearse their loss")
    verbs = keys.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        function = {"list": "list_keys"}.get(name, name.replace("-", "_"))
        return add_command(verbs, name, _later(function, "key_commands"), text)

    new = add("new", "make the keys of a project, its first root, and recovery kits")
    new.add_argument("keys", metavar="KEYS", type=Path)
    new.add_argument(
        "--threshold", type=_positive, default=1, help="root signatures needed; default: 1"
    )
    new.add_argument(
        "--root-keys", type=_positive, metavar="N", help="default: one more than the threshold"
    )
    new.add_argument("--kits", type=Path, metavar="FOLDER", help="a kit to put away for each root")
    listed = add("list", "who may sign what, by the first digits of the keys' ids")
    rotate = add("rotate", "let a new key sign beside the old one")
    rotate.add_argument(
        "--at-once", action="store_true", help="end the old one too: it was stolen or lost"
    )
    revoke = add("revoke", "end a key; what it has signed is signed anew")
    revoke.add_argument(
        "--key", metavar="ID|FILE.pem", help="default: all but the one that came last"
    )
    sign = add("sign-root", "sign a proposed root, after seeing in words what would change")
    publish = add("publish-root", "publish a proposed root that has all its signatures")
    drill = add("drill", "rehearse on a copy the loss of every key; do clients follow?")
    for command in (listed, rotate, revoke, publish, drill):
        command.add_argument("repository", metavar="REPO", type=Path)
    for command in (sign, publish):
        command.add_argument("file", metavar="FILE", type=Path)
    for command in (rotate, revoke):
        _add_ceremony(command)
    for command in (rotate, revoke, publish):
        _add_wait(command)
        _add_keys(command)
    for command in (sign, drill):
        command.add_argument("--keys", required=True, type=Path, help="folder of *.pem files")
    sign.add_argument("--root", type=Path, help="a root you trust; default: root.json in KEYS")
    sign.add_argument("--yes", action="store_true", help="do not ask")


def _add_ceremony(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", required=True, choices=("root", "targets", "release", "online"))
    parser.add_argument("--app", help="whose release key; needed if there are several apps")
    parser.add_argument(
        "--threshold", type=_positive, help="root signatures needed from now on (--role root)"
    )
    parser.add_argument(
        "--proposal", type=Path, metavar="FILE", help="where the next root goes if others must sign"
    )


def _add_effort(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--effort", choices=get_args(Effort), default="default")
    parser.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, help="default: one per processor"
    )
    parser.add_argument(
        "--memory",
        type=_memory,
        default=2 * GIB,
        metavar="SIZE",
        help="what the build may take, such as 1500M or 8G; default: 2G",
    )


def _apply(options: argparse.Namespace) -> int:
    manifest = apply_to_folder(options.patch, options.old, options.out, options.jobs)
    document = {"app": manifest.app, "version": manifest.version, "digest": str(manifest.digest)}
    print_result(options, document, f"{options.out}: {manifest.app} {manifest.version}, whole")
    return 0


def _inspect(options: argparse.Namespace) -> int:
    with machine_errors(f"reading {options.patch}"):
        patch = PatchFile(options.patch)
    header = patch.header
    old = header.old.version if header.old else None
    kinds = dict(Counter(change.kind.name.lower() for change in header.changes))
    document = {
        "app": header.app,
        "from": old,
        "to": header.new.version,
        "bytes": patch.start + header.blocks_length,
        "header_bytes": patch.start,
        "blocks": len(header.blocks),
        "kinds": kinds,
        "changes": [_change_to_json(change) for change in header.changes],
    }
    title = (
        f"{header.app} {old or '(nothing)'} -> {header.new.version}: {document['bytes']:,} bytes"
    )
    lines = [_change_in_words(change) for change in header.changes]
    print_result(options, document, "\n".join([title, *lines]))
    return 0


def _change_to_json(change: Change) -> dict[str, Any]:
    document: dict[str, Any] = {"kind": change.kind.name.lower(), "path": change.path}
    if change.kind in WITH_SOURCE:
        document["source"] = change.source
    if change.size is not None:
        document["size"] = change.size
    if change.target:
        document["target"] = change.target
    return document | ({"executable": True} if change.executable else {})


def _change_in_words(change: Change) -> str:
    source = f"{change.source} -> " if change.kind in WITH_SOURCE else ""
    target = f" -> {change.target}" if change.target else ""
    size = f" ({change.size:,} bytes)" if change.size is not None else ""
    word = change.kind.name.lower().replace("_", " ")
    return f"  {word:14} {source}{change.path}{target}{size}"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _seconds(text: str) -> float:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _memory(text: str) -> int:
    """Bytes of a size such as 512M."""
    number, unit = text[:-1], UNITS.get(text[-1:])
    if unit is None or not number.isdecimal() or int(number) * unit < MEMORY_LEAST:
        least = MEMORY_LEAST // MIB
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 2G, {least}M at least")
    return int(number) * unit


def _percent(text: str) -> int:
    with _usage():
        return parse_percent(text)


def _ramp(text: str) -> tuple[RolloutStep, ...]:
    with _usage():
        return parse_ramp(text, int(time.time()))


def _date(text: str) -> Date:
    with _usage():
        return Date.parse(text)


@contextmanager
def _usage() -> Iterator[None]:
    """What the format refuses is a mistake on the command line here."""
    try:
        yield
    except FormatError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
