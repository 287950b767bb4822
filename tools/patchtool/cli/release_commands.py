"""What the commands that build or publish do; loaded when one of them is run."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from patchtool.ceremonies.recovery_kit import ROOT, first_root_of
from patchtool.diff.diff import diff_folders
from patchtool.diff.options import Options
from patchtool.doctor.doctor import (
    Diagnosis,
    diagnose,
    diagnose_url,
)
from patchtool.folder.real_paths import lies_in
from patchtool.keys.root_documents import made_at
from patchtool.keys.signing_clock import check_clock, day
from patchtool.keys.signing_keys import Keys, refuse_published
from patchtool.release.add_release import (
    ReleaseDraft,
    add_release,
    draft_release,
)
from patchtool.release.recall import recall
from patchtool.release.refresh import refresh
from patchtool.release.release_toml import read_description
from patchtool.repository.prune import prune
from patchtool.repository.repository import Repository
from patchtool.repository.repository_folder import Author, RepositoryFolder
from patchtool.repository.sync import sync
from patchtool.repository.writer import name_writer, writer_of
from updater.cli.terminal import (
    Bar,
    judge,
    tell,
)
from updater.disk.durable import told
from updater.errors import InstallError
from updater.exit_codes import NOTHING_TO_DO
from updater.format.names import check_app
from updater.net.address import Address
from updater.net.http import HttpTransport
from updater.progress import Progress, Silent


def diff(options: argparse.Namespace) -> int:
    """``patchtool diff``."""
    built = diff_folders(options.old, options.new, options.output, _build_options(options))
    document = {
        "bytes": built.bytes,
        "changes": built.changes,
        "blocks": len(built.header.blocks),
        "header_bytes": len(built.header_bytes),
        "seconds": round(built.seconds, 3),
        "peak_rss": _peak_rss(),
    }
    tell(options, document, f"{options.output}: {built.bytes:,} bytes, {_count(built.changes)}")
    return 0


def init(options: argparse.Namespace) -> int:
    """``patchtool init``."""
    check_app(options.app)
    repository = repository_of(options)
    repository.check_new()
    prepared, now = first_root_of(options.keys), int(time.time())
    made_time = made_at(prepared) if prepared else 0
    check_clock(now, made_time if made_time > now else 0, options.clock)
    if prepared and options.threshold:
        raise InstallError(
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
    tell(
        options, document, f"{options.repository}: repository of {options.app}; clients need {root}"
    )
    return 0


def release(options: argparse.Namespace) -> int:
    """``patchtool add-release``."""
    repository = repository_of(options)
    description = read_description(options.config)
    draft = draft_release(
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
    build = _build_options(options)
    added = add_release(repository, draft, bases=options.bases, options=build)
    if added is None:  # somebody else was faster
        return _print_published(options)
    patches = [f"patch from {v}: {size:,} bytes" for v, size in added.patches.items()]
    skipped = [f"no patch from {v}: the bundle is smaller" for v in added.skipped]
    words = "\n  ".join([f"bundle: {added.bundle:,} bytes", *patches, *skipped])
    return _print_draft(options, draft, "published", words, asdict(added))


def _print_published(options: argparse.Namespace) -> int:
    document = {"version": options.version, "state": "published before"}
    words = f"{options.app} {options.version} is published already, with this content"
    tell(options, document, words)
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
    tell(options, document, "\n  ".join([f"{options.app} {options.version}", *lines, words]))
    return 0


def withdraw(options: argparse.Namespace) -> int:
    """``patchtool recall``."""
    done = recall(
        repository_of(options),
        check_app(options.app),
        options.version,
        now=int(time.time()),
        floor=options.floor,
        patches=_build_options(options) if options.patch else None,
        when_marked=lambda marked: print(
            f"{options.app} {marked.version} is recalled; patches for its installs follow",
            file=sys.stderr,
        ),
    )
    if done is None:
        document = {"version": options.version, "state": "recalled before"}
        tell(options, document, f"{options.app} {options.version} is recalled already, like this")
        return NOTHING_TO_DO
    lines = [f"{options.app} {done.version} is recalled; its installs go to {done.floor} at lowest"]
    lines += [f"  {channel}: {_fate(goal)}" for channel, goal in done.channels.items()]
    lines += [f"  patch to {v}: {size:,} bytes" for v, size in done.patches.items()]
    lines += [f"  no patch to {v}: the bundle is smaller" for v in done.skipped]
    tell(options, asdict(done), "\n".join(lines))
    for version in done.resting:
        print(
            f"hint: installs of {version}, which was recalled before, may go no lower than "
            f"{done.version}: recall it again with a lower --floor if they may",
            file=sys.stderr,
        )
    return 0


def _fate(goal: str | None) -> str:
    return f"they go to {goal}" if goal else "they stay until it offers another (patchtool promote)"


def renew(options: argparse.Namespace) -> int:
    """``patchtool refresh``."""
    done = refresh(repository_of(options), options.at_least)
    lines = [f"{s.role} {s.version}: valid until {day(s.expires)}" for s in done.signed]
    tell(options, done.document, "\n".join(lines) or "nothing was signed")
    return judge(done.concerns(int(time.time())), idle=not done.signed)


def shrink(options: argparse.Namespace) -> int:
    """``patchtool prune``."""
    done = prune(repository_of(options))
    for app in done.missing:
        print(f"hint: prune {app} with its release key", file=sys.stderr)
    if done.removed and writer_of(options.repository) == "server":
        print("hint: clients see it when you have pushed it: patchtool push", file=sys.stderr)
    words = (
        f"{len(done.removed)} targets are published no more, {len(done.deleted)} files deleted "
        f"({done.freed_bytes:,} bytes), {len(done.waiting)} wait to be"
    )
    tell(options, done.document, words)
    return 0 if done.removed or done.deleted else NOTHING_TO_DO


def copy(options: argparse.Namespace) -> int:
    """``patchtool sync``."""
    done = sync(folder_of(options), RepositoryFolder(options.copy, int(time.time())))
    words = (
        f"{options.copy}: {done.copied} files copied ({done.bytes:,} bytes), "
        f"{len(done.deleted)} deleted, {len(done.waiting)} wait to be"
    )
    tell(options, asdict(done), words)
    return 0 if done.copied or done.deleted else NOTHING_TO_DO


def say_writer(options: argparse.Namespace) -> int:
    """``patchtool writer``."""
    repository = folder_of(options)
    with repository.held():
        if options.writer:
            name_writer(repository.disk, options.repository, options.writer)
        writer = writer_of(options.repository)
    words = {
        "local": "patchtool signs what is offered",
        "server": "its server signs what is offered, patchtool only releases",
    }
    tell(options, {"writer": writer}, f"{options.repository}: {words[writer]}")
    return 0


def examine(options: argparse.Namespace) -> int:
    """``patchtool doctor``."""
    found = _found(options)
    lines = [
        f"{s.role} {s.version}: valid until {day(s.expires)}, signed with the {s.key} key"
        for s in found.statuses
    ]
    lines += [f"{kind}: {name}" for kind, names in found.lists.items() for name in names]
    lines += [outlook.words for outlook in found.clients]
    tell(options, found.document, "\n".join(lines))
    return judge(found.concerns)


def _found(options: argparse.Namespace) -> Diagnosis:
    now = int(time.time())
    with told(f"reading {options.root}"):
        root = options.root and options.root.read_bytes()
    where: str = options.repository
    if where.startswith(("http://", "https://")):
        address, transport = Address.parse(where), HttpTransport()
        transport.admit(address)
        return diagnose_url(address.url, root, transport, now)
    folder = Path(where)
    return diagnose(folder, now, root)


def folder_of(options: argparse.Namespace) -> RepositoryFolder:
    """The repository of a command that signs nothing."""
    return RepositoryFolder(options.repository, int(time.time()), author=_author(options))


def repository_of(options: argparse.Namespace) -> Repository:
    """The repository of a command that signs, if this machine's clock fits what was signed.

    Raises:
        InstallError: the keys are not to be used.
    """
    now = int(time.time())

    def check_time(signed: int) -> None:
        check_clock(int(time.time()), signed, options.clock)

    author = replace(_author(options), check_time=check_time)
    return Repository(options.repository, keys_of(options), now, author=author)


def _author(options: argparse.Namespace) -> Author:
    patience = getattr(options, "wait", 0.0)
    return Author(patience=patience, task=options.command, clock=lambda: int(time.time()))


def keys_of(options: argparse.Namespace) -> Keys:
    """The keys a command is told to use; not those that would be served with its repository."""
    refuse_published(options.keys)
    if lies_in(options.keys, options.repository):
        raise InstallError(
            f"{options.keys} lies inside the repository",
            hint="who serves the repository would serve the keys: name a folder elsewhere",
        )
    return keys_in(options.keys)


def keys_in(folder: Path) -> Keys:
    """The keys in a folder, with passwords from the environment or from whoever sits here."""
    ask = getpass.getpass if sys.stdin.isatty() else None
    return Keys(folder, os.environ, ask)


def _build_options(options: argparse.Namespace) -> Options:
    progress: Progress = Silent() if options.quiet else Bar()
    return Options(
        effort=options.effort, jobs=options.jobs, memory=options.memory, progress=progress
    )


def _count(changes: dict[str, int]) -> str:
    words = (f"{count} {kind.replace('_', ' ')}" for kind, count in changes.items())
    return ", ".join(words) or "no change"


def _peak_rss() -> int:
    """Most memory this process has held, in bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
