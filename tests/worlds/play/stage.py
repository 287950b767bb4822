"""Plays a world on a copy of its ground, step by step."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

from tests.worlds.play.fast import limits
from tests.worlds.play.grounds import Grounds
from tests.worlds.play.prelude import FUNCTIONS
from tests.worlds.play.product import Product
from tests.worlds.play.shell import Shell
from tests.worlds.play.verdict import judge, remove
from tests.worlds.world import Broken, World

HERE = Path(__file__).parent
BEGIN_LIMIT = 60.0


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
    grounds: Grounds
    tally: Tally = field(default_factory=Tally)

    def play(self, world: World) -> Broken | None:
        """Play it to its end, or to the first promise that does not hold."""
        self.tally.add(world)
        with self._place() as folder:
            broken = self.grounds.lay(world, folder)
            return broken or self._run_steps(world, folder)

    @contextmanager
    def _place(self) -> Iterator[Path]:
        folder = Path(mkdtemp(prefix="w", dir=self.folder))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            remove(folder)

    def _run_steps(self, world: World, folder: Path) -> Broken | None:
        with closing(Shell(folder, self.product.environment(folder))) as shell:
            warm = self.grounds.warm() + self._fast(folder) if world.warm else ""
            shell.run(FUNCTIONS + warm + world.functions, BEGIN_LIMIT)
            for done, step in enumerate(world.steps, 1):
                said = shell.run(step.lines, step.limit)
                broken = judge(replace(world, steps=world.steps[:done]), step, said)
                if broken:
                    return broken
        return None

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
