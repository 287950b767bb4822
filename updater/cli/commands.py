"""The ``updater`` command: the Python API with words, exit codes and a progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from updater.cli.terminal import Bar, add_command, print_result, run
from updater.client import Status, Updater
from updater.disk.durable import machine_errors
from updater.disk.permissions import ROOT, WINDOWS
from updater.errors import InstallError, MachineError, UpdaterError
from updater.exit_codes import NOTHING_TO_DO
from updater.format.paths import shown
from updater.launch.commit.recover import Outcome
from updater.launch.file_name_encoding import in_utf8
from updater.local.session import Session
from updater.progress import Progress, Silent
from updater.stage.inspect import Finding, Findings, NotWhole
from updater.update.adopt import adopt
from updater.update.install_new import install
from updater.update.job import Updated, UpdateOutcome
from updater.update.repair import Repaired
from updater.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``; the exit code (see `updater.exit_codes`)."""
    if argv is None:  # this process is ours, not an application's
        in_utf8()
    options = _parser().parse_args(argv)
    return run(lambda: options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="updater",
        description="install, update and repair one application, from the repository of its "
        "publisher",
        epilog="every command explains itself: updater COMMAND --help",
    )
    parser.add_argument(
        "--version", action="version", version=f"upswap {__version__}", help="show the version"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_install(commands)
    _add_adopt(commands)
    for name, action, text, options in _COMMANDS:
        example = f"updater {name} --dir ~/notes {options}".rstrip()
        command = add_command(commands, name, action, text, example)
        _add_folder(command)
        if action is _update:
            _add_update_options(command)
        if action is _launch:
            command.add_argument(
                "arguments", nargs="*", metavar="ARG", help="an argument for the application"
            )
        if action is _verify:
            command.add_argument(
                "--full", action="store_true", help="hash every file, also those nobody touched"
            )
        if action is _identity:
            command.add_argument(
                "to", nargs="?", choices=("new",), help="draw a new name, in a copy of an install"
            )
        if action is _reports:
            command.add_argument(
                "to", nargs="?", choices=("on", "off"), help="allow reports, or end them"
            )
    return parser


def _add_install(commands: Any) -> None:
    command = add_command(
        commands,
        "install",
        _install,
        "install an application into an empty folder",
        "updater install --url https://example.com/repo --root root.json --app notes ~/notes",
    )
    _add_source(command)
    command.add_argument(
        "folder", metavar="DIR", type=Path, help="the folder to install into; empty, or not there"
    )


def _add_adopt(commands: Any) -> None:
    command = add_command(
        commands,
        "adopt",
        _adopt,
        "take over an application that another installer has installed",
        "updater adopt --url https://example.com/repo --root root.json --app notes "
        "--version 1.0 --dir ~/notes",
    )
    _add_source(command)
    command.add_argument("--version", required=True, metavar="V", help="the installed version")
    command.add_argument(
        "--repair", action="store_true", help="fetch files that are missing or damaged"
    )
    _add_folder(command)


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--dir", dest="folder", required=True, metavar="DIR", type=Path, help="the install folder"
    )


def _add_update_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-restart", action="store_true", help="do not start the new version")
    running = command.add_mutually_exclusive_group()
    running.add_argument(
        "--wait",
        dest="running",
        action="store_const",
        const="wait",
        default="stage",
        help="wait until the application ends, instead of leaving the update to its next launch",
    )
    running.add_argument(
        "--force",
        dest="running",
        action="store_const",
        const="force",
        help="change the files of the application though it runs",
    )


def _add_source(command: argparse.ArgumentParser) -> None:
    """Add the options that say where an install comes from."""
    command.add_argument("--url", required=True, help="the URL of the repository")
    command.add_argument(
        "--root",
        required=True,
        type=Path,
        metavar="FILE",
        help="the root.json of the repository, as its publisher gave it to you",
    )
    command.add_argument("--app", required=True, help="the application's name in the repository")
    command.add_argument(
        "--channel", default="stable", help="the channel to take versions from; default: stable"
    )
    command.add_argument(
        "--reports",
        action="store_true",
        help="send reports to the publisher: the version that works here, and failures; no name",
    )


def _install(options: argparse.Namespace) -> int:
    with machine_errors(f"reading {options.root}"):
        root = options.root.read_bytes()
    done = install(
        options.folder,
        options.url,
        root,
        options.app,
        options.channel,
        _session(options),
        reports=options.reports,
    )
    print_result(options, _document("installed", done), f"installed {options.app} {done.new}")
    _hint_failed_routes(done.failed)
    with suppress(InstallError):  # it is installed: a hint is not worth an error
        _hint_no_launcher(Updater(options.folder))
    return 0


def _status(options: argparse.Namespace) -> int:
    updater = Updater(options.folder)
    status = updater.status()
    lines = (f"{key}: {_plain(value)}" for key, value in asdict(status).items())
    print_result(options, asdict(status), "\n".join(lines))
    _hint_exchanged(status)
    if status.recalled:
        _hint_recalled(status.version)
    _hint_no_launcher(updater)
    return 0


def _check(options: argparse.Namespace) -> int:
    updater = Updater(options.folder, _session(options))
    offer = updater.check()
    if offer is None:
        status = updater.status()
        _hint_clock(updater)
        document = {"available": None, "installed": status.version, "recalled": status.recalled}
        _print_current(options, document, status)
        return NOTHING_TO_DO
    print_result(
        options,
        asdict(offer),
        f"{offer.installed} -> {offer.available}: {offer.fetch_bytes:,} bytes to fetch "
        f"(whole: {offer.full_bytes:,}), {offer.disk_bytes:,} bytes of disk",
    )
    if offer.recalled:
        _hint_recalled(offer.installed)
    return 0


def _update(options: argparse.Namespace) -> int:
    updater = Updater(options.folder, _session(options))
    done = _updated(options, updater)
    if done.outcome is UpdateOutcome.CURRENT:
        status = updater.status()
        document = {"state": "current", "from": status.version, "to": status.version}
        _hint_clock(updater)
        _hint_trial(status)
        _print_current(options, document, status)
        return NOTHING_TO_DO
    if done.outcome is not UpdateOutcome.UPDATED:
        words = f"{done.new} is ready: the next start of the application brings it"
        print_result(options, _document(done.outcome.value, done), words)
        _hint_who_commits(options.folder)
        _hint_failed_routes(done.failed)
        return 0 if done else NOTHING_TO_DO
    print_result(options, _document(done.outcome.value, done), f"updated {done.old} -> {done.new}")
    _hint_failed_routes(done.failed)
    for kept in done.kept:
        print(f"your own version is kept as {kept}", file=sys.stderr)
    if not options.no_restart and updater.release.entry:
        _start(updater, done.new)
    return 0


def _print_current(options: argparse.Namespace, document: dict[str, Any], status: Status) -> None:
    """Say that there is no update, and if the installed version was recalled."""
    recalled = "was recalled by its publisher, and nothing is offered in its place yet"
    words = recalled if status.recalled else "is up to date"
    print_result(options, document, f"{status.version} {words}")


def _hint_failed_routes(failed: Sequence[str]) -> None:
    """Hint at cheaper routes that failed."""
    for reason in failed:
        print(f"hint: another way was taken, tell the publisher: {reason}", file=sys.stderr)


def _hint_exchanged(status: Status) -> None:
    if status.state == "damaged":
        print(
            f"hint: the folder does not hold {status.version}: was it restored or copied? run "
            "updater repair, or update",
            file=sys.stderr,
        )


def _hint_who_commits(folder: Path) -> None:
    """An install of root's is mostly started by others, who may not change it."""
    if not WINDOWS and folder.stat().st_uid == ROOT:
        print(
            "hint: a start by root, that is; other users go on with the version before. With "
            "--wait it comes when the application ends",
            file=sys.stderr,
        )


def _hint_recalled(version: str) -> None:
    print(f"hint: {version} was recalled by its publisher: run updater update", file=sys.stderr)


def _hint_trial(status: Status) -> None:
    if status.state == "unconfirmed":
        start = f"start the application by {status.launcher}" if status.launcher else "start it"
        print(f"hint: {status.version} is not confirmed yet: {start}", file=sys.stderr)


def _hint_no_launcher(updater: Updater) -> None:
    """Hint at what an install without a launcher lacks; updates come all the same."""
    if not updater.status().launcher and updater.release.entry:
        print(
            "hint: no launcher was made, for want of a Python outside the install and of a launcher"
            " in the release: after an interrupted update run updater recover; no start is watched,"
            " and a version that does not come up does not go back by itself (updater rollback)",
            file=sys.stderr,
        )


def _hint_clock(updater: Updater) -> None:
    """Nothing newer was found by a clock that sees nothing expire: that is not all there is."""
    doubt = updater.clock_doubt
    if doubt:
        print(f"hint: a newer release may be held back: {doubt}", file=sys.stderr)


def _updated(options: argparse.Namespace, updater: Updater) -> Updated:
    """Update; a rollback is a result too, and stands in the JSON document."""
    status = updater.status()
    before = status.version
    _hint_exchanged(status)
    try:
        return updater.update(options.running)
    except UpdaterError as error:
        if error.rolled_back and options.json:
            document = {"error": str(error), "from": before, "state": "rolled-back", "to": before}
            print_result(options, document, "")
        raise


def _start(updater: Updater, version: str) -> None:
    try:
        updater.start()
    except InstallError as error:
        raise MachineError(
            f"updated to {version}, but it does not start: {error}",
            hint="the update is whole; start the application by hand to see what it says",
        ) from error


def _recover(options: argparse.Namespace) -> int:
    outcome = Updater(options.folder).recover()
    words = {
        Outcome.CLEAN: "nothing to recover",
        Outcome.FINISHED: "the interrupted update is finished",
        Outcome.UNDONE: "the interrupted update is undone",
    }
    print_result(options, {"recovered": outcome.value}, words[outcome])
    return 0


def _rollback(options: argparse.Namespace) -> int:
    done = Updater(options.folder).rollback()
    document = {"state": "rolled-back", "from": done.old, "to": done.new}
    print_result(options, document, f"{done.new} is back; {done.old} will not be offered again")
    return 0


def _launch(options: argparse.Namespace) -> int:
    return Updater(options.folder).launch(options.arguments)


def _verify(options: argparse.Namespace) -> int:
    findings = Updater(options.folder, _session(options)).verify(full=options.full)
    _print_findings(options, findings)
    findings.require_whole(hint="run updater repair")
    return 0


def _print_findings(options: argparse.Namespace, findings: Findings) -> None:
    """Print findings: all of them as JSON, or a line for each path, then the verdict."""
    lines = [
        f"{kind.value.replace('_', ' ')}: {shown(path)}"
        for kind in Finding
        for path in getattr(findings, kind.value)
    ]
    verdict = f"{findings.version} is {'whole' if findings.whole else 'damaged'}"
    print_result(options, findings.document, "\n".join([*lines, verdict]))


def _repair(options: argparse.Namespace) -> int:
    updater = Updater(options.folder, _session(options))
    done = updater.repair()
    if done is None:
        version = updater.status().version
        print_result(options, {"state": "whole", "version": version}, f"{version} is whole")
        return NOTHING_TO_DO
    _print_repaired(options, "repaired", done, f"repaired {done.version}")
    return 0


def _reports(options: argparse.Namespace) -> int:
    updater = Updater(options.folder)
    if options.to:
        updater.reports = options.to == "on"
    on = updater.reports
    words = "sends reports to its publisher" if on else "sends no reports"
    print_result(options, {"reports": on}, f"this install {words}")
    return 0


def _identity(options: argparse.Namespace) -> int:
    updater = Updater(options.folder)
    if options.to:
        updater.draw_identity()
    name = updater.identity
    print_result(options, {"identity": name}, f"{options.folder} is named {name} in reports")
    return 0


def _adopt(options: argparse.Namespace) -> int:
    with machine_errors(f"reading {options.root}"):
        root = options.root.read_bytes()
    try:
        done = adopt(
            options.folder,
            options.url,
            root,
            options.app,
            options.version,
            options.channel,
            repair=options.repair,
            reports=options.reports,
            session=_session(options),
        )
    except NotWhole as error:
        _print_findings(options, error.findings)
        raise
    _print_repaired(options, "adopted", done, f"adopted {options.app} {done.version}")
    return 0


def _print_repaired(options: argparse.Namespace, state: str, done: Repaired, words: str) -> None:
    lines = [*(f"put back: {shown(path)}" for path in done.repaired), words]
    print_result(options, {"state": state, **asdict(done)}, "\n".join(lines))
    _hint_failed_routes(done.failed)
    for kept in done.kept:
        print(f"what was there is kept as {kept}", file=sys.stderr)


def _document(state: str, done: Updated) -> dict[str, Any]:
    document = asdict(done) | {"state": state}
    del document["outcome"]
    return {"from": document.pop("old"), "to": document.pop("new"), **document}


def _session(options: argparse.Namespace) -> Session:
    progress: Progress = Silent() if options.quiet else Bar()
    return Session(progress=progress)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "-"


_COMMANDS = (
    ("status", _status, "show what is installed; uses no network", ""),
    ("check", _check, "look for an update; exit code 0: there is one, 10: there is none", ""),
    ("update", _update, "bring the application to the newest version that is offered to it", ""),
    ("recover", _recover, "finish or undo an interrupted update", ""),
    ("rollback", _rollback, "bring the version before the last update back; uses no network", ""),
    ("launch", _launch, "start the application, as its launcher does", "-- --fullscreen"),
    (
        "verify",
        _verify,
        "compare all files with the release; exit code 0: whole, 6: damaged; uses no network",
        "--full",
    ),
    ("repair", _repair, "put back files that are missing, damaged or edited", ""),
    ("identity", _identity, "show the name of this install in reports, or draw a new one", "new"),
    ("reports", _reports, "show whether reports are sent to the publisher, or change it", "on"),
)
"""Name, action, help text, and the options of the example."""
