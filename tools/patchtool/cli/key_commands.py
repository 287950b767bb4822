"""``patchtool keys``: commands that make, replace and end keys, and rehearse their loss."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchtool.cli.arguments import (
    add_key_folder,
    add_keys,
    add_repository,
    add_wait,
    positive,
    register,
)
from patchtool.cli.opening import keys_in, keys_of, repository_of
from updater.cli.terminal import print_concerns, print_result
from updater.disk.durable import Disk, machine_errors
from updater.errors import FormatError, RequestError
from updater.exit_codes import NOTHING_TO_DO, Concern, Severity

if TYPE_CHECKING:
    from patchtool.ceremonies import rotation
    from patchtool.ceremonies.drill import Rehearsal
    from patchtool.keys.root_documents import Proposal


def add_commands(commands: Any) -> None:
    """Register ``keys new``, ``list``, ``rotate``, ``revoke``, ``sign-root`` and so on."""
    keys = commands.add_parser("keys", help="make, replace and end keys; rehearse their loss")
    verbs = keys.add_subparsers(required=True, metavar="COMMAND")
    _add_new(verbs)
    register(verbs, list_keys, add_repository, name="list")
    command = register(verbs, rotate, add_repository, _add_role, add_wait, add_keys)
    command.add_argument(
        "--at-once", action="store_true", help="end the old key too: it was stolen or lost"
    )
    command = register(verbs, revoke, add_repository, _add_role, add_wait, add_keys)
    command.add_argument(
        "--key", metavar="ID|FILE.pem", help="key that ends; default: all but the newest"
    )
    command = register(verbs, sign_root, _add_proposal, add_key_folder)
    command.add_argument("--root", type=Path, help="a root you trust; default: root.json in KEYS")
    command.add_argument("--yes", action="store_true", help="sign without a question")
    register(verbs, publish_root, add_repository, _add_proposal, add_wait, add_keys)
    register(verbs, drill, add_repository, add_key_folder)


def _add_new(verbs: Any) -> None:
    command = register(verbs, new)
    command.add_argument("keys", metavar="KEYS", type=Path, help="folder that the keys go into")
    command.add_argument(
        "--threshold", type=positive, default=1, help="root signatures needed; default: 1"
    )
    command.add_argument(
        "--root-keys",
        type=positive,
        metavar="N",
        help="root keys to make; default: one more than the threshold",
    )
    command.add_argument(
        "--kits", type=Path, metavar="FOLDER", help="where a kit for each root key goes"
    )


def _add_proposal(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", type=Path, help="the proposed root")


def _add_role(command: argparse.ArgumentParser) -> None:
    roles = ("root", "targets", "release", "online")
    command.add_argument("--role", required=True, choices=roles, help="role that the key signs")
    command.add_argument("--app", help="whose release key; needed if there are several apps")
    command.add_argument(
        "--threshold", type=positive, help="root signatures needed from now on (--role root)"
    )
    command.add_argument(
        "--proposal", type=Path, metavar="FILE", help="where the next root goes if others must sign"
    )


def new(options: argparse.Namespace) -> int:
    """Make the keys of a project, its first root, and recovery kits.

    Example: patchtool keys new keys --threshold 2 --kits kits
    """
    from patchtool.ceremonies.recovery_kit import new_keys

    made = new_keys(
        keys_in(options.keys),
        int(time.time()),
        threshold=options.threshold,
        root_keys=options.root_keys,
        kits=options.kits,
    )
    lines = [f"new key: {path}" for path in made.keys]
    lines += [f"put away, each in another place: {path}" for path in made.kits]
    lines.append(f"first root, for patchtool init: {made.root}")
    document = {
        "keys": list(map(str, made.keys)),
        "kits": list(map(str, made.kits)),
        "root": str(made.root),
    }
    print_result(options, document, "\n".join(lines))
    return 0


def list_keys(options: argparse.Namespace) -> int:
    """Show who may sign what, by the first digits of the keys' ids.

    Example: patchtool keys list repo
    """
    from patchtool.keys.root_documents import SHOWN
    from patchtool.repository.snapshot import Snapshot

    seen = Snapshot.read(options.repository)
    root = seen.roots()[-1].signed
    roles = ["root", "targets", "timestamp", *(f"app.{app}" for app in seen.apps())]
    held = {role: [key.keyid for key in seen.keys_of(role)] for role in roles}
    names = {"timestamp": "online"} | {r: f"release ({r})" for r in roles if r.startswith("app.")}
    lines = [f"{names.get(r, r)}: {', '.join(k[:SHOWN] for k in ids)}" for r, ids in held.items()]
    needed = root.roles["root"].threshold
    lines[0] += f" ({needed} must sign)"
    print_result(options, {"threshold": needed, "keys": held}, "\n".join(lines))
    return 0


def rotate(options: argparse.Namespace) -> int:
    """Let a new key sign beside the old one.

    Example: patchtool keys rotate repo --role online --keys keys
    """
    from patchtool.ceremonies import rotation

    _check_ceremony(options)
    done = rotation.rotate(
        repository_of(options),
        options.role,
        app=options.app,
        threshold=options.threshold,
        at_once=options.at_once,
        propose=options.proposal is not None,
    )
    return _print_done(options, done)


def revoke(options: argparse.Namespace) -> int:
    """End a key; sign anew what it has signed.

    Example: patchtool keys revoke repo --role online --keys keys
    """
    from patchtool.ceremonies import rotation

    _check_ceremony(options)
    done = rotation.revoke(
        repository_of(options),
        options.role,
        app=options.app,
        key=_key_id(options),
        threshold=options.threshold,
        propose=options.proposal is not None,
    )
    return _print_done(options, done)


def sign_root(options: argparse.Namespace) -> int:
    """Sign a proposed root, after seeing in words what would change.

    Example: patchtool keys sign-root next-root.json --keys kit-2
    """
    from patchtool.keys.root_documents import difference

    proposal = _read_proposal(options.file)
    proposal.check(_trusted(options), dt.datetime.now(dt.timezone.utc))
    words = difference(proposal.present, proposal.root.signed)
    print("\n".join(words), file=sys.stderr)
    if not options.yes and not _is_agreed():
        print("nothing was signed", file=sys.stderr)
        return NOTHING_TO_DO
    signed = proposal.signed(keys_in(options.keys).signers("root"))
    with machine_errors(f"writing {options.file}"):
        Disk().write(options.file, signed.data)
    lacking = signed.lacking
    document = {"words": words, "lacking": vars(lacking), "version": signed.root.signed.version}
    print_result(options, document, f"{options.file}: {lacking}")
    return 0


def publish_root(options: argparse.Namespace) -> int:
    """Publish a proposed root that has all its signatures.

    Example: patchtool keys publish-root repo next-root.json --keys keys
    """
    from patchtool.ceremonies import rotation

    repository = repository_of(options)
    repository.look()  # a clock that does not fit comes before a file that is none
    done = rotation.publish_root(repository, _read_proposal(options.file))
    return _print_done(options, done)


def drill(options: argparse.Namespace) -> int:
    """Rehearse the loss of every key on a copy; do clients follow?

    Example: patchtool keys drill repo --keys keys
    """
    from patchtool.ceremonies.drill import drill as rehearse

    results = []
    for result in rehearse(options.repository, keys_of(options), int(time.time())):
        results.append(result)
        if not options.json:
            print(f"{'ok' if result.survived else 'FAILED'}: {result.loss}: {result.words}")
    if options.json:
        print_result(options, {"rehearsals": [vars(result) for result in results]}, "")
    return print_concerns([_concern(result) for result in results if not result.survived])


def _concern(failed: Rehearsal) -> Concern:
    return Concern(
        Severity.SOON,
        f"clients would not survive the loss of {failed.loss}",
        "nothing is lost yet: put this right while it is a drill",
    )


def _check_ceremony(options: argparse.Namespace) -> None:
    """Refuse options that would be ignored, and a proposal that would be lost."""
    if options.threshold and options.role != "root":
        raise RequestError("only root has a threshold", hint="leave out --threshold")
    if options.app and options.role != "release":
        raise RequestError("only release keys are an app's own", hint="leave out --app")
    if options.proposal and options.proposal.exists():
        raise RequestError(
            f"{options.proposal} is there already", hint="it may hold signatures: name another file"
        )


def _print_done(options: argparse.Namespace, done: rotation.Done) -> int:
    lines = [*done.words, *(f"new key: {path}" for path in done.made)]
    lines += [f"signs nothing any more: {path}" for path in done.retired]
    if done.proposal is not None:
        with machine_errors(f"writing {options.proposal}"):
            Disk().write(options.proposal, done.proposal.data)
        lines += [f"not published yet: {options.proposal}: {done.proposal.lacking}"]
    document = {
        "words": done.words,
        "made": [str(path) for path in done.made],
        "retired": [str(path) for path in done.retired],
        "published": done.proposal is None,
    }
    print_result(options, document, "\n".join(lines))
    return 0


def _key_id(options: argparse.Namespace) -> str | None:
    """The id of the key to revoke: of a key file, if one is named."""
    named: str | None = options.key
    if named is None or not named.endswith(".pem"):
        return named
    path = options.keys / Path(named).name
    keyid: str = keys_in(options.keys).load(options.role, path).public_key.keyid
    return keyid


def _trusted(options: argparse.Namespace) -> bytes:
    """A root that the signer has from a place of their own."""
    from patchtool.ceremonies.recovery_kit import ROOT

    path: Path = options.root or options.keys / ROOT
    if not path.exists():
        raise RequestError(
            f"{path} is not there, so a forged proposal would look like a genuine one",
            hint="name a root.json you trust, such as the one of your recovery kit: --root FILE",
        )
    with machine_errors(f"reading {path}"):
        return path.read_bytes()


def _read_proposal(path: Path) -> Proposal:
    from patchtool.keys.root_documents import Proposal

    with machine_errors(f"reading {path}"):
        data = path.read_bytes()
    try:
        return Proposal.parse(data)
    except FormatError as error:
        raise FormatError(
            f"{path} is no proposed root: {error}",
            hint="it is the file that patchtool keys rotate --proposal has written",
        ) from error


def _is_agreed() -> bool:
    if not sys.stdin.isatty():
        raise RequestError("nobody is here to agree to this", hint="read it, then add --yes")
    return input("sign this? [y/N] ").strip().lower() in {"y", "yes"}
