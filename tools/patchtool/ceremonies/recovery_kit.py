"""The first keys of a project, and the recovery kits to put away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchtool.keys.root_documents import SHOWN
from patchtool.keys.signing_keys import Keys, refuse_published, write_secret
from patchtool.repository.repository import Repository
from updater.disk.durable import Disk, machine_errors
from updater.errors import RequestError

ROOT = "root.json"
"""The first root, in the folder of keys and in every kit."""

INSTRUCTIONS = """\
Recovery kit {number} of {count} for the updates of an application (upswap, patchtool)

What is in here
  {name}  one of {count} root keys, encrypted; {threshold} of them must sign together.
  {blank}  Its id begins with {keyid}
  root.json{pad}  the first root: by it you see whether a request to sign is genuine
{targets}
What it is for
  The root keys say which other keys may sign releases. They are needed when another key is lost,
  stolen or replaced, and every two years. Nobody needs them for a release.

What to do with it
  1. Put it where neither fire nor thief reaches more than one kit: a USB stick in a drawer of your
     own, a safe, a colleague's home. Never in a repository, a mailbox or a shared folder.
  2. Its password is not in here. Keep that in another place: without it this kit is worthless.
  3. When all kits are put away, delete root*.pem and targets.pem from the folder of daily work.
     Rehearse before that: patchtool keys drill REPO --keys KEYS

When you are asked to sign
  patchtool keys sign-root FILE --keys THIS_FOLDER
  shows in words what would change and asks before it signs. Call whoever sent it, if you did not
  expect it.

If this kit is lost or stolen
  Another one replaces it as long as {threshold} of the other root keys can sign:
  docs/operating.md, "A key is lost" and "A key is stolen".
  If fewer are left, nobody can change the root any more: every user must install anew by hand.
"""


@dataclass(frozen=True)
class Made:
    """New keys."""

    keys: tuple[Path, ...]
    root: Path
    """The first root."""
    kits: tuple[Path, ...]
    """Folders to put away, each in another place."""


def new_keys(
    keys: Keys, now: int, *, threshold: int, root_keys: int | None = None, kits: Path | None = None
) -> Made:
    """Make the keys of a project, the first root, and a kit for each root key.

    Args:
        keys: the folder they go into; keys that are there already are kept.
        now: seconds since 1970.
        threshold: root signatures needed.
        root_keys: how many there are; default: one more than needed, so that one may be lost.
        kits: the folder of the kits; default: none are made.

    Raises:
        InstallError: there is a root already, fewer root keys than signatures needed, no password,
            a place inside a repository, or the disk. Keys may have been made: run it again.
    """
    root = keys.folder / ROOT
    for folder in (keys.folder, *([kits] if kits else [])):
        refuse_published(folder)
    if root.exists():
        raise RequestError(f"{root} is there already", hint="name another folder")
    count = root_keys or threshold + 1
    if count < threshold:
        raise RequestError(
            f"{count} root keys cannot meet a threshold of {threshold}",
            hint="one key more than needed, so that one may be lost",
        )
    if kits and kits.exists() and any(kits.iterdir()):
        raise RequestError(f"{kits} is not empty", hint="name a new folder for the kits")
    made = keys.make_missing(threshold, count)
    data = Repository(keys.folder, keys, now).first_root(threshold)
    with machine_errors(f"writing {root}"):
        put_away = _write_kits(keys, kits, data, threshold) if kits else []
        Disk().write(root, data)
    return Made(tuple(made), root, tuple(put_away))


def first_root_of(folder: Path) -> bytes | None:
    """The first root that was made with the keys in a folder; None without one.

    Raises:
        InstallError: it cannot be read.
    """
    with machine_errors(f"reading {folder / ROOT}"):
        return (folder / ROOT).read_bytes() if (folder / ROOT).exists() else None


def _write_kits(keys: Keys, folder: Path, root: bytes, threshold: int) -> list[Path]:
    paths = keys.paths("root")
    made = []
    for number, path in enumerate(paths, start=1):
        kit = folder / f"kit-{number}"
        kit.mkdir(mode=0o700, parents=True)
        held = [path, *(keys.paths("targets") if number == 1 else [])]
        for secret in held:
            write_secret(kit / secret.name, secret.read_bytes())
        Disk().write(kit / ROOT, root)
        keyid = keys.load("root", path).public_key.keyid
        text = _instructions(path.name, keyid, number, len(paths), threshold)
        Disk().write(kit / "README.txt", text.encode())
        made.append(kit)
    return made


def _instructions(name: str, keyid: str, number: int, count: int, threshold: int) -> str:
    targets = "  targets.pem  says which release keys there are; can be replaced by the root keys\n"
    return INSTRUCTIONS.format(
        number=number,
        count=count,
        name=name,
        blank=" " * len(name),
        keyid=keyid[:SHOWN],
        pad=" " * (len(name) - len("root.json")),
        threshold=threshold,
        targets=targets if number == 1 else "",
    )
