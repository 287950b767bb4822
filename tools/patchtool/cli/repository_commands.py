"""Commands that make, check, renew, prune and copy a repository."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from patchtool.cli.arguments import (
    add_app,
    add_keys,
    add_repository,
    add_root,
    add_wait,
    positive,
    register,
)
from patchtool.cli.opening import folder_of, keys_of, repository_of
from patchtool.repository.writer import Writer, name_writer, writer_of
from updater.cli.terminal import print_concerns, print_result
from updater.disk.durable import machine_errors
from updater.errors import RequestError
from updater.exit_codes import NOTHING_TO_DO
from updater.format.names import check_app

if TYPE_CHECKING:
    from patchtool.doctor.doctor import Diagnosis


def add_commands(commands: Any) -> None:
    """Register ``init``, ``refresh``, ``doctor``, ``prune``, ``sync`` and ``writer``."""
    command = register(commands, init, add_repository, add_app, add_keys)
    command.add_argument("--threshold", type=positive, help="root signatures needed; default: 1")
    command = register(commands, refresh, add_repository, add_wait, add_keys)
    command.add_argument(
        "--at-least",
        type=positive,
        default=0,
        metavar="N",
        help="after a restore from a backup: give every role this version at least",
    )
    command = register(commands, doctor)
    command.add_argument("repository", metavar="REPO|URL", help="a folder, or where it is served")
    add_root(command)
    register(commands, prune, add_repository, add_wait, add_keys)
    command = register(commands, sync, add_repository, add_wait)
    command.add_argument("copy", metavar="DEST", type=Path, help="folder of the copy")
    command = register(commands, writer, add_repository, add_wait)
    command.add_argument(
        "writer", nargs="?", choices=get_args(Writer), help="who signs from now on"
    )


def init(options: argparse.Namespace) -> int:
    """Make a repository, and the keys that are missing.

    Example: patchtool init repo --app notes --keys keys
    """
    from patchtool.ceremonies.recovery_kit import ROOT, first_root_of
    from patchtool.keys.root_documents import made_at
    from patchtool.keys.signing_clock import check_clock

    check_app(options.app)
    repository = repository_of(options)
    repository.check_new()
    prepared, now = first_root_of(options.keys), int(time.time())
    made_time = made_at(prepared) if prepared else 0
    check_clock(now, made_time if made_time > now else 0, options.clock)
    if prepared and options.threshold:
        raise RequestError(
            f"{options.keys / ROOT} says how many must sign", hint="leave out --threshold"
        )
    threshold = options.threshold or 1
    made = [] if prepared else keys_of(options).make_missing(threshold)
    repository.create(options.app, threshold, prepared)
    for path in made:
        print(
            f"new key: {path} (keep a copy where this machine's fate does not reach)",
            file=sys.stderr,
        )
    root = options.repository / "metadata" / "1.root.json"
    document = {
        "repository": str(options.repository),
        "root": str(root),
        "keys": list(map(str, made)),
    }
    print_result(
        options, document, f"{options.repository}: repository of {options.app}; clients need {root}"
    )
    return 0


def refresh(options: argparse.Namespace) -> int:
    """Sign what expires soon; exit code 10: nothing did.

    Example: patchtool refresh repo --keys keys
    """
    from patchtool.keys.signing_clock import day
    from patchtool.release import refresh as refreshing

    done = refreshing.refresh(repository_of(options), options.at_least)
    lines = [f"{s.role} {s.version}: valid until {day(s.expires)}" for s in done.signed]
    print_result(options, done.document, "\n".join(lines) or "nothing was signed")
    return print_concerns(done.concerns(int(time.time())), idle=not done.signed)


def prune(options: argparse.Namespace) -> int:
    """Remove what nobody needs; exit code 10: nothing was removed.

    Example: patchtool prune repo --keys keys
    """
    from patchtool.upkeep import prune as pruning

    done = pruning.prune(repository_of(options))
    for app in done.missing:
        print(f"hint: prune {app} with its release key", file=sys.stderr)
    if done.removed and writer_of(options.repository) == "server":
        print("hint: clients see it when you have pushed it: patchtool push", file=sys.stderr)
    words = (
        f"{len(done.removed)} targets are published no more, {len(done.deleted)} files deleted "
        f"({done.freed_bytes:,} bytes), {len(done.waiting)} wait to be"
    )
    print_result(options, done.document, words)
    return 0 if done.removed or done.deleted else NOTHING_TO_DO


def sync(options: argparse.Namespace) -> int:
    """Copy to a folder that is served; exit code 10: nothing was copied.

    Example: patchtool sync repo /srv/updates
    """
    from patchtool.repository.repository_folder import RepositoryFolder
    from patchtool.upkeep import sync as syncing

    done = syncing.sync(folder_of(options), RepositoryFolder(options.copy, int(time.time())))
    words = (
        f"{options.copy}: {done.copied} files copied ({done.bytes:,} bytes), "
        f"{len(done.deleted)} deleted, {len(done.waiting)} wait to be"
    )
    print_result(options, asdict(done), words)
    return 0 if done.copied or done.deleted else NOTHING_TO_DO


def writer(options: argparse.Namespace) -> int:
    """Show or set who signs what channels offer: this tool or a server.

    Example: patchtool writer repo server
    """
    repository = folder_of(options)
    with repository.held():
        if options.writer:
            name_writer(repository.disk, options.repository, options.writer)
        named = writer_of(options.repository)
    words = {
        "local": "patchtool signs what is offered",
        "server": "its server signs what is offered, patchtool only releases",
    }
    print_result(options, {"writer": named}, f"{options.repository}: {words[named]}")
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Show what clients cannot use, now or soon.

    Example: patchtool doctor https://updates.example.com
    """
    from patchtool.keys.signing_clock import day

    found = _diagnosis(options)
    lines = [
        f"{s.role} {s.version}: valid until {day(s.expires)}, signed with the {s.key} key"
        for s in found.statuses
    ]
    lines += [f"{kind}: {name}" for kind, names in found.lists.items() for name in names]
    lines += [forecast.words for forecast in found.clients]
    print_result(options, found.document, "\n".join(lines))
    return print_concerns(found.concerns)


def _diagnosis(options: argparse.Namespace) -> Diagnosis:
    from patchtool.doctor.doctor import diagnose, diagnose_url
    from updater.net.address import Address
    from updater.net.http import HttpTransport

    now = int(time.time())
    with machine_errors(f"reading {options.root}"):
        root = options.root and options.root.read_bytes()
    where: str = options.repository
    if where.startswith(("http://", "https://")):
        address, transport = Address.parse(where), HttpTransport()
        transport.admit(address)
        return diagnose_url(address.url, root, transport, now)
    folder = Path(where)
    return diagnose(folder, now, root)
