"""The next head: promote, pause and resume as pure functions; the signer gives the time.

While an offer is paused its clock stands: the steps that were to come are put off by as long as it
lasts, so that who resumes goes on with the step where it was stopped, and not with everyone.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from updater.errors import FormatError, RequestError
from updater.format.encoding.limits import DEFAULT
from updater.format.head import EVERYONE, Head, HeadEntry, RolloutStep
from updater.format.names import order

UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_LATER = re.compile(r"\+([0-9]{1,5})([mhd])")
_UTC = "%Y-%m-%dT%H:%MZ"
_RAMP = "such as 10@now,50@+24h,100@+48h or 100@2027-01-31T09:00Z"


def promoted(
    before: Head | None,
    app: str,
    channel: str,
    version: str,
    *,
    steps: Sequence[RolloutStep],
    now: int,
    seed: str,
) -> Head:
    """The head with ``version`` on top; the last one that reached everyone stays below it.

    Of a version that is there already, the steps that have come stay, and ``steps`` take the
    place of those that were to come.

    Args:
        before: the channel's head; None: it has none yet.
        app: whose release.
        channel: the channel.
        version: a published version that is not recalled.
        steps: at least one, in order of time.
        now: seconds since 1970.
        seed: for a channel's first head; decides in which order its installs are served.

    Raises:
        InstallError: ``version`` is paused here.
        FormatError: it would be a head that clients refuse.
    """
    head = _at(before, now) if before else Head(app, channel, now, seed, ())
    same = next((offer for offer in head.entries if offer.version == version), None)
    if same is not None and same.paused:
        raise RequestError(
            f"{app} {version} is paused on {channel}", hint="resume it first, if all is well"
        )
    come = [s for s in (same.steps if same else ()) if s.utc <= now and s.utc < steps[0].utc]
    offer = HeadEntry(version, tuple([*come, *steps][-DEFAULT.rollout_steps :]))
    older = [o for o in head.entries if order(o.version) < order(version) and not o.paused]
    finished = [o for o in older if o.reach(now) == EVERYONE][:1]
    return Head.parse(replace(head, entries=(offer, *finished)).to_json())


def paused(head: Head, version: str, now: int) -> Head:
    """The head that offers ``version`` to nobody for now: to halt is to pause.

    Raises:
        InstallError: ``head`` has no such version.
    """
    return _with(_at(head, now), version, paused=True)


def resumed(head: Head, version: str, now: int) -> Head:
    """The head that goes on with ``version`` where it was paused.

    Raises:
        InstallError: ``head`` has no such version.
    """
    return _with(_at(head, now), version, paused=False)


def without(head: Head, versions: Collection[str]) -> Head:
    """The head without versions that no client takes any more, such as recalled ones."""
    return replace(head, entries=tuple(o for o in head.entries if o.version not in versions))


def is_paused(head: Head, version: str) -> bool:
    """True if ``version`` is offered to nobody for now.

    Raises:
        InstallError: ``head`` has no such version.
    """
    return _offer(head, version).paused


def parse_ramp(text: str, now: int) -> tuple[RolloutStep, ...]:
    """The steps of a ramp such as ``10@now,50@+24h,100@+48h``.

    A step is a percentage and the time from which it holds: ``now``, ``+`` minutes (``m``),
    hours (``h``) or days (``d``) from now, or a minute in UTC (``2027-01-31T09:00Z``).

    Args:
        text: steps with commas between them; times and percentages rise.
        now: seconds since 1970.

    Raises:
        FormatError: it is none.
    """
    parts = text.split(",")
    if len(parts) > DEFAULT.rollout_steps:
        raise FormatError(f"{len(parts)} steps, {DEFAULT.rollout_steps} allowed")
    steps = tuple(_step(part, now) for part in parts)
    for one, other in pairwise(steps):
        if not (one.utc < other.utc and one.basis_points < other.basis_points):
            raise FormatError(f"{text[:60]!a}: times and percentages must rise")
    return steps


def parse_percent(text: str) -> int:
    """Basis points of a percentage, two decimals at most.

    Raises:
        FormatError: it is none.
    """
    with suppress(ArithmeticError):  # no number, or one such as NaN
        points = Decimal(text) * 100
        if 0 <= points <= EVERYONE and points == int(points):
            return int(points)
    raise FormatError(f"{text[:60]!a} is not a percentage such as 10 or 2.5")


def _step(text: str, now: int) -> RolloutStep:
    percent, at, when = text.strip().partition("@")
    if not at:
        raise FormatError(f"{text[:60]!a} is no step of a ramp {_RAMP}")
    return RolloutStep(_time(when, now), parse_percent(percent))


def _time(text: str, now: int) -> int:
    if text == "now":
        return now
    if later := _LATER.fullmatch(text):
        return now + int(later[1]) * UNITS[later[2]]
    try:
        moment = dt.datetime.strptime(text, _UTC).replace(tzinfo=dt.timezone.utc)
    except ValueError as error:
        raise FormatError(f"{text[:60]!a} is no time of a ramp {_RAMP}") from error
    return max(int(moment.timestamp()), 0)


def _at(head: Head, now: int) -> Head:
    """The same entries at ``now``: the steps of paused ones are put off until then."""
    now = max(now, head.issued)
    entries = tuple(_put_off(o, head.issued, now) if o.paused else o for o in head.entries)
    return replace(head, issued=now, entries=entries)


def _put_off(offer: HeadEntry, since: int, until: int) -> HeadEntry:
    steps = (
        RolloutStep(s.utc + until - since, s.basis_points) if s.utc > since else s
        for s in offer.steps
    )
    return replace(offer, steps=tuple(steps))


def _with(head: Head, version: str, *, paused: bool) -> Head:
    changed = replace(_offer(head, version), paused=paused)
    return replace(
        head, entries=tuple(changed if o.version == version else o for o in head.entries)
    )


def _offer(head: Head, version: str) -> HeadEntry:
    for offer in head.entries:
        if offer.version == version:
            return offer
    raise RequestError(
        f"{head.channel} does not offer {head.app} {version}",
        hint=f"it offers {', '.join(o.version for o in head.entries) or 'nothing'}",
    )
