"""Commands that add a release, and withdraw one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchtool.cli.arguments import (
    add_app,
    add_effort,
    add_keys,
    add_repository,
    add_version,
    add_wait,
    register,
)
from patchtool.cli.opening import build_options, repository_of
from updater.cli.terminal import print_result
from updater.exit_codes import NOTHING_TO_DO
from updater.format.names import check_app

if TYPE_CHECKING:
    from patchtool.release.add_release import ReleaseDraft


_COMMON = (add_version, add_effort, add_wait, add_app, add_keys)


def add_commands(commands: Any) -> None:
    """Register ``add-release`` and ``recall``."""
    command = register(commands, add_release, add_repository, *_COMMON)
    command.add_argument("folder", metavar="FOLDER", type=Path, help="the release, as installed")
    command.add_argument(
        "--from",
        dest="bases",
        nargs="+",
        action="extend",
        metavar="V",
        help="versions to make patches from; default: the last three, and those recalled since",
    )
    command.add_argument(
        "--config", type=Path, metavar="release.toml", help="description of the release"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="only show what the folder holds; needs no key"
    )
    command.add_argument(
        "--allow-empty", action="store_true", help="publish a folder with nothing in it"
    )
    command = register(commands, recall, add_repository, *_COMMON)
    command.add_argument(
        "--floor", metavar="W", help="lowest version to go back to; default: the next lower one"
    )
    command.add_argument(
        "--patch", action="store_true", help="make patches to the versions its installs go to"
    )


def add_release(options: argparse.Namespace) -> int:
    """Publish a folder as a version.

    Example: patchtool add-release repo notes-1.1 --app notes --version 1.1 --keys keys
    """
    from patchtool.release import add_release as adding
    from patchtool.release.release_toml import read_description

    repository = repository_of(options)
    description = read_description(options.config)
    draft = adding.draft_release(
        repository,
        options.app,
        options.version,
        options.folder,
        description,
        allow_empty=options.allow_empty,
    )
    for warning in draft.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if draft.is_published:
        return _print_published(options)
    if options.dry_run:
        return _print_draft(options, draft, "dry run", "nothing is built or published: a dry run")
    build = build_options(options)
    added = adding.add_release(repository, draft, bases=options.bases, options=build)
    if added is None:  # somebody else was faster
        return _print_published(options)
    patches = [f"patch from {v}: {size:,} bytes" for v, size in added.patches.items()]
    skipped = [f"no patch from {v}: the bundle is smaller" for v in added.skipped]
    words = "\n  ".join([f"bundle: {added.bundle:,} bytes", *patches, *skipped])
    return _print_draft(options, draft, "published", words, asdict(added))


def _print_published(options: argparse.Namespace) -> int:
    document = {"version": options.version, "state": "published before"}
    words = f"{options.app} {options.version} is published already, with this content"
    print_result(options, document, words)
    return NOTHING_TO_DO


def _print_draft(
    options: argparse.Namespace,
    draft: ReleaseDraft,
    state: str,
    words: str,
    more: Mapping[str, Any] | None = None,
) -> int:
    """Tell what a release holds, how it differs from the one before, and what became of it."""
    document = {
        "version": options.version,
        "state": state,
        "holds": asdict(draft.outline),
        "difference": draft.difference.document if draft.difference else None,
        "warnings": list(draft.warnings),
        **(more or {}),
    }
    lines = [f"holds {draft.outline.words}"]
    lines += draft.difference.lines if draft.difference else []
    print_result(
        options, document, "\n  ".join([f"{options.app} {options.version}", *lines, words])
    )
    return 0


def recall(options: argparse.Namespace) -> int:
    """Withdraw a version for good; its installs go back.

    Example: patchtool recall repo --app notes --version 1.1 --keys keys
    """
    from patchtool.release import recall as recalling

    done = recalling.recall(
        repository_of(options),
        check_app(options.app),
        options.version,
        now=int(time.time()),
        floor=options.floor,
        patches=build_options(options) if options.patch else None,
        when_marked=lambda marked: print(
            f"{options.app} {marked.version} is recalled; patches for its installs follow",
            file=sys.stderr,
        ),
    )
    if done is None:
        document = {"version": options.version, "state": "recalled before"}
        print_result(
            options, document, f"{options.app} {options.version} is recalled already, like this"
        )
        return NOTHING_TO_DO
    lines = [f"{options.app} {done.version} is recalled; its installs go to {done.floor} at lowest"]
    lines += [f"  {channel}: {_fate(goal)}" for channel, goal in done.channels.items()]
    lines += [f"  patch to {v}: {size:,} bytes" for v, size in done.patches.items()]
    lines += [f"  no patch to {v}: the bundle is smaller" for v in done.skipped]
    print_result(options, asdict(done), "\n".join(lines))
    for version in done.resting:
        print(
            f"hint: installs of {version}, which was recalled before, may go no lower than "
            f"{done.version}: recall it again with a lower --floor if they may",
            file=sys.stderr,
        )
    return 0


def _fate(goal: str | None) -> str:
    return f"they go to {goal}" if goal else "they stay until it offers another (patchtool promote)"
