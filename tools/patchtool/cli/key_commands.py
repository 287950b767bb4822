"""What ``patchtool keys ...`` does; loaded when one of its commands is run."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from pathlib import Path

from patchtool.ceremonies import rotation
from patchtool.ceremonies.drill import Rehearsal
from patchtool.ceremonies.drill import drill as rehearse
from patchtool.ceremonies.recovery_kit import ROOT, new_keys
from patchtool.cli.release_commands import (
    keys_in,
    keys_of,
    repository_of,
)
from patchtool.keys.root_documents import (
    SHOWN,
    Proposal,
    difference,
)
from patchtool.repository.snapshot import Snapshot
from updater.cli.terminal import judge, tell
from updater.disk.durable import Disk, told
from updater.errors import FormatError, InstallError
from updater.exit_codes import NOTHING_TO_DO, Concern, Severity


def new(options: argparse.Namespace) -> int:
    """``patchtool keys new``."""
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
    tell(options, document, "\n".join(lines))
    return 0


def list_keys(options: argparse.Namespace) -> int:
    """``patchtool keys list``."""
    seen = Snapshot.read(options.repository)
    root = seen.roots()[-1].signed
    roles = ["root", "targets", "timestamp", *(f"app.{app}" for app in seen.apps())]
    held = {role: [key.keyid for key in seen.keys_of(role)] for role in roles}
    names = {"timestamp": "online"} | {r: f"release ({r})" for r in roles if r.startswith("app.")}
    lines = [f"{names.get(r, r)}: {', '.join(k[:SHOWN] for k in ids)}" for r, ids in held.items()]
    needed = root.roles["root"].threshold
    lines[0] += f" ({needed} must sign)"
    tell(options, {"threshold": needed, "keys": held}, "\n".join(lines))
    return 0


def rotate(options: argparse.Namespace) -> int:
    """``patchtool keys rotate``."""
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
    """``patchtool keys revoke``."""
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
    """``patchtool keys sign-root``."""
    proposal = _read_proposal(options.file)
    proposal.check(_trusted(options), dt.datetime.now(dt.timezone.utc))
    words = difference(proposal.present, proposal.root.signed)
    print("\n".join(words), file=sys.stderr)
    if not options.yes and not _is_agreed():
        print("nothing was signed", file=sys.stderr)
        return NOTHING_TO_DO
    signed = proposal.signed(keys_in(options.keys).signers("root"))
    with told(f"writing {options.file}"):
        Disk().write(options.file, signed.data)
    lacking = signed.lacking
    document = {"words": words, "lacking": vars(lacking), "version": signed.root.signed.version}
    tell(options, document, f"{options.file}: {lacking}")
    return 0


def publish_root(options: argparse.Namespace) -> int:
    """``patchtool keys publish-root``."""
    repository = repository_of(options)
    repository.look()  # a clock that does not fit comes before a file that is none
    done = rotation.publish_root(repository, _read_proposal(options.file))
    return _print_done(options, done)


def drill(options: argparse.Namespace) -> int:
    """``patchtool keys drill``."""
    results = []
    for result in rehearse(options.repository, keys_of(options), int(time.time())):
        results.append(result)
        if not options.json:
            print(f"{'ok' if result.survived else 'FAILED'}: {result.loss}: {result.words}")
    if options.json:
        tell(options, {"rehearsals": [vars(result) for result in results]}, "")
    return judge([_concern(result) for result in results if not result.survived])


def _concern(failed: Rehearsal) -> Concern:
    return Concern(
        Severity.SOON,
        f"clients would not survive the loss of {failed.loss}",
        "nothing is lost yet: put this right while it is a drill",
    )


def _check_ceremony(options: argparse.Namespace) -> None:
    """Refuse options that would be ignored, and a proposal that would be lost."""
    if options.threshold and options.role != "root":
        raise InstallError("only root has a threshold", hint="leave out --threshold")
    if options.app and options.role != "release":
        raise InstallError("only release keys are an app's own", hint="leave out --app")
    if options.proposal and options.proposal.exists():
        raise InstallError(
            f"{options.proposal} is there already", hint="it may hold signatures: name another file"
        )


def _print_done(options: argparse.Namespace, done: rotation.Done) -> int:
    lines = [*done.words, *(f"new key: {path}" for path in done.made)]
    lines += [f"signs nothing any more: {path}" for path in done.retired]
    if done.proposal is not None:
        with told(f"writing {options.proposal}"):
            Disk().write(options.proposal, done.proposal.data)
        lines += [f"not published yet: {options.proposal}: {done.proposal.lacking}"]
    document = {
        "words": done.words,
        "made": [str(path) for path in done.made],
        "retired": [str(path) for path in done.retired],
        "published": done.proposal is None,
    }
    tell(options, document, "\n".join(lines))
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
    path: Path = options.root or options.keys / ROOT
    if not path.exists():
        raise InstallError(
            f"{path} is not there, so a forged proposal could not be told from a genuine one",
            hint="name a root.json you trust, such as the one of your recovery kit: --root FILE",
        )
    with told(f"reading {path}"):
        return path.read_bytes()


def _read_proposal(path: Path) -> Proposal:
    with told(f"reading {path}"):
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
        raise InstallError("nobody is here to agree to this", hint="read it, then add --yes")
    return input("sign this? [y/N] ").strip().lower() in {"y", "yes"}
