"""Commands that make, apply and show a patch, without a repository."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from patchtool.cli.arguments import add_effort, positive, register
from patchtool.cli.opening import build_options
from updater.cli.terminal import print_result
from updater.disk.durable import machine_errors
from updater.format.changes import WITH_SOURCE, Change


def add_commands(commands: Any) -> None:
    """Register ``diff``, ``apply`` and ``inspect``."""
    command = register(commands, diff)
    command.add_argument("old", metavar="OLD", type=Path, help="folder of the old release")
    command.add_argument("new", metavar="NEW", type=Path, help="folder of the new release")
    command.add_argument(
        "-o", "--output", metavar="P", required=True, type=Path, help="where the patch goes"
    )
    add_effort(command)
    command = register(commands, apply)
    command.add_argument("patch", metavar="P", type=Path, help="the patch")
    command.add_argument("old", metavar="OLD", type=Path, help="folder of the old release")
    command.add_argument("out", metavar="OUT", type=Path, help="new folder; it must not exist")
    command.add_argument(
        "--jobs", type=positive, default=2, help="blocks decoded at once; default: %(default)s"
    )
    command = register(commands, inspect)
    command.add_argument("patch", metavar="P", type=Path, help="the patch")


def diff(options: argparse.Namespace) -> int:
    """Make a patch from one folder to another.

    Example: patchtool diff notes-1.0 notes-1.1 -o notes.patch
    """
    from patchtool.diff.diff import diff_folders

    built = diff_folders(options.old, options.new, options.output, build_options(options))
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


def apply(options: argparse.Namespace) -> int:
    """Rebuild the new folder from a patch and the old folder.

    Example: patchtool apply notes.patch notes-1.0 rebuilt
    """
    from patchtool.folder.apply_to_folder import apply_to_folder

    manifest = apply_to_folder(options.patch, options.old, options.out, options.jobs)
    document = {"app": manifest.app, "version": manifest.version, "digest": str(manifest.digest)}
    print_result(options, document, f"{options.out}: {manifest.app} {manifest.version}, whole")
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Show what a patch changes.

    Example: patchtool inspect notes.patch
    """
    from updater.patch.apply import PatchFile

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


def _count(changes: dict[str, int]) -> str:
    words = (f"{count} {kind.replace('_', ' ')}" for kind, count in changes.items())
    return ", ".join(words) or "no change"


def _peak_rss() -> int:
    """Most memory this process has held, in bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
