"""Grounds: what is published before a world begins, made once and copied for each."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.worlds.play.prelude import FUNCTIONS
from tests.worlds.play.product import Product
from tests.worlds.play.shell import Shell
from tests.worlds.play.verdict import judge, remove
from tests.worlds.programs import PROGRAMS
from tests.worlds.world import Broken, Step, World

HERE = Path(__file__).parent
WARM = r"""
patchtool() { printf '%s\0' "$PWD" "$@" "" > @ASK; read -r CODE < @ANSWER; cat .said
  cat .complaint >&2; return "$CODE"; }
"""
"""patchtool is asked through pipes; see `warm`."""
LIMIT = 120.0
KEPT = 60
OURS = (".step", ".told", ".done", ".driver", ".said", ".complaint")


@dataclass
class Grounds:
    """Those made so far, in a folder of this run's own."""

    folder: Path
    product: Product
    """Whose patchtool publishes; the same, whatever fault the commands of the worlds have."""
    _made: dict[str, Path] = field(default_factory=dict)
    _publisher: subprocess.Popen[bytes] | None = None

    def lay(self, world: World, folder: Path) -> Broken | None:
        """Copy what its ground makes; it is made if no world before had the same."""
        key = hashlib.sha256(world.ground.encode()).hexdigest()[:16]
        broken = None if key in self._made else self._make(world, key)
        if broken:
            return broken
        line = ["cp", "-a", f"{self._made[key]}/.", str(folder)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            return Broken(replace(world, steps=()), 0, "ground", f"copied: {done.stderr}")
        return None

    def warm(self) -> str:
        """The shell function that has a warm patchtool publish; see `warm`."""
        ask, told = self.folder / "ask", self.folder / "answer"
        if self._publisher is None:
            for name in (ask, told):
                os.mkfifo(name)
            line = [self.product.bin / "python3", HERE / "warm.py", ask, told]
            self._publisher = subprocess.Popen(line)
        return WARM.replace("@ASK", str(ask)).replace("@ANSWER", str(told))

    def close(self) -> None:
        """End what it has started."""
        if self._publisher is not None:
            self._publisher.kill()
            self._publisher.wait()

    def _make(self, world: World, key: str) -> Broken | None:
        if len(self._made) >= KEPT:
            remove(self._made.pop(next(iter(self._made))))
        made = self.folder / f"ground-{key}"
        remove(made)
        for name in ("home", "tmp"):
            (made / name).mkdir(parents=True)
        for name in world.helpers:
            shutil.copy(PROGRAMS / name, made / name)
        with closing(Shell(made, self.product.environment(made))) as shell:
            said = shell.run(FUNCTIONS + self.warm() + world.functions + world.ground, LIMIT)
        for rest in made.glob(".*"):
            if rest.name.startswith(OURS):
                rest.unlink()
        broken = judge(replace(world, steps=()), Step("ground", ""), said)
        if broken:
            remove(made)
        else:
            self._made[key] = made
        return broken
