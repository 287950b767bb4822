"""Releases: trees whose things change their kind, names of all sorts, and what they say.

Everything follows from a number, so that worlds share releases, and what is published once serves
many of them. Rendered, each thing is a line of its own, which a reduction may leave out.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random

PLAIN = ("lib", "data", "conf", "t", "res", "doc")
ODD = (
    "файл", "日本語.txt", "モ", "-rf", "a b", "LIB", "Conf", "x.old", "x.new", "conf.old",
    "it's", "*", "%41", "con", "end ", "long-" * 30, ".hidden", "~",
)  # fmt: skip
BIG = "big"
"""A file that grows: its patches are small, and its bundles are not."""
SIZES = (0, 1, 700, 5_000, 40_000)
LAST = 9
"""The major version of the good release every world ends with."""


@dataclass(frozen=True)
class File:
    """A line of text, or bytes made from a seed."""

    seed: int
    size: int = -1
    """-1: a line of text."""
    runs: bool = False
    grown: int = 0
    """How often something was added at its end."""

    def render(self, place: str) -> str:
        """The line that makes it."""
        make = f"echo text-{self.seed}" if self.size < 0 else f"fill {self.seed} {self.size}"
        mode = f"; chmod +x {place}" if self.runs else ""
        more = f"; grow {place} {self.grown}" if self.grown else ""
        return f"{make} > {place}{more}{mode}"


@dataclass(frozen=True)
class Link:
    """A symlink."""

    target: str

    def render(self, place: str) -> str:
        """The line that makes it."""
        return f"ln -s -- {shlex.quote(self.target)} {place}"


@dataclass(frozen=True)
class Folder:
    """Things by name."""

    things: Mapping[str, File | Link] = field(default_factory=dict)


Thing = File | Link | Folder
Tree = dict[str, Thing]


@dataclass(frozen=True)
class Release:
    """A version, its tree, its program and its ``release.toml``."""

    number: int
    tree: Tree
    form: str = "sh"
    character: str = "good"
    habits: tuple[str, ...] = ()
    toml: tuple[str, ...] = ('entry = "run"',)
    required: bool = False

    @property
    def version(self) -> str:
        """As published."""
        return f"{self.number}.0"

    @property
    def lines(self) -> str:
        """What makes and publishes it."""
        folder = f"r{self.number}"
        made = [f"mkdir {folder}"]
        for name, thing in self.tree.items():
            made += _render(f"{folder}/{name}", thing)
        program = (folder, self.version, self.form, self.character, *self.habits)
        made.append(f"python3 -SEs program.py {' '.join(program)}")
        toml = [*(["required = true"] if self.required else []), *self.toml]
        made.append(f"printf '%s\\n' {' '.join(map(shlex.quote, toml))} > {folder}.toml")
        made.append(f"add {self.version} {folder} --config {folder}.toml")
        made.append(f"echo {self.version} {self.character} >> characters")
        made += [f"echo {self.version} >> demanded"] if self.required else []
        confirms = "confirms" in self.habits and self.character == "good"
        made += [f"echo {self.version} >> confirming"] if confirms else []
        return "\n".join(made) + "\n"

    def at(self, path: str) -> Thing | None:
        """What lies there."""
        name, _, inside = path.partition("/")
        thing = self.tree.get(name)
        if not inside:
            return thing
        return thing.things.get(inside) if isinstance(thing, Folder) else None

    def paths(self) -> list[str]:
        """Every file, but for those of its program."""
        found = []
        for name, thing in self.tree.items():
            if isinstance(thing, Folder):
                inside = thing.things.items()
                found += [f"{name}/{key}" for key, one in inside if isinstance(one, File)]
            elif isinstance(thing, File):
                found.append(name)
        return found


def _render(place: str, thing: Thing) -> list[str]:
    quoted = shlex.quote(place)
    if not isinstance(thing, Folder):
        return [thing.render(quoted)]
    inside = [thing.things[name].render(shlex.quote(f"{place}/{name}")) for name in thing.things]
    return [f"mkdir {quoted}", *inside]


@dataclass(frozen=True)
class Shelf:
    """The releases of a world, the last of them the good one it ends with."""

    releases: tuple[Release, ...]

    @property
    def ground(self) -> str:
        """Lines that publish all, and offer the first."""
        published = "".join(release.lines for release in self.releases)
        return f"init\n{published}offer {self.releases[0].version}\n"

    @cached_property
    def every_path(self) -> list[str]:
        """All files of all releases."""
        return sorted({path for one in self.releases for path in one.paths()})

    def has(self, habit: str) -> bool:
        """Whether all their programs have it."""
        return all(habit in release.habits for release in self.releases)


def changed_paths(one: Release, other: Release) -> list[str]:
    """Files that the other release has not, or not so."""
    return sorted(path for path in one.paths() if one.at(path) != other.at(path))


def make_shelf(number: int) -> Shelf:
    """The releases with this number; 0 is as plain as can be."""
    if number == 0:
        return Shelf(tuple(map(_plain, (1, 2, 3, LAST))))
    return _Maker(Random(number)).shelf()


def _plain(number: int) -> Release:
    """Of a release that grows: the one before and a patch are less to fetch than its bundle."""
    grown = File(0, 100_000, grown=number - 1)
    return Release(number, {"lib": Folder({"a": File(number)}), BIG: grown})


class _Maker:
    """Makes releases, one from the one before."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        odd = chance.sample(ODD, chance.choice([0, 0, 1, 2, 5]))
        self._names = [*chance.sample(PLAIN, chance.choice([3, 5])), *odd]
        self._portable = not odd
        self._seed = 0

    def shelf(self) -> Shelf:
        """Three to five releases, and the last."""
        chance = self._chance
        form = chance.choice(["sh", "sh", "sh", "python", "wrapper", "exec"])
        confirm = chance.choice(["none", "health", "health", "app", "app"])
        habits = self._habits(form, confirm)
        releases = []
        tree = self._first()
        for number in [*range(1, chance.choice([3, 4, 4, 5]) + 1), LAST]:
            character = "good"
            if number not in (1, LAST):
                character = chance.choice([*["good"] * 3, *self._failings(confirm)])
            release = Release(
                number, tree, self._form(form, confirm), character, habits, required=False
            )
            watched = "none" if chance.random() < 0.25 and character == "good" else confirm
            toml = self._toml(watched, character)
            releases.append(replace(release, toml=toml, required=chance.random() < 0.35))
            tree = self._next(tree)
        return Shelf(tuple(releases))

    def _form(self, form: str, confirm: str) -> str:
        return "python" if confirm == "app" and form == "sh" else form

    def _habits(self, form: str, confirm: str) -> tuple[str, ...]:
        chance = self._chance
        habits = ["confirms"] if confirm == "app" else []
        habits += ["abrupt"] if chance.random() < 0.3 else []
        if form != "sh" or confirm == "app":
            habits += ["updates"] if chance.random() < 0.5 else []
            habits += ["child"] if chance.random() < 0.3 else []
            habits += ["needs"] if chance.random() < 0.35 else []
        return (*habits, *(["slow"] if chance.random() < 0.5 else []))

    def _failings(self, confirm: str) -> list[str]:
        """How a version may be bad that is watched; one nobody watches cannot be taken back."""
        if confirm == "none":
            return []
        failing = ["crash", "crash", "hang"]
        return [*failing, "sick"] if confirm == "health" else [*failing, "late", "mute"]

    def _toml(self, confirm: str, character: str) -> tuple[str, ...]:
        chance = self._chance
        lines = ['entry = "run"']
        if not self._portable:
            lines.append("portable = false")
        seconds = 2 if character in {"hang", "mute", "sick"} else 40
        starts = chance.choice([1, 1, 1, 2])
        if confirm == "health":
            lines.append(
                f'confirm = {{mode = "health", health = ["check"], starts = {starts}, '
                f"seconds = {seconds}}}"
            )
        elif confirm == "app":
            lines.append(f'confirm = {{mode = "app", starts = {starts}, seconds = {seconds}}}')
        if character == "good" and chance.random() < 0.15:
            lines.append("stop = true")
        policy = chance.choice(["", "", "", "keep", "keep-if-changed"])
        return (*lines, "[policy]", f'"*" = "{policy}"') if policy else tuple(lines)

    def _first(self) -> Tree:
        chance = self._chance
        chosen = chance.sample(self._names, min(len(self._names), chance.choice([2, 3, 4])))
        tree: Tree = {}
        for name in chosen:
            tree[name] = self._thing(tree)
        if chance.random() < 0.4:
            tree[BIG] = File(0, 100_000)
        return tree

    def _thing(self, tree: Tree) -> Thing:
        kind = self._chance.choice(["file", "folder", "folder", "link"])
        if kind == "folder":
            names = self._chance.sample(self._names, self._chance.choice([1, 2, 3]))
            return Folder({name: self._inside() for name in names})
        if kind == "link" and tree:
            return Link(self._chance.choice(list(tree)))
        return self._file()

    def _inside(self) -> File | Link:
        if self._chance.random() < 0.15:
            return Link("../" + self._chance.choice(PLAIN))
        return self._file()

    def _file(self) -> File:
        self._seed += 1
        size = self._chance.choice([-1, -1, -1, *SIZES])
        if self._chance.random() < 0.02:
            size = 2_000_000
        return File(self._seed, size, self._chance.random() < 0.2)

    def _next(self, tree: Tree) -> Tree:
        """The tree of the next version."""
        changed = dict(tree)
        for _ in range(self._chance.choice([1, 2, 2, 3, 4])):
            self._change(changed)
        grows = changed.get(BIG)
        if isinstance(grows, File) and grows.size > 0:
            changed[BIG] = replace(grows, grown=grows.grown + 1)
        return changed

    def _change(self, tree: Tree) -> None:
        chance = self._chance
        free = [name for name in self._names if name not in tree]
        what = chance.choice(["content", "content", "kind", "kind", "kind", "add", "drop", "move"])
        if not tree or (what == "add" and free):
            name = chance.choice(free or self._names)
            tree[name] = self._thing(tree)
            return
        name = chance.choice(sorted(tree))
        if what == "drop":
            del tree[name]
        elif what == "move" and free:
            tree[chance.choice(free)] = tree.pop(name)
        elif what == "kind":
            self._change_kind(tree, name, free)
        else:
            tree[name] = self._changed(tree[name])

    def _change_kind(self, tree: Tree, name: str, free: list[str]) -> None:
        """A folder may move on and leave a link in its place, as real releases do."""
        old = tree.pop(name)
        if isinstance(old, Folder) and free and self._chance.random() < 0.6:
            moved = self._chance.choice(free)
            tree[moved] = old
            tree[name] = Link(moved)
            return
        new = self._thing(tree)
        while type(new) is type(old):
            new = self._thing(tree) if tree else self._file_or_folder(old)
        tree[name] = new

    def _file_or_folder(self, old: Thing) -> Thing:
        return Folder({"f": self._file()}) if isinstance(old, File) else self._file()

    def _changed(self, thing: Thing) -> Thing:
        if isinstance(thing, Folder):
            name = self._chance.choice(sorted(thing.things))
            things = dict(thing.things)
            if self._chance.random() < 0.3 and len(things) > 1:
                del things[name]
            else:
                things[name] = self._file()
            return Folder(things)
        if isinstance(thing, Link):
            return Link(self._chance.choice(PLAIN))
        if thing.size > 0 and self._chance.random() < 0.3:
            return replace(thing, runs=not thing.runs)
        return self._file()
