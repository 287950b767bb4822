"""What the commands that build or publish do; loaded when one of them is run."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
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
    Draft,
    add_release,
    draft_release,
)
from patchtool.release.recall import recall
from patchtool.release.refresh import refresh
from patchtool.release.release_toml import read_description
from patchtool.repository.prune import prune
from patchtool.repository.repository import Author, Repository
from patchtool.repository.sync import sync
from patchtool.repository.writer import name_writer, writer_of
from updater.cli.terminal import (
    Bar,
    print_concerns,
    print_result,
)
from updater.disk.durable import machine_errors
from updater.errors import FormatError, InstallError, RequestError
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
    print_result(
        options, document, f"{options.output}: {built.bytes:,} bytes, {_count(built.changes)}"
    )
    return 0


def init(options: argparse.Namespace) -> int:
    """``patchtool init``."""
    check_app(options.app)
    repository = repository_of(options)
    repository.check_new()
    prepared = first_root_of(options.keys)
    if prepared and made_at(prepared) > time.time():
        check_clock(int(time.time()), made_at(prepared), options.clock)
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
        return _tell_published(options)
    if options.dry_run:
        return _tell_draft(options, draft, "dry run", "nothing is built or published: a dry run")
    build = _build_options(options)
    added = add_release(repository, draft, bases=options.bases, options=build)
    if added is None:  # somebody else was faster
        return _tell_published(options)
    patches = [f"patch from {v}: {size:,} bytes" for v, size in added.patches.items()]
    skipped = [f"no patch from {v}: the bundle is smaller" for v in added.skipped]
    words = "\n  ".join([f"bundle: {added.bundle:,} bytes", *patches, *skipped])
    return _tell_draft(options, draft, "published", words, asdict(added))


def _tell_published(options: argparse.Namespace) -> int:
    document = {"version": options.version, "state": "published before"}
    words = f"{options.app} {options.version} is published already, with this content"
    print_result(options, document, words)
    return NOTHING_TO_DO


def _tell_draft(
    options: argparse.Namespace,
    draft: Draft,
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


def withdraw(options: argparse.Namespace) -> int:
    """``patchtool recall``."""
    done = recall(
        repository_of(options),
        check_app(options.app),
        options.version,
        now=int(time.time()),
        floor=options.floor,
        patches=_build_options(options) if options.patch else None,
        tell=lambda marked: print(
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


def renew(options: argparse.Namespace) -> int:
    """``patchtool refresh``."""
    done = refresh(repository_of(options), options.at_least)
    lines = [f"{s.role} {s.version}: valid until {day(s.expires)}" for s in done.signed]
    print_result(options, done.document, "\n".join(lines) or "nothing was signed")
    return print_concerns(done.concerns(int(time.time())), idle=not done.signed)


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
    print_result(options, done.document, words)
    return 0 if done.removed or done.deleted else NOTHING_TO_DO


def copy(options: argparse.Namespace) -> int:
    """``patchtool sync``."""
    source = looked_at(options)
    done = sync(source, Repository(options.copy, Keys(options.copy, {}), int(time.time())))
    words = (
        f"{options.copy}: {done.copied} files copied ({done.bytes:,} bytes), "
        f"{len(done.deleted)} deleted, {len(done.waiting)} wait to be"
    )
    print_result(options, asdict(done), words)
    return 0 if done.copied or done.deleted else NOTHING_TO_DO


def say_writer(options: argparse.Namespace) -> int:
    """``patchtool writer``."""
    repository = looked_at(options)
    with repository.held():
        if options.writer:
            name_writer(repository.disk, options.repository, options.writer)
        writer = writer_of(options.repository)
    words = {
        "local": "patchtool signs what is offered",
        "server": "its server signs what is offered, patchtool only releases",
    }
    print_result(options, {"writer": writer}, f"{options.repository}: {words[writer]}")
    return 0


def examine(options: argparse.Namespace) -> int:
    """``patchtool doctor``."""
    found = _found(options)
    lines = [
        f"{s.role} {s.version}: valid until {day(s.expires)}, signed with the {s.key} key"
        for s in found.standings
    ]
    lines += [f"{kind}: {name}" for kind, names in found.lists.items() for name in names]
    lines += [outlook.words for outlook in found.clients]
    print_result(options, found.document, "\n".join(lines))
    return print_concerns(found.concerns)


def _found(options: argparse.Namespace) -> Diagnosis:
    now = int(time.time())
    with machine_errors(f"reading {options.root}"):
        root = options.root and options.root.read_bytes()
    where: str = options.repository
    if where.startswith(("http://", "https://")):
        address, transport = Address.parse(where), HttpTransport()
        transport.admit(address)
        return diagnose_url(address.url, root, transport, now)
    folder = Path(where)
    return diagnose(Repository(folder, Keys(folder / "metadata", {}), now), now, root)


def looked_at(options: argparse.Namespace) -> Repository:
    """The repository for a command that only looks, and needs no key."""
    nobody = Keys(options.repository / "metadata", {})
    return _repository(options, nobody)


def repository_of(options: argparse.Namespace) -> Repository:
    """The repository for a command that signs, if this machine's clock fits what was signed.

    Raises:
        InstallError: it does not, or the keys are not to be used.
    """
    repository = _repository(options, keys_of(options))
    signed = 0
    with suppress(InstallError, FormatError):  # the command itself will say what is wrong with it
        signed = repository.last_signed()
    check_clock(int(time.time()), signed, options.clock)
    return repository


def _repository(options: argparse.Namespace, keys: Keys) -> Repository:
    """The repository, for a command that has its time and waits for others as it is told."""
    patience = getattr(options, "wait", 0.0)
    author = Author(patience=patience, task=options.command, clock=lambda: int(time.time()))
    return Repository(options.repository, keys, int(time.time()), author=author)


def keys_of(options: argparse.Namespace) -> Keys:
    """The keys a command is told to use; not those that would be served with its repository."""
    refuse_published(options.keys)
    if lies_in(options.keys, options.repository):
        raise RequestError(
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
