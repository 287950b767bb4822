"""The clock of who signs, compared with what was signed before.

Expiry times and ramps are made of the clock. One that is ahead signs what nobody is offered, one
that is behind what every client refuses; and once clients have seen a signed time, theirs is never
before it. So a clock that differs from the last signature by more than is likely signs nothing
until somebody says the date.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass

from updater.errors import FormatError, RequestError

DAY = 86_400
BEHIND_MOST = DAY
"""Seconds by which one machine's clock may be behind what another one has signed."""
AHEAD_MOST = 30 * DAY
"""Seconds between two signatures after which a clock that is ahead is likelier than a rest: a
timestamp holds a week, and a snapshot this long."""
SAY_DATE = "set this machine's clock right; if it is right, say today's date: --clock YYYY-MM-DD"
DATE_SLACK = DAY
"""Seconds by which the date somebody says may differ: it is another day elsewhere."""


CheckTime = Callable[[int | None], None]
"""Is given what time a server says it is, and refuses to go on if that does not fit."""


def any_time(_server: int | None) -> None:
    """Accept any clock."""


@dataclass(frozen=True)
class Date:
    """A date that somebody says it is, for a clock that is doubted."""

    text: str
    begin: int
    """Seconds since 1970, in UTC."""

    @classmethod
    def parse(cls, text: str) -> Date:
        """The date of a text such as ``2027-01-31``.

        Raises:
            FormatError: it is none.
        """
        try:
            day = dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.timezone.utc)
        except ValueError as error:
            raise FormatError(f"{text[:60]!a} is no date such as 2027-01-31") from error
        return cls(text, int(day.timestamp()))

    def agrees(self, now: int) -> bool:
        """Return whether a clock that says ``now`` may say so on this date."""
        return self.begin - DATE_SLACK <= now < self.begin + DAY + DATE_SLACK


def check_clock(now: int, signed: int, said: Date | None = None, hint: str = SAY_DATE) -> None:
    """Refuse to sign with a clock that does not fit the last signature.

    Args:
        now: what this machine's clock says, in seconds since 1970.
        signed: when the repository was signed last; 0: not known.
        said: the date that somebody says it is, whatever was signed.
        hint: how to say it.

    Raises:
        InstallError: it does not fit, and nobody says the date; or they say another one.
    """
    if said is not None:
        if not said.agrees(now):
            raise RequestError(
                f"this machine's clock says {day(now)}, and --clock {said.text}",
                hint="set this machine's clock right",
            )
        return
    doubt = doubt_of(now, signed)
    if doubt:
        raise RequestError(doubt, hint=hint)


def doubt_of(now: int, signed: int) -> str:
    """Explain why a clock that says ``now`` is not believed; empty if it is."""
    if not signed or -BEHIND_MOST <= now - signed <= AHEAD_MOST:
        return ""
    days = abs(now - signed) / DAY
    where = "before" if now < signed else "after"
    return (
        f"this machine's clock says {day(now)}, {days:.0f} days {where} the last signature of "
        f"this repository ({day(signed)}): one of the two times is wrong"
    )


def check_server_clock(now: int, server: int | None, said: Date | None = None) -> None:
    """Refuse to go on with a clock that does not fit the one of the server that was asked.

    Args:
        now: what this machine's clock says, in seconds since 1970.
        server: what the server says; None: nothing.
        said: the date that somebody says it is.

    Raises:
        InstallError: they differ, and nobody says the date; or they say another one.
    """
    if server is None or abs(now - server) <= BEHIND_MOST:
        return
    if said is None:
        days = abs(now - server) / DAY
        raise RequestError(
            f"this machine's clock says {day(now)}, the server's {day(server)}: {days:.0f} days "
            "apart, and what was signed here goes by this one",
            hint="set the clock right that is wrong; if it is the server's, say today's date: "
            "--clock YYYY-MM-DD",
        )
    check_clock(now, 0, said)


def day(seconds: int) -> str:
    """A time as its date."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
