"""The head: what a channel offers now, and the rule by which every client reads it alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from updater.errors import FormatError
from updater.format.encoding.canonical import INTEGER_MAX, Record
from updater.format.encoding.limits import DEFAULT, Limits
from updater.format.names import check_app, check_channel, check_version, order
from updater.format.rollout_bucket import BUCKETS, bucket

EVERYONE = BUCKETS
"""Basis points of a finished rollout."""
SEED_LENGTH = 64


@dataclass(frozen=True)
class RolloutStep:
    """From ``utc`` (seconds since 1970) on, ``basis_points`` of 10,000 installs are served."""

    utc: int
    basis_points: int


@dataclass(frozen=True)
class HeadEntry:
    """One version of a head and how far it is rolled out."""

    version: str
    steps: tuple[RolloutStep, ...]
    paused: bool = False

    def reach(self, now: int) -> int:
        """Basis points served at ``now``, by the last step that has come."""
        return next((s.basis_points for s in reversed(self.steps) if s.utc <= now), 0)

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this value."""
        steps = [[step.utc, step.basis_points] for step in self.steps]
        return {"paused": self.paused, "steps": steps, "version": self.version}


@dataclass(frozen=True)
class Head:
    """The offer of one channel of one app, newest version first."""

    app: str
    channel: str
    issued: int
    """The time of its signature, in seconds since 1970."""
    seed: str
    entries: tuple[HeadEntry, ...]

    @classmethod
    def parse(cls, value: object, limits: Limits = DEFAULT) -> Head:
        """The head of a JSON value.

        Raises:
            FormatError: it is not one; ``context`` says where.
        """
        record = Record(value)
        head = cls(
            app=check_app(record.text("app")),
            channel=check_channel(record.text("channel")),
            issued=record.integer("issued", INTEGER_MAX),
            seed=_check_seed(record.text("seed")),
            entries=record.items("entries", lambda v: _offer(v, limits), limits.head_entries),
        )
        record.end()
        versions = [order(offer.version) for offer in head.entries]
        if versions != sorted(set(versions), reverse=True):
            raise FormatError("not newest first, or twice the same", context="entries")
        return head

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this value, as it stands in ``custom``."""
        return {
            "app": self.app,
            "channel": self.channel,
            "entries": [offer.to_json() for offer in self.entries],
            "issued": self.issued,
            "seed": self.seed,
        }

    def choose(
        self, install_id: str, now: int, *, floor: str = "", excluded: Callable[[str], bool]
    ) -> str | None:
        """The version this install shall have at ``now``, or None if nothing is offered to it.

        Args:
            install_id: the random name of the install.
            now: seconds since 1970.
            floor: versions below are not for this install: what it runs, or what a recall of
                that allows. Empty: a fresh install, which takes the last entry if no rollout
                reaches it.
            excluded: says of a version that it is recalled, or known bad on this machine.
        """
        fit = [o for o in self.entries if not excluded(o.version)]
        if floor:
            fit = [o for o in fit if order(o.version) >= order(floor)]
        for offer in fit:
            draw = bucket(self.seed, offer.version, install_id)
            if not offer.paused and offer.reach(now) > draw:
                return offer.version
        return fit[-1].version if fit and not floor else None


def _offer(value: object, limits: Limits) -> HeadEntry:
    record = Record(value)
    version = check_version(record.text("version"))
    steps = record.items("steps", parse_step, limits.rollout_steps)
    if not steps or sorted(steps, key=lambda step: step.utc) != list(steps):
        raise FormatError("at least one step, in order of time", context="steps")
    offer = HeadEntry(version, steps, record.flag("paused"))
    record.end()
    return offer


def parse_step(value: object) -> RolloutStep:
    """The step of a JSON value ``[utc, basis_points]``.

    Raises:
        FormatError: it is none.
    """
    if not isinstance(value, list) or len(value) != len(("utc", "basis_points")):
        raise FormatError("[utc, basis_points] expected")
    utc, points = value
    if type(utc) is not int or type(points) is not int:
        raise FormatError("integers expected")
    if not (0 <= utc <= INTEGER_MAX and 0 <= points <= EVERYONE):
        raise FormatError(f"[{utc}, {points}] is out of range")
    return RolloutStep(utc, points)


def _check_seed(seed: str) -> str:
    if not 0 < len(seed) <= SEED_LENGTH or not seed.isascii() or "\0" in seed:
        raise FormatError(f"1 to {SEED_LENGTH} ASCII characters expected", context="seed")
    return seed
