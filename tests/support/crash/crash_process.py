"""Worlds for real processes to crash in, and the oracle: what may be found afterwards.

Three releases on a real server, and an install of the first with files of its user in it. A
`Scenario` is one command in one world; commands to come are a line in `SCENARIOS`.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.crash.crash_disk import World, copy_world
from tests.support.crash.syscalls import Call, Fault, Injected, Process, calls, inject
from tests.support.repository.publisher import Publisher
from tests.support.servers.serving import served
from tests.support.trees.trees import Exe, Link, data_of, difference, noise, read_tree, write_tree
from tests.support.trees.trees import Tree as Contents
from updater.cli import commands
from updater.format.release_description import Release
from updater.launch.commit.journal import Phase, phase_of
from updater.launch.start.run_lock import share
from updater.launch.start.trial import Trial


def program(version: str) -> Exe:
    """An application: it says which it is."""
    return Exe(f"#!/bin/sh\necho {version}\n".encode())


OLD: Contents = {
    "app": program("1.0"),
    "current": Link("lib"),
    "data/name.bin": noise(2000, 1),
    "edited.cfg": b"as released 1",
    "folder/f": b"a folder that becomes a file",
    "lib/code.py": b"VERSION = 1",
    "lib/core": noise(3000, 2),
    "lib/gone": b"gone",
    "same": b"same",
}
NEW: Contents = {
    "app": program("2.0"),
    "current": Link("lib/core"),
    "data/renamed.bin": noise(2000, 1),
    "edited.cfg": b"as released 2",
    "folder": b"a file",
    "fresh/f": b"fresh",
    "lib/code.py": b"VERSION = 2",
    "lib/core": noise(3000, 2) + b"2",
    "same": b"same",
}
LAST: Contents = {
    "app": program("3.0"),
    "edited.cfg": b"as released 3",
    "lib/code.py": b"VERSION = 3",
    "lib/core": b"3",
    "same": b"same",
}
EDIT = b"user: edited"
USERS: Contents = {"mine/notes.txt": b"user: own", "app.old": b"user: had this name before us"}
KEPT: Contents = {**USERS, "edited.cfg.old": EDIT}
BEFORE: Contents = {**OLD, **USERS, "edited.cfg": EDIT}
AFTER: Contents = {**NEW, **KEPT}
SPOILT = b"spoilt"
DAMAGED: Contents = {
    **{path: content for path, content in BEFORE.items() if path != "current"},
    "lib/core": SPOILT,
}
ENTRY = Release(entry=("app",))
_LAST = re.compile(r'^unlink.*/journal\.(done|undo|revert)"')
_KEPT = re.compile(r"^your own version is kept as (.*)$", re.MULTILINE)
STATE = {
    "arrival",
    "folders.json",
    "identity.json",
    "install.json",
    "known",
    "launcher",
    "lock",
    "manifest",
    "old",
    "release.json",
    "root.json",
    "run.lock",
    "seen.json",
    "trust",
}
"""All that a State holds after an update, while nothing is under way."""
ASKED = {"update", "repair", "rollback"}
"""Commands that say by exit code 0 that what was asked for is done."""
OTHER_CODES = {"repair": {6}, "launch": {2}}
"""Exit codes besides 0 and 7: of a launch it is the application's, here of a shell that cannot
read its script."""
REPORTS = {"reports"}
"""What a rollback leaves besides, to be sent."""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


def command(*arguments: str | Path) -> Said:
    """Run the command line in this process, which nothing disturbs."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = commands.main([str(argument) for argument in arguments])
    return Said(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Site(World):
    """A world with the places a process could spoil beside it."""

    def process(self, *arguments: str | Path) -> Process:
        """A command that runs here."""
        watched = (self.state.install, self.state.folder)
        where = self.folder / "elsewhere"
        return Process(tuple(map(str, arguments)), where, watched, parent=self.folder)

    def command(self, *arguments: str | Path) -> Said:
        """A command on this install, undisturbed."""
        return command(*arguments, "--dir", self.state.install)

    def says(self) -> str:
        """What the application prints when it is started."""
        entry = self.state.install / "app"
        return subprocess.run([entry], capture_output=True, text=True, check=True).stdout.strip()

    @property
    def outside(self) -> dict[str, object]:
        """All but DIR and State; a file's second name elsewhere included."""
        own = {self.state.install, self.state.folder}
        places = [path for path in self.folder.iterdir() if path not in own]
        contents = {place.name: read_tree(place) for place in places}
        linked = (self.folder / "elsewhere/linked").stat()
        return {**contents, "times": (linked.st_mtime_ns, linked.st_mode)}


def copied(site: Site, folder: Path) -> Site:
    """The same in the new folder ``folder``."""
    return Site(copy_world(site, folder).folder)


def save(site: Site, files: Contents) -> None:
    """Work of a user, or of the application."""
    for path, content in files.items():
        place = site.state.install / path
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(data_of(content))


class Shelf:
    """Releases 1.0, 2.0 and 3.0 on a server whose offer can be chosen, and an install of 1.0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.worlds: dict[str, Site] = {}
        """The worlds scenarios begin in, by their names."""
        self._number = 0
        publisher = Publisher(folder / "publisher", now=int(time.time()))
        for version, contents in (("1.0", OLD), ("2.0", NEW), ("3.0", LAST)):
            publisher.release(version, contents, release=ENTRY)
            shutil.copytree(publisher.folder, folder / version)
        (folder / "root.json").write_bytes(publisher.root)
        self.offer("2.0")

    def offer(self, version: str) -> None:
        """From now on the server's newest release is ``version``."""
        link = self.folder / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(self.folder / version)

    @contextmanager
    def open(self) -> Iterator[Shelf]:
        """Serve; no run that is counted shall be the one that compiles our modules."""
        assert self.empty.process("--version").run().returncode == 0
        with served(self.folder / "current") as self.url:
            yield self

    @property
    def first(self) -> tuple[str, ...]:
        """The words that install from here, but for the folder."""
        root = str(self.folder / "root.json")
        return ("install", "--quiet", "--url", self.url, "--root", root, "--app", "notes")

    @cached_property
    def empty(self) -> Site:
        """A world without the install."""
        return self._site(self.folder / "empty")

    @cached_property
    def installed(self) -> Site:
        """An install of 1.0 that its user works with; one file has a second name elsewhere."""
        self.offer("1.0")
        site = self._site(self.folder / "installed")
        assert command(*self.first, site.state.install).code == 0
        save(site, {**USERS, "edited.cfg": EDIT})
        linked = site.folder / "elsewhere/linked"
        linked.unlink()
        os.link(site.state.install / "lib/core", linked)
        self.offer("2.0")
        assert site.command("check").code == 0
        return site

    @contextmanager
    def copy(self, site: Site) -> Iterator[Site]:
        """A world of its own."""
        self._number += 1
        folder = self.folder / f"copy-{self._number}"
        try:
            yield copied(site, folder)
        finally:
            shutil.rmtree(folder)

    def _site(self, folder: Path) -> Site:
        places: Contents = {"home/.profile": b"user", "tmp": None, "elsewhere/linked": b"user"}
        write_tree(folder, places)
        return Site(folder)


@contextmanager
def shelf_in_memory() -> Iterator[Shelf]:
    """A served shelf; in memory where there is one, for hundreds of installs are made of it."""
    shared = Path("/dev/shm")
    where = shared if os.access(shared, os.W_OK) else None
    with (
        TemporaryDirectory(dir=where) as folder,
        Shelf(Path(os.path.realpath(folder))).open() as shelf,
    ):
        yield shelf


@dataclass(frozen=True)
class Scenario:
    """One command that is disturbed: in which world, and what must be true afterwards."""

    name: str
    arguments: tuple[str, ...] = ("update", "--no-restart", "--quiet")
    prepare: Callable[[Shelf], Site] = lambda shelf: shelf.installed
    outcomes: frozenset[str] = frozenset({"old", "new"})
    """What all runs that are killed lead to, taken together."""
    fails: str = ""
    """A call, as strace wants it, that fails in every run besides."""
    before: Contents = field(default_factory=lambda: BEFORE)
    after: Contents = field(default_factory=lambda: AFTER)
    users: Contents = field(default_factory=lambda: KEPT)
    """What is the user's after the next update."""
    versions: tuple[str, str] = ("1.0", "2.0")
    """What the trees `before` and `after` are."""

    def world(self, shelf: Shelf) -> Site:
        """The world before the command, made once."""
        if self.name not in shelf.worlds:
            shelf.worlds[self.name] = self.prepare(shelf)
        return shelf.worlds[self.name]

    def process(self, shelf: Shelf, site: Site) -> Process:
        """The command in ``site``."""
        if self.arguments[0] == "install":
            return site.process(*shelf.first, site.state.install)
        return site.process(*self.arguments, "--dir", site.state.install)

    def points(self, shelf: Shelf, fault: Fault) -> list[Call]:
        """The calls of an undisturbed run that ``fault`` can meet."""
        with shelf.copy(self.world(shelf)) as site:
            found = calls(self.process(shelf, site), shelf.folder / "log", self.fails)
        spared = self.fails.split(":")[0]
        return [call for call in found if fault.meets(call) and call.name != spared]

    def inject(self, shelf: Shelf, site: Site, fault: Fault, call: Call) -> Injected:
        """Run the command in ``site`` with ``fault`` at ``call``."""
        log = shelf.folder / "log"
        return inject(self.process(shelf, site), fault, call, log, self.fails)

    def check(self, shelf: Shelf, site: Site, met: Injected, what: str) -> str:
        """The oracle; which of `outcomes` it is."""
        assert "Traceback" not in met.errors, f"{what}: {met.errors}"
        assert met.killed or met.code in {0, 7} | OTHER_CODES.get(self.arguments[0], set()), (
            f"{what}: {met.code} {met.errors}"
        )
        outside = self.world(shelf).outside
        if self.arguments[0] == "install":
            return check_install(shelf, site, met, outside, what)
        if met.code == 0:
            assert phase_of(site.state) in {None, Phase.COMMITTED, Phase.STAGED}, what
        assert site.says() in {"1.0", "2.0"}, f"{what}: the entry is always there"
        told = set(_KEPT.findall(met.errors)) - {*self.after}
        new = self.check_recovered(site, told, what)
        assert site.outside == outside, what
        told_truth = new or met.code != 0
        undecided = met.killed or "could not be undone" in met.errors
        if self.arguments[0] in {"update", "repair"} and not undecided:
            told_truth = new == (met.code == 0)
        assert told_truth or self.arguments[0] not in ASKED, f"{what}: {met.code}: {met.errors}"
        if site.state.trial.exists():  # nothing is updated before that is decided
            assert site.command("rollback", "--quiet").code == 0, what
        check_next_update(site, shelf, {**LAST, **self.users}, what, told)
        return "new" if new else "old"

    def check_outcomes(self, met: set[str]) -> None:
        """Kills lead to what they should; a sample may miss the moments that lead elsewhere."""
        assert met == self.outcomes if EVERY == 1 else met <= self.outcomes

    def check_recovered(self, site: Site, told: set[str], what: str) -> bool:
        """After recovery: old or new, whole, and said to be so; True if new.

        ``told``: files the command said it kept; one that could not be read may be the user's.
        """
        said = site.command("recover", "--json")
        assert said.code == 0, f"{what}: {said.err}"
        tree = {path: content for path, content in site.tree.items() if path not in told}
        new = tree == self.after
        assert new or tree == self.before, f"{what}: {difference(tree, self.before, self.after)}"
        version = self.versions[new]
        status = json.loads(site.command("status", "--json").out)
        assert (status["version"], status["state"]) in {
            (version, "clean"),
            (version, "staged"),
            (version, "unconfirmed"),
        }, what
        assert site.says() == version, what
        return new


def check_install(
    shelf: Shelf, site: Site, met: Injected, outside: dict[str, object], what: str
) -> str:
    """An install is made by its next try, or was made; a failed one left nothing behind."""
    if met.code == 0:
        assert site.tree == NEW, what
    elif not met.killed:
        assert not site.state.install.exists(), what
    said = command(*shelf.first, site.state.install)
    assert said.code == 0 or "an install already" in said.err, f"{what}: {said.err}"
    assert site.tree == NEW, what
    assert site.says() == "2.0", what
    assert site.outside == outside, what
    check_next_update(site, shelf, LAST, what)
    return "new" if said.code else "old"


def check_next_update(
    site: Site, shelf: Shelf, wanted: Contents, what: str, told: Iterable[str] = ()
) -> None:
    """The next good update works, and nothing is left that does not belong there."""
    shelf.offer("3.0")
    said = site.command("update", "--no-restart", "--quiet")
    shelf.offer("2.0")
    assert said.code == 0, f"{what}: {said.err}"
    tree = {path: content for path, content in site.tree.items() if path not in told}
    assert tree == wanted, f"{what}: {difference(tree, wanted)}"
    assert site.says() == "3.0", what
    assert {path.name for path in site.state.folder.iterdir()} - REPORTS == STATE, what
    litter = {p for p in read_tree(site.state.trust) if not p.endswith((".json", ".lock"))}
    assert litter == set(), what


def unedited(shelf: Shelf) -> Site:
    """An install whose user edited nothing that is released: the patch fits."""
    site = copied(shelf.installed, shelf.folder / "unedited")
    place = site.state.install / "edited.cfg"
    place.write_bytes(data_of(OLD["edited.cfg"]))
    return site


def damaged(shelf: Shelf) -> Site:
    """An install in which a file is spoilt and a link is gone."""
    site = copied(shelf.installed, shelf.folder / "damaged")
    core = site.state.install / "lib/core"
    core.unlink()
    core.write_bytes(SPOILT)
    (site.state.install / "current").unlink()
    return site


def updated(shelf: Shelf) -> Site:
    """An install of 2.0 that knows what 1.0 was."""
    site = copied(shelf.installed, shelf.folder / "updated")
    assert site.command("update", "--no-restart", "--quiet").code == 0
    return site


def on_trial(scenario: Scenario) -> Callable[[Shelf], Site]:
    """The world of ``scenario``, of a 2.0 that has failed in its one start."""

    def prepare(shelf: Shelf) -> Site:
        site = copied(scenario.world(shelf), shelf.folder / f"{scenario.name} on trial")
        site.state.trial.write_bytes(
            Trial("2.0", "1.0", ran=True, failed=1, why="ended with exit code 3").data
        )
        return site

    return prepare


def pending(scenario: Scenario) -> Callable[[Shelf], Site]:
    """The world of ``scenario``, whose update waits for the next start."""

    def prepare(shelf: Shelf) -> Site:
        site = copied(scenario.world(shelf), shelf.folder / f"{scenario.name} pending")
        lock = share(site.state, 0)
        assert lock is not None
        assert site.command("update", "--quiet").code == 0
        os.close(lock)
        assert phase_of(site.state) is Phase.STAGED
        return site

    return prepare


def killed_at(scenario: Scenario, part: float) -> Callable[[Shelf], Site]:
    """A world in which ``scenario`` was killed within its commit, its undoing, or its rollback.

    ``part`` says where: 0 is when the journal came to be, 1 when it went.
    """

    def prepare(shelf: Shelf) -> Site:
        commit = _commit_of(scenario.points(shelf, KILL))
        folder = shelf.folder / f"{scenario.name}-{part}"
        site = copied(scenario.world(shelf), folder)
        met = scenario.inject(shelf, site, KILL, commit[int(part * (len(commit) - 1))])
        assert met.hit
        assert phase_of(site.state) is not None
        return site

    return prepare


def _commit_of(found: Sequence[Call]) -> Sequence[Call]:
    """What lies between the journal's first name and its removal."""
    texts = [f"{call.name} {call.text}" for call in found]
    begin = next(n for n, text in enumerate(texts) if re.search(r'^rename.*/journal"', text))
    end = next(n for n, text in enumerate(texts) if _LAST.search(text))
    return found[begin + 1 : end + 1]


EVERY = int(os.environ.get("UPSWAP_CRASH_EVERY", "1"))
"""1 disturbs every call; n every n-th."""


def sampled(points: list[Call], first: int = 0) -> list[Call]:
    """Every `EVERY`-th point, and the last."""
    chosen = points[first % EVERY :: EVERY]
    return chosen if chosen[-1:] == points[-1:] else [*chosen, *points[-1:]]


KILL = Fault("KILL")
UPDATE = Scenario("update that turns to the bundle")
UNEDITED = Scenario(
    "update by patch",
    prepare=unedited,
    before={**OLD, **USERS},
    after={**NEW, **USERS},
    users=USERS,
)
UNDO = Scenario("update undone", fails="link:error=EIO:when=4")
RECOVER = ("recover", "--quiet")
IS_NEW, IS_OLD = frozenset({"new"}), frozenset({"old"})
ROLLBACK = Scenario(
    "rollback",
    ("rollback", "--quiet"),
    updated,
    before=AFTER,
    after=BEFORE,
    versions=("2.0", "1.0"),
)
SCENARIOS = (
    UPDATE,
    UNEDITED,
    UNDO,
    Scenario("install", ("install",), lambda shelf: shelf.empty),
    Scenario("recover begun", RECOVER, killed_at(UPDATE, 0.05), IS_NEW),
    Scenario("recover half-way", RECOVER, killed_at(UPDATE, 0.5), IS_NEW),
    Scenario("recover cleaning", RECOVER, killed_at(UPDATE, 0.9), IS_NEW),
    Scenario("recover undoing", RECOVER, killed_at(UNDO, 0.7), IS_OLD),
    ROLLBACK,
    replace(
        ROLLBACK, name="launch that rolls back", arguments=("launch",), prepare=on_trial(ROLLBACK)
    ),
    Scenario("launch that commits", ("launch",), pending(UPDATE)),
    Scenario(
        "repair",
        ("repair", "--quiet"),
        damaged,
        before=DAMAGED,
        after={**OLD, **KEPT, "lib/core.old": SPOILT},
        users={**KEPT, "lib/core.old": SPOILT},
        versions=("1.0", "1.0"),
    ),
)
"""Every command that changes an install; one to come is a line here."""
