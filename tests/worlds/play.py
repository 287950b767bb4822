"""Plays a world: its ground is made once, copied, and each step run on the copy."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

from worlds.fast import limits
from worlds.prelude import FUNCTIONS
from worlds.product import Product
from worlds.script import HERE
from worlds.shell import Said, Shell
from worlds.world import Broken, Step, World

_FAIL = re.compile(r"^FAIL: (?:([1-6]) ([\w-]+): )?(.*)", re.MULTILINE | re.DOTALL)
WARM = r"""
patchtool() { printf '%s\0' "$PWD" "$@" "" > @ASK; read -r CODE < @ANSWER; cat .said
  cat .complaint >&2; return "$CODE"; }
"""
"""In a ground, patchtool is asked through pipes; see `warm`."""
GROUND_LIMIT = 120.0
GROUNDS_KEPT = 40


@dataclass
class Tally:
    """What was played."""

    worlds: int = 0
    steps: int = 0
    commands: int = 0
    drawn: Counter[str] = field(default_factory=Counter)

    def add(self, world: World) -> None:
        """Count a world that was played."""
        self.worlds += 1
        self.steps += len(world.steps)
        self.commands += world.commands
        self.drawn.update([*(step.kind for step in world.steps), *world.drawn])


@dataclass
class Stage:
    """Where worlds are played: a folder of this run's own."""

    folder: Path
    product: Product
    tally: Tally = field(default_factory=Tally)
    _grounds: dict[str, Path] = field(default_factory=dict)
    _publisher: subprocess.Popen[bytes] | None = None

    def play(self, world: World) -> Broken | None:
        """Play it to its end, or to the first promise that does not hold."""
        self.tally.add(world)
        with self._copy() as folder:
            broken = self._lay_ground(world, folder)
            return broken or self._run_steps(world, folder)

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        folder = Path(mkdtemp(prefix="w", dir=self.folder))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            _remove(folder)

    def close(self) -> None:
        """End what it has started."""
        if self._publisher is not None:
            self._publisher.kill()
            self._publisher.wait()

    def _warm(self) -> str:
        """The shell function that has a warm patchtool publish; see `warm`."""
        ask, told = self.folder / "ask", self.folder / "answer"
        if self._publisher is None:
            for name in (ask, told):
                os.mkfifo(name)
            line = [self.product.bin / "python3", HERE / "warm.py", ask, told]
            self._publisher = subprocess.Popen(line)
        return WARM.replace("@ASK", str(ask)).replace("@ANSWER", str(told))

    def _fast(self, folder: Path) -> str:
        """Lines that have an `updater` on PATH which starts quickly; see `fast`."""
        place, real = folder / ".fast", self.product.bin / "updater"
        place.mkdir()
        command, socket = place / "updater", place / "socket"
        line = f'exec python3 -SEs {HERE / "fast.py"} - {socket} {real} "$@"'
        command.write_text(f"#!/bin/sh\n{line}\n")
        command.chmod(0o755)
        known = json.dumps(limits())
        start = f"{self.product.bin / 'python3'} {HERE / 'fast.py'} {socket} >/dev/null 2>&1 &\n"
        return f"export WARM_LIMITS='{known}'\n{start}PATH={place}:$PATH\n"

    def _run_steps(self, world: World, folder: Path) -> Broken | None:
        with closing(Shell(folder, self.product.environment(folder))) as shell:
            warm = self._warm() + self._fast(folder) if world.warm else ""
            shell.run(FUNCTIONS + warm + world.functions, GROUND_LIMIT)
            for done, step in enumerate(world.steps, 1):
                said = shell.run(step.lines, step.limit)
                broken = _judge(replace(world, steps=world.steps[:done]), step, said)
                if broken:
                    return broken
        return None

    def _lay_ground(self, world: World, folder: Path) -> Broken | None:
        """A copy of what its ground makes, which is made if no world before had the same."""
        key = hashlib.sha256(world.ground.encode()).hexdigest()[:16]
        if key not in self._grounds:
            broken = self._make_ground(world, key)
            if broken:
                return broken
        line = ["cp", "-a", f"{self._grounds[key]}/.", str(folder)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            return Broken(replace(world, steps=()), 0, "ground", f"copied: {done.stderr}")
        return None

    def _make_ground(self, world: World, key: str) -> Broken | None:
        if len(self._grounds) >= GROUNDS_KEPT:
            _remove(self._grounds.pop(next(iter(self._grounds))))
        made = self.folder / f"ground-{key}"
        if made.exists():
            _remove(made)
        for name in ("home", "tmp"):
            (made / name).mkdir(parents=True)
        for name in world.helpers:
            shutil.copy(HERE / name, made / name)
        with closing(Shell(made, self.product.environment(made))) as shell:
            lines = FUNCTIONS + self._warm() + world.functions + world.ground
            said = shell.run(lines, GROUND_LIMIT)
        for rest in made.glob(".*"):
            if rest.name.startswith((".step", ".told", ".done", ".driver", ".said", ".complaint")):
                rest.unlink()
        self._grounds[key] = made
        broken = _judge(replace(world, steps=()), Step("ground", ""), said)
        if broken:
            _remove(self._grounds.pop(key))
        return broken


def _judge(world: World, step: Step, said: Said) -> Broken | None:
    if said.ended and said.alive:
        return None
    if not said.ended:
        return Broken(world, 1, "endless", f"{step.kind}: more than {step.limit:.0f} s")
    found = _FAIL.search(said.out)
    if found is None:
        return Broken(world, 0, step.kind, f"the shell ended: {said.out[-300:]}{said.err[-700:]}")
    promise, what, message = found.groups()
    return Broken(world, int(promise or 0), what or step.kind, message.strip()[:2000])


def _remove(folder: Path) -> None:
    """Remove what a world left, also what it made immutable or private."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        subprocess.run(["chattr", "-R", "-i", "-a", folder], capture_output=True, check=False)
        subprocess.run(["chmod", "-R", "u+rwx", folder], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
