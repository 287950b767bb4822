"""Offers of a channel: version, steps, evidence and state. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchserver.database.tables import Halt
from patchserver.rollouts.halting import Evidence, Rule
from updater.format.head import EVERYONE, HeadEntry


@dataclass(frozen=True)
class RampStep:
    """One step of a ramp."""

    utc: int
    basis_points: int
    state: str
    """``done``, ``now``, ``to come``; by a pause ``paused here``, ``put off``."""


@dataclass(frozen=True)
class Offered:
    """A version that a channel offers."""

    offer: HeadEntry
    evidence: Evidence
    rule: Rule
    stages: tuple[RampStep, ...]
    reach: int
    """Basis points of installs that get it now."""
    halt: Halt | None
    """The halt that paused it, if installs were the reason."""
    is_newest: bool
    is_recalled: bool
    """True if the publisher recalled it: then no client takes it."""

    @property
    def state(self) -> str:
        """``recalled``, ``halted``, ``paused``, ``everyone``, ``ramp``, or ``to come``."""
        if self.is_recalled:
            return "recalled"
        if self.offer.paused:
            return "halted" if self.halt else "paused"
        if self.reach == EVERYONE:
            return "everyone"
        return "ramp" if self.reach else "to come"

    @property
    def next(self) -> RampStep | None:
        """The step that comes next, unless it is held back."""
        return next((stage for stage in self.stages if stage.state == "to come"), None)

    @property
    def judged(self) -> str:
        """The verdict of the rule on the evidence, in words."""
        if self.evidence.sample < self.rule.sample:
            return f"{self.rule.sample - self.evidence.sample} more reports are needed to judge it"
        if self.evidence.halts(self.rule):
            return "above the threshold"
        return "within the threshold"


def offered(
    offer: HeadEntry,
    evidence: Evidence,
    rule: Rule,
    halts: Sequence[Halt],
    *,
    now: int,
    is_newest: bool = True,
    is_recalled: bool = False,
) -> Offered:
    """An offer as it stands at ``now``.

    Args:
        offer: of the head.
        evidence: reports of installs about it.
        rule: of the channel.
        halts: of the channel, newest first.
        now: seconds since 1970.
        is_newest: whether it is what the rule judges.
        is_recalled: whether the publisher withdrew it.
    """
    open_halts = (h for h in halts if h.version == offer.version and h.resumed is None)
    return Offered(
        offer,
        evidence,
        rule,
        tuple(_stages(offer, now)),
        0 if offer.paused or is_recalled else offer.reach(now),
        next(open_halts, None) if offer.paused else None,
        is_newest,
        is_recalled,
    )


def _stages(offer: HeadEntry, now: int) -> list[RampStep]:
    come = sum(step.utc <= now for step in offer.steps)
    here, later = ("paused here", "put off") if offer.paused else ("now", "to come")
    states = ["done"] * (come - 1) + [here] * bool(come) + [later] * (len(offer.steps) - come)
    return [
        RampStep(s.utc, s.basis_points, state) for s, state in zip(offer.steps, states, strict=True)
    ]
