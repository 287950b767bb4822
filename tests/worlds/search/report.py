"""What a search tells: seeds, worlds, steps, commands, what was drawn, and each finding."""

from __future__ import annotations

from tests.worlds.play.script import script
from tests.worlds.search.search import Found, Search


def summary(name: str, search: Search, seconds: float) -> str:
    """Lines for people; the distribution is a share of the worlds that had it."""
    tally = search.stage.tally
    seeds = f"seeds {search.seeds[0]} to {search.seeds[-1]}" if search.seeds else "no seed"
    head = (
        f"{name}: {tally.worlds:,} worlds, {tally.steps:,} steps, about {tally.commands:,} "
        f"commands in {seconds:.0f} s; {seeds}; {len(search.found)} findings"
    )
    again = [f"  met again: {kind}: {times}" for kind, times in search.again.items() if times]
    again += [f"  not played: {why}: {times}" for why, times in search.unsound.items()]
    drawn = [f"  {times:6} {kind}" for kind, times in tally.drawn.most_common()]
    return "\n".join([head, *again, *drawn])


def finding(found: Found) -> str:
    """A finding with its script."""
    broken = found.broken
    head = (
        f"promise {broken.promise} ({broken.what}) does not hold: {broken.message}\n"
        f"seed {found.seed}, after {found.worlds} worlds and {found.seconds:.0f} s\n"
    )
    return f"{head}---\n{script(broken)}---\n"
