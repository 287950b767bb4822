"""What the shell said of a step, as a broken promise or none."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.worlds.play.shell import Said
from tests.worlds.world import Broken, Step, World

_FAIL = re.compile(r"^FAIL: (?:([1-6]) ([\w-]+): )?(.*)", re.MULTILINE | re.DOTALL)


def judge(world: World, step: Step, said: Said) -> Broken | None:
    """The promise that the step found broken in ``world``."""
    if said.ended and said.alive:
        return None
    if not said.ended:
        return Broken(world, 1, "endless", f"{step.kind}: more than {step.limit:.0f} s")
    found = _FAIL.search(said.out)
    if found is None:
        return Broken(world, 0, step.kind, f"the shell ended: {said.out[-300:]}{said.err[-700:]}")
    promise, what, message = found.groups()
    return Broken(world, int(promise or 0), what or step.kind, message.strip()[:2000])


def remove(folder: Path) -> None:
    """Remove what a world left, also what it made immutable or private."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        subprocess.run(["chattr", "-R", "-i", "-a", folder], capture_output=True, check=False)
        subprocess.run(["chmod", "-R", "u+rwx", folder], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
