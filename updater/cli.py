"""The ``updater`` command: the Python API with words, exit codes and a progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from updater.client import Updater, install
from updater.console import NOTHING_TO_DO, Bar, add_command, run, tell
from updater.errors import InstallError, UpdaterError
from updater.job import Updated
from updater.launch.disk import told
from updater.launch.recover import Outcome
from updater.progress import Progress, Silent
from updater.session import Session
from updater.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``; the exit code (see design, section 6)."""
    options = _parser().parse_args(argv)
    return run(lambda: options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="updater", description=__doc__)
    parser.add_argument("--version", action="version", version=f"upswap {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    first = add_command(
        commands, "install", _install, "install an application into an empty folder"
    )
    first.add_argument("--url", required=True, help="the repository's URL")
    first.add_argument("--root", required=True, type=Path, help="its root.json, from the publisher")
    first.add_argument("--app", required=True, help="the application's name in the repository")
    first.add_argument("--channel", default="stable", help="default: %(default)s")
    first.add_argument("folder", metavar="DIR", type=Path)
    for name, action, text in (
        ("status", _status, "what is installed; asks nobody"),
        ("check", _check, "is there an update? exit code 0 yes, 10 no"),
        ("update", _update, "bring the application to the newest version offered to it"),
        ("recover", _recover, "finish or undo an interrupted update"),
    ):
        command = add_command(commands, name, action, text)
        command.add_argument("--dir", dest="folder", required=True, metavar="DIR", type=Path)
        if action is _update:
            command.add_argument(
                "--no-restart", action="store_true", help="do not start the new version"
            )
    return parser


def _install(options: argparse.Namespace) -> int:
    with told(f"reading {options.root}"):
        root = options.root.read_bytes()
    done = install(
        options.folder, options.url, root, options.app, options.channel, _session(options)
    )
    tell(options, _document("installed", done), f"installed {options.app} {done.new}")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = asdict(Updater(options.folder).status())
    tell(options, status, "\n".join(f"{key}: {_plain(value)}" for key, value in status.items()))
    return 0


def _check(options: argparse.Namespace) -> int:
    updater = Updater(options.folder, _session(options))
    offer = updater.check()
    if offer is None:
        version = updater.status().version
        tell(options, {"available": None, "installed": version}, f"{version} is up to date")
        return NOTHING_TO_DO
    tell(
        options,
        asdict(offer),
        f"{offer.installed} -> {offer.available}: {offer.fetch_bytes:,} bytes to fetch "
        f"(whole: {offer.full_bytes:,}), {offer.disk_bytes:,} bytes of disk",
    )
    return 0


def _update(options: argparse.Namespace) -> int:
    updater = Updater(options.folder, _session(options))
    done = _updated(options, updater)
    if done is None:
        version = updater.status().version
        document = {"state": "current", "from": version, "to": version}
        tell(options, document, f"{version} is up to date")
        return NOTHING_TO_DO
    tell(options, _document("updated", done), f"updated {done.old} -> {done.new}")
    for kept in done.kept:
        print(f"your own version is kept as {kept}", file=sys.stderr)
    if updater.release.entry and not options.no_restart:
        _start(updater, done.new)
    return 0


def _updated(options: argparse.Namespace, updater: Updater) -> Updated | None:
    """Update; a rollback is a result too, and stands in the JSON document."""
    before = updater.status().version
    try:
        return updater.update()
    except UpdaterError as error:
        if error.rolled_back and options.json:
            document = {"error": str(error), "from": before, "state": "rolled-back", "to": before}
            tell(options, document, "")
        raise


def _start(updater: Updater, version: str) -> None:
    try:
        updater.start()
    except InstallError as error:
        raise InstallError(
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
    tell(options, {"recovered": outcome.value}, words[outcome])
    return 0


def _document(state: str, done: Updated) -> dict[str, Any]:
    document = asdict(done)
    return {"state": state, "from": document.pop("old"), "to": document.pop("new"), **document}


def _session(options: argparse.Namespace) -> Session:
    progress: Progress = Silent() if options.quiet else Bar()
    return Session(progress=progress)


def _plain(value: object) -> str:
    return (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "-"
