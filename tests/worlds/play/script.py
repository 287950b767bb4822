"""A world as a script that anybody can run, in the form of this project's case scripts."""

from __future__ import annotations

from tests.worlds.play.prelude import FUNCTIONS, HEADER
from tests.worlds.programs import PROGRAMS
from tests.worlds.world import Broken, World

END = "END_OF_HELPER"


def helper_lines(world: World) -> str:
    """Lines that write the files its steps call."""
    return "".join(
        f"cat > {name} <<'{END}'\n{(PROGRAMS / name).read_text()}{END}\n" for name in world.helpers
    )


def script(broken: Broken) -> str:
    """The script; it ends with `fail`, and not 0, as long as the fault is there."""
    world = broken.world
    message = broken.message.replace("\n", "\n# ")
    head = f"\n# Promise {broken.promise} ({broken.what}): {message}\n"
    steps = "".join(f"\n# {step.kind}\n{step.lines}" for step in world.steps)
    begin = HEADER + FUNCTIONS + world.functions + helper_lines(world)
    return f"{begin}{head}{world.ground}{steps}exit 0\n"
