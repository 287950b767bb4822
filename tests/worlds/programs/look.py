"""Looks at an install as a world sees it; a helper of its scripts, standard library only.

    look.py note A            remember owners and modes before a command runs
    look.py mine A PATH...    what lies there is the user's work from now on
    look.py gone A PATH...    the user removed these
    look.py linked A DIR TO   the user moved a folder there, and linked to it
    look.py forget A          a backup came back: the user's work is what it holds
    look.py after A [WORDS]   what must hold after a command; strict: nothing superfluous either;
                              asked: `status` agrees
    look.py is A VERSION      this version is installed, whole
    look.py offer A           what `check --json` wrote into `out` is what was published

It says ``FAIL: PROMISE WORD: ...`` and ends with 1 if a promise does not hold. `r1` beside it is
the folder that was released as 1.0. `characters` names versions that fail by themselves, `blamed`
those that a step made fail.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

Meta = dict[str, Any]
BOOK = Path(".look.json")
WORLD = Path.cwd()
RUNS = ("updater", "launcher.pyz", "patchtool")
SECRET = b"s3cretpw"
SPOILT = hashlib.sha256(b"spoilt\n").hexdigest()
"""Written by another program: no longer ours to keep."""
OPEN_PHASES = ("journal", "journal.undo", "journal.revert", "journal.mixed")


def fail(words: str) -> NoReturn:
    """Say which promise does not hold."""
    print(f"FAIL: {words}")
    sys.exit(1)


def name_of(path: str | bytes) -> str:
    """A path for people."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n")


class Book:
    """What was noted, kept between two calls."""

    def __init__(self) -> None:
        known = json.loads(BOOK.read_text()) if BOOK.exists() else {}
        self.mine: dict[str, Meta] = known.get("mine", {})
        """Of the user, by digest."""
        self.gone: list[str] = known.get("gone", [])
        """Where they really lay, symlinks followed."""
        self.linked: list[str] = known.get("linked", [])
        """Folders of a release in whose place the user has put a symlink, and where they lie."""
        self.older: bool = known.get("older", False)
        """Whether an older folder was put in its place."""
        self.before: dict[str, Meta] = known.get("before", {})
        self.versions: dict[str, dict[str, Meta]] = known.get("versions", {})
        """What was there when another version was, by version."""
        self.version: str = known.get("version", "")

    def save(self) -> None:
        """Keep it."""
        BOOK.write_text(json.dumps(vars(self)))


def walk(install: Path) -> dict[str, Path]:
    """Everything in the install, by its path, but for the State."""
    found: dict[str, Path] = {}
    waiting = [install]
    while waiting:
        folder = waiting.pop()
        for entry in os.scandir(folder):
            place = Path(entry.path)
            if place == install / ".upswap":
                continue
            found[str(place.relative_to(install))] = place
            if entry.is_dir(follow_symlinks=False):
                waiting.append(place)
    return found


def digest(place: Path) -> str:
    """Of a file."""
    return hashlib.sha256(place.read_bytes()).hexdigest()


def meta(place: Path) -> Meta:
    """Kind, mode, owner, group and attributes."""
    info = place.lstat()
    kept = {}
    if not stat.S_ISLNK(info.st_mode):
        for name in os.listxattr(place):
            if name.startswith(("user.", "security.capability")):
                kept[name] = os.getxattr(place, name).hex()
    return {
        "kind": stat.S_IFMT(info.st_mode),
        "mode": stat.S_IMODE(info.st_mode),
        "owner": [info.st_uid, info.st_gid],
        "attributes": kept,
    }


def openness(place: Path) -> int:
    """Who else may read a file, folders on the way counted: 1 its group, 2 everybody."""
    found = 0
    for bit, read, search in ((1, stat.S_IRGRP, stat.S_IXGRP), (2, stat.S_IROTH, stat.S_IXOTH)):
        above = [parent for parent in place.parents if WORLD in parent.parents]
        if place.lstat().st_mode & read and all(one.stat().st_mode & search for one in above):
            found |= bit
    return found


def everything(install: Path) -> dict[str, Meta]:
    """Of each thing in the install, and of the install itself."""
    return {".": meta(install)} | {path: meta(place) for path, place in walk(install).items()}


def state_of(install: Path) -> Path:
    """Where its State is."""
    beside = install.parent / f".{install.name}.upswap"
    return beside if beside.exists() else install / ".upswap"


def prefix() -> list[str]:
    """What comes before a command of the install's user."""
    return os.environ.get("AS", "").split()


def status(install: Path) -> Meta:
    """What the command says of it, and whether it says it."""
    line = ["timeout", "60", *prefix(), "updater", "status", "--dir", str(install), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if "Traceback" in done.stderr:
        fail(f"1 traceback: status: {done.stderr.strip().splitlines()[-1]}")
    if done.returncode != 0:
        fail(f"3 refused: status ends with {done.returncode}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def known(install: Path) -> Meta:
    """Version and bad versions, as the State has them: `status` would take half a second."""
    kept = state_of(install)
    try:
        brief = json.loads((kept / "release.json").read_text())
        settings = json.loads((kept / "install.json").read_text())
    except (OSError, ValueError):
        return status(install)
    return {"version": brief["version"], "bad": settings.get("bad", [])}


def is_open(install: Path) -> bool:
    """Whether a commit is under way."""
    return any((state_of(install) / name).exists() for name in OPEN_PHASES)


def check_left() -> None:
    """No process of ours goes on."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            line = (folder / "cmdline").read_bytes().split(b"\0")
            where = (folder / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(WORLD) not in where:
            continue
        words = [Path(os.fsdecode(word)).name for word in line[:4]]
        if any(word in RUNS for word in words):
            fail(f"1 left: process {folder.name} goes on: {b' '.join(line).decode()}")


def check_mine(book: Book, install: Path) -> None:
    """Everything of the user's is there, and nobody may read it who could not."""
    there: dict[str, list[Path]] = {}
    places = list(walk(install).values())
    kept = state_of(install)
    for place in [*places, *(walk(kept).values() if kept.exists() else [])]:
        if place.is_file() and not place.is_symlink():
            there.setdefault(digest(place), []).append(place)
    for key, was in book.mine.items():
        copies = there.get(key, [])
        if not any(kept not in copy.parents for copy in copies):
            where = f"; in State: {copies}" if copies else ""
            fail(f"4 lost: what the user had at {name_of(was['path'])}{where}")
        for copy in copies:
            wider = openness(copy) & ~was["open"]
            if wider:
                who = "everybody" if wider & 2 else "the group"
                fail(f"4 widened: {name_of(str(copy))} of the user's can be read by {who}")


def check_kept(before: dict[str, Meta], after: dict[str, Meta], *, owners: bool) -> None:
    """What is there before and after has its owner, and nobody has more rights."""
    for path, was in before.items():
        now = after.get(path)
        if now is None or now["kind"] != was["kind"] or was["kind"] == stat.S_IFLNK:
            continue
        name = name_of(path)
        if owners and now["owner"] != was["owner"] and not is_given_away(was, now):
            fail(f"4 owner: {name} belonged to {was['owner']}, now to {now['owner']}")
        allowed = was["mode"] | (was["mode"] & 0o044) >> 2
        if was["kind"] == stat.S_IFDIR:
            allowed = was["mode"]
        if now["mode"] & 0o7077 & ~(allowed | 0o1000):
            fail(f"4 widened: {name} had mode {was['mode']:o}, now {now['mode']:o}")
        if was["kind"] == stat.S_IFDIR and was["mode"] & 0o2000 and not now["mode"] & 0o2000:
            fail(f"4 setgid: {name} had mode {was['mode']:o}, now {now['mode']:o}")
        lost = {key for key in was["attributes"] if key not in now["attributes"]}
        if lost:
            fail(f"4 attributes: {name} has lost {sorted(lost)}")


def check_new(before: dict[str, Meta], after: dict[str, Meta], version: str) -> None:
    """What came with a release is no more open than the folder it lies in."""
    released = walk(WORLD / f"r{version.split('.', maxsplit=1)[0]}")
    for path, now in after.items():
        if path not in released:
            continue
        above = before.get(str(Path(path).parent))
        if path in before or above is None or now["kind"] == stat.S_IFLNK:
            continue
        allowed = above["mode"] | (above["mode"] & 0o011) << 2
        if above["kind"] == stat.S_IFDIR and now["mode"] & 0o044 & ~allowed:
            name, mode = name_of(path), now["mode"]
            fail(f"4 widened: {name} is new, has mode {mode:o}, in a folder of {above['mode']:o}")


def is_given_away(was: Meta, now: Meta) -> bool:
    """Whether a user could not keep the group, and so gave the new one no more than everybody."""
    group, everybody = (now["mode"] & 0o070) >> 3, now["mode"] & 0o007
    return bool(prefix()) and now["owner"][0] == was["owner"][0] and not group & ~everybody


def check_whole(book: Book, install: Path, version: str, *, strict: bool) -> None:
    """The tree is the release, but for what is the user's."""
    release = WORLD / f"r{version.split('.', maxsplit=1)[0]}"
    wanted, there = walk(release), walk(install)
    for path, place in wanted.items():
        now = there.get(path)
        if path in book.gone or is_linked(book, path):
            continue
        if now is None:
            fail(f"2 mixed: {version} has {name_of(path)}, and it is missing")
        check_same(book, place, now, version, path)
    if strict:
        extra = [path for path in there if path not in wanted and not is_older(book, path)]
        for path in sorted(extra):
            check_extra(book, install, there[path], path)


def is_older(book: Book, path: str) -> bool:
    """Whether an older folder that came back may have brought it: some release has it.

    What had to make way for another kind of thing is kept as a whole, beside it.
    """
    names = {path, path.replace(".old", "", 1), path.replace(".old", "")}
    places = [one / name for one in WORLD.glob("r[0-9]") for name in names]
    return book.older and any(map(os.path.lexists, places))


def is_linked(book: Book, path: str) -> bool:
    """Whether it is, or lies in, a folder the user has put a symlink for."""
    return any(str(one) in book.linked for one in (Path(path), *Path(path).parents))


def check_same(book: Book, place: Path, now: Path, version: str, path: str) -> None:
    """One thing is as it was released, or as the user left it."""
    one, two = place.lstat().st_mode, now.lstat().st_mode
    name = name_of(path)
    if stat.S_ISREG(two) and (digest(now) in book.mine or digest(now) == SPOILT):
        return
    if stat.S_IFMT(one) != stat.S_IFMT(two):
        fail(f"2 mixed: {name} is of another kind than in {version}")
    if stat.S_ISLNK(one) and place.readlink() != now.readlink():
        fail(f"2 mixed: {name} points to {now.readlink()}, not as in {version}")
    if stat.S_ISREG(one) and digest(place) != digest(now):
        fail(f"2 mixed: {name} is not as in {version}")
    if stat.S_ISREG(one) and one & 0o100 and not two & 0o100:
        fail(f"2 mixed: {name} may not be executed, unlike in {version}")


def is_offered(book: Book, path: str) -> bool:
    """Whether it is the release's own, beside a file that the user has changed and keeps."""
    base = path.rsplit(".dist", 1)[0]
    return base != path and any(was["path"] == base for was in book.mine.values())


def check_extra(book: Book, install: Path, place: Path, path: str) -> None:
    """What no release has is the user's, or beside it."""
    if "__pycache__" in Path(path).parts:
        return
    if is_linked(book, path.removesuffix(".old")) or is_offered(book, path):
        return
    if place.is_symlink():
        fail(f"2 litter: {name_of(path)} is a link no release has")
    if place.is_dir():
        inside = [one for one in walk(place).values() if one.is_file()]
        if not any(digest(one) in book.mine for one in inside):
            fail(f"2 litter: {name_of(path)} is a folder no release has")
    elif place.is_file() and digest(place) not in book.mine:
        inside_mine = any(
            one.is_file() and digest(one) in book.mine for one in place.parent.iterdir()
        )
        if place.parent != install and inside_mine and ".old" in path:
            return  # a folder of the user's work that had to make way as a whole
        fail(f"2 litter: {name_of(path)} is a file no release has")


def check_secret(install: Path) -> None:
    """The password in the repository's URL is for its owner only."""
    for name in ("out", "err"):
        if (WORLD / name).exists() and SECRET in (WORLD / name).read_bytes():
            fail(f"4 secret: a command repeats the password: {(WORLD / name).read_text()[:200]}")
    kept = state_of(install)
    for path, place in walk(kept).items() if kept.exists() else []:
        if place.is_symlink() or not place.is_file() or not openness(place):
            continue
        if SECRET in place.read_bytes():
            fail(f"4 secret: {path} in State has the password and can be read by others")


def check_bad(found: Meta) -> None:
    """Only what the script made fail is bad."""
    failing = {line.split()[0] for line in lines("characters") if line.split()[1] != "good"}
    blamed = failing | set(lines("blamed"))
    wrong = [version for version in found["bad"] if version not in blamed]
    if wrong:
        fail(f"5 bad: {', '.join(wrong)} is called bad, and did not fail")


def lines(name: str) -> list[str]:
    """Of a file that may not be there."""
    place = WORLD / name
    return place.read_text().split("\n")[:-1] if place.exists() else []


def check_direct(install: Path, version: str) -> None:
    """Started around the launcher, it is one release."""
    entry = install / "run"
    line = ["timeout", "30", *prefix(), str(entry)]
    environment = {**os.environ, "MODE": "look"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0 or done.stdout.split()[-1:] != [version]:
        said = (done.stdout + done.stderr).strip()[-300:]
        fail(f"2 direct: {version} started directly ends with {done.returncode}: {said}")


def check_entry_is_last(book: Book, install: Path) -> None:
    """In the middle of a commit: where the new program is, everything else is new."""
    entry, state = install / "run", state_of(install)
    if not (state / "journal").exists() or not entry.is_file():
        return
    before = digest(WORLD / f"r{book.version.split('.')[0]}" / "run")
    for release in WORLD.glob("r[0-9]"):
        version = f"{release.name[1:]}.0"
        if version != book.version and digest(release / "run") == digest(entry) != before:
            check_whole(book, install, version, strict=False)


def note(install: Path, *, fresh: bool = False) -> None:
    """Remember."""
    book = Book()
    book.before = everything(install)
    if fresh:
        book.versions = {}
    book.save()


def real(install: Path, path: str) -> str:
    """Where a path leads, links followed, as seen from the install."""
    place = install / path
    return os.path.relpath(place.parent.resolve() / place.name, install.resolve())


def forget_at(book: Book, where: str) -> None:
    """What the user had there, the user has changed."""
    book.mine = {key: was for key, was in book.mine.items() if was["real"] != where}


def mine(install: Path, paths: list[str]) -> None:
    """These are the user's."""
    book = Book()
    for path in paths:
        place = install / path
        forget_at(book, real(install, path))
        info = {"path": path, "open": openness(place), "real": real(install, path)}
        book.mine[digest(place)] = info
        if info["real"] in book.gone:
            book.gone.remove(info["real"])
    book.before = everything(install)
    book.save()


def gone(install: Path, paths: list[str]) -> None:
    """These were removed by the user."""
    book = Book()
    for path in paths:
        forget_at(book, real(install, path))
        book.gone.append(real(install, path))
    book.before = everything(install)
    book.save()


def linked(install: Path, folder: str, where: str) -> None:
    """The user has moved a folder, and linked to it."""
    book = Book()
    book.linked.append(folder)
    target = Path(where)
    if install in target.parents:
        book.linked.append(str(target.relative_to(install)))
    book.save()
    if install in target.parents:
        inside = [place for place in walk(target).values() if place.is_file()]
        mine(install, [str(place.relative_to(install)) for place in inside])
    note(install)


def forget(install: Path) -> None:
    """What is not there any more, the user has given up."""
    book = Book()
    there = {digest(place) for place in walk(install).values() if place.is_file()}
    book.mine = {key: was for key, was in book.mine.items() if key in there}
    book.versions = {}
    book.older = True
    book.before = everything(install)
    book.save()


def after(install: Path, *, strict: bool, asked: bool) -> None:
    """All promises that can be looked at without changing anything."""
    check_left()
    book = Book()
    found = status(install) if asked else known(install)
    now = everything(install)
    check_kept(book.before, now, owners=True)
    version = found["version"]
    check_new(book.before, now, version)
    if version != book.version:
        lately = book.versions.get(version, {})
        check_kept({p: m for p, m in lately.items() if p not in book.before}, now, owners=False)
    check_mine(book, install)
    check_secret(install)
    check_bad(found)
    if is_open(install):
        check_entry_is_last(book, install)
    else:
        check_whole(book, install, version, strict=strict)
        check_direct(install, version)
        book.versions[version] = now
    book.before, book.version = now, version
    if strict:  # a repair or an update has put back what the user had removed
        there = walk(install)
        book.gone = [path for path in book.gone if path not in there]
    book.save()


def is_installed(install: Path, version: str) -> None:
    """This version is there."""
    found = status(install)["version"]
    if found != version:
        fail(f"3 stuck: {found} is installed, not {version}")


def offer(install: Path) -> None:
    """An offer demands what any release on the way demands."""
    try:
        said = json.loads((WORLD / "out").read_text())
    except ValueError:
        return
    if not said.get("available"):
        return
    low, high = (float(version) for version in (known(install)["version"], said["available"]))
    demanding = [version for version in lines("demanded") if low < float(version) <= high]
    if bool(demanding) != said["required"]:
        fail(f"3 demand: {low} to {high} is called required: {said['required']}, {demanding} are")


def main(words: list[str]) -> None:
    """Do what the first word says."""
    command, install, rest = words[0], Path(words[1]).absolute(), words[2:]
    if command == "note":
        note(install, fresh="fresh" in rest)
    elif command == "mine":
        mine(install, rest)
    elif command == "gone":
        gone(install, rest)
    elif command == "after":
        after(install, strict="strict" in rest, asked="asked" in rest)
    elif command == "linked":
        linked(install, rest[0], rest[1])
    elif command == "forget":
        forget(install)
    elif command == "offer":
        offer(install)
    elif command == "is":
        is_installed(install, rest[0])


if __name__ == "__main__":
    main(sys.argv[1:])
