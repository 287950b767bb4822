"""The ``patchtool`` command: for who releases, usually in CI."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from patchtool.description import read_description
from patchtool.folders import apply_to_folder, diff_folders
from patchtool.keys import Keys
from patchtool.options import MEMORY_LEAST, Effort, Options
from patchtool.publish import add_release, promote
from patchtool.repository import Repository
from updater.apply import PatchFile
from updater.console import INTERRUPTED, NOTHING_TO_DO, Bar, add_command, run, tell
from updater.errors import InstallError
from updater.format.changes import WITH_SOURCE, Change
from updater.format.head import EVERYONE
from updater.format.limits import GIB, MIB
from updater.format.names import check_app
from updater.launch.disk import told
from updater.progress import Progress, Silent
from updater.version import __version__

UNITS = {"M": MIB, "G": GIB}


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
    return parser


def _add_folder_commands(commands: Any) -> None:
    diff = add_command(commands, "diff", _diff, "make a patch from one folder to another")
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
    init = add_command(commands, "init", _init, "make a repository, and the keys that are missing")
    init.add_argument("repository", metavar="REPO", type=Path)
    init.add_argument(
        "--threshold", type=_positive, default=1, help="root signatures needed; default: 1"
    )
    add = add_command(commands, "add-release", _add_release, "publish a folder as a version")
    add.add_argument("repository", metavar="REPO", type=Path)
    add.add_argument("folder", metavar="FOLDER", type=Path)
    add.add_argument("--version", required=True)
    add.add_argument(
        "--from",
        dest="bases",
        nargs="+",
        action="extend",
        metavar="V",
        help="versions to make patches from; default: the last three",
    )
    add.add_argument("--config", type=Path, metavar="release.toml")
    _add_effort(add)
    promoted = add_command(commands, "promote", _promote, "let a channel offer a version")
    promoted.add_argument("repository", metavar="REPO", type=Path)
    promoted.add_argument("--version", required=True)
    promoted.add_argument("--channel", default="stable", help="default: %(default)s")
    promoted.add_argument(
        "--rollout", type=_percent, default=EVERYONE, metavar="PERCENT", help="default: 100"
    )
    for command in (init, add, promoted):
        command.add_argument("--app", required=True)
        command.add_argument("--keys", required=True, type=Path, help="folder of *.pem files")


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


def _diff(options: argparse.Namespace) -> int:
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


def _apply(options: argparse.Namespace) -> int:
    manifest = apply_to_folder(options.patch, options.old, options.out, options.jobs)
    document = {"app": manifest.app, "version": manifest.version, "digest": str(manifest.digest)}
    tell(options, document, f"{options.out}: {manifest.app} {manifest.version}, whole")
    return 0


def _inspect(options: argparse.Namespace) -> int:
    with told(f"reading {options.patch}"):
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
    tell(options, document, "\n".join([title, *lines]))
    return 0


def _init(options: argparse.Namespace) -> int:
    check_app(options.app)
    repository = _repository(options)
    repository.check_new()
    made = _keys(options).make_missing(options.threshold)
    repository.create(options.app, options.threshold)
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


def _add_release(options: argparse.Namespace) -> int:
    added = add_release(
        _repository(options),
        options.app,
        options.version,
        options.folder,
        description=read_description(options.config),
        bases=options.bases,
        options=_build_options(options),
    )
    if added is None:
        tell(
            options,
            {"version": options.version, "state": "published before"},
            f"{options.app} {options.version} is published already, with this content",
        )
        return NOTHING_TO_DO
    patches = "".join(f"\n  patch from {v}: {size:,} bytes" for v, size in added.patches.items())
    skipped = "".join(f"\n  no patch from {v}: the bundle is smaller" for v in added.skipped)
    words = f"{options.app} {added.version}\n  bundle: {added.bundle:,} bytes{patches}{skipped}"
    tell(options, asdict(added), words)
    return 0


def _promote(options: argparse.Namespace) -> int:
    head = promote(
        _repository(options),
        check_app(options.app),
        options.channel,
        options.version,
        now=int(time.time()),
        basis_points=options.rollout,
    )
    words = f"{options.channel} offers {options.app} {options.version}"
    tell(options, head.to_json(), f"{words} to {options.rollout / 100:g} % of its installs")
    return 0


def _repository(options: argparse.Namespace) -> Repository:
    return Repository(options.repository, _keys(options), int(time.time()))


def _keys(options: argparse.Namespace) -> Keys:
    if options.keys.resolve().is_relative_to(options.repository.resolve()):
        raise InstallError(
            f"{options.keys} lies inside the repository",
            hint="who serves the repository would serve the keys: name a folder elsewhere",
        )
    ask = getpass.getpass if sys.stdin.isatty() else None
    return Keys(options.keys, os.environ, ask)


def _build_options(options: argparse.Namespace) -> Options:
    progress: Progress = Silent() if options.quiet else Bar()
    return Options(
        effort=options.effort, jobs=options.jobs, memory=options.memory, progress=progress
    )


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
    import resource  # noqa: PLC0415 - POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _memory(text: str) -> int:
    """Bytes of a size such as 512M."""
    number, unit = text[:-1], UNITS.get(text[-1:])
    if unit is None or not number.isdecimal() or int(number) * unit < MEMORY_LEAST:
        least = MEMORY_LEAST // MIB
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 2G, {least}M at least")
    return int(number) * unit


def _percent(text: str) -> int:
    """Basis points of a percentage, two decimals at most."""
    with suppress(ArithmeticError):  # no number, or one such as NaN
        points = Decimal(text) * 100
        if 0 <= points <= EVERYONE and points == int(points):
            return int(points)
    raise argparse.ArgumentTypeError(f"{text!r} is not a percentage such as 10 or 2.5")
