"""Worlds of a publisher: commands in any order, clocks, disks, hosts, and a few installs that ask.

After each step real clients ask the host, and `doctor` must know their fate (`judge.py`); the shell
functions are in `prelude.sh`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.worlds.publisher import commands, folders, hosts, mishaps
from tests.worlds.publisher.model import FIRST, READY, Draw, Kind, Model, when_well
from tests.worlds.world import Step, World

HERE = Path(__file__).parent
MOST_STEPS = 6
HELPERS = ("judge.py",)
PARTS = (commands, folders, hosts, mishaps)
THEMES: dict[str, tuple[Kind, ...]] = {
    "all": tuple(kind for part in PARTS for kind in part.KINDS),
    **{part.__name__.rpartition("_")[2]: part.KINDS for part in PARTS},
}
"""A world that mixes everything seldom has two of a kind; most worlds keep to one."""


def ground() -> str:
    """Two releases, offered one after the other, each with an install of it, and a third one."""
    releases = "".join(
        f"release {version} {base}\nadd {version} rel/{version}\noffer {version}\nshown repo\n"
        f"host\nURL=http://127.0.0.1:$(cat port)\ninst c{number}\nkill $SRV\nwait $SRV\n"
        for number, (version, base) in enumerate(zip(FIRST, ("", FIRST[0]), strict=True))
    )
    rest = f"release {READY} {FIRST[1]}\nadd {READY} rel/{READY}\n"
    online = "mkdir cron\ncp -p keys/online.pem cron\ncp repo/metadata/1.root.json .\n"
    return f"init\n{releases}{rest}{online}"


GROUND = ground()
FUNCTIONS = (HERE / "prelude.sh").read_text()
BEGIN = Step("begin", "host", "judge repo")
BY_URL = Step("begin by URL", "host\nURLS=--url", "judge repo")


def closing(model: Model) -> Step:
    """A good release, which can always be published."""
    version = model.fresh()
    text = f"""release {version} 1.1
app add-release --version {version} rel/{version}
[ $R = 0 ] || fail "6 stranded: $(cat err)"
app promote --version {version}"""
    return Step("a good release", text, when_well(f"--offered {version}"))


def publisher_worlds(seed: int) -> Iterator[World]:
    """Those of a seed, without end."""
    draw = Draw(Random(f"publisher {seed}"))
    while True:
        yield _world(draw)


def _world(draw: Draw) -> World:
    model = Model()
    theme = draw.pick(sorted(THEMES))
    steps = [draw.pick((BEGIN, BEGIN, BY_URL))]
    steps += [draw.pick(THEMES[theme])(draw, model) for _ in range(draw.number(2, MOST_STEPS))]
    if model.is_untidy:
        steps.append(closing(model))
    return World(GROUND, tuple(steps), FUNCTIONS, HELPERS, drawn=(f"theme: {theme}",))
